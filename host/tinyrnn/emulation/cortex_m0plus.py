# SPDX-License-Identifier: MIT
"""A Cortex-M0+ that runs machine code and counts its cycles: the core and the SRAM of rp2040py's RP2040.

There is neither firmware nor boot ROM. Code and data lie in SRAM, where MicroPython also puts the code that it compiles
or loads from a .mpy file. A call sets the registers and runs the function until it returns. The cycles are those of the
emulator's model of the core: 1 for an operation or a multiplication, 2 for a load, a store or a taken branch, 3 for a
call.
"""

from __future__ import annotations

from tinyrnn.emulation.memory import SCRATCH_BYTES, SRAM, MachineFault, Memory
from tinyrnn.errors import RuntimeMissing

__all__ = ["SCRATCH_BYTES", "Machine", "MachineFault"]

CYCLES_MAX = 1 << 30


class _Faults:
    """The emulator's logger. A warning or an error is a fault of the measured code."""

    def debug(self, component: str, message: str) -> None:
        """Not a fault."""

    info = debug

    def warning(self, component: str, message: str) -> None:
        raise MachineFault(f"{component}: {message}: expected code that stays within its buffers")

    error = warning


class Machine(Memory):
    """The RP2040's memory and one of its cores. cycles: of all calls so far, without the host's functions."""

    arch = "armv6m"
    thumb = 1
    size = 264 * 1024
    code_bytes = 32 * 1024
    returns = 0xF0000000

    def _start(self) -> None:
        try:
            from rp2040py import RP2040
        except ImportError:
            raise RuntimeMissing("the emulated Cortex-M0+ is missing: pip install 'rp2040py>=1.0.0b1'") from None
        self._chip = RP2040()
        self._chip.logger = _Faults()
        self._chip.on_break = self._broke
        self._ram = self._chip.sram
        self._core = self._chip.core
        self._r = self._core.registers
        self._r[13] = SRAM + self.size

    def _broke(self, code: int) -> None:
        raise MachineFault(f"the code ran into break {code} at {self._r[15]:#x}: expected it to return")

    def write(self, address: int, data: bytes | memoryview) -> None:
        self._ram[address - SRAM : address - SRAM + len(data)] = data

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._ram[address - SRAM : address - SRAM + size])

    def argument(self, n: int) -> int:
        return int(self._r[n])

    def call(self, address: int, *arguments: int) -> int:
        r = self._r
        saved = list(r)
        for n, value in enumerate(arguments):
            r[n] = value & 0xFFFFFFFF
        r[14] = self.returns | 1
        r[15] = address & ~1
        step = self._core.execute_instruction
        cycles = 0
        while True:
            while r[15] < self.returns:
                cycles += step()
                if cycles > CYCLES_MAX:
                    raise MachineFault(f"the function still runs after {cycles} cycles: expected it to return")
            back = r[14]
            answer = self._trapped(r[15])
            if answer is None:
                break
            r[0] = answer
            r[15] = back & ~1
        self.cycles += cycles
        result = int(r[0])
        if list(r[4:12]) != saved[4:12] or r[13] != saved[13]:
            raise MachineFault("the function changed r4-r11 or sp: expected it to restore them, as the ABI requires")
        for n, value in enumerate(saved):
            r[n] = value
        self._check_guards()
        return result
