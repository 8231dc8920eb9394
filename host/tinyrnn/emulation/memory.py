# SPDX-License-Identifier: MIT
"""The memory of a machine that runs kernels: blocks with guards, arguments of calls, and traps into host functions.

The subclasses in cortex_m0plus, cortex_m33, riscv and xtensa add the cores. core_board.CoreBoard takes any of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from tinyrnn.errors import TinyrnnError

SRAM = 0x20000000
STACK_BYTES = 8192  # at the top of the SRAM
SCRATCH_BYTES = 8192  # the first block of data: the arguments of a call and their objects
GUARD = b"\xa5" * 16  # before and after every block


class MachineFault(TinyrnnError):
    """The code made an access outside of memory or to an odd address, ran into a break, or did not return."""


class Memory(ABC):
    """Memory and a core. cycles: of all calls so far, if the core counts them. scratch_bytes: room for arguments.

    A subclass starts its core in _start(), which runs before the first write.
    """

    arch: str  # mpy-cross's name
    thumb = 0  # added to the addresses of functions: 1 for Thumb code
    size = 512 * 1024
    code_bytes = 64 * 1024  # at the bottom, for code and tables; the data lies above
    returns = SRAM + 0x100000  # the return address of a call, outside of all memory

    def __init__(self, scratch_bytes: int = SCRATCH_BYTES) -> None:
        self._next = [SRAM + self.code_bytes, SRAM]  # the address of the next block: of data, of code
        self.scratch_bytes = scratch_bytes
        self._scratch = 0
        self._guards: list[int] = []
        self._traps: list[Callable[[Memory], int]] = []
        self.cycles = 0
        self._start()
        self._guard(0)
        self._guard(1)
        self._scratch_at = self.place(bytes(scratch_bytes))

    @abstractmethod
    def _start(self) -> None:
        """Make the core."""

    @abstractmethod
    def write(self, address: int, data: bytes | memoryview) -> None:
        """Copy data to an address."""

    @abstractmethod
    def read(self, address: int, size: int) -> bytes:
        """The bytes at an address."""

    @abstractmethod
    def argument(self, n: int) -> int:
        """Argument n, 0 to 3, of the call that is trapped now."""

    @abstractmethod
    def call(self, address: int, *arguments: int) -> int:
        """Call the function at address with up to four words. Returns its result as an unsigned word.

        A trap may call it too. Raises MachineFault.
        """

    def close(self) -> None:  # noqa: B027  (most cores have none)
        """End the core's own process, if it has one."""

    def _guard(self, region: int) -> None:
        self._guards.append(self._next[region])
        self.write(self._next[region], GUARD)
        self._next[region] += len(GUARD)

    def place(self, data: bytes | memoryview, code: bool = False) -> int:
        """Copy data into a new block of the SRAM, at a multiple of 16 like MicroPython's blocks. Returns its address.

        With code, the block lies in the region for code and tables, which image() leaves out. Raises MachineFault when
        the region is full.
        """
        address = self._next[code]
        size = len(data)
        end = SRAM + (self.code_bytes if code else self.size - STACK_BYTES)
        if address + size + 15 + len(GUARD) > end:
            room = f"{self.code_bytes} bytes for code: take less"
            what = room if code else f"{self.size} of the SRAM: take a smaller model"
            raise MachineFault(f"{size} bytes do not fit into the {what}")
        self.write(address, data)
        self._next[code] = address + (size + 15 & -16)
        self._guard(code)
        return address

    def scratch(self, data: bytes) -> int:
        """Copy data into the block for arguments. Returns its address, which is valid until clear_scratch()."""
        address = self._scratch_at + self._scratch
        self._scratch += len(data) + 15 & -16
        if self._scratch > self.scratch_bytes:
            raise MachineFault(f"{self._scratch} bytes of arguments, expected {self.scratch_bytes} at most")
        self.write(address, data)
        return address

    def clear_scratch(self) -> None:
        """Free the block for arguments."""
        self._scratch = 0

    def mark(self) -> tuple[list[int], list[int]]:
        """A mark for release(), which frees all blocks placed after it."""
        return self._next[:], self._guards[:]

    def release(self, mark: tuple[list[int], list[int]]) -> None:
        """Free the blocks placed since mark()."""
        self._next, self._guards = mark

    def image(self) -> tuple[int, bytes]:
        """(the address of the lowest block of data, the bytes from there to the end of the highest block)."""
        low = self._scratch_at
        return low, self.read(low, self._next[0] - low)

    def word(self, address: int) -> int:
        """The unsigned 32-bit word at address."""
        return int.from_bytes(self.read(address, 4), "little")

    def trap(self, function: Callable[[Memory], int]) -> int:
        """An address for the code to call. Such a call runs the host's function and returns its result."""
        self._traps.append(function)
        return self._trap_address(len(self._traps) - 1) | self.thumb

    def _trap_address(self, number: int) -> int:
        return self.returns + 16 + 4 * number

    def _trapped(self, address: int) -> int | None:
        """Run the host's function at address. Returns its 32-bit result, or None at the return address.

        Raises MachineFault at any other address.
        """
        if address == self.returns:
            return None
        number = (address - self._trap_address(0)) >> 2
        if address != self._trap_address(number) or not 0 <= number < len(self._traps):
            raise MachineFault(f"the code stopped at {address:#x}: expected it to return")
        return self._traps[number](self) & 0xFFFFFFFF

    def _check_guards(self) -> None:
        for guard in self._guards:
            if self.read(guard, len(GUARD)) != GUARD:
                raise MachineFault(f"the function wrote outside of its buffers, near {guard:#x}: expected no such write")
