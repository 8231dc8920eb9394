# SPDX-License-Identifier: MIT
"""Arithmetic of a torch.export program on a TrackedArray.

It covers constants, the sum of two paths that differ only by matrices, and piecewise linear functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinyrnn.importers.axis_tracking import LayoutError, TrackedArray
from tinyrnn.importers.source_model import Activation, Affine, Dense, SourceStep, refuse

LARGEST = 1 << 22  # most numbers of the matrix of joined paths


def vector_of(tracked: TrackedArray, value: object, name: str) -> np.ndarray:
    """A constant that is combined with the data, as one number for each feature. Raises ModelError if it is not."""
    array = np.asarray(value, np.float64)
    axis = tracked.feature_axis(name) if array.size > 1 else len(tracked.axes) - 1
    try:
        wide = np.broadcast_to(array, tracked.shape) if array.size > 1 else np.broadcast_to(array.reshape(()), tracked.shape)
    except ValueError:
        raise refuse(
            name, f"combines the data {tracked.letters} with shape {array.shape}", "expected one number for each feature"
        ) from None
    if array.size == 1:
        return np.full(tracked.features, float(array.reshape(())))
    rows = np.moveaxis(wide, axis, -1).reshape(-1, tracked.features)
    if (rows != rows[0]).any():
        raise refuse(
            name,
            f"combines the data with different numbers at each step, shape {array.shape}",
            "expected one number for each feature",
        )
    return rows[0].copy()


def affine(tracked: TrackedArray, scale: np.ndarray, shift: np.ndarray, name: str) -> TrackedArray:
    if (
        tracked.features > 1
        and tracked.feature_axis(name) != len(tracked.axes) - 1
        and not any(axis == ("F",) for axis in tracked.axes)
    ):
        raise LayoutError(f"{name}: works on axes {tracked.letters}; expected an axis of features (F)")
    return tracked.then(SourceStep(name, Affine(scale, shift)))


def raised(tracked: TrackedArray, rank: int, name: str) -> TrackedArray:
    """The array with axes of length 1 in front, up to this rank, as broadcasting adds them."""
    missing = max(rank - len(tracked.axes), 0)
    return tracked.unsqueeze(list(range(missing)), name) if missing else tracked


def combined(name: str, operator: str, a: object, b: object, alpha: float) -> TrackedArray:
    """a + alpha b, a - alpha b, a * b or a / b of a TrackedArray and a constant, or of two TrackedArrays."""
    if isinstance(a, TrackedArray) and isinstance(b, TrackedArray):
        if operator not in ("add", "sub"):
            raise refuse(name, f"combines two paths ({operator})", "expected one path through the layers")
        return joined(name, [a, b], [1.0, alpha if operator == "add" else -alpha])
    tracked, other = (a, b) if isinstance(a, TrackedArray) else (b, a)
    assert isinstance(tracked, TrackedArray)
    if not isinstance(other, (int, float, np.ndarray)):
        raise refuse(name, f"combines two paths ({operator})", "expected one path through the layers")
    left = tracked is a
    tracked = raised(tracked, np.ndim(other), name)
    value = vector_of(tracked, other, name)
    ones, zeros = np.ones(tracked.features), np.zeros(tracked.features)
    if operator == "add":
        return affine(tracked, ones if left else alpha * ones, alpha * value if left else value, name)
    if operator == "sub":
        return affine(tracked, ones if left else -alpha * ones, -alpha * value if left else value, name)
    if operator == "mul":
        return affine(tracked, value, zeros, name)
    if not left:
        raise refuse(name, "divides by a value that depends on the input", "expected a constant divisor")
    if not value.all():
        raise refuse(name, "divides by zero", "export it again")
    return affine(tracked, 1 / value, zeros, name)


def _suffix(tracked: TrackedArray, start: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The steps from start on as one matrix and shift; None if they have other functions."""
    matrix: np.ndarray | None = None
    shift = np.zeros(0)
    for step in tracked.steps[start:]:
        what = step.what
        if isinstance(what, Dense):
            weight, bias = what.weight, what.bias
        elif isinstance(what, Affine):
            weight, bias = np.diag(what.scale), what.shift
        else:
            return None
        shift = bias if matrix is None else weight @ shift + bias
        matrix = weight if matrix is None else weight @ matrix
    return (np.eye(tracked.features), np.zeros(tracked.features)) if matrix is None else (matrix, shift)


