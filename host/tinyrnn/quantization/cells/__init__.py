# SPDX-License-Identifier: MIT
"""Quantization of the layers, one module each, with the name of its integer cell. New modules are found automatically.

A module has ``takes(layer)`` and ``quantize(layer, context)``.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from tinyrnn import discovery
from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer


@cache
def known() -> dict[str, ModuleType]:
    """The modules by name."""
    return discovery.modules(__name__, __path__)


def for_layer(layer: Layer, where: str) -> ModuleType:
    """The module that quantizes a layer of a float model. Raises ModelError if there is none."""
    for module in known().values():
        if module.takes(layer):
            return module
    names = ", ".join(name.replace("_", "-") for name in known())
    raise ModelError(
        f"{where}, {layer.kind}: this kind of layer or its options cannot be quantized; expected one of {names}"
    )
