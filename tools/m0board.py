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
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpyfile
import numpy as np
from m0plus import SCRATCH_BYTES, Machine, MachineFault
from mpyfile import ASM, FUN_TABLE, Function
from records import ROOT

PACKAGE = ROOT / "device" / "urnn"
# Places in the runtime's table of functions (py/nativeglue.h)
FROM_OBJ, TO_OBJ, SWAP_GLOBALS, LOAD_GLOBAL, SUBSCR, CALL, NLR_PUSH, NLR_POP, ARGS = 3, 4, 5, 7, 15, 27, 32, 33, 44
BINARY_OP, TABLE_ENTRIES = 18, 50
OBJ, BOOL, INT, UINT = 0, 1, 2, 3  # types of viper; above: addresses
CONSTANTS = {None: 6, False: 14, True: 30}  # py/obj.h
TYPES = {tuple: 0x10000100, list: 0x10000200, array: 0x10000300, bytearray: 0x10000400}  # in the flash; any will do
_numbers = itertools.count()


@dataclass(frozen=True)
class Call:
    """A call of an assembler function, as it was: to be run again elsewhere (microbit.py).

    low: address of the data that before and after are; the first `objects` bytes of it have arguments and objects.
    code: of the function, position-independent. arguments: words, some of them addresses. programs: (offset, bytes) of
    those arguments in before that are arrays of words, some of them addresses.
    """

    name: str
    low: int
    objects: int
    before: bytes
    after: bytes
    code: bytes
    arguments: tuple[int, ...]
    programs: tuple[tuple[int, int], ...]
    result: int  # r0


