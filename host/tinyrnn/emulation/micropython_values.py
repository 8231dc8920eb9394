# SPDX-License-Identifier: MIT
"""Python's values as MicroPython's words, and where they lie in a machine's memory.

A word is 2 n + 1 for a small integer n, a constant, or the address of an object. Tuples, lists and arrays lie in the memory
as MicroPython has them, for kernels that read them there; of others there is only the type.

Buffers (bytearray, array, memoryview) live on the host. The first time that one is passed, it gets a block of the SRAM;
before each call all are copied there, and after it back.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tinyrnn.emulation.memory import MachineFault, Memory

CONSTANTS = {None: 6, False: 14, True: 30}  # py/obj.h
TYPES = {tuple: 0x10000100, list: 0x10000200, array: 0x10000300, bytearray: 0x10000400}  # in the flash; any will do
OTHER_TYPE = 0x10000500


class Values:
    """The values that a machine's code has seen. namespaces: of the modules with machine code."""

    def __init__(self, machine: Memory) -> None:
        self.machine = machine
        self.namespaces: list[dict[str, Any]] = []
        self._buffers: dict[int, tuple[Any, memoryview, int]] = {}  # by id of the owner: owner, its bytes, address
        self._objects: dict[int, object] = {}  # by their words, all that are no constants
        self._kept: list[tuple[Any, int]] = []  # tuples that are a module's globals, and where the items lie

    def to_word(self, value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and -(1 << 30) <= value < 1 << 30:
            return value << 1 & 0xFFFFFFFF | 1
        if value is None or isinstance(value, bool):
            return CONSTANTS[value]
        if isinstance(value, type) and value in TYPES:
            return TYPES[value]
        words = self._layout(value)
        if words:
            place = self.machine.scratch(words_bytes(words))
            self._objects[place] = value
            return place
        return self.opaque(value)

    def opaque(self, value: object) -> int:
        for place, known in self._objects.items():
            if known is value:
                return place
        # A type, which none of the known ones is, and nothing behind it
        place = self.machine.place(words_bytes((OTHER_TYPE, 0)))
        self._objects[place] = value
        return place

    def _layout(self, value: Any) -> list[int]:
        """The words of an object in memory: py/objtuple.h, py/objlist.h, py/objarray.h. Empty for other types."""
        if isinstance(value, tuple):
            return [TYPES[tuple], len(value), *map(self.to_word, value)]
        if isinstance(value, list):
            return [TYPES[list], len(value), len(value), self.items(value)]
        if isinstance(value, array):
            return [TYPES[array], ord(value.typecode), len(value), self.address(value)]
        if isinstance(value, bytearray):
            return [TYPES[bytearray], ord("B"), len(value), self.address(value)]
        return []

    def items(self, values: Sequence[Any]) -> int:
        """An array of objects' words in the memory; its address. For this call, or for ever if a kernel module's global."""
        for known, place in self._kept:
            if known is values:
                return place
        words = words_bytes(map(self.to_word, values))
        if not any(values is known for namespace in self.namespaces for known in namespace.values()):
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

    @contextlib.contextmanager
    def passing(self) -> Iterator[None]:
        """What is placed meanwhile is forgotten, its memory free again."""
        seen = self.machine.mark(), dict(self._buffers), dict(self._objects), list(self._kept)
        try:
            yield
        finally:
            mark, self._buffers, self._objects, self._kept = seen
            self.machine.release(mark)

    def copy_in(self) -> None:
        for _, whole, place in self._buffers.values():
            self.machine.write(place, whole)

    def copy_out(self) -> None:
        for _, whole, place in self._buffers.values():
            new = self.machine.read(place, len(whole))
            if not whole.readonly:
                whole[:] = new
            elif whole != new:
                raise MachineFault(f"the code wrote into a constant of {len(whole)} bytes at {place:#x}")


def words_bytes(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def is_buffer(value: Any) -> bool:
    try:
        memoryview(value).release()
    except TypeError:
        return False
    return True


def _host_address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])
