"""Recurrent operators of a torch.export program: nn.GRU and its kin, and loops over cells that the export unrolled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyrnn.floatcells import LSTM
from tinyrnn.importers.exportedfile import Name, Node
from tinyrnn.importers.flow import CellState, Flow, InitialState, LayoutError, Stack
from tinyrnn.importers.source import Step, refuse
from tinyrnn.importers.torchmodules import cell


@dataclass(frozen=True)
class StepOf:
    """One step of a sequence, as a loop over a cell takes and makes it; ``memory``: an LSTM cell's c."""

    flow: Flow
    index: int
    memory: bool = False


def flow_of(value: Any, name: str) -> Flow:
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


def recurrent_layers(name: str, kind: str, given: dict[str, Any]) -> list[Any]:
    """aten.gru, lstm, rnn_tanh, rnn_relu: results y, h_n and for an LSTM c_n."""
    if given["bidirectional"]:
        raise refuse(name, "is bidirectional", "a stream has no future: train it with bidirectional=False")
    if given.get("train") and given.get("dropout"):
        raise refuse(name, "drops out, the program was exported for training", "export it after model.eval()")
    hx = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
    for state in hx:
        if not isinstance(state, InitialState) and not (isinstance(state, np.ndarray) and not state.any()):
            raise refuse(
                name, "starts from an initial state that is not zero", "expected the zero state, as a stream starts"
            )
    flow = flow_of(given["input"], name)
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


def cell_step(node: Node, kind: str, given: dict[str, Any]) -> list[Any]:
    """One turn of a loop over a cell: step i of what runs over the sequence, provided that i-1 was its state."""
    name = node.name
    x = given["input"]
    if isinstance(x, Flow):
        cure = "expected the cell in a loop over the sequence, or save a state_dict"
        raise refuse(name, "is called on a single step", cure)
    if not isinstance(x, StepOf) or x.memory:
        raise refuse(name, "is called on something else than a step of a sequence", "export it again")
    keys = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    arrays = {
        long: given[short].astype(np.float64) for short, long in keys.items() if isinstance(given.get(short), np.ndarray)
    }
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


def select(name: str, target: str, x: Any, given: dict[str, Any]) -> list[Any]:
    dim = given.get("dim", 0)
    if isinstance(x, Stack) and target == "select.int" and dim == 0:
        return [x.pick(given["index"], name)]
    if isinstance(x, CellState):
        return [x]
    flow = flow_of(x, name)
    axis = flow.axis(dim, name)
    length = flow.shape[axis]
    if target == "unbind.int":
        if flow.axes[axis] != ("T",):
            return [flow.pick(axis, i, name) for i in range(length)]
        return [StepOf(flow, i) for i in range(length)]
    if flow.axes[axis] == ("T",) and not flow.last and -length <= given["index"] < length:
        return [StepOf(flow, given["index"] % length)]
    return [flow.pick(axis, given["index"], name)]


def stacked(name: str, given: dict[str, Any]) -> Flow:
    """torch.stack of every step that a loop made: the sequence again."""
    parts = given["tensors"]
    steps = [part for part in parts if isinstance(part, StepOf) and not part.memory]
    flow = steps[0].flow if steps else None
    if flow is None or [s.index for s in steps] != list(range(flow.time)) or len(steps) != len(parts):
        raise refuse(
            name, "stacks something else than all steps of a sequence in order", "expected torch.stack(steps, dim=1)"
        )
    rest = [axis for axis in flow.axes if axis != ("T",)]
    rest.insert(given.get("dim", 0) % (len(rest) + 1), ("T",))
    return replace(flow, axes=tuple(rest))
