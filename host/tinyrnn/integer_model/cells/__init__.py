"""The integer layers: one module each, named as the device's. A new module is found by itself (docs/adding-a-cell.md)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from tinyrnn.integer_model.cells.base import IntegerCell


@cache
def known() -> dict[bytes, type[IntegerCell]]:
    """Every class of cell by its section's tag: the class CELL of each module here."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    found = [importlib.import_module(f"{__name__}.{name}").CELL for name in names]
    return {cell.tag: cell for cell in found}
