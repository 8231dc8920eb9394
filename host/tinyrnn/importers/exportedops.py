"""What each operator of a torch.export program means for the data that flow through it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.floatlayers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers.exportedaffine import bent, combined, joined, raised
from tinyrnn.importers.exportedcall import FROM_SHAPE, RANDOM, Folder, tensor_of, value_of
from tinyrnn.importers.exportedcells import Layers, StepOf, cell_step, flow_of, recurrent_layers, stacked
from tinyrnn.importers.exportedfile import Name, Node
from tinyrnn.importers.exportedshapes import SHAPES, pieces, take
from tinyrnn.importers.exportedterms import Term, all_steps, beside, function, lifted, plus, reshaped, scaled, settled, through, times
from tinyrnn.importers.flow import Flow, InitialState, LayoutError
from tinyrnn.importers.source import Activation, Dense, Step, refuse

LAYERED = {"gru.input": "gru", "lstm.input": "lstm", "rnn_tanh.input": "tanh", "rnn_relu.input": "relu"}

CELLS = {
    "gru_cell.default": "gru",
    "lstm_cell.default": "lstm",
    "rnn_tanh_cell.default": "tanh",
    "rnn_relu_cell.default": "relu",
}

CURES = {
    "conv": "expected a network of recurrent layers without convolution",
    "attention": "expected a network of recurrent layers without attention",
    "mean": "expected the last step, y[:, -1], instead of an average over time",
    "cat": "expected one path through the layers",
    "add": "expected one path through the layers, no residual sum of two",
    "gelu": "expected relu, tanh or sigmoid",
    "silu": "expected relu, tanh or sigmoid",
    "elu": "expected relu, tanh or sigmoid",
}

# what leaves the data as they are: copies, conversions of the type, dropout
SAME = {"clone", "contiguous", "alias", "detach", "to", "_to_copy", "type_as", "dropout", "feature_dropout", "alpha_dropout",
        "native_dropout", "lift_fresh_copy", "lift_fresh", "requires_grad", "positive", "copy"}  # fmt: skip
SPLITS = {"split", "split_with_sizes", "chunk", "unsafe_chunk", "unsafe_split", "tensor_split"}
ARITHMETIC = ("add", "sub", "mul", "div", "rsub", "neg", "true_divide", "multiply", "subtract", "divide", "negative")
PLAINLY = {"true_divide": "div", "multiply": "mul", "subtract": "sub", "divide": "div", "negative": "neg",
           "special_softmax": "softmax", "_softmax": "softmax", "_log_softmax": "log_softmax",
           "special_log_softmax": "log_softmax", "special_expit": "sigmoid"}  # fmt: skip


@dataclass(frozen=True)
class Unusable:
    """A result that is refused once something is done with it."""

    error: ModelError


def walk(
    nodes: Sequence[Node], values: dict[str, Any], needed: Collection[str], starts: dict[str, object]
) -> tuple[dict[str, Any], set[str]]:
    """Every node's results in terms of the input, and the names of those that are constants.

    needed: the values that must be found; others that cannot be imported are Unusable. starts: gets for each initial
    state that is an input the tag of the last state that belongs to it.
    """
    values = dict(values)
    constant = {name for name, value in values.items() if isinstance(value, np.ndarray)}
    fold = Folder()
    for node in nodes:
        try:
            names = {name for _, item in node.inputs.values() for name in names_in(item)}
            if all(_is_constant(values[name]) for name in names):
                results = _folded(node, values, names, fold)
                constant |= set(node.outputs)
            else:
                results = _apply(node, {key: value_of(values, item[1]) for key, item in node.inputs.items()}, fold, starts)
        except ModelError as error:
            text = str(error)
            if text.startswith(f"{node.name}: "):
                error = type(error)(f"{node.name}{node.where}{text[len(node.name) :]}")
            if not node.mutates and not any(output in needed for output in node.outputs):
                results = [Unusable(error)] * len(node.outputs)
            else:
                raise error from None
        values.update(zip(node.outputs, results, strict=False))
    return values, constant


def names_in(argument: Any) -> list[str]:
    """The values of the graph that an argument names."""
    many = argument if isinstance(argument, list) else [argument]
    return [item.name for item in many if isinstance(item, Name)]


def _is_constant(value: Any) -> bool:
    return value is None or isinstance(value, (np.ndarray, int, float, bool))


def _folded(node: Node, values: dict[str, Any], names: set[str], fold: Folder) -> list[Any]:
    if node.operator in ("dropout", "feature_dropout") and not (node.inputs.get("train") or (None, False))[1]:
        return [value_of(values, node.inputs["input"][1])]
    given = {n: tensor_of(values[n]) if isinstance(values[n], np.ndarray) else values[n] for n in names}
    return [r.numpy() if hasattr(r, "numpy") else r for r in fold(node, given)]


def _apply(node: Node, given: dict[str, Any], fold: Folder, starts: dict[str, object]) -> list[Any]:
    """The results of one node. Raises ModelError, naming it, for an operator that has no place here."""
    name, target = node.name, node.target
    for value in given.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Unusable):
                raise item.error
    if target in LAYERED:
        return recurrent_layers(name, LAYERED[target], given | {"input": _whole(given["input"], name)}, starts)
    if target in CELLS:
        settle = {key: settled(v, name) if isinstance(v, Term) else v for key, v in given.items()}
        return cell_step(node, CELLS[target], settle, starts)
    operator = node.operator.rstrip("_") if node.mutates else node.operator
    operator = PLAINLY.get(operator, operator)
    if operator in RANDOM:
        raise refuse(name, f"makes numbers by chance (torch's {node.operator})", "expected what depends on the input")
    key = "indices" if operator == "embedding" else "tensors" if "tensors" in given else (
        "self" if "self" in given else "mat1" if "mat1" in given else "input")  # fmt: skip
    key = "mat1" if operator in ("addmm", "baddbmm") and not isinstance(given.get("self"), Flow) else key
    x = given.get(key)
    if operator in ("sym_size", "sym_numel", *FROM_SHAPE):
        return _sizes(node, operator, x, given, fold)
    if isinstance(x, InitialState):
        return _of_state(node, operator, x)
    if operator in ("stack", "cat", "concat", "concatenate", "hstack", "column_stack"):
        return [_joined(name, operator, given)]
    if operator in SAME:
        if operator.endswith("dropout") and given.get("train"):
            raise refuse(name, "drops out, the program was exported for training", "export it after model.eval()")
        return [x] * len(node.outputs)
    if operator in ("select", "unbind", *SPLITS):
        return _cut(node, operator, x, given)
    if operator in ("max", "min") and "dim" in given and operator == "max":
        cure = "expected the class, torch.max(y, 1)[1], or the values of all classes"
        largest = Unusable(refuse(name, "takes the largest value of all classes", cure))
        return [largest, *_apply(replace(node, target="argmax.default"), given, fold, starts)]
    if operator in ARITHMETIC:
        return [_arithmetic(name, operator, given)]
    if operator == "slice" and isinstance(x, Flow) and x.axes[x.axis(given.get("dim", 0), name)] == ("T",):
        return [_time_slice(x, given, name)]
    return _on_flow(node, operator, key, x, given)


def _whole(value: Any, name: str) -> Any:
    return settled(value, name) if isinstance(value, Term) else value


def _on_flow(node: Node, operator: str, key: str, x: Any, given: dict[str, Any]) -> list[Any]:
    """An operator on the data themselves: of the sequence, of one step of it, of a term of a loop."""
    name = node.name
    if isinstance(x, Layers) and operator in SHAPES:
        return [_of_layers(x, operator, given, name)]
    if isinstance(x, Term):
        changed = _of_term(name, operator, x, given)
        if changed is not None:
            return [changed]
        x = settled(x, name)
    if isinstance(x, StepOf) and not x.memory:
        results = _flow_results(node, operator, x.flow, given | {key: x.flow})
        return [replace(x, flow=r) if isinstance(r, Flow) else r for r in results]
    flow = flow_of(x, name)
    return _flow_results(node, operator, flow, given)


def _flow_results(node: Node, operator: str, flow: Flow, given: dict[str, Any]) -> list[Any]:
    name = node.name
    if operator in SHAPES:
        others = {k: v.flow if isinstance(v, StepOf) else v.form if isinstance(v, Term) else v for k, v in given.items()}
        return [SHAPES[operator](flow, others, name)]
    if operator in WEIGHTED:
        unused = Unusable(refuse(name, "gives its statistics", "expected its first result"))
        return [WEIGHTED[operator](name, flow, given), *[unused] * (len(node.outputs) - 1)]
    if operator in ("relu", "tanh", "sigmoid"):
        return [flow.then(Step(name, Activation(operator)))]
    if operator in BENT:
        return [BENT[operator](name, flow, given)]
    if operator in ("softmax", "log_softmax", "argmax"):
        return [_ended(name, operator, flow, given)]
    if operator == "log" and flow.tail[-1:] == ("softmax",):
        return [replace(flow, tail=(*flow.tail[:-1], "log_softmax"))]
    if operator == "exp" and flow.tail[-1:] == ("log_softmax",):
        return [replace(flow, tail=(*flow.tail[:-1], "softmax"))]
    cure = next((text for word, text in CURES.items() if word in operator), "expected RNN, LSTM, GRU, their cells, Linear, "
                "Embedding, LayerNorm, BatchNorm1d and what lies between them")  # fmt: skip
    raise refuse(name, f"is torch's {operator}, which cannot be imported", cure)


def _sizes(node: Node, operator: str, x: Any, given: dict[str, Any], fold: Folder) -> list[Any]:
    """Sizes of the data, and constants of their shape."""
    import torch

    flow = x.flow if isinstance(x, StepOf) else x.form if isinstance(x, (Term, Layers)) else flow_of(x, node.name)
    if operator == "sym_size":
        return [flow.shape[flow.axis(given["dim"], node.name)]]
    if operator == "sym_numel":
        return [int(np.prod(flow.shape))]
    shape = torch.zeros(()).expand(flow.shape)
    names = {n: v for n, v in zip(names_in(node.inputs["self"][1]), [shape], strict=False)}
    rest = {n: given[key] for key, item in node.inputs.items() if key != "self" for n in names_in(item[1])}
    if "size" in given:  # sizes that are themselves symbolic
        many = node.inputs["size"][1]
        rest |= {i.name: v for i, v in zip(many, given["size"], strict=True) if isinstance(i, Name)}
    return [r.numpy() for r in fold(node, names | rest)]


def _of_state(node: Node, operator: str, state: InitialState) -> list[Any]:
    """An initial state on its way to its layer: moved and cut only."""
    if operator in SHAPES or operator in SAME or operator in SPLITS or operator in ("select", "unbind"):
        return [state] * len(node.outputs)
    raise refuse(node.name, f"changes the initial state {state.name} (torch's {operator})",
                 "expected the state as it is given back")  # fmt: skip


def _of_layers(x: Layers, operator: str, given: dict[str, Any], name: str) -> Any:
    """Axes of several layers' last states."""
    if operator in ("slice", "narrow", "index_select", "index", "gather", "flip"):
        axis = given.get("dim", 0)
        if operator == "slice":
            length = x.form.shape[x.form.axis(axis, name)]
            stop = given.get("end")
            span = range(*slice(given.get("start") or 0, length if stop is None else stop, given.get("step", 1)).indices(length))
            if len(span) == length:
                return x
            return x.take(list(span), axis, True, name)
        if operator == "index_select" and isinstance(given["index"], np.ndarray):
            return x.take([int(i) for i in given["index"].reshape(-1)], axis, True, name)
        return SHAPES[operator](x.as_flow(name), given, name)
    return replace(x, form=SHAPES[operator](x.form, given, name))


