# SPDX-License-Identifier: MIT
"""Cut the parts of a split into sequences. Cutting comes after the split, so no window lies in two parts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyrnn.data.recording import Sequences
from tinyrnn.data.source import Series, Source

WINDOW = 100  # steps, if neither a group nor a window is given
LEFT_OUT, TRAIN, VALIDATION, TEST = -1, 0, 1, 2  # the parts that a row can belong to


def windows(rows: int, window: int | None, stride: int | None = None, *, tail: bool) -> list[slice]:
    """Consecutive slices of `window` steps from a sequence of `rows` steps; one slice of all steps if window is None.

    stride: steps from the start of a slice to the next; the window if None. tail: keep the rest at the end: it is
    shorter, or with a smaller stride it is the last whole window. Without tail, a rest is dropped unless it is the
    whole sequence.
    """
    if window is None or rows <= window:
        return [slice(0, rows)]
    stride = stride or window
    found = [slice(start, start + window) for start in range(0, rows - window + 1, stride)]
    end = found[-1].stop
    if tail and end < rows:
        found.append(slice(end if stride == window else rows - window, rows))
    return found


def cut(source: Source, parts: list[int | np.ndarray], part: int) -> Sequences:
    """The sequences of one part. Only those of training overlap: each answer of another part counts once."""
    x: list[np.ndarray] = []
    y: list[np.ndarray] = []
    names: list[str] = []
    groups: list[str] = []
    stride = source.stride if part == TRAIN else None
    for series, assigned in zip(source.series, parts, strict=True):
        for first, end in _runs(assigned, part, len(series.x), source.horizon):
            for piece in windows(end - first, source.window, stride, tail=source.when == "every"):
                rows = slice(first + piece.start, first + piece.stop)
                x.append(series.x[rows])
                y.append(series.y[rows] if source.when == "every" else series.y)
                names.append(_name(series, rows))
                groups.append(series.group)
    answers: np.ndarray | list[np.ndarray] = y
    if source.when == "last":
        answers = np.array(y, np.int64 if source.task == "classification" else np.float64)
    return Sequences(x, answers, tuple(names), tuple(groups) if source.grouped else ())


def _name(series: Series, rows: slice) -> str:
    whole = rows == slice(0, len(series.x))
    return series.name if whole else f"{series.name}, rows {rows.start + 1} to {rows.stop}"


def _runs(assigned: int | np.ndarray, part: int, length: int, horizon: int) -> Iterator[tuple[int, int]]:
    """The first row and the row after the last of each run of rows in a part, without rows whose target is in another."""
    if isinstance(assigned, int):
        if assigned == part:
            yield 0, length
        return
    inside = assigned == part
    if horizon:
        aims = np.concatenate([assigned[horizon:], np.full(min(horizon, length), assigned[-1])])
        inside &= (aims == part) | (aims == LEFT_OUT)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
