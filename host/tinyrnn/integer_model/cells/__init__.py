# SPDX-License-Identifier: MIT
"""The integer layers, one module each, with the names of the device's modules. New modules are found automatically
(docs/adding-a-cell.md)."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from tinyrnn.integer_model.cells.base import IntegerCell


@cache
def known() -> dict[bytes, type[IntegerCell]]:
    """Each class of cell by the tag of its section: CELL of every module here."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]
    found = [importlib.import_module(f"{__name__}.{name}").CELL for name in names]
    return {cell.tag: cell for cell in found}
