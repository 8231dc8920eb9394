"""A Cortex-M0+ to call machine code on and to count its cycles: the core and the SRAM of rp2040py's RP2040.

No firmware and no boot ROM: code and data are placed in SRAM, as MicroPython places what it compiles or loads from a
.mpy file, registers are set, and the function is run until it returns. Cycles are those of the emulator's model of the
core: 1 for an operation, 2 for a load, a store or a taken branch, 1 for a multiplication, 3 for a call.
"""

from __future__ import annotations

from collections.abc import Callable

from tinyrnn.errors import RuntimeMissing, TinyrnnError

SRAM = 0x20000000
SIZE = 264 * 1024
CODE_BYTES = 32 * 1024  # at the bottom: code and tables; above them the data
STACK_BYTES = 8192  # at the top of the SRAM
SCRATCH_BYTES = 8192  # the first block of data: arguments of a call, and the objects among them
RETURN = 0xF0000000  # an address outside of all memory: here a function returns to
TRAPS = RETURN + 16  # and from here on lie functions that the host stands in for
CYCLES_MAX = 1 << 30
GUARD = b"\xa5" * 16  # before and behind every block


class MachineFault(TinyrnnError):
    """The code did what it must not: an access outside of memory, an odd address, a break, or no end."""


class _Faults:
    """What the emulator would log: for code that is measured here, each of these lines is a fault."""

    def debug(self, component: str, message: str) -> None:
        """Not a fault."""

    info = debug

    def warning(self, component: str, message: str) -> None:
        raise MachineFault(f"{component}: {message}: expected code that stays within its buffers")

    error = warning


class Machine:
    """Memory and a core. cycles: of all calls so far, host functions not counted. scratch_bytes: for arguments."""

    def __init__(self, scratch_bytes: int = SCRATCH_BYTES) -> None:
        try:
            from rp2040py import RP2040
        except ImportError:
            raise RuntimeMissing("the Cortex-M0+ is not here: pip install 'rp2040py>=1.0.0b1'") from None
        self._chip = RP2040()
        self._chip.logger = _Faults()
        self._chip.on_break = self._broke
        self._ram = self._chip.sram
        self._core = self._chip.core
        self._r = self._core.registers
        self._next = [SRAM + CODE_BYTES, SRAM]  # where the next block of data, of code goes
        self.scratch_bytes = scratch_bytes
        self._scratch = 0
        self._guards: list[int] = []
        self._traps: list[Callable[[Machine], int]] = []
        self.cycles = 0
        self._r[13] = SRAM + SIZE
        self._guard(0)
        self._guard(1)
        self._scratch_at = self.place(bytes(scratch_bytes))

    def _broke(self, code: int) -> None:
        raise MachineFault(f"the code ran into break {code} at {self._r[15]:#x}: expected it to return")

    def _guard(self, region: int) -> None:
        self._guards.append(self._next[region])
        self.write(self._next[region], GUARD)
        self._next[region] += len(GUARD)

    def place(self, data: bytes | memoryview, code: bool = False) -> int:
        """Copy data into a new block of the SRAM, at a multiple of 16 like MicroPython's blocks; its address.

        code: into the region for code and tables, which image() leaves out.
        """
        address = self._next[code]
        size = len(data)
        end = SRAM + (CODE_BYTES if code else SIZE - STACK_BYTES)
        if address + size + 15 + len(GUARD) > end:
            what = f"{CODE_BYTES} bytes for code: take less" if code else f"{SIZE} of the SRAM: take a smaller model"
            raise MachineFault(f"{size} bytes do not fit into the {what}")
        self.write(address, data)
        self._next[code] = address + (size + 15 & -16)
        self._guard(code)
        return address

    def scratch(self, data: bytes) -> int:
        """Copy data to where the arguments of a call lie; its address, good until clear_scratch()."""
        address = self._scratch_at + self._scratch
        self._scratch += len(data) + 15 & -16
        if self._scratch > self.scratch_bytes:
            raise MachineFault(f"{self._scratch} bytes of arguments, expected {self.scratch_bytes} at most")
        self.write(address, data)
        return address

    def clear_scratch(self) -> None:
        """The arguments are not needed any more."""
        self._scratch = 0

    def write(self, address: int, data: bytes | memoryview) -> None:
        self._ram[address - SRAM : address - SRAM + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._ram[address - SRAM : address - SRAM + size])

    def image(self) -> tuple[int, bytes]:
        """The address of the lowest block of data, the scratch, and all memory from there to the end of the highest."""
        low = self._scratch_at
        return low, self.read(low, self._next[0] - low)

    def word(self, address: int) -> int:
        """The unsigned 32-bit word at address."""
        return int.from_bytes(self.read(address, 4), "little")

    def trap(self, function: Callable[[Machine], int]) -> int:
        """An address to give to the code: called, the host's function takes its place and returns r0."""
        self._traps.append(function)
        return TRAPS + 2 * len(self._traps) - 2 | 1

    def argument(self, n: int) -> int:
        """In a trap: the register r0..r3."""
        return int(self._r[n])

    def call(self, address: int, *arguments: int) -> int:
        """Call the function at address with up to four words; return r0, unsigned. May be called inside a trap.

        Raises MachineFault.
        """
        r = self._r
        saved = list(r)
        for n, value in enumerate(arguments):
            r[n] = value & 0xFFFFFFFF
        r[14] = RETURN | 1
        r[15] = address & ~1
        step = self._core.execute_instruction
        cycles = 0
        while True:
            while r[15] < RETURN:
                cycles += step()
                if cycles > CYCLES_MAX:
                    raise MachineFault(f"no end after {cycles} cycles: expected the function to return")
            if r[15] < TRAPS:
                break
            back = r[14]
            r[0] = self._traps[(r[15] - TRAPS) >> 1](self) & 0xFFFFFFFF
            r[15] = back & ~1
        self.cycles += cycles
        result = int(r[0])
        if list(r[4:12]) != saved[4:12] or r[13] != saved[13]:
            raise MachineFault("the function did not restore r4-r11 or sp, which the ABI asks for")
        for n, value in enumerate(saved):
            r[n] = value
        for guard in self._guards:
            if self.read(guard, len(GUARD)) != GUARD:
                raise MachineFault(f"the function wrote outside of its buffers, near {guard:#x}")
        return result
