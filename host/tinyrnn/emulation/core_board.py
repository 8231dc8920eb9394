# SPDX-License-Identifier: MIT
"""The device package on the host, its machine code on a Cortex-M0+: CoreBoard().load(data, kernels="viper").step(sample).

A private copy of device/urnn is imported. In a module with viper or assembler functions these are compiled by mpy-cross
for armv6m and become callables that run on m0plus.Machine, or for another architecture on its machine; all else, also of
those modules, runs as it stands in the host's Python. So a kernel set is taken as it is, its own pack() included, and
only its machine code is counted.

What viper code asks of MicroPython's runtime (arguments to integers and addresses, `sample[i]`, globals) the host does;
calls[] counts that, and the cycles leave it out.
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
# Places in the runtime's table of functions (py/nativeglue.h)
FROM_OBJ, TO_OBJ, SWAP_GLOBALS, LOAD_GLOBAL, SUBSCR, CALL, NLR_PUSH, NLR_POP, ARGS = 3, 4, 5, 7, 15, 27, 32, 33, 44
IS_TRUE, BINARY_OP, SETJMP, TABLE_ENTRIES = 16, 18, 49, 50
COMPARISONS = operator.lt, operator.gt  # by number (py/runtime0.h)
OBJ, BOOL, INT, UINT = 0, 1, 2, 3  # types of viper; above: addresses
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


class CoreBoard(Values):
    """One machine with the device package. urnn: the package, whose load() and kernel_sets() are the board's.

    Since start(): cycles: function's name -> cycles of all its calls; entered: how many these were; calls: what the code
    asked of the runtime -> how often.
    record: assign a list, and every call of an assembler function is appended to it, a Call.
    machine: another core than the Cortex-M0+, made with scratch_bytes of its own. compiler: path of another mpy-cross.
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
        self._depth = 0  # of calls, a call from a call's runtime functions counted
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
        for name in ("load", "kernel_sets", "module"):  # what may import more of it later
            setattr(self.urnn, name, self._while_importing(getattr(self.urnn, name)))

    @contextlib.contextmanager
    def _importing(self) -> Iterator[None]:
        """The package can be imported from. Only then: what sys holds would live, 17 MB of it, as long as the process."""
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
        """A module of its own with machine code, for this board: a file that is not of the package."""
        module = types.ModuleType(file.stem)
        Loader(self, file).exec_module(module)
        return module

    def start(self) -> None:
        """Count from now on."""
        for counter in (self.cycles, self.entered, self.calls):
            counter.clear()

    def _begin(self) -> None:
        if not self._depth:
            self.machine.clear_scratch()

    def run(self, name: str, entry: int, *arguments: int) -> int:
        """Call machine code at entry; its cycles are booked to `name`, those of machine code called by it to theirs."""
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

    # The runtime, as far as kernels may use it

    def _fun_table(self) -> int:
        entries: dict[int, Callable[[Memory], int]] = {
            FROM_OBJ: self._from_obj,
            TO_OBJ: lambda m: self.to_word(to_python(m.argument(0), m.argument(1))),
            SWAP_GLOBALS: lambda m: 8,  # the caller's globals are others: it comes from another module
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
        # None, False and True stand at the table's head
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
            raise MachineFault(f"viper code asks MicroPython's runtime for {what}: expected code that does not in step()")

        return refuse

    def _from_obj(self, machine: Memory) -> int:
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

    def _subscript(self, machine: Memory) -> int:
        base, index, value = map(machine.argument, range(3))
        if value != 4:  # MP_OBJ_SENTINEL: a load
            raise MachineFault("viper code stores into an object: expected buffers by ptr8, ptr16, ptr32")
        return self.to_word(self.to_object(base)[self.to_object(index)])

    def _call(self, machine: Memory) -> int:
        function, count, where = map(machine.argument, range(3))
        if count > 255:
            raise MachineFault("viper code calls with keywords: expected positions only")
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
        """The callable that runs `code` on the machine."""
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
            for value in arguments:  # before the copying: it needs its block
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
        """type, context, ...; the context has the module's globals, its names and its constants."""
        names = b"".join(n.to_bytes(2, "little") for n in range(len(module.names)))
        objects = words_bytes(self._table if value is FUN_TABLE else self.opaque(value) for value in module.objects)
        context = [0, 0, self.machine.place(names, code=True), self.machine.place(objects, code=True)]
        return words_bytes((0, self.machine.place(words_bytes(context), code=True), 0, 0))


def to_python(word: int, kind: int) -> Any:
    """What a result of viper's type `kind` is as an object."""
    if kind == OBJ:
        return None
    return bool(word) if kind == BOOL else signed(word) if kind == INT else word