def joined(name: str, parts: Sequence[TrackedArray], factors: Sequence[float] | None = None) -> TrackedArray:
    """The sum of paths with these factors, or without factors their concatenation along the features.

    After a common layer the paths may differ only by matrices and shifts, which become one matrix. Raises ModelError.
    """
    rank = max(len(part.axes) for part in parts)
    parts = [raised(part, rank, name) for part in parts]
    first = parts[0]
    start = 0
    while all(len(p.steps) > start and p.steps[start] is first.steps[start : start + 1][0] for p in parts):
        start += 1
    places = [("T",) in p.axes for p in parts]
    affines = [None if p.tail else _suffix(p, start) for p in parts]
    plain = [np.zeros(0)] if any(a is None for a in affines) else []
    same = all(_without_features(p) == _without_features(first) for p in parts) and len(set(places)) == 1
    maps = [a for a in affines if a is not None]
    if plain or not same or len({m.shape[1] for m, _ in maps}) != 1:
        raise refuse(name, "combines two paths", "expected one path through the layers, no residual sum")
    if sum(len(b) for _, b in maps) * maps[0][0].shape[1] > LARGEST:
        raise refuse(name, "joins paths to too many features", "expected a network for a board")
    if factors is None:
        matrix, shift = np.concatenate([m for m, _ in maps]), np.concatenate([b for _, b in maps])
    else:
        width = max(len(b) for _, b in maps)
        if any(len(b) not in (1, width) for _, b in maps):
            raise refuse(name, "adds paths of different widths", "export it again")
        matrix = sum(
            (f * np.broadcast_to(m, (width, m.shape[1])) for f, (m, _) in zip(factors, maps, strict=True)),
            np.zeros((width, maps[0][0].shape[1])),
        )
        shift = sum((f * np.broadcast_to(b, width) for f, (_, b) in zip(factors, maps, strict=True)), np.zeros(width))
    widest = max(parts, key=lambda p: p.features)
    base = replace(widest, steps=first.steps[:start], features=matrix.shape[1])
    return base.then(SourceStep(name, Dense(matrix, shift)), len(shift))


def _without_features(tracked: TrackedArray) -> tuple[object, ...]:
    """What must be equal in two paths to join them. An axis of length 1 may be that of a single feature."""
    axes = [() if axis == ("F",) else axis for axis in tracked.axes]
    return tuple(axes), tracked.batch, tracked.time, tracked.last


def bent(tracked: TrackedArray, name: str, low: float, high: float, slope: float = 0.0) -> TrackedArray:
    """clamp(x, low, high), or a leaky relu with this slope below 0, as relus of shifted copies.

    min(max(x, low), high) = low + relu(x - low) - relu(x - high);  relu(x) - slope * relu(-x).
    """
    n = tracked.features
    eye, ones = np.eye(n), np.ones(n)
    if slope:
        hinges, signs, shift = [(eye, 0 * ones), (-eye, 0 * ones)], [eye, -slope * eye], 0 * ones
    elif (low, high) == (0.0, np.inf):
        return tracked.then(SourceStep(name, Activation("relu")))
    elif high == np.inf:
        hinges, signs, shift = [(eye, -low * ones)], [eye], low * ones
    elif low == -np.inf:
        hinges, signs, shift = [(-eye, high * ones)], [-eye], high * ones
    else:
        hinges, signs, shift = [(eye, -low * ones), (eye, -high * ones)], [eye, -eye], low * ones
    into = Dense(np.concatenate([m for m, _ in hinges]), np.concatenate([b for _, b in hinges]))
    tracked = tracked.then(SourceStep(name, into), n * len(hinges)).then(SourceStep(name, Activation("relu")))
    return tracked.then(SourceStep(name, Dense(np.concatenate(signs, axis=1), shift)), n)
