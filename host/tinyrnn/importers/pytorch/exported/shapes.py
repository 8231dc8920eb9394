# SPDX-License-Identifier: MIT
"""Operators of a torch.export program that move or cut axes, on a TrackedArray.

An index or slice of the features becomes a matrix of zeros and ones. On the time axis it is a step of a loop, or the last.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.importers.axis_tracking import TrackedArray
from tinyrnn.importers.source_model import Dense, SourceStep, refuse

LayerContext = dict[str, Any]


def take(tracked: TrackedArray, axis: int, indices: Sequence[int], keep: bool, name: str) -> TrackedArray:
    """These indices of an axis. keep: keep the axis even if there is only one index."""
    axis = tracked.axis(axis, name)
    length = tracked.shape[axis]
    if any(not -length <= i < length for i in indices):
        raise refuse(name, f"takes indices {list(indices)} of an axis of {length}", "export the model again")
    places = [i % length for i in indices]
    features = tracked.axes[axis] == ("F",)
    if places == list(range(length)) and (keep or length > 1):
        return tracked
    if features and length > 1:
        after = tracked
        if tracked.tail == ("softmax",) and length == 2 and len(places) == 1:  # the probability of one class of two
            chosen = places[0]
            signs = np.where(np.arange(2) == chosen, 1.0, -1.0)[None]
            after = replace(tracked, tail=()).then(SourceStep(name, Dense(signs, np.zeros(1))), 1)
            after = replace(after, tail=("sigmoid",))
        elif places:
            after = tracked.then(SourceStep(name, Dense(np.eye(length)[places], np.zeros(len(places)))), len(places))
        if len(places) == 1 and not keep:
            after = replace(after, axes=(*after.axes[:axis], *after.axes[axis + 1 :]))
        return after
    if len(places) != 1:
        return tracked.cut(axis, min(places, default=0), max(places, default=-1) + 1, 1, name)
    return tracked.pick(axis, places[0], name, keep)


def _transposed(tracked: TrackedArray, a: int, b: int, name: str) -> TrackedArray:
    order = list(range(len(tracked.axes)))
    a, b = tracked.axis(a, name), tracked.axis(b, name)
    order[a], order[b] = order[b], order[a]
    return tracked.transpose(order, name)


def _moved(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    many = [given[k] if isinstance(given[k], list) else [given[k]] for k in ("source", "destination")]
    source, target = ([tracked.axis(d, name) for d in dims] for dims in many)
    order = [i for i in range(len(tracked.axes)) if i not in source]
    for place, axis in sorted(zip(target, source, strict=True)):
        order.insert(place, axis)
    return tracked.transpose(order, name)


def span_of(tracked: TrackedArray, given: LayerContext, name: str) -> range:
    """The indices that slice() takes from its axis."""
    length = tracked.shape[tracked.axis(given.get("dim", 0), name)]
    stop = given.get("end")
    return range(*slice(given.get("start") or 0, length if stop is None else stop, given.get("step", 1)).indices(length))


def _sliced(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    axis = tracked.axis(given.get("dim", 0), name)
    start, stop = given.get("start"), given.get("end")
    span = span_of(tracked, given, name)
    if tracked.axes[axis] == ("F",) or len(span) == 1:
        return take(tracked, axis, span, True, name)
    return tracked.cut(axis, start or 0, 2**31 if stop is None else stop, given.get("step", 1), name)


def _narrowed(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    start = given["start"] % tracked.shape[tracked.axis(given["dim"], name)]
    return _sliced(tracked, {"dim": given["dim"], "start": start, "end": start + given["length"]}, name)


def _flattened(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    first, end = (tracked.axis(given.get(k, d), name) for k, d in (("start_dim", 0), ("end_dim", -1)))
    shape = [*tracked.shape[:first], -1, *tracked.shape[end + 1 :]]
    return tracked.reshape(shape, name, keep_zero=False)


def _unflattened(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    axis = tracked.axis(given["dim"], name)
    return tracked.reshape([*tracked.shape[:axis], *given["sizes"], *tracked.shape[axis + 1 :]], name, keep_zero=False)


def _squeezed(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    dim = given.get("dim")
    if dim is None:
        return tracked.squeeze(None, name)
    return tracked.squeeze(
        [d for d in (dim if isinstance(dim, list) else [dim]) if tracked.shape[tracked.axis(d, name)] == 1], name
    )


def _same_shape(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    """expand() and repeat() that do not change the shape. Raises ModelError if they do."""
    sizes: Any = given.get("size", given.get("repeats", given.get("other")))
    shape = list(getattr(sizes, "shape", sizes))
    full = [1] * (len(shape) - len(tracked.axes)) + list(tracked.shape)
    ones = "repeats" in given
    if any(n != 1 if ones else n not in (-1, old) for n, old in zip(shape, full, strict=True)):
        raise refuse(name, f"repeats {list(tracked.shape)} to {shape}", "expected one path through the layers")
    return tracked.reshape(full, name, keep_zero=False)


def _constant(given: LayerContext, key: str, name: str) -> np.ndarray:
    if not isinstance(given[key], np.ndarray):
        raise refuse(name, "takes an index that depends on the input", "expected a constant index, y[:, -1]")
    return given[key]


def _index_selected(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    return take(tracked, given["dim"], [int(i) for i in _constant(given, "index", name).reshape(-1)], True, name)


def _gathered(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    """gather() with the same index everywhere, for all features."""
    index = _constant(given, "index", name)
    axis = tracked.axis(given["dim"], name)
    rest = [i for i in range(index.ndim) if i != axis]
    if (
        index.size == 0
        or (index != index.flat[0]).any()
        or index.shape[axis] != 1
        or any(index.shape[i] != tracked.shape[i] for i in rest)
    ):
        raise refuse(name, f"gathers by an index of shape {index.shape}", "expected the last step, y[:, -1]")
    return take(tracked, axis, [int(index.flat[0])], True, name)


def _indexed(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    """x[i, j], where each index takes the whole axis or a single place."""
    indices = given["indices"]
    if any(i is not None and not isinstance(i, np.ndarray) for i in indices):
        raise refuse(name, "takes an index that depends on the input", "expected a constant index, y[:, -1]")
    chosen = {axis: i for axis, i in enumerate(indices) if i is not None}
    if any(i.dtype == bool for i in chosen.values()):
        raise refuse(name, "takes a mask as index", "expected a constant index, y[:, -1]")
    if len(chosen) == 1:
        ((axis, only),) = chosen.items()
        if only.ndim > 1:
            raise refuse(name, f"takes an index of shape {only.shape}", "expected a constant index, y[:, -1]")
        return take(tracked, axis, [int(i) for i in only.reshape(-1)], only.ndim == 1, name)
    wide = np.broadcast_arrays(*chosen.values())
    places = dict(zip(chosen, wide, strict=True))
    fixed = {axis: int(i.flat[0]) for axis, i in places.items() if (i == i.flat[0]).all()}
    whole = [axis for axis, i in places.items() if i.ndim == 1 and i.tolist() == list(range(tracked.shape[axis]))]
    whole = [axis for axis in whole if axis not in fixed or tracked.shape[axis] > 1] or whole[:1]
    axes = sorted(axis for axis in places if axis not in whole)
    apart = list(chosen) != list(range(min(chosen), max(chosen) + 1))
    if len(whole) != 1 or apart or any(axis not in fixed for axis in axes):
        raise refuse(name, "takes single numbers by several indices", "expected the last step, y[:, -1]")
    for axis in reversed(axes):
        tracked = take(tracked, axis, [fixed[axis]], False, name)
    return tracked


SHAPES: dict[str, Callable[[TrackedArray, LayerContext, str], TrackedArray]] = {
    "transpose": lambda f, g, n: _transposed(f, g["dim0"], g["dim1"], n),
    "swapaxes": lambda f, g, n: _transposed(f, g["axis0"], g["axis1"], n),
    "swapdims": lambda f, g, n: _transposed(f, g["dim0"], g["dim1"], n),
    "t": lambda f, g, n: _transposed(f, 0, 1, n) if len(f.axes) > 1 else f,
    "permute": lambda f, g, n: f.transpose([f.axis(d, n) for d in g["dims"]], n),
    "movedim": _moved,
    "moveaxis": _moved,
    "numpy_T": lambda f, g, n: f.transpose(list(range(len(f.axes)))[::-1], n),
    "mT": lambda f, g, n: _transposed(f, -2, -1, n),
    "view": lambda f, g, n: f if "size" not in g else f.reshape(g["size"], n, keep_zero=False),
    "reshape": lambda f, g, n: f.reshape(g["shape"], n, keep_zero=False),
    "_unsafe_view": lambda f, g, n: f.reshape(g["size"], n, keep_zero=False),
    "view_as": lambda f, g, n: f.reshape(list(g["other"].shape), n, keep_zero=False),
    "reshape_as": lambda f, g, n: f.reshape(list(g["other"].shape), n, keep_zero=False),
    "flatten": _flattened,
    "unflatten": _unflattened,
    "squeeze": _squeezed,
    "unsqueeze": lambda f, g, n: f.unsqueeze([g["dim"]], n),
    "expand": _same_shape,
    "expand_as": _same_shape,
    "broadcast_to": _same_shape,
    "repeat": _same_shape,
    "slice": _sliced,
    "narrow": _narrowed,
    "index_select": _index_selected,
    "gather": _gathered,
    "index": _indexed,
    "flip": lambda f, g, n: _flipped(f, g, n),
}


def _flipped(tracked: TrackedArray, given: LayerContext, name: str) -> TrackedArray:
    for dim in given["dims"]:
        axis = tracked.axis(dim, name)
        if tracked.axes[axis] != ("F",):
            raise refuse(name, f"flips axis {dim} of {tracked.letters}", "a stream has no future: expected time in order")
        tracked = take(tracked, axis, range(tracked.shape[axis])[::-1], True, name)
    return tracked


def pieces(tracked: TrackedArray, axis: int, operator: str, given: LayerContext, name: str) -> list[range]:
    """The spans into which split(), chunk() and similar operators divide an axis."""
    length = tracked.shape[tracked.axis(axis, name)]
    sizes: Any = given.get("split_sizes", given.get("split_size", given.get("sections")))
    if operator in ("chunk", "unsafe_chunk"):
        sizes = max(-(-length // max(int(given["chunks"]), 1)), 1)
    elif operator == "tensor_split":
        count = given.get("sections")
        if not isinstance(count, int) or not 0 < count <= length:
            raise refuse(name, f"splits {length} into {given.get('indices', count)}", "expected torch.chunk or torch.split")
        sizes = [length // count + (i < length % count) for i in range(count)]
    if not isinstance(sizes, list):
        size = int(sizes)
        if size < 1:
            raise refuse(name, f"splits an axis into pieces of {size}", "export the model again")
        sizes = [min(size, length - start) for start in range(0, length, size)]
    if sum(sizes) != length or min(sizes, default=0) < 0:
        raise refuse(name, f"splits {length} into {sizes}", "export the model again")
    starts = np.cumsum([0, *sizes]).tolist()
    return [range(a, b) for a, b in itertools.pairwise(starts)]
