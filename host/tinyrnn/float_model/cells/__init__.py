"""The recurrent cells in float, one module for each name of `train --cell`. A new module is found by itself.

The module of a cell has CELL, its class, and OPTIONS, those of its fields that the name stands for. names() imports
none of them, and so not numpy.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tinyrnn.errors import ModelError

if TYPE_CHECKING:
    from tinyrnn.float_model.cells.base import FloatCell

DEFAULT = "gru"


@dataclass(frozen=True)
class Named:
    """A cell as it is named on the command line."""

    name: str
    cell: type[FloatCell]
    options: Mapping[str, Any]  # fields of the cell that the name stands for, such as reset_after


@cache
def names() -> tuple[str, ...]:
    """The names of all cells, as `train --cell` takes them: the modules here, with - for _."""
    modules = (module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name != "base")
    return tuple(sorted(modules, key=lambda name: (name != DEFAULT, name)))


@cache
def get(name: str) -> Named:
    """The cell of a name. Raises ModelError, with all names, for another."""
    if name not in names():
        raise ModelError(f"no cell is called {name!r:.40}; expected one of {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Named(name, module.CELL, module.OPTIONS)


@cache
def kinds() -> dict[str, type[FloatCell]]:
    """The classes of all cells by their kind, which model.pt names."""
    return {each.cell.kind: each.cell for each in map(get, names())}