def _of_term(name: str, operator: str, x: Term, given: dict[str, Any]) -> Term | None:
    """What a term of a loop becomes; None where only a layer's output has a meaning."""
    if operator in ("relu", "tanh", "sigmoid"):
        return function(x, operator)
    if operator in ("slice", "narrow", "index_select", "flip") or (operator in SHAPES and operator not in ("index", "gather")):
        form = SHAPES[operator](x.form, given, name)
        for step in form.steps:
            assert isinstance(step.what, Dense)
            x = through(x, step.what.weight, step.what.bias)
        return reshaped(x, form)
    if operator in ("linear", "addmm", "mm", "matmul", "bmm"):
        flow = WEIGHTED[operator](name, x.form, given)
        (step,) = flow.steps
        assert isinstance(step.what, Dense)
        return replace(through(x, step.what.weight, step.what.bias), form=replace(flow, steps=()))
    if operator in BENT and operator in ("clamp", "clamp_min", "threshold"):
        steps = BENT[operator](name, x.form, given).steps
        if len(steps) == 1 and steps[0].what == Activation("relu"):
            return function(x, "relu")
    return None


def _time_slice(flow: Flow, given: dict[str, Any], name: str) -> Any:
    """x[:, i:i+1] is a step of a loop; x[:, :] is all."""
    axis = flow.axis(given.get("dim", 0), name)
    stop = given.get("end")
    length = flow.shape[axis]
    span = range(*slice(given.get("start") or 0, length if stop is None else stop, given.get("step", 1)).indices(length))
    if len(span) == 1 and length > 1 and not flow.last:
        return StepOf(replace(flow, axes=(*flow.axes[:axis], (), *flow.axes[axis + 1 :])), span[0], len(flow.steps))
    return SHAPES["slice"](flow, given, name)


