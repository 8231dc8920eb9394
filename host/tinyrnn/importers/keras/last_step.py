# SPDX-License-Identifier: MIT
"""Keras layers and operations that take the last step of a sequence: the many ways to write x[:, -1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyrnn.importers.keras.layer_chain import LayerConfig
from tinyrnn.importers.source_model import refuse

SHAPING = (
    "GetItem",
    "SlicingOpLambda",
    "Take",
    "Slice",
    "Squeeze",
    "Flatten",
    "Reshape",
    "Cropping1D",
    "GlobalAveragePooling1D",
    "GlobalMaxPooling1D",
)
FORMS = ("BTF", "B1F", "BF")  # the sequence; its last step, with and without an axis of length 1

LAST = "expected the last step, x[:, -1] or return_sequences=False"


def shaped(layer: LayerConfig, form: str, time: int | None) -> str:
    """The form of the data after the layer. ``time``: the number of steps, if it is fixed. Raises ModelError."""
    length = 1 if form == "B1F" or time == 1 else time
    kind, config = layer.kind, layer.config
    if kind in ("GetItem", "SlicingOpLambda"):
        return _sliced(layer, _items(layer), form, length)
    if kind == "Take":
        axis, index = config.get("axis"), layer.arguments[0] if layer.arguments else None
        index = index[0] if isinstance(index, list) and len(index) == 1 else index
        rank = len(form)
        if not isinstance(axis, int) or not isinstance(index, int) or axis % rank != 1 or rank != 3:
            raise refuse(layer.where, "takes an index of an axis that is not time", LAST)
        return _sliced(layer, [slice(None), index, slice(None)], form, length)
    if kind == "Slice":
        raise refuse(layer.where, "fixes the size of the batch as well", LAST)
    if kind == "Cropping1D":
        first, end = config["cropping"]
        return _sliced(layer, [slice(None), slice(first, -end or None), slice(None)], form, length)
    if form == "BTF" and length != 1:
        raise refuse(layer.where, "works on every step at once", LAST)
    if kind == "Reshape" and len(config["target_shape"]) > 1:
        raise refuse(layer.where, f"reshapes to {config['target_shape']}", LAST)
    return "BF"


def _items(layer: LayerConfig) -> list[Any]:
    """The indices of x[...], one for each axis: slices, whole numbers, Ellipsis."""
    raw = next((a for a in layer.arguments), None)
    found = [_item(layer, value) for value in (raw if isinstance(raw, list) else [raw])]
    return [item for item in found if item is not None]


def _item(layer: LayerConfig, value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, dict):
        if value.get("class_name") == "__ellipsis__":
            return Ellipsis
        given = value.get("config", value) if value.get("class_name") == "__slice__" else value
        if {"start", "stop"} <= set(given):
            numbers = [given["start"], given["stop"], given.get("step")]
            if all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in numbers):
                return slice(*numbers)
    raise refuse(layer.where, "takes an index that is neither a number nor a slice", LAST)


def _sliced(layer: LayerConfig, items: Sequence[Any], form: str, length: int | None) -> str:
    items = list(items)
    rank = len(form)
    if items.count(Ellipsis) == 1:
        at = items.index(Ellipsis)
        items[at : at + 1] = [slice(None)] * (rank - len(items) + 1)
    items += [slice(None)] * (rank - len(items))
    whole = [item == slice(None) or item == slice(0, None) or item == slice(None, None, 1) for item in items]
    if len(items) != rank or not all(whole[i] for i in range(rank) if i != 1 or rank == 2):
        raise refuse(layer.where, "takes a part of the batch or of the features", LAST)
    if rank == 2 or whole[1]:
        return form
    item = items[1]
    if isinstance(item, int):
        if item == -1 or (length is not None and item == length - 1):
            return "BF"
    elif length is not None:
        taken = range(length)[item]
        if len(taken) == length and item.step in (None, 1):
            return form
        if list(taken) == [length - 1]:
            return "B1F"
    elif item.start == -1 and item.stop is None and item.step in (None, 1):
        return "B1F"
    seen = f"step {item}" if isinstance(item, int) else f"steps {item.start} to {item.stop} by {item.step or 1}"
    raise refuse(layer.where, f"takes {seen} of {length or 'any number'}", LAST)
