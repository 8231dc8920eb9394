"""The integer layers: one module each, named as the device's. A new module is found by itself (docs/adding-a-cell.md)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.base import IntegerCell, LayerContext

__all__ = ["IntegerCell", "LayerContext", "for_layer", "known"]


@cache
def known() -> dict[bytes, type[IntegerCell]]:
    """Every class of cell by its section's tag: the class CELL of each module here."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    found = [importlib.import_module(f"{__name__}.{name}").CELL for name in names]
    return {cell.tag: cell for cell in found}


def for_layer(layer: Layer, where: str) -> type[IntegerCell]:
    """The class that quantizes a layer of a float model. Raises ModelError when there is none."""
    for cell in known().values():
        if cell.takes(layer):
            return cell
    kinds = ", ".join(tag.decode() for tag in known())
    raise ModelError(f"{where}, {layer.kind}: this kind or an option of it cannot be quantized; expected one of {kinds}")
