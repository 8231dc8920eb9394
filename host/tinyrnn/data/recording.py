# SPDX-License-Identifier: MIT
"""Recording and Sequences: what every reader returns. They check themselves. Values are float64 in the user's unit.

Shapes: N sequences, T_i steps (T the longest), C channels, O targets, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyrnn.data import TASKS, WHEN, quality
from tinyrnn.errors import DataError
from tinyrnn.text import counted

MOST_CHANNELS = 10_000  # a hundred times what a board has room for
LONGEST_NAME = 1000  # characters of a label or channel
SMALLEST = 1e-30  # smallest standard deviation: a quotient by it must stay finite in float32
LARGEST = 1e30  # the trainer works in float32, which ends at 3.4e38


@dataclass(frozen=True, eq=False)
class Sequences:
    """The training or the test sequences. Raises DataError, which names the sequence, if x is not a valid recording.

    x: list of N float64 arrays (T_i, C), T_i >= 1.
    y: for "last" an int array (N,) of class indices or a float array (N, O);
       for "every" a list of N arrays, (T_i,) class indices or (T_i, O) floats.
    names: (N,) where each sequence comes from, such as "walk/3.csv" or "day.csv, rows 200 to 299"; () if unknown.
    groups: (N,) whom or which session each was recorded from; () if unknown. A split keeps a group in one part.
    """

    x: list[np.ndarray]
    y: np.ndarray | list[np.ndarray]
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, given in (("names", self.names), ("groups", self.groups)):
            if given and len(given) != len(self.x):
                raise DataError(
                    f"{counted(len(self.x), 'sequence')} but {len(given)} {what}; expected one for each, or none"
                )
        for number, x in enumerate(self.x):
            if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 1:
                raise DataError(f"sequence {number} has shape {x.shape}; expected (steps, channels), at least (1, 1)")
            if x.shape[1] != self.x[0].shape[1]:
                raise DataError(
                    f"sequence {number} has {counted(x.shape[1], 'channel')}, sequence 0 has {self.x[0].shape[1]}; "
                    "expected the same number in all"
                )
            _check_numbers(f"sequence {number}", x)
        if len(self.y) != len(self.x):
            raise DataError(f"{counted(len(self.x), 'sequence')} but {len(self.y)} labels or targets; expected one for each")

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(N,) int64, the number of steps T_i of each sequence."""
        return np.array([len(x) for x in self.x], np.int64)

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """All sequences as one batch: x (N, T, C), padded with zeros at the end, and lengths (N,)."""
        return _pad(self.x, int(self.lengths.max())), self.lengths

    def padded_y(self) -> np.ndarray:
        """y for padded(): (N,) or (N, O) unchanged, or (N, T) or (N, T, O) padded with zeros at the end."""
        if isinstance(self.y, np.ndarray):
            return self.y
        return _pad(self.y, int(self.lengths.max()))

    def all_y(self) -> np.ndarray:
        """All labels (M,) or targets (M, O) in one array; M is N, or for "every" the total number of steps."""
        return self.y if isinstance(self.y, np.ndarray) else np.concatenate(self.y)


def joined(parts: Sequence[Sequences]) -> Sequences:
    """The sequences of all parts, in order. Names and groups are kept if each part has them."""
    x = [x for part in parts for x in part.x]
    names, groups = (
        tuple(name for part in parts for name in getattr(part, what)) if all(getattr(part, what) for part in parts) else ()
        for what in ("names", "groups")
    )
    if isinstance(parts[0].y, np.ndarray):
        return Sequences(x, np.concatenate([part.all_y() for part in parts]), names, groups)
    return Sequences(x, [y for part in parts for y in part.y], names, groups)