def _cut(node: Node, operator: str, x: Any, given: dict[str, Any]) -> list[Any]:
    """select(), unbind(), split(), chunk(): one index of an axis, or pieces of it."""
    name, dim = node.name, given.get("dim", 0)
    keep = operator in SPLITS
    form = x.form if isinstance(x, (Layers, Term)) else x.flow if isinstance(x, StepOf) else flow_of(x, name)
    axis = form.axis(dim, name)
    length = form.shape[axis]
    if keep:
        spans = pieces(form, axis, operator, given, name)
    else:
        spans = [range(i, i + 1) for i in ([given["index"] % length if length else 0] if operator == "select" else range(length))]
        if operator == "select" and not -length <= given["index"] < length:
            raise refuse(name, f"takes index {given['index']} of an axis of {length}", "export the model again")
    results: list[Any] = []
    for span in spans:
        try:
            results.append(_piece(x, form, axis, span, keep, name))
        except LayoutError:
            raise
        except ModelError as error:
            if len(spans) == 1:
                raise
            results.append(Unusable(error))
    return results


def _piece(x: Any, form: Flow, axis: int, span: range, keep: bool, name: str) -> Any:
    if isinstance(x, Layers):
        return x if len(span) == form.shape[axis] and keep else x.take(list(span), axis, keep, name)
    if isinstance(x, Term):
        taken = take(x.form, axis, span, keep, name)
        for step in taken.steps:
            assert isinstance(step.what, Dense)
            x = through(x, step.what.weight, step.what.bias)
        return reshaped(x, taken)
    if isinstance(x, StepOf):
        if x.memory:
            return x
        return replace(x, flow=take(x.flow, axis, span, keep, name))
    flow = form
    if flow.axes[axis] == ("T",) and not flow.last and len(span) == 1 and (flow.time > 1 or not keep):
        axes = (*flow.axes[:axis], *((),) * keep, *flow.axes[axis + 1 :])
        return StepOf(replace(flow, axes=axes), span[0], len(flow.steps))
    return take(flow, axis, span, keep, name)


