"""A torch.export program, .pt2: its graph is read as the JSON it is, and run node by node from a short list of operators.

torch.export.load() is not used: in PyTorch 2.13 it unpickles some entries with weights_only=False and evaluates the
file's symbolic expressions, so that a stranger's file could run code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.floatcells import LSTM
from tinyrnn.floatlayers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers import guard
from tinyrnn.importers.flow import ANY_BATCH, ANY_TIME, CellState, Flow, InitialState, LayoutError, Stack, choose
from tinyrnn.importers.source import Activation, Affine, Dense, Options, Source, Step, refuse
from tinyrnn.importers.torch_ import cell

DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}  # torch's ScalarType
FLOATS = (6, 7, 8, 13)
LARGEST = 1 << 22  # numbers of a tensor of zeros
PREFIX = "torch.ops.aten."
LAYERED = {"gru.input": "gru", "lstm.input": "lstm", "rnn_tanh.input": "tanh", "rnn_relu.input": "relu"}
CELLS = {"gru_cell.default": "gru", "lstm_cell.default": "lstm", "rnn_tanh_cell.default": "tanh", "rnn_relu_cell.default": "relu"}
CURES = {
    "conv": "expected a network of recurrent layers without convolution",
    "attention": "expected a network of recurrent layers without attention",
    "mean": "expected the last step, y[:, -1], instead of an average over time",
    "cat": "expected one path through the layers",
    "add.Tensor": "expected one path through the layers, no residual sum of two",
    "gelu": "expected relu, tanh or sigmoid",
}


@dataclass(frozen=True)
class StepOf:
    """One step of a sequence, as a loop over a cell takes and makes it; ``memory``: an LSTM cell's c."""

    flow: Flow
    index: int
    memory: bool = False


@dataclass(frozen=True)
class Node:
    """One call: the operator without its prefix, arguments by name, names of its results."""

    name: str
    target: str
    inputs: dict[str, tuple[str, Any]]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Name:
    """A reference to a value of the graph."""

    name: str


def read(path: Path, options: Options) -> Source:
    """The network of a program. Raises ModelError."""
    with guard.open_zip(path) as archive:
        names = archive.namelist()
        models = [n for n in names if "/models/" in f"/{n}" and n.endswith(".json")]
        if len(models) != 1:
            cure = "expected torch.export.save() of PyTorch 2.8 or newer, one program"
            raise ModelError(f"{path}: has {len(models)} entries models/*.json; {cure}")
        program = guard.parse_json(guard.entry(archive, models[0]), f"{path}: {models[0]}")
        root = models[0][: models[0].rindex("models/")]
        arrays: dict[str, np.ndarray] = {}
        for kind in ("weights", "constants"):
            for name in names:
                if name.startswith(f"{root}data/{kind}/") and name.endswith("_config.json"):
                    arrays |= _arrays(path, archive, name)
    try:
        return _source(path, program, arrays, options)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{path}: its program cannot be understood ({reason:.80}); export it again") from None


def _arrays(path: Path, archive: Any, config: str) -> dict[str, np.ndarray]:
    """The raw tensors of one folder by name; their sizes are compared with the entries before they are read."""
    found = {}
    entries = guard.parse_json(guard.entry(archive, config), f"{path}: {config}").get("config", {})
    for name, said in entries.items():
        meta = said.get("tensor_meta") or {}
        if said.get("use_pickle") or meta.get("dtype") not in DTYPES:
            raise ModelError(f"{path}: {name} is pickled or of an unusual type; expected plain float tensors")
        sizes = [int(n["as_int"]) for n in meta["sizes"]]
        strides = [int(n["as_int"]) for n in meta["strides"]]
        data = guard.entry(archive, config[: config.rindex("/") + 1] + str(said["path_name"]))
        kind = np.dtype(DTYPES[meta["dtype"]])
        offset = int(meta["storage_offset"]["as_int"])
        last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        count = int(np.prod(sizes, dtype=object)) if sizes else 1
        bad = min([*sizes, *strides, offset, 0]) < 0 or (count and (last + 1) * kind.itemsize > len(data))
        if bad or count * kind.itemsize > len(data):
            raise ModelError(f"{path}: {name} has shape {sizes} in {len(data)} bytes; export it again")
        flat = np.frombuffer(data, kind)
        steps = [s * kind.itemsize for s in strides]
        found[name] = np.lib.stride_tricks.as_strided(flat[offset:], sizes, steps).copy()
    return found


