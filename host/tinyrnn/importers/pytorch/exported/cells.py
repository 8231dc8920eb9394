# SPDX-License-Identifier: MIT
"""Recurrent operators of a torch.export program: nn.GRU, nn.LSTM, nn.RNN, and loops over cells that the export unrolled."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.importers.axis_tracking import InitialState, LayoutError, TrackedArray
from tinyrnn.importers.pytorch.exported.archive import Name, Node
from tinyrnn.importers.pytorch.modules import cell
from tinyrnn.importers.source_model import SourceStep, refuse
from tinyrnn.text import counted

ZERO = "expected the zero state, from which a stream starts"


@dataclass(frozen=True)
class StepOf:
    """One step of a sequence, as used in a loop over a cell. ``memory``: it is an LSTM cell's c.

    ``tracked`` is the whole sequence without its time axis. ``base`` is the number of layers before the loop.
    """

    tracked: TrackedArray
    index: int
    base: int
    memory: bool = False

    @property
    def as_sequence(self) -> TrackedArray:
        """The whole sequence, with time as first axis."""
        return replace(self.tracked, axes=(("T",), *self.tracked.axes))

    @property
    def tag(self) -> object:
        return (id(self.tracked.steps[-1]), self.memory) if self.tracked.steps else None


@dataclass(frozen=True)
class Layers:
    """The last states of several layers, torch's h_n (layers, B, H).

    ``form`` has their axes. Its atom "T" means the layers here.
    """

    arrays: tuple[TrackedArray, ...]  # each without the axis of layers
    form: TrackedArray
    tag: object

    def take(self, indices: list[int], axis: int, keep: bool, name: str) -> Layers | TrackedArray:
        """Some indices of the axis of layers, or of another axis if there is only one layer."""
        axis = self.form.axis(axis, name)
        count = self.form.shape[axis]
        if self.form.axes[axis] != ("T",) and not (count == 1 == len(self.arrays) and axis == 0):
            raise refuse(name, "takes a part of the states of several layers", "expected the last layer's state, h_n[-1]")
        if any(not -count <= i < count for i in indices):
            raise refuse(name, f"takes layer {indices} of {count}", "export the model again")
        rest = (*self.form.axes[:axis], *((),) * keep, *self.form.axes[axis + 1 :])
        if len(indices) == 1:
            return replace(self.arrays[indices[0]], axes=rest)
        arrays = tuple(self.arrays[i] for i in indices)
        return Layers(arrays, replace(self.form, time=len(arrays)), self.tag if indices == list(range(count)) else None)

    def as_tracked(self, name: str) -> TrackedArray:
        """The last state of the only layer, with an axis of layers of length 1. Raises ModelError if there are several."""
        if len(self.arrays) != 1:
            cure = "expected the last layer's state, h_n[-1]"
            raise refuse(name, f"works on the states of {len(self.arrays)} layers at once", cure)
        return replace(self.arrays[0], axes=tuple(() if axis == ("T",) else axis for axis in self.form.axes))


@dataclass(frozen=True)
class CellState:
    """The state c of an LSTM, which no other layer may use."""

    tag: object


def tracked_of(value: Any, name: str) -> TrackedArray:
    """The value as a TrackedArray. Raises ModelError if it is not data of the sequence."""
    if isinstance(value, TrackedArray):
        return value
    if isinstance(value, Layers):
        return value.as_tracked(name)
    if isinstance(value, StepOf) and not value.memory:
        return value.as_sequence.pick(0, value.index, name)
    if isinstance(value, (CellState, StepOf)):
        raise refuse(name, "takes an LSTM's cell state c", "expected its output h")
    if isinstance(value, InitialState):
        raise refuse(
            name,
            f"takes the initial state {value.name}, which is not its own",
            "expected it only as a recurrent layer's initial state",
        )
    seen = "a constant" if isinstance(value, (np.ndarray, int, float)) else type(value).__name__
    raise refuse(name, f"takes {seen}", "expected data that depend on the input")


def is_zero(state: Any) -> bool:
    """Whether a state is zero, like that at the start of a stream."""
    return isinstance(state, InitialState) or state is None or (isinstance(state, np.ndarray) and not state.any())


def recurrent_layers(name: str, kind: str, given: dict[str, Any], starts: dict[str, object]) -> list[Any]:
    """The results of aten.gru, lstm, rnn_tanh or rnn_relu: y, h_n and, for an LSTM, c_n.

    starts: receives, for each initial state that is an input, the tag of the last state that belongs to it.
    """
    if given["bidirectional"]:
        raise refuse(name, "is bidirectional", "a stream has no future: train it with bidirectional=False")
    if given.get("train") and given.get("dropout"):
        raise refuse(name, "applies dropout: the program was exported for training", "export it after model.eval()")
    hx = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
    if not all(is_zero(state) for state in hx):
        raise refuse(name, "starts from an initial state that is not zero", ZERO)
    tracked = tracked_of(given["input"], name)
    layout = "BTF" if given["batch_first"] else "TBF"
    if len(tracked.axes) == 2:  # torch's form without a batch
        layout = "TF"
    params, count = given["params"], int(given["num_layers"])
    each = len(params) // count if count > 0 else 0
    keys = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if given["has_biases"] else [])]
    keys += ["weight_hr"] if each == len(keys) + 1 and kind == "lstm" else []
    if each != len(keys) or len(params) != each * count or any(not isinstance(p, np.ndarray) for p in params):
        raise refuse(name, f"has {counted(len(params), 'array')} for {counted(count, 'layer')}", "export it again")
    lasts = []
    for layer in range(count):
        arrays = {key: params[layer * each + i].astype(np.float64) for i, key in enumerate(keys)}
        made = cell(name, arrays, kind)
        tracked = tracked.cell(SourceStep(f"{name}.{layer}", made), layout, made.units)
        lasts.append(replace(tracked, axes=tuple(axis for axis in tracked.axes if axis != ("T",)), last=True))
    tag = id(tracked.steps[-1])
    starts.update({state.name: (tag, number) for number, state in enumerate(hx) if isinstance(state, InitialState)})
    form = TrackedArray((("T",), *lasts[0].axes), tracked.batch, count, tracked.features)
    return [tracked, Layers(tuple(lasts), form, (tag, 0)), CellState((tag, 1))]


def cell_step(node: Node, kind: str, given: dict[str, Any], starts: dict[str, object]) -> list[Any]:
    """The result of a cell in a loop: step i of a layer that runs over the sequence. Its state must come from step i-1."""
    name = node.name
    x = given["input"]
    if isinstance(x, TrackedArray) and x.time == 1 and not x.last:  # a program of one step
        x = StepOf(replace(x, axes=tuple(axis for axis in x.axes if axis != ("T",))), 0, len(x.steps))
    if isinstance(x, TrackedArray):
        cure = "expected the cell in a loop over the sequence, or save a state_dict"
        raise LayoutError(f"{name}: is called on the whole sequence; {cure}")
    if not isinstance(x, StepOf) or x.memory:
        raise refuse(name, "is not called on a step of the sequence", "export it again")
    keys = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
    arrays = {
        long: given[short].astype(np.float64) for short, long in keys.items() if isinstance(given.get(short), np.ndarray)
    }
    made = cell(name, arrays, kind)
    which = ", ".join(item[1].name for key, item in node.inputs.items() if key in keys and isinstance(item[1], Name))
    plain = (("B",), ("F",)) if len(x.tracked.axes) == 2 else (("F",),)
    if x.tracked.axes != plain and not (x.tracked.batch == 1 or x.tracked.features == 1):
        raise LayoutError(f"{name}: gets axes {x.tracked.letters}; expected (B, F) at each step")
    after = replace(x.tracked.then(SourceStep(f"cell of {which}", made), made.units), axes=plain)
    hx = given["hx"] if isinstance(given["hx"], list) else [given["hx"]]
    for number, state in enumerate(hx):
        if x.index == 0:
            fits = is_zero(state)
        else:
            fits = isinstance(state, StepOf) and state.index == x.index - 1 and state.memory == (number == 1)
            fits = fits and same_path(state.tracked, after)
            after = state.tracked if fits else after
        if not fits:
            raise refuse(name, "does not continue from its own previous state", "expected a plain loop from the zero state")
    result = StepOf(after, x.index, x.base)
    if x.index == 0:
        starts.update({s.name: (id(after.steps[-1]), n == 1) for n, s in enumerate(hx) if isinstance(s, InitialState)})
    return [result, *([replace(result, memory=True)] if isinstance(made, LSTM) else [])]


def same_path(a: TrackedArray, b: TrackedArray) -> bool:
    """Whether two arrays have the same axes and passed through the same layers with the same numbers."""
    return (
        a.axes == b.axes
        and len(a.steps) == len(b.steps)
        and a.tail == b.tail
        and all(s is t or _same(s.what, t.what) for s, t in zip(a.steps, b.steps, strict=True))
    )


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(a)]
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def stacked(name: str, parts: list[Any], axis: int) -> TrackedArray:
    """The sequence, from all steps of a loop in order, along a new axis. Raises ModelError."""
    steps = [part for part in parts if isinstance(part, StepOf) and not part.memory]
    first = steps[0].tracked if steps else None
    if first is None or [s.index for s in steps] != list(range(first.time)) or len(steps) != len(parts):
        raise refuse(name, "does not stack all steps of a sequence in order", "expected torch.stack(steps, dim=1)")
    for step in steps:
        if not same_path(step.tracked, first):
            raise refuse(name, "stacks steps that passed through different layers", "expected a plain loop")
    axes = list(first.axes)
    axes.insert(axis % (len(axes) + 1), ("T",))
    return replace(first, axes=tuple(axes))
