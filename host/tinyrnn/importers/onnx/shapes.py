# SPDX-License-Identifier: MIT
"""ONNX nodes that move data without changing a number: transposes, reshapes, slices, the last step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyrnn.importers.axis_tracking import TrackedArray
from tinyrnn.importers.onnx import constants
from tinyrnn.importers.onnx.graph_file import Node
from tinyrnn.importers.source_model import refuse


def _same(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    if node.kind == "Dropout" and len(given) > 2 and given[2] is not None and given[2].any():
        raise refuse(name, "applies dropout", "export the model after model.eval()")
    return tracked


def _transpose(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    return tracked.transpose(node.attributes.get("perm", list(range(len(tracked.axes)))[::-1]), name)


def _reshape(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    shape = [int(n) for n in (given[1] if len(given) > 1 else node.attributes.get("shape", ()))]
    return tracked.reshape(shape, name, not node.attributes.get("allowzero"))


def _flatten(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    axis = node.attributes.get("axis", 1)
    first = int(np.prod(tracked.shape[:axis], dtype=np.int64))
    return tracked.reshape([first, -1], name)


def _squeeze(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    return tracked.squeeze(constants.axes_of(node, given), name)


def _unsqueeze(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    return tracked.unsqueeze(constants.axes_of(node, given) or [], name)


def _shape(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> np.ndarray:
    return np.array(tracked.shape[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64)


def _gather(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    index, axis = given[1], node.attributes.get("axis", 0)
    if where or not isinstance(index, np.ndarray):
        raise refuse(name, "uses the data as an index", "expected an embedding of whole numbers")
    if index.size == 1:
        return tracked.pick(axis, int(index.reshape(-1)[0]), name, keep=bool(index.ndim))
    if index.tolist() != list(range(tracked.shape[tracked.axis(axis, name)])):
        raise refuse(name, f"takes {index.size} indices of an axis in another order", "expected the last step, y[:, -1]")
    return tracked


def _slice(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    for axis, start, stop, step in constants.slices(node, given):
        tracked = tracked.cut(axis, start, stop, step, name)
    return tracked


SHAPES: dict[str, Callable[..., Any]] = {
    "Identity": _same,
    "Cast": _same,
    "Dropout": _same,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
}