def _argument(raw: dict[str, Any]) -> tuple[str, Any]:
    """(kind, value) of an argument; tensors as Name."""
    ((kind, value),) = raw.items()
    if kind in ("as_tensor", "as_optional_tensor"):
        return kind, None if not isinstance(value, dict) or "name" not in value else Name(value["name"])
    if kind == "as_tensors":
        return kind, [Name(item["name"]) for item in value]
    if kind in ("as_sym_int", "as_sym_ints"):
        many = value if isinstance(value, list) else [value]
        items = [Name(item["as_name"]) if "as_name" in item else item["as_int"] for item in many]
        return kind, items if isinstance(value, list) else items[0]
    return kind, None if kind == "as_none" else value


def _nodes(path: Path, graph: dict[str, Any]) -> list[Node]:
    nodes = []
    for raw in graph["nodes"]:
        target = str(raw["target"])
        name = str(raw.get("name") or target)
        if not target.startswith(PREFIX):
            raise refuse(f"{path}: {name}", f"calls {target:.60}", "expected operators of torch.ops.aten only")
        outputs: list[str] = []
        for output in raw["outputs"]:
            ((kind, value),) = output.items()
            many = value if isinstance(value, list) else [value]
            outputs += [str(item.get("name") or item.get("as_name")) for item in many]
        inputs = {str(item["name"]): _argument(item["arg"]) for item in raw["inputs"]}
        nodes.append(Node(name, target[len(PREFIX) :], inputs, tuple(outputs)))
    return nodes


def _source(path: Path, program: dict[str, Any], arrays: dict[str, np.ndarray], options: Options) -> Source:
    module = program["graph_module"]
    graph = module["graph"]
    nodes = _nodes(path, graph)
    values: dict[str, Any] = {}
    users: list[str] = []
    for spec in module["signature"]["input_specs"]:
        ((kind, value),) = spec.items()
        if kind == "user_input":
            users.append(_argument(value["arg"])[1].name)
            continue
        target = next((value[key] for key in ("parameter_name", "buffer_name", "tensor_constant_name") if key in value), None)
        if target not in arrays:
            raise ModelError(f"{path}: the input {kind} {target} has no data in the file; export it again")
        values[value["arg"]["name"]] = arrays[target]
    weights = dict(values)
    states = {a.name for node in nodes for a in _initial(node) if isinstance(a, Name)} & set(users)
    used = {a.name for node in nodes for a in _names(node)}
    data = [name for name in users if name in used - states]
    if len(data) != 1:
        raise ModelError(f"{path}: takes {len(data)} inputs ({', '.join(data):.60}); expected one, the sequence")
    outputs = [_argument(spec["user_output"]["arg"])[1] for spec in module["signature"]["output_specs"] if "user_output" in spec]
    shape, whole = _input_shape(path, graph, data[0])
    values |= {name: InitialState(name) for name in states}
    error: LayoutError | None = None
    for letters in {3: ("BTF", "TBF"), 2: ("BT", "TB") if whole else ("TF",)}.get(len(shape), ()):
        start = _start(shape, letters)
        try:
            found = _walk(nodes, values | {data[0]: start})
            named = {o.name: found[o.name] for o in outputs if isinstance(o, Name)}
            named = {name: _flow(value, name) if isinstance(value, StepOf) and not value.memory else value
                     for name, value in named.items()}  # fmt: skip
            answer, flow = choose(named, options.output, str(path))
            break
        except LayoutError as caught:
            error = error or caught
    else:
        raise error or ModelError(f"{path}: its input has shape {shape}; expected (batch, time, features)")
    runner = _Runner(nodes, weights, data[0], answer, start, flow, sorted(states), graph["tensor_values"])
    return Source(
        framework="PyTorch",
        steps=flow.steps,
        inputs=start.features,
        when="last" if flow.is_last else "every",
        tail=flow.tail,
        run=runner,
        batch=start.batch if isinstance(shape[letters.index("B")] if "B" in letters else 1, int) else None,
        time=start.time if isinstance(shape[letters.index("T")], int) else None,
        notes=tuple(f"the initial state {name} starts as zero, as a stream does" for name in sorted(states)),
    )


