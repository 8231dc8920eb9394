# SPDX-License-Identifier: MIT
"""The modules in a folder of cells, found by their names. A new file there needs no entry in a list."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType

BASE = "base"  # what the cells of a folder have in common, and no cell itself


def names(path: Iterable[str]) -> tuple[str, ...]:
    """The names of the modules in a package's ``__path__``, in alphabetical order. It imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(path) if module.name != BASE))


def modules(package: str, path: Iterable[str]) -> dict[str, ModuleType]:
    """The modules of a package by name, imported. package, path: its ``__name__`` and ``__path__``."""
    return {name: importlib.import_module(f"{package}.{name}") for name in names(path)}
