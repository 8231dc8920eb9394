# SPDX-License-Identifier: MIT
"""The recurrent cells in float, one module for each name in `train --cell`. New modules are found automatically.

A module has CELL, the class of the cell, and OPTIONS, the fields that its name sets. names() imports no module, and
therefore not numpy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tinyrnn import discovery
from tinyrnn.errors import ModelError

if TYPE_CHECKING:
    from tinyrnn.float_model.cells.base import FloatCell

DEFAULT = "gru"


@dataclass(frozen=True)
class Named:
    """A cell by its name on the command line."""

    name: str
    cell: type[FloatCell]
    options: Mapping[str, Any]  # fields of the cell that the name sets, such as reset_after


@cache
def names() -> tuple[str, ...]:
    """The names of all cells for `train --cell`: the modules here, with - for _, the default first."""
    found = (name.replace("_", "-") for name in discovery.names(__path__))
    return tuple(sorted(found, key=lambda name: (name != DEFAULT, name)))


@cache
def get(name: str) -> Named:
    """The cell of that name. Raises ModelError, with a list of all names, for an unknown one."""
    if name not in names():
        raise ModelError(f"no cell is called {name!r:.40}; expected one of {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Named(name, module.CELL, module.OPTIONS)


@cache
def kinds() -> dict[str, type[FloatCell]]:
    """The class of each cell by its ``kind``, the name in model.pt."""
    return {each.cell.kind: each.cell for each in map(get, names())}
