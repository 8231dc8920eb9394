# SPDX-License-Identifier: MIT
"""The device package on the host, with its machine code on a Cortex-M0+ or another core.

    CoreBoard().load(data, kernels="viper").step(sample)

A CoreBoard imports a private copy of device/urnn. mpy-cross compiles the viper and assembler functions, and they become
callables that run on cortex_m0plus.Machine or on the machine of another architecture. All other code runs in the host's
Python. A kernel set is therefore used unchanged, with its own pack(), and only its machine code is counted.

The host carries out what viper code asks of MicroPython's runtime: it converts arguments to integers and addresses,
reads `sample[i]` and looks up globals. calls[] counts these requests, and the cycles leave them out.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import operator
import sys
import types
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urnn

from tinyrnn.emulation import mpy_file
from tinyrnn.emulation.core_import import Finder, Loader
from tinyrnn.emulation.cortex_m0plus import Machine
from tinyrnn.emulation.memory import SCRATCH_BYTES, MachineFault, Memory
from tinyrnn.emulation.micropython_values import CONSTANTS, Values, is_buffer, signed, words_bytes
from tinyrnn.emulation.mpy_file import ASM, FUN_TABLE, Function

PACKAGE = Path(urnn.__file__).parent
# Indices into the runtime's table of functions (py/nativeglue.h)
FROM_OBJ, TO_OBJ, SWAP_GLOBALS, LOAD_GLOBAL, SUBSCR, CALL, NLR_PUSH, NLR_POP, ARGS = 3, 4, 5, 7, 15, 27, 32, 33, 44
IS_TRUE, BINARY_OP, SETJMP, TABLE_ENTRIES = 16, 18, 49, 50
COMPARISONS = operator.lt, operator.gt  # by number (py/runtime0.h)
OBJ, BOOL, INT, UINT = 0, 1, 2, 3  # viper's types; greater numbers are pointers
_numbers = itertools.count()


@dataclass(frozen=True)
class Call:
    """A recorded call of an assembler function, which microbit.py and thumb_cores.py run again elsewhere.

    low: address of the data. before, after: the data before and after the call; its first `objects` bytes hold the
    arguments and objects. code: the function's position-independent code. arguments: words, some of them addresses.
    programs: (offset, bytes) in before of the arguments that are arrays of words, some of them addresses.
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