def _joined(name: str, operator: str, given: dict[str, Any]) -> Any:
    """stack() and cat(): all steps of a loop, or paths beside each other."""
    parts = given["tensors"]
    parts = [replace(p, flow=p.flow) if isinstance(p, StepOf) else p for p in parts]
    rank = len(_form(parts[0], name).axes)
    dim = given.get("dim", 0) if operator in ("stack", "cat", "concat", "concatenate") else min(rank - 1, 1)
    dim = dim % (rank + (operator == "stack")) if rank else 0
    if len(parts) == 1:
        return _on_flow(Node(name, "unsqueeze.default", {}, ("x",)), "unsqueeze", "self", parts[0],
                        {"dim": dim}) if operator == "stack" else parts[0]  # fmt: skip
    loop = all(isinstance(p, (StepOf, Term)) for p in parts) and len({p.index for p in parts}) > 1
    if loop and operator == "stack":
        return stacked(name, list(all_steps(parts, name)), dim)
    if loop and _form(parts[0], name).shape[dim] == 1:
        steps = all_steps(parts, name)
        if any(step.flow.shape[dim] != 1 for step in steps):
            raise refuse(name, "joins pieces of other lengths", "expected torch.stack(steps, dim=1)")
        return stacked(name, [replace(s, flow=s.flow.squeeze([dim], name)) for s in steps], dim)
    if loop and dim == rank - 1 and [p.index for p in parts] == list(range(_form(parts[0], name).time)):
        try:  # torch.stack(steps, dim=1), as run_decompositions() writes it
            whole = stacked(name, all_steps(parts, name), rank - 1)
            return replace(whole, axes=(*whole.axes[:-2], ("T", "F")))
        except ModelError:
            pass  # not one step after the other
    if operator != "stack" and any(isinstance(p, (StepOf, Term)) for p in parts) and (
        any(isinstance(p, (Term, np.ndarray)) for p in parts) or len({p.index for p in parts if isinstance(p, StepOf)}) > 1
    ) and dim == rank - 1 and not any(isinstance(p, (Flow, Layers)) for p in parts):  # fmt: skip
        return beside(name, [lifted(p, name) if isinstance(p, StepOf) else p for p in parts], dim)
    if any(not isinstance(p, (Flow, StepOf, Layers, Term)) for p in parts):
        raise refuse(name, "joins the data with constants", "expected one path through the layers")
    steps = [settled(p, name) if isinstance(p, Term) else p for p in parts]
    one = steps[0] if isinstance(steps[0], StepOf) and all(
        isinstance(s, StepOf) and s.index == steps[0].index for s in steps) else None  # fmt: skip
    ends = _last_states(steps, operator, dim, name)
    if ends is not None:
        return ends
    flows = [s.flow for s in steps] if one is not None else [flow_of(s, name) for s in steps]
    if operator == "stack":
        flows = [flow.unsqueeze([dim], name) for flow in flows]
    rest = [flow.axes[:dim] + flow.axes[dim + 1 :] for flow in flows]
    along = flows[0].axes[dim]
    if along not in (("F",), ()) or any(("F",) in axes for axes in rest) or dim != len(flows[0].axes) - 1:
        raise refuse(name, "joins several paths", "expected one path through the layers")
    made = joined(name, [replace(f, axes=(*f.axes[:dim], ("F",))) for f in flows])
    return made if one is None else replace(one, flow=made)


