"""The data on its way through a graph: which axis is batch, which time, which features, and the steps so far.

Exporters transpose, squeeze and reshape around every layer. A TrackedArray follows this with named axes and concrete sizes,
so that a layer is only accepted where it works on the axis it is meant for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.source_model import SourceStep, refuse

ANY_BATCH = 2  # sizes that stand for "any" while a graph is read; the comparison afterwards uses several
ANY_TIME = 19

UNROLLED = "where an exporter has unrolled a loop: torch.onnx.export(..., dynamo=False), .pt2 or .keras"

T = TypeVar("T")
Axis = tuple[str, ...]  # "B", "T", "F" that an axis is made of, () for length 1


class LayoutError(ModelError):
    """An axis is not where a layer wants it: another reading of the input may fit."""


@dataclass(frozen=True)
class TrackedArray:
    """A tensor that depends on the input."""

    axes: tuple[Axis, ...]
    batch: int
    time: int
    features: int
    steps: tuple[SourceStep, ...] = ()
    tail: tuple[str, ...] = ()
    last: bool = False  # the last step of the sequence has been taken

    def size(self, atom: str) -> int:
        return {"B": self.batch, "T": self.time, "F": self.features}[atom]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(np.prod([self.size(atom) for atom in axis], dtype=np.int64)) for axis in self.axes)

    def axis(self, number: int, name: str) -> int:
        """A possibly negative axis as 0..rank-1."""
        if not -len(self.axes) <= number < len(self.axes):
            raise refuse(name, f"axis {number} of a tensor with {len(self.axes)}", "export the model again")
        return number % len(self.axes)

    def transpose(self, order: Sequence[int], name: str) -> TrackedArray:
        if sorted(order) != list(range(len(self.axes))):
            raise refuse(name, f"transposes {list(order)} of {len(self.axes)} axes", "export the model again")
        return replace(self, axes=tuple(self.axes[i] for i in order))

    def reshape(self, shape: Sequence[int], name: str, keep_zero: bool = True) -> TrackedArray:
        """Axes merged, divided and of length 1 added or dropped; never a number moved to another meaning."""
        wanted = [self.shape[i] if n == 0 and keep_zero and i < len(self.axes) else int(n) for i, n in enumerate(shape)]
        total = int(np.prod(self.shape, dtype=np.int64))
        if wanted.count(-1) == 1:
            rest = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
            wanted[wanted.index(-1)] = total // rest if rest else 0
        atoms = [atom for axis in self.axes for atom in axis if self.size(atom) != 1]
        found: list[Axis] = []
        for length in wanted:
            axis: Axis = ()
            product = 1
            while product < length and atoms:
                axis += (atoms[0],)
                product *= self.size(atoms.pop(0))
            if product != length:
                break
            found.append(axis)
        if len(found) < len(wanted) or atoms:
            cure = "expected reshapes that keep batch, time and features apart"
            raise refuse(name, f"reshapes {list(self.shape)} to {[int(n) for n in shape]}", cure)
        return replace(self, axes=tuple(found))

    def squeeze(self, axes: Sequence[int] | None, name: str) -> TrackedArray:
        shape = self.shape
        chosen = [i for i, n in enumerate(shape) if n == 1] if axes is None else [self.axis(i, name) for i in axes]
        if any(shape[i] != 1 for i in chosen):
            raise refuse(name, f"squeezes axes {chosen} of {list(shape)}", "export the model again")
        return replace(self, axes=tuple(axis for i, axis in enumerate(self.axes) if i not in chosen))

    def unsqueeze(self, axes: Sequence[int], name: str) -> TrackedArray:
        rank = len(self.axes) + len(axes)
        chosen = {i % rank for i in axes}
        rest = iter(self.axes)
        if len(chosen) < len(axes):
            raise refuse(name, f"inserts axes {list(axes)}", "export the model again")
        return replace(self, axes=tuple(() if i in chosen else next(rest) for i in range(rank)))

    def pick(self, axis: int, index: int, name: str, keep: bool = False) -> TrackedArray:
        """One index of an axis: the last step of the time axis, or the only one of another."""
        axis = self.axis(axis, name)
        length = self.shape[axis]
        if not -length <= index < length:
            raise refuse(name, f"takes index {index} of an axis of {length}", "export the model again")
        position = index % length
        kind = self.axes[axis]
        if length > 1 and kind != ("T",):
            what = {"B": "batch", "F": "features"}.get("".join(kind), "merged axes")
            raise refuse(name, f"takes one index of the {what}", "expected the last step of the time axis only")
        if position != length - 1:
            raise refuse(name, f"takes step {position} of {length}", f"expected the last step, y[:, -1]; {UNROLLED}")
        left = ((),) if keep else ()
        last = self.last or (kind == ("T",) and length > 1)  # the only step of a file of one step ends no sequence
        return replace(self, axes=self.axes[:axis] + left + self.axes[axis + 1 :], last=last)

    def cut(self, axis: int, start: int, stop: int, stride: int, name: str) -> TrackedArray:
        """A slice of an axis: all of it, or its last step."""
        axis = self.axis(axis, name)
        length = self.shape[axis]
        taken = range(*slice(start, stop, stride).indices(length))
        if len(taken) == length and stride == 1:
            return self
        if len(taken) == 1:
            return self.pick(axis, taken[0], name, keep=True)
        if self.axes[axis] == ("F",):
            cure = "expected all of them: the first layer's weights decide which count"
            raise refuse(name, f"takes {len(taken)} of {length} features", cure)
        if stride < 0:
            raise refuse(name, "turns a sequence round", "a stream has no future: train it in the forward direction")
        seen = f"slices steps {taken.start} to {taken.stop} by {stride} out of {length}"
        raise refuse(name, seen, "expected all of it, or the last step y[:, -1]")

    def feature_axis(self, name: str) -> int:
        """The axis of features alone. Raises LayoutError."""
        for number, axis in enumerate(self.axes):
            if axis == ("F",):
                return number
        if self.features == 1 and self.axes and self.axes[-1] == ():
            return len(self.axes) - 1
        raise LayoutError(
            f"{name}: works on axes {self.letters}; expected one of features (F) alone, export the model again"
        )

    @property
    def letters(self) -> str:
        """The axes for messages: (B, T, F)."""
        return f"({', '.join('*'.join(axis) or '1' for axis in self.axes)})"

    def expect(self, layout: str, name: str) -> None:
        """The axes are those of ``layout``, such as "TBF"; an axis of length 1 stands for any atom of size 1."""
        fits = len(layout) == len(self.axes) and all(
            axis == (atom,) or (axis == () and self.size(atom) == 1) for axis, atom in zip(self.axes, layout, strict=True)
        )
        if not fits:
            raise LayoutError(
                f"{name}: is given axes {self.letters}; expected ({', '.join(layout)}) "
                "(B batch, T time, F features), export the model with sequences in this order"
            )

    def then(self, step: SourceStep, features: int | None = None) -> TrackedArray:
        """Behind one more layer. Nothing but reshaping may follow the tail."""
        if self.tail:
            raise refuse(step.name, f"stands behind {self.tail[-1]}", "expected softmax, argmax or sigmoid at the very end")
        return replace(self, steps=(*self.steps, step), features=self.features if features is None else features)

    def end(self, kind: str, axis: int, name: str) -> TrackedArray:
        """Behind one more function of TAILS over an axis, which must be that of features."""
        if self.axis(axis, name) != self.feature_axis(name):
            raise LayoutError(f"{name}: {kind} over axis {axis} of {self.letters}; expected it over the features (F)")
        return replace(self, tail=(*self.tail, kind))

    def cell(self, step: SourceStep, layout: str, features: int) -> TrackedArray:
        """Behind a recurrent layer that takes ``layout``."""
        if self.last:
            raise refuse(
                step.name, "runs over a single step, the last of another layer", "expected layers over the sequence"
            )
        self.expect(layout, step.name)
        after = self.then(step, features)
        return replace(after, axes=tuple((atom,) for atom in layout))

    def arrange(self, output: np.ndarray, batch: int, time: int, name: str) -> np.ndarray:
        """What the framework computed, whose axes are this array's, as (B, T, O) or, once last, (B, O)."""
        sizes = {"B": batch, "T": time}
        atoms = [atom for axis in self.axes for atom in axis]
        known = int(np.prod([sizes[atom] for atom in atoms if atom != "F"], dtype=np.int64))
        if output.size % max(known, 1) or not known:
            raise refuse(name, f"gives shape {output.shape}", f"expected one that fits {self.letters}")
        sizes["F"] = output.size // known
        y = output.reshape([sizes[atom] for atom in atoms])
        want = ["B", "F"] if self.is_last else ["B", "T", "F"]
        for atom in want:
            if atom not in atoms:
                atoms.append(atom)
                y = y[..., None]
        return y.transpose([atoms.index(atom) for atom in want])

    @property
    def is_last(self) -> bool:
        """The output is one for a sequence, not one for each step."""
        return self.last or not any("T" in axis for axis in self.axes)