def _input_shape(path: Path, graph: dict[str, Any], name: str) -> tuple[list[int | None], bool]:
    """Sizes of the input, None where any will do, and whether it holds whole numbers."""
    meta = graph["tensor_values"][name]
    sizes: list[int | None] = [int(n["as_int"]) if "as_int" in n else None for n in meta["sizes"]]
    if any(n is not None and not 1 <= n <= 100_000 for n in sizes) or sizes[-1:] == [None]:
        raise ModelError(f"{path}: its input {name} has sizes {sizes}; expected a fixed number of features, dynamic others")
    return sizes, meta["dtype"] not in FLOATS


def _start(shape: Sequence[int | None], letters: str) -> Flow:
    sizes = {"B": 1, "F": 1} | {
        atom: n or {"B": ANY_BATCH, "T": ANY_TIME}[atom] for atom, n in zip(letters, shape, strict=True)
    }
    return Flow(tuple((atom,) for atom in letters), sizes["B"], sizes["T"], sizes["F"])


def _initial(node: Node) -> list[Any]:
    """The initial states that a recurrent node takes."""
    if node.target not in (*LAYERED, *CELLS) or "hx" not in node.inputs:
        return []
    hx = node.inputs["hx"][1]
    return hx if isinstance(hx, list) else [hx]


def _names(node: Node) -> list[Name]:
    """Every value that a node takes."""
    many = [item if isinstance(item, list) else [item] for _, item in node.inputs.values()]
    return [item for items in many for item in items if isinstance(item, Name)]


def _flow(value: Any, name: str) -> Flow:
    """A value as data on its way. Raises ModelError."""
    if isinstance(value, Flow):
        return value
    if isinstance(value, Stack):
        return value.as_flow(name)
    if isinstance(value, StepOf) and not value.memory:
        return value.flow.pick(value.flow.axes.index(("T",)), value.index, name)
    if isinstance(value, (CellState, StepOf)):
        raise refuse(name, "takes an LSTM's cell state c", "expected its output h")
    raise refuse(name, f"takes {type(value).__name__}", "expected what depends on the input")


def _walk(nodes: Sequence[Node], values: dict[str, Any]) -> dict[str, Any]:
    """Every node's results in terms of the input."""
    values = dict(values)
    for node in nodes:
        results = _apply(node, {name: _value(values, item[1]) for name, item in node.inputs.items()})
        values.update(zip(node.outputs, results, strict=False))
    return values


def _value(values: dict[str, Any], argument: Any) -> Any:
    if isinstance(argument, Name):
        return values[argument.name]
    if isinstance(argument, list):
        return [_value(values, item) for item in argument]
    return argument