def _last_states(steps: list[Any], operator: str, dim: int, name: str) -> Layers | None:
    """Several layers' last states one upon the other, as h_n has them; None for anything else."""
    flows = [s for s in steps if isinstance(s, Flow) and s.last]
    flows = [flow_of(s, name) for s in steps if isinstance(s, StepOf) and s.index == s.flow.time - 1] or flows
    if len(flows) != len(steps) or dim or len({f.axes for f in flows}) > 1 or len({len(f.steps) for f in flows}) == 1:
        return None
    first = flows[0]
    axes = (("T",), *first.axes) if operator == "stack" else (("T", *first.axes[0]), *first.axes[1:])
    if first.axes[:1] == (("F",),) and operator != "stack":
        return None
    return Layers(tuple(flows), Flow(axes, first.batch, len(flows), first.features), None)


def _form(value: Any, name: str) -> Flow:
    return value.form if isinstance(value, (Term, Layers)) else value.flow if isinstance(value, StepOf) else flow_of(value, name)


def _arithmetic(name: str, operator: str, given: dict[str, Any]) -> Any:
    """+ - * / of the data with constants, and within a loop with each other."""
    a: Any = given.get("self", given.get("input"))
    b: Any = given.get("other", 0.0)
    alpha = float(given.get("alpha", 1))
    if given.get("rounding_mode") is not None:
        raise refuse(name, "divides and rounds", "expected x / number")
    if operator == "rsub":
        operator, a, b = "sub", b, a
        a, alpha = (a, 1.0) if alpha == 1 else (a, alpha)
    elif operator == "neg":
        operator, b = "mul", -1.0
    for value in (a, b):
        if isinstance(value, InitialState):
            raise refuse(name, f"changes the initial state {value.name}", "expected the state as it is given back")
    inside = [isinstance(value, (StepOf, Term)) for value in (a, b)]
    if not any(inside):
        a, b = (flow_of(v, name) if isinstance(v, Layers) else v for v in (a, b))
        if not any(isinstance(v, Flow) for v in (a, b)):
            flow_of(a if _is_constant(b) else b, name)
        return combined(name, operator, a, b, alpha)
    if all(inside):
        return _terms(name, operator, a, b, alpha)
    loop, other = (a, b) if inside[0] else (b, a)
    if isinstance(other, (Flow, Layers)):
        whole = settled(loop, name) if isinstance(loop, Term) else loop
        a, b = (flow_of(whole if v is loop else v, name) for v in (a, b))
        return combined(name, operator, a, b, alpha)
    if isinstance(loop, StepOf):
        if loop.memory:
            flow_of(loop, name)
        a, b = (v.flow if isinstance(v, StepOf) else v for v in (a, b))
        return replace(loop, flow=combined(name, operator, a, b, alpha))
    a, b = (raised(v.form, np.ndim(other), name) if isinstance(v, Term) else v for v in (a, b))
    flow = combined(name, operator, a, b, alpha)
    (step,) = flow.steps
    return reshaped(scaled(loop, step.what.scale, step.what.shift), flow)  # type: ignore[union-attr]