class Board:
    """One machine with the device package. urnn: the package, whose load() and kernels() are the board's.

    Since start(): cycles: function's name -> cycles of all its calls; entered: how many these were; calls: what the code
    asked of the runtime -> how often.
    record: assign a list, and every call of an assembler function is appended to it, a Call.
    """

    def __init__(self, package: Path = PACKAGE, scratch_bytes: int = SCRATCH_BYTES) -> None:
        self.machine = Machine(scratch_bytes)
        self._depth = 0  # of calls, a call from a call's runtime functions counted
        self.cycles: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._buffers: dict[int, tuple[Any, memoryview, int]] = {}  # by id of the owner: owner, its bytes, address
        self._objects: dict[int, object] = {}  # by their words, all that are no constants
        self.record: list[Call] | None = None
        self._namespaces: list[dict[str, Any]] = []  # of the modules with machine code
        self._kept: list[tuple[Any, int]] = []  # their tuples, and where the items lie
        self._table = self._fun_table()
        self._modules: dict[str, types.ModuleType] = {}
        name = f"urnn_on_m0plus_{next(_numbers)}"
        sys.meta_path.insert(0, _Finder(self, name, package))
        self.urnn = importlib.import_module(name)

    def load(self, source: bytes | bytearray, kernels: str) -> Any:
        """urnn.load() on this board."""
        return self.urnn.load(bytearray(source), kernels=kernels)

    def module(self, file: Path) -> types.ModuleType:
        """A module of its own with machine code, for this board: a file that is not of the package."""
        module = types.ModuleType(file.stem)
        _Loader(self, file).exec_module(module)
        return module

    def start(self) -> None:
        """Count from now on."""
        for counter in (self.cycles, self.entered, self.calls):
            counter.clear()

    # Values as MicroPython's words: 2 n + 1 for a small integer n, constants, or the address of an object. Tuples, lists and
    # arrays lie in the memory as MicroPython has them, for kernels that read them there; others have an address of nothing.

    def to_word(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 30) <= value < 1 << 30:
            return value << 1 & 0xFFFFFFFF | 1
        if value is None or isinstance(value, bool):
            return CONSTANTS[value]
        if isinstance(value, type) and value in TYPES:
            return TYPES[value]
        words = self._layout(value)
        if words:
            place = self.machine.scratch(_words(words))
            self._objects[place] = value
            return place
        return self._opaque(value)

    def _opaque(self, value: object) -> int:
        for place, known in self._objects.items():
            if known is value:
                return place
        self._objects[0x30000000 + 8 * len(self._objects)] = value
        return 0x30000000 + 8 * (len(self._objects) - 1)

    def _layout(self, value: Any) -> list[int]:
        """The words of an object in memory: py/objtuple.h, py/objlist.h, py/objarray.h. Empty for other types."""
        if isinstance(value, tuple):
            return [TYPES[tuple], len(value), *map(self.to_word, value)]
        if isinstance(value, list):
            return [TYPES[list], len(value), len(value), self._items(value)]
        if isinstance(value, array):
            return [TYPES[array], ord(value.typecode), len(value), self.address(value)]
        if isinstance(value, bytearray):
            return [TYPES[bytearray], ord("B"), len(value), self.address(value)]
        return []

    def _items(self, values: Sequence[Any]) -> int:
        """An array of objects' words in the memory; its address. For this call, or for ever if a kernel module's global."""
        for known, place in self._kept:
            if known is values:
                return place
        words = _words(map(self.to_word, values))
        if not any(values is known for namespace in self._namespaces for known in namespace.values()):
            return self.machine.scratch(words)
        self._kept.append((values, self.machine.place(words)))
        return self._kept[-1][1]

    def to_object(self, word: int) -> Any:
        if word & 1:
            return signed(word) >> 1
        if word in CONSTANTS.values():
            return next(value for value, known in CONSTANTS.items() if known == word)
        return self._objects[word]

    def address(self, buffer: Any) -> int:
        """Where the first byte of a buffer lies in the SRAM."""
        owner = buffer.obj if isinstance(buffer, memoryview) else buffer
        if id(owner) not in self._buffers:
            whole = memoryview(owner).cast("B")
            self._buffers[id(owner)] = owner, whole, self.machine.place(whole)
        _, whole, place = self._buffers[id(owner)]
        return place + (_host_address(buffer) - _host_address(whole))

    def _begin(self) -> None:
        if not self._depth:
            self.machine.clear_scratch()

    def run(self, name: str, entry: int, *arguments: int) -> int:
        """Call machine code at entry; its cycles are booked to `name`, those of machine code called by it to theirs."""
        machine = self.machine
        self._copy_in()
        before, inner = machine.cycles, sum(self.cycles.values())
        self._depth += 1
        self.entered[name] += 1
        try:
            result = machine.call(entry, *arguments)
        finally:
            self._depth -= 1
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
        # None, False and True stand at the table's head
        words = list(CONSTANTS.values())
        for n in range(3, TABLE_ENTRIES):
            function = entries.get(n, self._refuse(f"entry {n} of the runtime's table"))
            words.append(self.machine.trap(self._counted(n, function)))
        return self.machine.place(_words(words), code=True)

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
        if value != 4:  # MP_OBJ_SENTINEL: a load
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
        entry = self.machine.place(code.code, code=True) | 1
        if code.kind == ASM:

            def assembler(*arguments: Any) -> Any:
                self._begin()
                words = [self._asm_argument(value) for value in arguments]
                if self.record is None:
                    return to_python(self.run(code.name, entry, *words), code.result)
                self._copy_in()
                low, before = self.machine.image()
                arrays = [v for v in arguments if isinstance(v, array) and v.itemsize == 4]
                programs = tuple((self.address(v) - low, 4 * len(v)) for v in arrays)
                result = self.run(code.name, entry, *words)
                after = self.machine.image()[1]
                self.record.append(
                    Call(
                        code.name, low, self.machine.scratch_bytes, before, after, code.code, tuple(words), programs, result
                    )
                )
                return to_python(result, code.result)

            return assembler

        this = self.machine.place(self._function_object(module), code=True)

        def viper(*arguments: Any) -> Any:
            self._begin()
            outer = self._names, self._namespace
            self._names, self._namespace = module.names, namespace
            for value in arguments:  # before the copying: it needs its block
                if not isinstance(value, int) and _is_buffer(value):
                    self.address(value)
            args = self._items(arguments)
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
            return self._items(value)
        return self.address(value)

    def _function_object(self, module: mpyfile.Module) -> bytes:
        """type, context, ...; the context has the module's globals, its names and its constants."""
        names = b"".join(n.to_bytes(2, "little") for n in range(len(module.names)))
        objects = _words(self._table if value is FUN_TABLE else self._opaque(value) for value in module.objects)
        context = [0, 0, self.machine.place(names, code=True), self.machine.place(objects, code=True)]
        return _words((0, self.machine.place(_words(context), code=True), 0, 0))


def _words(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


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
        namespace["id"] = board.to_word
        board._namespaces.append(namespace)
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
