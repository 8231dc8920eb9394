# SPDX-License-Identifier: MIT
"""Axis tracking: follows the data through a graph, with the meaning of each axis and the layers so far.

Exporters transpose, squeeze and reshape around every layer. A TrackedArray follows this with named axes and concrete
sizes, so that a layer is accepted only if it works on the right axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.source_model import SourceStep, refuse
from tinyrnn.text import counted

ANY_BATCH = 2  # sizes that stand for "any" while a graph is read; the comparison later uses several
ANY_TIME = 19

UNROLLED = "if an exporter unrolled a loop, use torch.onnx.export(..., dynamo=False), .pt2 or .keras"

T = TypeVar("T")
Axis = tuple[str, ...]  # the atoms "B", "T" and "F" that an axis consists of; () for length 1


class LayoutError(ModelError):
    """An axis is not where a layer expects it. Another reading of the input's axes may fit."""


@dataclass(frozen=True)
class TrackedArray:
    """A tensor that depends on the input: its axes, and the layers between the input and it."""

    axes: tuple[Axis, ...]
    batch: int
    time: int
    features: int
    steps: tuple[SourceStep, ...] = ()
    tail: tuple[str, ...] = ()  # functions of TAILS after the steps
    last: bool = False  # whether the last step of the sequence was taken

    def size(self, atom: str) -> int:
        return {"B": self.batch, "T": self.time, "F": self.features}[atom]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(np.prod([self.size(atom) for atom in axis], dtype=np.int64)) for axis in self.axes)

    def axis(self, number: int, name: str) -> int:
        """The axis number as 0..rank-1, from a number that may be negative."""
        if not -len(self.axes) <= number < len(self.axes):
            raise refuse(name, f"uses axis {number} of a tensor with {len(self.axes)}", "export the model again")
        return number % len(self.axes)

    def transpose(self, order: Sequence[int], name: str) -> TrackedArray:
        if sorted(order) != list(range(len(self.axes))):
            raise refuse(name, f"transposes {list(order)} of {len(self.axes)} axes", "export the model again")
        return replace(self, axes=tuple(self.axes[i] for i in order))

    def reshape(self, shape: Sequence[int], name: str, keep_zero: bool = True) -> TrackedArray:
        """Merge, divide, add or drop axes. Raises ModelError if a number would get another meaning."""
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
        """One index of an axis: the last of the time axis, or the only one of another axis."""
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
        last = self.last or (kind == ("T",) and length > 1)  # a file of one step does not end a sequence
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
            cure = "expected all of them: set weights of the first layer to zero instead"
            raise refuse(name, f"takes {len(taken)} of {counted(length, 'feature')}", cure)
        if stride < 0:
            raise refuse(name, "reverses a sequence", "a stream has no future: train it in the forward direction")
        seen = f"slices steps {taken.start} to {taken.stop} by {stride} out of {length}"
        raise refuse(name, seen, "expected all of it, or the last step y[:, -1]")

    def feature_axis(self, name: str) -> int:
        """The number of the axis that is only features. Raises LayoutError."""
        for number, axis in enumerate(self.axes):
            if axis == ("F",):
                return number
        if self.features == 1 and self.axes and self.axes[-1] == ():
            return len(self.axes) - 1
        raise LayoutError(
            f"{name}: works on axes {self.letters}; expected an axis of features (F) alone: export the model again"
        )

    @property
    def letters(self) -> str:
        """The axes as text for messages, such as (B, T, F)."""
        return f"({', '.join('*'.join(axis) or '1' for axis in self.axes)})"

    def expect(self, layout: str, name: str) -> None:
        """Raise LayoutError unless the axes are those of ``layout``, such as "TBF". Length 1 fits any atom of size 1."""
        fits = len(layout) == len(self.axes) and all(
            axis == (atom,) or (axis == () and self.size(atom) == 1) for axis, atom in zip(self.axes, layout, strict=True)
        )
        if not fits:
            raise LayoutError(
                f"{name}: gets axes {self.letters}; expected ({', '.join(layout)}) "
                "(B batch, T time, F features): export the model with sequences in this order"
            )

    def then(self, step: SourceStep, features: int | None = None) -> TrackedArray:
        """The array after one more layer. Only reshaping may follow the tail."""
        if self.tail:
            raise refuse(step.name, f"comes after {self.tail[-1]}", "expected softmax, argmax or sigmoid at the very end")
        return replace(self, steps=(*self.steps, step), features=self.features if features is None else features)

    def end(self, kind: str, axis: int, name: str) -> TrackedArray:
        """The array after one more function of TAILS, whose axis must be that of the features."""
        if self.axis(axis, name) != self.feature_axis(name):
            raise LayoutError(f"{name}: {kind} over axis {axis} of {self.letters}; expected it over the features (F)")
        return replace(self, tail=(*self.tail, kind))

    def cell(self, step: SourceStep, layout: str, features: int) -> TrackedArray:
        """The array after a recurrent layer that takes ``layout``."""
        if self.last:
            raise refuse(
                step.name, "runs over a single step, the last of another layer", "expected layers over the sequence"
            )
        self.expect(layout, step.name)
        after = self.then(step, features)
        return replace(after, axes=tuple((atom,) for atom in layout))

    def arrange(self, output: np.ndarray, batch: int, time: int, name: str) -> np.ndarray:
        """The framework's output, which has the axes of this array, as (B, T, O), or as (B, O) if it is of the last step."""
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
        """Whether there is one output for a sequence, instead of one for each step."""
        return self.last or not any("T" in axis for axis in self.axes)


@dataclass(frozen=True)
class Stack:
    """The last states of several layers, stacked along axis 0, as in torch's h_n (layers, B, H)."""

    arrays: tuple[TrackedArray, ...]  # each (B, F), last

    def pick(self, index: int, name: str) -> TrackedArray:
        if not -len(self.arrays) <= index < len(self.arrays):
            raise refuse(name, f"takes layer {index} of {len(self.arrays)}", "export the model again")
        return self.arrays[index]

    def as_tracked(self, name: str) -> TrackedArray:
        """The last state of the only layer, with an axis of length 1 in front. Raises ModelError if there are several."""
        if len(self.arrays) != 1:
            cure = "expected the last layer's state, h_n[-1]"
            raise refuse(name, f"works on the states of {len(self.arrays)} layers at once", cure)
        return self.arrays[0].unsqueeze([0], name)


@dataclass(frozen=True)
class CellState:
    """The state c of an LSTM, which no other layer may use."""


@dataclass(frozen=True)
class InitialState:
    """An input of the graph that is a layer's initial state. It is zero, because a stream starts from zero."""

    name: str


def first_reading(readings: Iterable[str], attempt: Callable[[str], T], otherwise: ModelError) -> tuple[str, T]:
    """The first reading of an input's axes for which the attempt succeeds, and its result.

    Raises the first LayoutError if none succeeds, and ``otherwise`` if there are no readings.
    """
    error: ModelError | None = None
    for letters in readings:
        try:
            return letters, attempt(letters)
        except LayoutError as caught:
            error = error or caught
    raise error or otherwise


def choose(outputs: dict[str, object], wanted: str | None, where: str) -> tuple[str, TrackedArray]:
    """The output that is the model's answer; a graph may also return states. Raises ModelError if that is not clear."""
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