def _terms(name: str, operator: str, a: Any, b: Any, alpha: float) -> Any:
    """Two values of a loop with each other."""
    if operator in ("add", "sub") and all(isinstance(v, StepOf) for v in (a, b)) and a.index == b.index:
        try:
            return replace(a, flow=combined(name, operator, a.flow, b.flow, alpha))
        except ModelError:
            pass  # not two matrices of the same thing: a term of the loop
    left, right = (lifted(v, name) if isinstance(v, StepOf) else v for v in (a, b))
    if operator in ("add", "sub"):
        return plus(name, left, right, alpha if operator == "add" else -alpha)
    if operator == "mul":
        return times(name, left, right)
    raise refuse(name, f"combines two paths ({operator})", "expected one path through the layers")


def _ended(name: str, operator: str, flow: Flow, given: dict[str, Any]) -> Flow:
    dim = given.get("dim")
    if dim is None:
        raise refuse(name, f"{operator} over everything", f"expected {operator}(dim=-1)")
    ended = flow.end(operator, dim, name)
    if operator != "argmax":
        return ended
    axis = flow.axis(dim, name)
    axes = (*flow.axes[:axis], *(((),) if given.get("keepdim") else ()), *flow.axes[axis + 1 :])
    return replace(ended, axes=axes)


def _array(name: str, given: dict[str, Any], key: str) -> np.ndarray | None:
    value = given.get(key)
    if value is not None and not isinstance(value, np.ndarray):
        raise refuse(name, "takes weights that depend on the input", "expected parameters")
    return None if value is None else value.astype(np.float64)


def _matrix(name: str, weight: Any) -> np.ndarray:
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise refuse(name, "has no matrix of weights", "export it again")
    return weight.astype(np.float64)


def _linear(name: str, flow: Flow, weight: np.ndarray, bias: np.ndarray | None) -> Flow:
    if flow.feature_axis(name) != len(flow.axes) - 1:
        raise LayoutError(f"{name}: works on the last of the axes {flow.letters}; expected the features (F) there")
    bias = np.zeros(len(weight)) if bias is None else bias
    if bias.shape != (len(weight),) or weight.shape[1] != flow.features:
        raise refuse(name, f"multiplies {flow.features} features by {weight.shape[::-1]}, bias {bias.shape}", "export it again")
    after = flow.then(Step(name, Dense(weight, bias)), len(weight))
    return replace(after, axes=(*flow.axes[:-1], ("F",)))


