# SPDX-License-Identifier: MIT
"""The integer layers, one module each, with the names of the device's modules. New modules are found automatically
(docs/adding-a-cell.md)."""

from __future__ import annotations

from functools import cache

from tinyrnn import discovery
from tinyrnn.integer_model.cells.base import IntegerCell


@cache
def known() -> dict[bytes, type[IntegerCell]]:
    """Each class of cell by the tag of its section: CELL of every module here."""
    return {module.CELL.tag: module.CELL for module in discovery.modules(__name__, __path__).values()}