@dataclass(frozen=True, eq=False)
class Recording:
    """A data set with its split. Raises DataError if its parts do not match."""

    name: str
    task: str  # "classification" or "regression"
    when: str  # the steps whose output counts: "last" of a sequence, or "every"
    channels: tuple[str, ...]  # (C,) names of the inputs
    labels: tuple[str, ...]  # (K,) class names, or (O,) names of the targets
    train: Sequences
    test: Sequences
    split: str = "as given"  # how the sequences were split into training and test, in words, with the seed
    validation: Sequences | None = None  # kept from training, to choose the best weights; None: too few to keep any
    horizon: int = 0  # steps from an output to the moment that it predicts; 0: no forecast, or not known
    symbols: tuple[str, ...] = ()  # (S,) if the input is text: the only channel holds the number of a symbol, 0..S - 1
    remarks: tuple[str, ...] = ()  # what the reader noticed and did: gaps, outliers, constant channels; a sentence each

    def __post_init__(self) -> None:
        if self.task not in TASKS or self.when not in WHEN:
            raise DataError(
                f"{self.name}: task {self.task!r} and when {self.when!r}; expected one of {TASKS} and one of {WHEN}"
            )
        for what, names in (("channel", self.channels), ("label", self.labels)):
            if len(set(names)) != len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise DataError(f"{self.name}: two {what}s are named {twice!r}; expected different names")
            for name in names:
                if len(name) > LONGEST_NAME:
                    raise DataError(
                        f"{self.name}: {what} {name[:20]!r}... has {len(name)} characters; expected at most {LONGEST_NAME}"
                    )
                try:
                    name.encode()
                except UnicodeEncodeError:
                    raise DataError(
                        f"{self.name}: {what} {name!r} is not valid text; expected UTF-8: rename the folder or column"
                    ) from None
        if len(self.channels) > MOST_CHANNELS:
            raise DataError(f"{self.name}: {len(self.channels)} channels; expected at most {MOST_CHANNELS}")
        if self.task == "classification" and len(self.labels) < 2:
            seen = f"1 class ({self.labels[0]})" if self.labels else "no class"
            raise DataError(f"{self.name}: {seen}; expected at least 2: record another one")
        if not self.labels:
            raise DataError(f"{self.name}: no target; expected at least one")
        halves = (("training", self.train), ("validation", self.validation), ("test", self.test))
        for half, sequences in halves:
            if sequences is not None:
                self._check_half(half, sequences)
        if self.task == "classification" and not self.symbols:  # a text need not use each letter in its first part
            seen_classes = set(np.unique(self.train.all_y()).tolist())
            for number, label in enumerate(self.labels):
                if number not in seen_classes:
                    raise DataError(
                        f"{self.name}: class {label!r} does not occur in the training sequences; expected every class:"
                        " record more of it, or choose another --split-seed or a smaller --window"
                    )

        for what, names, std in (("channel", self.channels, self.std), ("target", self.labels, self.target_std)):
            if (std < SMALLEST).any():
                name = names[int(std.argmin())]
                raise DataError(
                    f"{self.name}: {what} {name!r} varies by only {std.min():.3g}; expected {SMALLEST:g} or more: record"
                    " it in a smaller unit"
                )
        quality.check_size(self.name, self.channels, self.minimum, self.maximum, self.integer)

    def _check_half(self, half: str, sequences: Sequences) -> None:
        if not len(sequences):
            raise DataError(f"{self.name}: no {half} sequence; expected at least one: record more")
        columns = sequences.x[0].shape[1]
        if columns != len(self.channels):
            raise DataError(
                f"{self.name}: {half} sequences have {counted(columns, 'channel')}, expected {len(self.channels)} "
                f"({listed(self.channels)})"
            )
        every = not isinstance(sequences.y, np.ndarray)
        if every != (self.when == "every"):
            raise DataError(f"{self.name}: {half} labels do not match when={self.when!r}; expected a list for 'every' only")
        for number, y in enumerate(sequences.y if every else [sequences.all_y()]):
            where = f"{self.name}: labels of {half} sequence {number}" if every else f"{self.name}: {half} labels"
            rows = len(sequences.x[number]) if every else len(sequences)
            if self.task == "regression":
                if y.shape != (rows, len(self.labels)):
                    raise DataError(f"{where} have shape {y.shape}; expected {(rows, len(self.labels))}")
                _check_numbers(where, y)
                continue
            if y.shape != (rows,) or y.dtype.kind not in "iu":
                raise DataError(f"{where} have shape {y.shape} of {y.dtype}; expected {(rows,)} class indices, integers")
            if y.min() < 0 or y.max() >= len(self.labels):
                raise DataError(f"{where} run from {y.min()} to {y.max()}; expected 0 to {len(self.labels) - 1}")

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """(C,) and (C,): the range of each channel in training. Glitches are limited to it: quality.limits()."""
        steps = np.concatenate(self.train.x)
        return (steps.min(axis=0), steps.max(axis=0)) if self.symbols else quality.limits(steps)

    @cached_property
    def target_limits(self) -> tuple[np.ndarray, np.ndarray]:
        """(O,) and (O,): as limits, of the targets of a regression."""
        return quality.limits(self.train.all_y())

    @cached_property
    def _steps(self) -> np.ndarray:
        """(M, C): every step of every training sequence, with glitches limited."""
        steps: np.ndarray = np.concatenate(self.train.x)
        return np.clip(steps, *self.limits, out=steps)

    @cached_property
    def mean(self) -> np.ndarray:
        """(C,) mean of each channel over all training steps, with glitches limited."""
        return self._steps.mean(axis=0)

    @cached_property
    def std(self) -> np.ndarray:
        """(C,) standard deviation of each channel over all training steps, as mean; 1 for a constant channel."""
        return _positive(self._steps.std(axis=0), self.maximum == self.minimum)

    @cached_property
    def minimum(self) -> np.ndarray:
        """(C,) smallest training value of each channel that counts: see limits."""
        return self._steps.min(axis=0)

    @cached_property
    def maximum(self) -> np.ndarray:
        """(C,) largest training value of each channel that counts: see limits."""
        return self._steps.max(axis=0)

    @cached_property
    def integer(self) -> bool:
        """Whether every value of all parts is a whole number: the sensor's own integers."""
        parts = (self.train, self.validation, self.test)
        return all(bool((x == np.rint(x)).all()) for part in parts if part is not None for x in part.x)

    @cached_property
    def target_mean(self) -> np.ndarray:
        """(O,) mean of each target in training, with glitches limited; zeros (K,) for a classification."""
        if self.task == "classification":
            return np.zeros(len(self.labels))
        return np.clip(self.train.all_y(), *self.target_limits).mean(axis=0)

    @cached_property
    def target_std(self) -> np.ndarray:
        """(O,) standard deviation of each target in training, > 0; ones (K,) for a classification."""
        if self.task == "classification":
            return np.ones(len(self.labels))
        y = np.clip(self.train.all_y(), *self.target_limits)
        return _positive(y.std(axis=0), y.max(axis=0) == y.min(axis=0))