class CoreBoard(Values):
    """A machine with the device package.

    urnn: the package, whose load() and kernel_sets() are the board's.
    cycles, entered: name of a function -> the cycles and the number of its calls since start().
    calls: name of a runtime function -> the number of its calls since start().
    record: None, or a list to which every call of an assembler function is appended as a Call.

    The arguments machine and compiler choose another core than the Cortex-M0+ and another mpy-cross. scratch_bytes
    applies to the Cortex-M0+ only.
    """

    def __init__(
        self,
        package: Path = PACKAGE,
        scratch_bytes: int = SCRATCH_BYTES,
        machine: Memory | None = None,
        compiler: Path | None = None,
    ) -> None:
        super().__init__(machine or Machine(scratch_bytes))
        self.compiler = compiler or mpy_file.installed_compiler()
        self._depth = 0  # of nested calls: a runtime function may call machine code again
        self.cycles: Counter[str] = Counter()
        self.entered: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.record: list[Call] | None = None
        self._table = self._fun_table()
        self._name = f"urnn_on_m0plus_{next(_numbers)}"
        self._finder = Finder(self, self._name, package)
        self._modules: dict[str, types.ModuleType] = {}
        with self._importing():
            self.urnn = importlib.import_module(self._name)
        for name in ("load", "kernel_sets", "module"):  # these import more modules later
            setattr(self.urnn, name, self._while_importing(getattr(self.urnn, name)))

    @contextlib.contextmanager
    def _importing(self) -> Iterator[None]:
        """Make the package importable inside the block only: sys would keep its 17 MB as long as the process lives."""
        sys.meta_path.insert(0, self._finder)
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            sys.meta_path.remove(self._finder)
            for name in [name for name in sys.modules if name.partition(".")[0] == self._name]:
                self._modules[name] = sys.modules.pop(name)

    def _while_importing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._importing():
                return function(*args, **kwargs)

        return wrapped

    def load(self, source: bytes | bytearray, kernels: str) -> Any:
        """urnn.load() on this board."""
        return self.urnn.load(bytearray(source), kernels=kernels)

    def module(self, file: Path) -> types.ModuleType:
        """Import a file outside the package, with its machine code on this board."""
        module = types.ModuleType(file.stem)
        Loader(self, file).exec_module(module)
        return module

    def start(self) -> None:
        """Set the counters cycles, entered and calls to zero."""
        for counter in (self.cycles, self.entered, self.calls):
            counter.clear()

    def _begin(self) -> None:
        if not self._depth:
            self.machine.clear_scratch()

    def run(self, name: str, entry: int, *arguments: int) -> int:
        """Call machine code at entry. Its cycles count for name, without those of other machine code that it calls."""
        machine = self.machine
        self.copy_in()
        before, inner = machine.cycles, sum(self.cycles.values())
        self._depth += 1
        self.entered[name] += 1
        try:
            result = machine.call(entry, *arguments)
        finally:
            self._depth -= 1
        inner = sum(self.cycles.values()) - inner
        self.cycles[name] += machine.cycles - before - inner
        self.copy_out()
        return result

    # The part of MicroPython's runtime that kernels may use

    def _fun_table(self) -> int:
        entries: dict[int, Callable[[Memory], int]] = {
            FROM_OBJ: self._from_obj,
            TO_OBJ: lambda m: self.to_word(to_python(m.argument(0), m.argument(1))),
            SWAP_GLOBALS: lambda m: 8,  # not null: the caller comes from another module and has other globals
            LOAD_GLOBAL: lambda m: self.to_word(self._global(m.argument(0))),
            SUBSCR: self._subscript,
            CALL: self._call,
            NLR_PUSH: lambda m: 0,
            NLR_POP: lambda m: 0,
            SETJMP: lambda m: 0,  # only xtensawin's code calls it
            IS_TRUE: lambda m: int(bool(self.to_object(m.argument(0)))),
            BINARY_OP: self._compare,
            ARGS: self._refuse("another number of arguments"),
        }
        # The table starts with None, False and True
        words = list(CONSTANTS.values())
        for n in range(3, TABLE_ENTRIES):
            function = entries.get(n, self._refuse(f"entry {n} of the runtime's table"))
            words.append(self.machine.trap(self._counted(n, function)))
        return self.machine.place(words_bytes(words), code=True)

    def _counted(self, n: int, function: Callable[[Memory], int]) -> Callable[[Memory], int]:
        names = {FROM_OBJ: "from_obj", TO_OBJ: "to_obj", SWAP_GLOBALS: "swap_globals", LOAD_GLOBAL: "global"}
        names |= {IS_TRUE: "is_true", BINARY_OP: "binary_op", SETJMP: "setjmp"}
        name = (names | {SUBSCR: "subscr", CALL: "call", NLR_PUSH: "nlr", NLR_POP: "nlr"}).get(n, str(n))

        def counted(machine: Memory) -> int:
            self.calls[name] += 1
            return function(machine)

        return counted

    def _refuse(self, what: str) -> Callable[[Memory], int]:
        def refuse(machine: Memory) -> int:
            raise MachineFault(f"viper code asks MicroPython's runtime for {what}: expected no such request in step()")

        return refuse

    def _from_obj(self, machine: Memory) -> int:
        return self.from_object(self.to_object(machine.argument(0)), machine.argument(1))

    def from_object(self, value: Any, kind: int) -> int:
        """The value as a word of viper's type kind, like mp_native_from_obj."""
        if kind == BOOL:
            return int(bool(value))
        if isinstance(value, int):
            return int(value) & 0xFFFFFFFF
        if kind > UINT:
            return self.address(value)
        raise TypeError(f"can't convert {type(value).__name__} to int")

    def _global(self, qstr: int) -> object:
        return self._namespace[self._names[qstr]]

    def _subscript(self, machine: Memory) -> int:
        base, index, value = map(machine.argument, range(3))
        if value != 4:  # MP_OBJ_SENTINEL: a load
            raise MachineFault("viper code stores into an object: expected stores by ptr8, ptr16 or ptr32")
        return self.to_word(self.to_object(base)[self.to_object(index)])

    def _call(self, machine: Memory) -> int:
        function, count, where = map(machine.argument, range(3))
        if count > 255:
            raise MachineFault("viper code calls with keywords: expected positional arguments only")
        words = [machine.word(where + 4 * n) for n in range(count)]
        self.copy_out()
        result = self.to_object(function)(*map(self.to_object, words))
        self.copy_in()
        return self.to_word(result)

    def _compare(self, machine: Memory) -> int:
        number, left, right = map(machine.argument, range(3))
        if number >= len(COMPARISONS):
            raise MachineFault("viper code asks MicroPython's runtime for an operator on objects: expected < or > in step()")
        return self.to_word(COMPARISONS[number](self.to_object(left), self.to_object(right)))

    _names: Sequence[str] = ()
    _namespace: dict[str, Any] = {}  # noqa: RUF012  (of the function that runs)

    def function(self, module: mpy_file.Module, code: Function, namespace: dict[str, Any]) -> Callable[..., Any]:
        """The callable that runs code on the machine."""
        entry = self.machine.place(code.code, code=True) | self.machine.thumb
        if code.kind == ASM:

            def assembler(*arguments: Any) -> Any:
                self._begin()
                words = [self._asm_argument(value) for value in arguments]
                if self.record is None:
                    return to_python(self.run(code.name, entry, *words), code.result)
                self.copy_in()
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
            for value in arguments:  # before run() copies the buffers: each needs its block
                if not isinstance(value, int) and is_buffer(value):
                    self.address(value)
            args = self.items(arguments)
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
            return self.items(value)
        return self.address(value)

    def _function_object(self, module: mpy_file.Module) -> bytes:
        """The words of a function object: type, context, ... The context has the module's globals, names and constants."""
        names = b"".join(n.to_bytes(2, "little") for n in range(len(module.names)))
        objects = words_bytes(self._table if value is FUN_TABLE else self.opaque(value) for value in module.objects)
        context = [0, 0, self.machine.place(names, code=True), self.machine.place(objects, code=True)]
        return words_bytes((0, self.machine.place(words_bytes(context), code=True), 0, 0))


def to_python(word: int, kind: int) -> Any:
    """A result word of viper's type kind as a Python object."""
    if kind == OBJ:
        return None
    return bool(word) if kind == BOOL else signed(word) if kind == INT else word
