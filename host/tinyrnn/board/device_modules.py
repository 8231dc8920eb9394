# SPDX-License-Identifier: MIT
"""The modules of the device package: what each of them needs, and which of them a model needs on a board.

No list here is kept by hand. A module's imports tell which modules it needs. A kernel set's decorators tell which emitters
the firmware must have. The tags of a model's sections tell which cells it needs, as in urnn.load().
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import urnn
from urnn import format as frame
from urnn import program

FOLDER = Path(urnn.__file__).parent
ALWAYS = ("__init__", "serve")  # users import these
EMITTERS = ("native", "viper", "asm_thumb", "asm_rv32", "asm_xtensa")


@dataclass(frozen=True)
class Module:
    """A module of the device package, as its source describes it."""

    source: str
    imports: frozenset[str]  # the modules of the package that it imports
    emitters: frozenset[str]  # the emitters that its decorators need
    codes: frozenset[int]  # the codes of the kernels that it uses


@cache
def names() -> tuple[str, ...]:
    """The names of all modules of the device package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.py")))


@cache
def module(name: str) -> Module:
    """The module of that name."""
    return _read(FOLDER / f"{name}.py")


@cache
def public_names() -> tuple[str, ...]:
    """The public names of `import urnn`: those that __init__ defines without a leading underscore, and __version__."""
    found = ["__version__"]
    for node in ast.parse(module("__init__").source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return tuple(sorted({name for name in found if name == "__version__" or not name.startswith("_")}))


def kernel_set(name: str) -> str | None:
    """The kernel set that a module belongs to: "viper" for "kernels_viper"; None for a module without kernels."""
    family = _family(name)
    return name.removeprefix(f"{family}_") if family else None


def kernel_sets() -> dict[str, list[str]]:
    """The kernel sets, best first: name -> the emitters that the firmware must have.

    Each set runs every model. Where a set has no machine code for a kernel, it uses the plain kernel.
    """
    return {name: needs(name) for name in urnn.KERNEL_SETS}


def needs(kernels: str) -> list[str]:
    """The emitters that the firmware must have for a kernel set; [] for a set that runs on any firmware."""
    return sorted(module(f"kernels_{kernels}").emitters)


def cell_module(tag: bytes) -> str | None:
    """The module of a section's cell, by urnn.load()'s rule; None for a section that is not a cell."""
    name = tag.decode("latin-1").lower()
    return name if tag.isupper() and name in names() and "\ndef cell(" in module(name).source else None


def needed(model: bytes | None, emitters: Iterable[str], present: Iterable[str] = ()) -> list[str]:
    """The names of the modules that a model needs on a board with these emitters.

    model: the file's bytes, or None for the modules that every model needs.
    present: modules already on the board. The cells among them are kept, because other models there may use them.
    """
    known = names()
    wanted = [name for name in ALWAYS if name in known]
    if model is not None:
        wanted += [name for name in (cell_module(tag) for tag, _, _ in frame.unseal(model)) if name]
    base = _closure(wanted)
    wanted += [name for name in present if name in known and kernel_set(name) is None and name not in base]
    families = {program.FAMILIES[code >> 4] for name in _closure(wanted) for code in module(name).codes}
    has = set(emitters)
    for family in families:
        sets = {name: module(f"{family}_{name}").emitters for name in urnn.KERNEL_SETS if f"{family}_{name}" in known}
        usable = [name for name, emitters in sets.items() if emitters and emitters <= has]
        # Every board gets the plain kernels; one that can use no machine code also gets the best set without it
        portable = [name for name, emitters in sets.items() if not emitters]
        chosen = usable + (portable[-1:] if usable else portable)
        wanted += [f"{family}_{name}" for name in chosen]
        if any(name != "plain" for name in chosen):
            wanted.append(f"proof_{family}")  # urnn imports it by the family's name
    return sorted(_closure(wanted))


def _family(name: str) -> str | None:
    return next((family for family in program.FAMILIES if name.startswith(f"{family}_")), None)


def _closure(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += module(name).imports
    return found


def _read(path: Path) -> Module:
    source = path.read_text(encoding="utf-8")
    imports, emitters, codes = set(), set(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            # `from .format import matrix` and `from . import format`
            modules_named = [node.module] if node.module else [alias.name for alias in node.names]
            imports |= {name for name in modules_named if name and (FOLDER / f"{name}.py").is_file()}
            if node.module == "program":
                codes |= {value for alias in node.names if type(value := getattr(program, alias.name, None)) is int}
        elif isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                name = decorator.func if isinstance(decorator, ast.Call) else decorator
                word = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
                if word in EMITTERS:
                    emitters.add(word)
    return Module(source, frozenset(imports), frozenset(emitters), frozenset(codes))