def _product(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    """mm, matmul, bmm, addmm: x @ matrix, + self for addmm."""
    key = "mat2" if "mat2" in given else "other"
    weight = _array(name, given, key)
    if weight is not None and weight.ndim == 3 and (weight == weight[:1]).all():
        weight = weight[0]
    if weight is not None and weight.ndim == 1 and "mat1" not in given:
        after = _linear(name, flow, weight[None], None)
        return replace(after, axes=after.axes[:-1])
    matrix = _matrix(name, weight).T
    bias = None
    if "mat1" in given:
        matrix = float(given.get("alpha", 1)) * matrix
        bias = _array(name, given, "self")
        if bias is None:
            raise refuse(name, "adds nothing", "export it again")
        bias = float(given.get("beta", 1)) * np.broadcast_to(bias.reshape(-1) if bias.size == len(matrix) else bias,
                                                             len(matrix))  # fmt: skip
    return _linear(name, flow, matrix, bias)


def _embedding(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    made = Embedding(_matrix(name, _array(name, given, "weight")))
    return replace(flow.then(Step(name, made), made.units), axes=(*flow.axes, ("F",)))


def _layer_norm(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    weight, bias = (_array(name, given, key) for key in ("weight", "bias"))
    if list(given["normalized_shape"]) != [flow.features] or flow.feature_axis(name) != len(flow.axes) - 1:
        raise LayoutError(f"{name}: normalises over {given['normalized_shape']}; expected the features (F) alone")
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    made = LayerNorm(ones if weight is None else weight, zeros if bias is None else bias, float(given.get("eps", 1e-5)))
    return flow.then(Step(name, made))


def _batch_norm(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    weight, bias, mean, var = (_array(name, given, key) for key in ("weight", "bias", "running_mean", "running_var"))
    if given.get("training") or mean is None or var is None:
        raise refuse(name, "normalises by the batch at hand", "export it after model.eval(), with running statistics")
    if flow.feature_axis(name) != 1:
        raise LayoutError(f"{name}: works on axis 1 of {flow.letters}; expected the features (F) there")
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    made = BatchNorm(ones if weight is None else weight, zeros if bias is None else bias, mean, var, float(given["eps"]))
    return flow.then(Step(name, made))


WEIGHTED: dict[str, Callable[[str, Flow, dict[str, Any]], Flow]] = {
    "linear": lambda n, f, g: _linear(n, f, _matrix(n, _array(n, g, "weight")), _array(n, g, "bias")),
    "addmm": _product,
    "mm": _product,
    "matmul": _product,
    "bmm": _product,
    "mv": lambda n, f, g: _product(n, f, {"other": g["vec"]}),
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
}


def _bound(name: str, value: Any, otherwise: float) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = float(value.reshape(()))
    if value is not None and not isinstance(value, (int, float)):
        raise refuse(name, "clamps by what depends on the input", "expected constant bounds")
    return otherwise if value is None else float(value)


def _clamped(name: str, flow: Flow, given: dict[str, Any], low: str, high: str) -> Flow:
    bounds = _bound(name, given.get(low), -np.inf), _bound(name, given.get(high), np.inf)
    if bounds[0] >= bounds[1]:
        raise refuse(name, f"clamps from {bounds[0]:g} to {bounds[1]:g}", "expected the lower end first")
    return bent(flow, name, *bounds)


def _threshold(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    if (given["threshold"], given["value"]) != (0, 0):
        raise refuse(name, "is torch's threshold, which cannot be imported", "expected relu, tanh or sigmoid")
    return bent(flow, name, 0.0, np.inf)


def _hard_sigmoid(name: str, flow: Flow, given: dict[str, Any]) -> Flow:
    sixth = combined(name, "div", combined(name, "add", flow, 3.0, 1.0), 6.0, 1.0)
    return bent(sixth, name, 0.0, 1.0)


BENT: dict[str, Callable[[str, Flow, dict[str, Any]], Flow]] = {
    "clamp": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clip": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clamp_min": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clamp_max": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "maximum": lambda n, f, g: _clamped(n, f, {"min": g["other"]}, "min", "max"),
    "minimum": lambda n, f, g: _clamped(n, f, {"max": g["other"]}, "min", "max"),
    "hardtanh": lambda n, f, g: bent(f, n, float(g.get("min_val", -1)), float(g.get("max_val", 1))),
    "relu6": lambda n, f, g: bent(f, n, 0.0, 6.0),
    "leaky_relu": lambda n, f, g: bent(f, n, 0.0, np.inf, float(g.get("negative_slope", 0.01))),
    "abs": lambda n, f, g: bent(f, n, 0.0, np.inf, -1.0),
    "threshold": _threshold,
    "hardsigmoid": _hard_sigmoid,
}