def _apply(node: Node, given: dict[str, Any]) -> list[Any]:
    """The results of one node. Raises ModelError, naming it, for an operator that has no place here."""
    name, target = node.name, node.target
    x = given.get("self", given.get("input"))
    if target in LAYERED:
        return _layers(name, LAYERED[target], given)
    if target in CELLS:
        return _cell_step(node, CELLS[target], given)
    if target == "zeros.default":
        size = [int(n) for n in given["size"]]
        if int(np.prod(size, dtype=object)) > LARGEST or min(size, default=0) < 0:
            raise refuse(name, f"makes zeros of shape {size}", "expected an initial state")
        return [np.zeros(size)]
    if target == "sym_size.int":
        return [_flow(x, name).shape[given["dim"]]]
    if target in ("select.int", "unbind.int"):
        return _select(name, target, x, given)
    if target == "stack.default":
        return [_stacked(name, given)]
    if target in ("clone.default", "contiguous.default", "alias.default", "detach.default", "dropout.default", "to.dtype",
                  "feature_dropout.default", "detach_.default"):  # fmt: skip
        if target.endswith("dropout.default") and given.get("train"):
            raise refuse(name, "drops out, the program was exported for training", "export it after model.eval()")
        return [x]
    flow = _flow(given["indices"] if target == "embedding.default" else x, name)
    if target in ("linear.default", "embedding.default", "layer_norm.default", "batch_norm.default"):
        return [_weighted(name, target, flow, given)]
    if target in ("relu.default", "relu_.default", "tanh.default"):
        return [flow.then(Step(name, Activation("relu" if "relu" in target else "tanh")))]
    if target == "sigmoid.default":
        return [flow.then(Step(name, Activation("sigmoid")))]
    if target in ("softmax.int", "log_softmax.int", "argmax.default"):
        kind = target.split(".")[0]
        dim = given["dim"]
        if dim is None:
            raise refuse(name, "argmax over everything", "expected argmax(dim=-1)")
        ended = flow.end(kind, dim, name)
        if kind != "argmax":
            return [ended]
        axis = flow.axis(dim, name)
        axes = (*flow.axes[:axis], *(((),) if given.get("keepdim") else ()), *flow.axes[axis + 1 :])
        return [replace(ended, axes=axes)]
    if target in ("transpose.int", "permute.default", "t.default"):
        rank = len(flow.axes)
        order = list(range(rank))
        if target == "permute.default":
            order = [flow.axis(d, name) for d in given["dims"]]
        else:
            a, b = (flow.axis(d, name) for d in (given.get("dim0", 0), given.get("dim1", 1)))
            order[a], order[b] = order[b], order[a]
        return [flow.transpose(order, name)]
    if target in ("view.default", "reshape.default", "_unsafe_view.default"):
        return [flow.reshape(given.get("size", given.get("shape")), name, keep_zero=False)]
    if target in ("squeeze.dim", "squeeze.dims", "squeeze.default"):
        dim = given.get("dim")
        axes = None if dim is None else [d for d in (dim if isinstance(dim, list) else [dim]) if flow.shape[d] == 1]
        return [flow.squeeze(axes, name)]
    if target == "unsqueeze.default":
        return [flow.unsqueeze([given["dim"]], name)]
    if target == "slice.Tensor":
        stop = given.get("end")
        return [flow.cut(given.get("dim", 0), given.get("start") or 0, 2**31 if stop is None else stop, given.get("step", 1), name)]
    if target in ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"):
        return [_affine(name, target, flow, given)]
    cure = next((text for word, text in CURES.items() if word in target), "expected RNN, LSTM, GRU, their cells, Linear, "
                "Embedding, LayerNorm, BatchNorm1d and what lies between them")  # fmt: skip
    raise refuse(name, f"is torch's {target}, which cannot be imported", cure)


def _weighted(name: str, target: str, flow: Flow, given: dict[str, Any]) -> Flow:
    weight, bias = given.get("weight"), given.get("bias")
    if any(a is not None and not isinstance(a, np.ndarray) for a in (weight, bias)):
        raise refuse(name, "takes weights that depend on the input", "expected parameters")
    weight, bias = (None if a is None else a.astype(np.float64) for a in (weight, bias))
    if target == "embedding.default":
        made = Embedding(_matrix(name, weight))
        return replace(flow.then(Step(name, made), made.units), axes=(*flow.axes, ("F",)))
    axis = flow.feature_axis(name)
    if target == "linear.default":
        weight = _matrix(name, weight)
        if axis != len(flow.axes) - 1:
            raise LayoutError(f"{name}: works on the last of the axes {flow.letters}; expected the features (F) there")
        after = flow.then(Step(name, Dense(weight, np.zeros(len(weight)) if bias is None else bias)), len(weight))
        return replace(after, axes=(*flow.axes[:-1], ("F",)))
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    if target == "layer_norm.default":
        if list(given["normalized_shape"]) != [flow.features] or axis != len(flow.axes) - 1:
            raise LayoutError(f"{name}: normalises over {given['normalized_shape']}; expected the features (F) alone")
        made_norm = LayerNorm(ones if weight is None else weight, zeros if bias is None else bias, float(given.get("eps", 1e-5)))
        return flow.then(Step(name, made_norm))
    if given.get("training") or given.get("running_mean") is None:
        raise refuse(name, "normalises by the batch at hand", "export it after model.eval(), with running statistics")
    if axis != 1:
        raise LayoutError(f"{name}: works on axis 1 of {flow.letters}; expected the features (F) there")
    mean, var = (np.asarray(given[key], np.float64) for key in ("running_mean", "running_var"))
    batchnorm = BatchNorm(ones if weight is None else weight, zeros if bias is None else bias, mean, var, float(given["eps"]))
    return flow.then(Step(name, batchnorm))


def _matrix(name: str, weight: Any) -> np.ndarray:
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise refuse(name, "has no matrix of weights", "export it again")
    return weight.astype(np.float64)


