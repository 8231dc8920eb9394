"""From float to integers, one module for each layer, named as its integer cell. A new module is found by itself.

A module has takes(layer) and quantize(layer, context).
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer


@cache
def known() -> dict[str, ModuleType]:
    """The modules by their names."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def for_layer(layer: Layer, where: str) -> ModuleType:
    """The module that quantizes a layer of a float model. Raises ModelError when there is none."""
    for module in known().values():
        if module.takes(layer):
            return module
    names = ", ".join(name.replace("_", "-") for name in known())
    raise ModelError(f"{where}, {layer.kind}: this kind or an option of it cannot be quantized; expected one of {names}")