def listed(names: Iterable[str], comma: str = ", ") -> str:
    """Names for a message; only the first twenty of many."""
    found = list(names)
    text = comma.join(found[:20])
    return text if len(found) <= 20 else f"{text}{comma}... ({len(found)} in all)"


def sort_labels(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct class names, sorted as numbers if all are whole numbers, otherwise as text."""
    unique = set(names)
    if all(name.isascii() and name.isdigit() for name in unique):
        return tuple(sorted(unique, key=lambda name: (int(name), name)))
    return tuple(sorted(unique))


def _pad(parts: list[np.ndarray], steps: int) -> np.ndarray:
    out = np.zeros((len(parts), steps, *parts[0].shape[1:]), parts[0].dtype)
    for number, part in enumerate(parts):
        out[number, : len(part)] = part
    return out


def _positive(std: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """std with 1 for constant columns: rounding can leave them 1e-17, which must not become a divisor."""
    return np.where(constant | (std == 0), 1.0, std)


def _check_numbers(where: str, values: np.ndarray) -> None:
    bad = ~(np.abs(values) <= LARGEST)  # also true for NaN
    if bad.any():
        step, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{where} holds {values[step, column]} at step {step}, column {column + 1}; "
            f"expected finite numbers up to {LARGEST:g}: correct it or leave the sequence out"
        )
