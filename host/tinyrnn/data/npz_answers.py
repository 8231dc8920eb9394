# SPDX-License-Identifier: MIT
"""The answers y of an .npz file in other shapes: columns of class numbers, and one-hot rows, become class numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyrnn.errors import DataError

FEW = 20  # so many different whole numbers, saved as floats, are rather classes than targets


def plain_answers(path: Path, entries: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The entries with y and y_test as docs/data.md has them, and a remark on each change.

    Integers or text in a column, (N, 1) or (N, T, 1), become (N,) or (N, T). Rows of any type with a single 1 and zeros,
    (N, K) or (N, T, K) with K >= 2, become the numbers 0..K - 1 of classes. Raises DataError if (N, T) could be either.
    """
    x, y = entries["x"], entries["y"]
    if x.ndim not in (2, 3) or y.ndim < 2:
        return entries, _as_floats(y)
    steps = x.shape[1] if x.ndim == 3 else 0
    change = ""
    if y.dtype.kind != "f" and y.shape[-1] == 1 and (y.ndim == 3 or steps != 1):
        change = "column"
    elif y.shape[-1] > 1 and _one_hot(entries, "", y):
        whole = y.dtype.kind != "f" and y.ndim == 2 and y.shape[1] == steps
        asked = str(entries.get("when", ""))
        if whole and asked not in ("last", "every"):
            raise DataError(
                f"{path}: y of shape {y.shape} with a single 1 in each row could be a class at each of {steps} steps,"
                f" or one of {steps} classes for each sequence; expected an entry when='every' for the first, or"
                " when='last' for the second"
            )
        change = "" if whole and asked == "every" else "one-hot"
    if not change:
        return entries, ()
    changed = dict(entries)
    for entry, suffix in (("y", ""), ("y_test", "_test")):
        if entry not in entries:
            continue
        value = entries[entry]
        if value.ndim != y.ndim or value.shape[-1] != y.shape[-1]:
            raise DataError(f"{path}: {entry} has shape {value.shape}; expected the form of y, of shape {y.shape}")
        if change == "column":
            changed[entry] = value[..., 0]
        elif _one_hot(entries, suffix, value):
            changed[entry] = value.argmax(axis=-1)
        else:
            raise DataError(f"{path}: {entry} is not one-hot, but y is; expected a single 1 in each row of both")
    if change == "column":
        return changed, (f"y of shape {y.shape} is read as one class for each {'step' if y.ndim == 3 else 'row'}",)
    return changed, (f"y of shape {y.shape} holds a single 1 in each row: read as {y.shape[-1]} classes",)


def _one_hot(entries: dict[str, np.ndarray], suffix: str, y: np.ndarray) -> bool:
    """Whether each row (..., K) is a single 1 and zeros; rows of padding may be anything."""
    if y.dtype.kind not in "iubf" or not y.size:
        return False
    good = ((y == 0) | (y == 1)).all(axis=-1) & ((y == 1).sum(axis=-1) == 1)
    lengths = entries.get(f"lengths{suffix}")
    if y.ndim == 3 and lengths is not None and lengths.shape == (len(y),) and lengths.dtype.kind in "iu":
        good |= np.arange(y.shape[1]) >= lengths[:, None]
    return bool(good.all())


def _as_floats(y: np.ndarray) -> tuple[str, ...]:
    """A remark if floats look like the numbers of classes."""
    if y.dtype.kind != "f" or y.ndim != 1 or not np.isfinite(y).all():
        return ()
    found = np.unique(y)
    if 1 < len(found) <= FEW and len(y) > 2 * len(found) and (found == np.arange(len(found)) + found[0]).all():
        few = f"{found[0]:g} to {found[-1]:g}"
        return (f"y holds the whole numbers {few} as floats, which are targets; for classes save them as integers",)
    return ()