def _affine(name: str, target: str, flow: Flow, given: dict[str, Any]) -> Flow:
    """x with a constant number or vector of features: a normalisation."""
    other = given["other"]
    if not isinstance(other, (int, float, np.ndarray)) or given.get("alpha", 1) != 1:
        raise refuse(name, f"combines two paths ({target})", "expected one path through the layers, no residual")
    value = np.asarray(other, np.float64)
    if flow.feature_axis(name) != len(flow.axes) - 1 or value.size not in (1, flow.features) or value.shape[-1:] not in (
        (), (1,), (flow.features,)):  # fmt: skip
        raise refuse(name, f"combines the data with shape {value.shape}", "expected one number for each feature")
    value = np.broadcast_to(value.reshape(-1), flow.features).copy()
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    made = {"add": (ones, value), "sub": (ones, -value), "mul": (value, zeros)}.get(target.split(".")[0])
    if made is None:
        if not value.all():
            raise refuse(name, "divides by zero", "export it again")
        made = (1 / value, zeros)
    return flow.then(Step(name, Affine(*made)))


def _layers(name: str, kind: str, given: dict[str, Any]) -> list[Any]:
    """aten.gru, lstm, rnn_tanh, rnn_relu: results y, h_n and for an LSTM c_n."""
    if given["bidirectional"]:
        raise refuse(name, "is bidirectional", "a stream has no future: train it with bidirectional=False")
    if given.get("train") and given.get("dropout"):
        raise refuse(name, "drops out, the program was exported for training", "export it after model.eval()")
    hx = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
    for state in hx:
        if not isinstance(state, InitialState) and not (isinstance(state, np.ndarray) and not state.any()):
            raise refuse(name, "starts from an initial state that is not zero", "expected the zero state, as a stream starts")
    flow = _flow(given["input"], name)
    layout = "BTF" if given["batch_first"] else "TBF"
    if len(flow.axes) == 2:  # torch's form without a batch
        layout = "TF"
    params, count = given["params"], int(given["num_layers"])
    each = len(params) // count if count > 0 else 0
    keys = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if given["has_biases"] else [])]
    keys += ["weight_hr"] if each == len(keys) + 1 and kind == "lstm" else []
    if each != len(keys) or len(params) != each * count or any(not isinstance(p, np.ndarray) for p in params):
        raise refuse(name, f"has {len(params)} arrays for {count} layers", "export it again")
    lasts = []
    for layer in range(count):
        arrays = {key: params[layer * each + i].astype(np.float64) for i, key in enumerate(keys)}
        made = cell(name, arrays, kind)
        flow = flow.cell(Step(f"{name}.{layer}", made), layout, made.units)
        time = flow.axes.index(("T",))
        last = replace(flow.pick(time, flow.time - 1, name), last=True)
        lasts.append(replace(last, axes=(("B",), ("F",))) if len(flow.axes) == 3 else last)
    return [flow, Stack(tuple(lasts)), CellState()]


def _cell_step(node: Node, kind: str, given: dict[str, Any]) -> list[Any]:
    """One turn of a loop over a cell: step i of what runs over the sequence, provided that i-1 was its state."""
    name = node.name
    x = given["input"]
    if isinstance(x, Flow):
        cure = "expected the cell in a loop over the sequence, or save a state_dict"
        raise refuse(name, "is called on a single step", cure)
    if not isinstance(x, StepOf) or x.memory:
        raise refuse(name, "is called on something else than a step of a sequence", "export it again")
    keys = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    arrays = {long: given[short].astype(np.float64) for short, long in keys.items() if isinstance(given.get(short), np.ndarray)}
    made = cell(name, arrays, kind)
    which = ", ".join(item[1].name for key, item in node.inputs.items() if key in keys and isinstance(item[1], Name))
    axes = tuple(axis for axis in x.flow.axes if axis != ("T",))
    if axes != (("B",), ("F",)) and not (x.flow.batch == 1 or x.flow.features == 1):
        raise LayoutError(f"{name}: is given axes of {x.flow.letters}; expected (B, F) at each step")
    after = replace(x.flow.then(Step(f"cell of {which}", made), made.units), axes=(("B",), ("T",), ("F",)))
    hx = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
    for number, state in enumerate(hx):
        if x.index == 0:
            fits = isinstance(state, InitialState) or (isinstance(state, np.ndarray) and not state.any())
        else:
            fits = isinstance(state, StepOf) and state.index == x.index - 1 and state.memory == (number == 1)
            fits = fits and _same(state.flow, after)
            after = state.flow if fits else after
        if not fits:
            raise refuse(name, "does not go on from its own state of the step before", "expected a plain loop from zero")
    return [StepOf(after, x.index), *([StepOf(after, x.index, memory=True)] if isinstance(made, LSTM) else [])]