@dataclass(frozen=True)
class Stack:
    """Last states of several layers one upon the other along axis 0, as torch's h_n (layers, B, H)."""

    arrays: tuple[TrackedArray, ...]  # each (B, F), last

    def pick(self, index: int, name: str) -> TrackedArray:
        if not -len(self.arrays) <= index < len(self.arrays):
            raise refuse(name, f"takes layer {index} of {len(self.arrays)}", "export the model again")
        return self.arrays[index]

    def as_tracked(self, name: str) -> TrackedArray:
        """Of one layer: its last state with an axis of length 1 in front."""
        if len(self.arrays) != 1:
            cure = "expected the last layer's state, h_n[-1]"
            raise refuse(name, f"works on the states of {len(self.arrays)} layers at once", cure)
        return self.arrays[0].unsqueeze([0], name)


@dataclass(frozen=True)
class CellState:
    """An LSTM's c, which no layer may use."""


@dataclass(frozen=True)
class InitialState:
    """An input of the graph that is a layer's initial state: zero here, as a stream starts."""

    name: str


def first_reading(readings: Iterable[str], attempt: Callable[[str], T], otherwise: ModelError) -> tuple[str, T]:
    """The first of the readings of an input's axes with which the attempt succeeds, and what that gave.

    Raises the first LayoutError when none does, ``otherwise`` when there are none.
    """
    error: ModelError | None = None
    for letters in readings:
        try:
            return letters, attempt(letters)
        except LayoutError as caught:
            error = error or caught
    raise error or otherwise


def choose(outputs: dict[str, object], wanted: str | None, where: str) -> tuple[str, TrackedArray]:
    """The output that is the model's answer, among the states that a graph may give as well. Raises ModelError."""
    arrays = {
        name: value.as_tracked(name) if isinstance(value, Stack) and len(value.arrays) == 1 else value
        for name, value in outputs.items()
    }
    found = {name: value for name, value in arrays.items() if isinstance(value, TrackedArray)}
    if wanted is not None:
        if wanted not in found:
            raise ModelError(f"{where}: has no output {wanted!r}; expected one of {', '.join(found) or '(none)'}")
        return wanted, found[wanted]
    most = max((len(tracked.steps) for tracked in found.values()), default=0)
    best = {name: tracked for name, tracked in found.items() if len(tracked.steps) == most}
    if len(best) > 1:  # a classifier's label beside its probabilities
        best = {name: tracked for name, tracked in best.items() if "argmax" not in tracked.tail} or best
    if len(best) != 1:
        seen = f"the outputs {', '.join(best)} to choose from" if best else "no output that depends on its input"
        raise ModelError(f"{where}: has {seen}; name one with --output-name")
    return next(iter(best.items()))
