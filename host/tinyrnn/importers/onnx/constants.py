# SPDX-License-Identifier: MIT
"""Evaluates nodes that depend only on sizes and constants: shapes for Reshape, zeros for states, reordered weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyrnn.importers.axis_tracking import UNROLLED
from tinyrnn.importers.onnx.graph_file import LARGEST, Node
from tinyrnn.importers.source_model import refuse

TYPES = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}  # onnx.TensorProto
TYPES |= dict.fromkeys((10, 16), np.float32)  # float16 and bfloat16
ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Min": np.minimum, "Max": np.maximum}


def evaluate(node: Node, given: Sequence[np.ndarray | None], opset: int) -> list[np.ndarray]:
    """The node's results. Raises ModelError, for a large result before it is allocated."""
    try:
        found = _evaluate(node, [None if a is None else np.asarray(a) for a in given], opset)
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise refuse(node.name, f"{node.kind} of constants fails ({reason:.60})", "export the model again") from None
    return [np.asarray(a) for a in found]


def _evaluate(node: Node, given: list[Any], opset: int) -> list[np.ndarray]:
    kind, attributes = node.kind, node.attributes
    a: Any = given[0] if given else None
    if kind == "Constant":
        return [_constant(node)]
    if kind == "Identity":
        return [a]
    if kind == "Cast":
        return [a.astype(TYPES[attributes["to"]])]
    if kind == "Shape":
        return [np.array(a.shape[attributes.get("start", 0) : attributes.get("end")], np.int64)]
    if kind in ("ConstantOfShape", "Expand", "Tile"):
        return [_grown(node, given)]
    if kind in ARITHMETIC:
        _small(node, np.broadcast_shapes(*(b.shape for b in given)))
        result = given[0]
        for b in given[1:]:
            result = ARITHMETIC[kind](result, b)
        return [np.asarray(result)]
    if kind == "Div":
        _small(node, np.broadcast_shapes(a.shape, given[1].shape))
        if not given[1].all():
            raise ValueError("division by zero")
        return [a // given[1] if a.dtype.kind in "iu" else a / given[1]]
    if kind == "Concat":
        _small(node, [sum(b.size for b in given)])
        return [np.concatenate(given, axis=attributes["axis"])]
    if kind == "Gather":
        _small(node, [a.size // max(a.shape[attributes.get("axis", 0)], 1) * given[1].size])
        return [np.take(a, given[1].astype(np.int64), axis=attributes.get("axis", 0))]
    if kind == "Slice":
        cuts = [slice(None)] * a.ndim
        for axis, start, stop, step in slices(node, given):
            cuts[axis] = slice(start, stop, step)
        return [a[tuple(cuts)]]
    if kind == "Transpose":
        return [np.transpose(a, attributes.get("perm"))]
    if kind == "Reshape":
        shape = given[1] if len(given) > 1 else attributes["shape"]
        return [
            a.reshape([a.shape[i] if n == 0 and not attributes.get("allowzero") else int(n) for i, n in enumerate(shape)])
        ]
    if kind == "Flatten":
        axis = attributes.get("axis", 1)
        return [a.reshape(int(np.prod(a.shape[:axis], dtype=np.int64)), -1)]
    if kind == "Squeeze":
        axes = axes_of(node, given)
        return [np.squeeze(a, None if axes is None else tuple(axes))]
    if kind == "Unsqueeze":
        return [np.expand_dims(a, tuple(axes_of(node, given) or ()))]
    if kind == "Split":
        sizes = given[1] if len(given) > 1 and given[1] is not None else attributes.get("split")
        where = np.cumsum(sizes)[:-1] if sizes is not None else len(node.outputs)
        return list(np.split(a, where, axis=attributes.get("axis", 0)))
    raise refuse(node.name, f"{kind} of constants", f"export the model with constant folding; {UNROLLED}")


def _constant(node: Node) -> np.ndarray:
    for name, value in node.attributes.items():
        if name in ("value", "value_int", "value_ints", "value_float", "value_floats"):
            kind = np.float32 if "float" in name else np.int64
            return value if isinstance(value, np.ndarray) else np.asarray(value, kind)
    raise refuse(node.name, "is a Constant without a number", "export the model again")


def _grown(node: Node, given: list[Any]) -> np.ndarray:
    if node.kind == "ConstantOfShape":
        shape = [int(n) for n in given[0]]
        _small(node, shape)
        value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
        return np.full(shape, value.reshape(-1)[0])
    a, by = given
    if node.kind == "Expand":
        shape = list(np.broadcast_shapes(a.shape, tuple(int(n) for n in by)))
        _small(node, shape)
        return np.broadcast_to(a, shape)
    _small(node, [a.size, *(int(n) for n in by)])
    return np.tile(a, [int(n) for n in by])


def _small(node: Node, shape: Sequence[int]) -> None:
    if min(shape, default=0) < 0 or int(np.prod(list(shape), dtype=object)) > LARGEST:
        raise refuse(node.name, f"{node.kind} makes shape {list(shape)}", f"expected at most {LARGEST} numbers")


def axes_of(node: Node, given: Sequence[Any]) -> list[int] | None:
    """The axes of Squeeze and Unsqueeze: an attribute before opset 13, later an input."""
    if len(given) > 1 and given[1] is not None:
        return [int(n) for n in np.asarray(given[1]).reshape(-1)]
    axes = node.attributes.get("axes")
    return None if axes is None else [int(n) for n in axes]


def slices(node: Node, given: Sequence[Any]) -> list[tuple[int, int, int, int]]:
    """(axis, start, stop, step) of Slice: attributes before opset 10, later inputs."""
    if len(given) > 1:
        found = [None if a is None else [int(n) for n in np.asarray(a).reshape(-1)] for a in [*given[1:], None, None][:4]]
    else:
        found = [node.attributes.get(name) for name in ("starts", "ends", "axes")] + [None]
    starts, stops, axes, steps = found
    count = len(starts or [])
    rows = zip(axes or range(count), starts or [], stops or [], steps or [1] * count, strict=True)
    return [(int(axis), int(start), int(stop), int(step)) for axis, start, stop, step in rows]