def _same(a: Flow, b: Flow) -> bool:
    """Two flows through the same layers: by the names of the parameters."""
    return [step.name for step in a.steps] == [step.name for step in b.steps] and a.axes == b.axes


def _select(name: str, target: str, x: Any, given: dict[str, Any]) -> list[Any]:
    dim = given.get("dim", 0)
    if isinstance(x, Stack) and target == "select.int" and dim == 0:
        return [x.pick(given["index"], name)]
    if isinstance(x, CellState):
        return [x]
    flow = _flow(x, name)
    axis = flow.axis(dim, name)
    length = flow.shape[axis]
    if target == "unbind.int":
        if flow.axes[axis] != ("T",):
            return [flow.pick(axis, i, name) for i in range(length)]
        return [StepOf(flow, i) for i in range(length)]
    if flow.axes[axis] == ("T",) and not flow.last and -length <= given["index"] < length:
        return [StepOf(flow, given["index"] % length)]
    return [flow.pick(axis, given["index"], name)]


def _stacked(name: str, given: dict[str, Any]) -> Flow:
    """torch.stack of every step that a loop made: the sequence again."""
    parts = given["tensors"]
    steps = [part for part in parts if isinstance(part, StepOf) and not part.memory]
    flow = steps[0].flow if steps else None
    if flow is None or [s.index for s in steps] != list(range(flow.time)) or len(steps) != len(parts):
        raise refuse(name, "stacks something else than all steps of a sequence in order", "expected torch.stack(steps, dim=1)")
    rest = [axis for axis in flow.axes if axis != ("T",)]
    rest.insert(given.get("dim", 0) % (len(rest) + 1), ("T",))
    return replace(flow, axes=tuple(rest))


class _Runner:
    """The program itself, node by node in torch, float64."""

    def __init__(self, nodes: Sequence[Node], weights: dict[str, np.ndarray], data: str, answer: str, start: Flow, flow: Flow,
                 states: Sequence[str], meta: dict[str, Any]) -> None:  # fmt: skip
        self.nodes, self.weights, self.data, self.answer, self.start, self.flow = nodes, weights, data, answer, start, flow
        self.states = {name: [int(n["as_int"]) if "as_int" in n else None for n in meta[name]["sizes"]] for name in states}
        self.whole = meta[data]["dtype"] not in FLOATS

    def __call__(self, x: np.ndarray) -> np.ndarray:
        import torch

        batch, time = x.shape[:2]
        values: dict[str, Any] = {
            name: torch.from_numpy(a.astype(np.float64) if a.dtype.kind == "f" else a) for name, a in self.weights.items()
        }
        for name, sizes in self.states.items():
            if int(np.prod([n or batch for n in sizes], dtype=object)) > LARGEST:
                raise refuse(name, f"is an initial state of shape {sizes}", "export it again")
            values[name] = torch.zeros([n or batch for n in sizes], dtype=torch.float64)
        order = ["BTF".index(axis[0]) for axis in self.start.axes]
        missing = [i for i in range(3) if i not in order]
        moved = np.ascontiguousarray(x.transpose(order + missing).reshape([x.shape[i] for i in order]))
        values[self.data] = torch.from_numpy(moved.astype(np.int64) if self.whole else moved)
        with torch.no_grad():
            for node in self.nodes:
                self._run(node, values)
        return self.flow.arrange(values[self.answer].numpy(), batch, time, self.answer)

    def _run(self, node: Node, values: dict[str, Any]) -> None:
        import torch

        given = {}
        for key, (kind, argument) in node.inputs.items():
            if kind in ("as_device", "as_layout", "as_memory_format") or key == "pin_memory":
                continue
            if kind == "as_scalar_type":
                given[key] = torch.float64 if argument in FLOATS else torch.int64
            else:
                given[key] = _value(values, argument)
        if node.target == "zeros.default":
            given["dtype"] = torch.float64
        if node.target == "sym_size.int":
            result: Any = given["self"].shape[given["dim"]]
        else:
            operator, _, overload = node.target.partition(".")
            result = getattr(getattr(torch.ops.aten, operator), overload)(**given)
        results = result if isinstance(result, (tuple, list)) else [result]
        values.update(zip(node.outputs, results, strict=False))
