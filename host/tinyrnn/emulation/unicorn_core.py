# SPDX-License-Identifier: MIT
"""Cores of the package unicorn, which run machine code. They show what the code computes, and count no cycles.

After a call of a host function, every register that the ABI lets it change holds nonsense. When the code returns, all
registers that it must preserve are checked.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from tinyrnn.emulation.memory import SRAM, MachineFault, Memory
from tinyrnn.errors import RuntimeMissing

LIMIT_US = 60_000_000  # time limit of a call
PAGE = 0x1000


class UnicornCore(Memory):
    """A core of unicorn. A subclass names its registers in _core().

    passed: those of the arguments; the first is also the result. lost: others that a call may change. kept: those that
    it must preserve.
    """

    pc: int
    sp: int
    link: int
    passed: tuple[int, ...]
    lost: tuple[int, ...]
    kept: tuple[int, ...]

    @abstractmethod
    def _core(self, unicorn: Any) -> Any:
        """Make the package's core and set the attributes that name its registers."""

    def _start(self) -> None:
        try:
            import unicorn
        except ImportError:
            raise RuntimeMissing(f"the core for {self.arch} is missing: pip install 'unicorn>=2.1'") from None
        self._error = unicorn.UcError
        core = self._unicorn = self._core(unicorn)
        core.mem_map(SRAM, self.size)
        core.mem_map(self.returns, PAGE)
        core.reg_write(self.sp, SRAM + self.size)
        core.hook_add(unicorn.UC_HOOK_CODE, self._stop, begin=self.returns, end=self.returns + PAGE - 1)

    def _stop(self, core: Any, address: int, size: int, _: object) -> None:
        core.emu_stop()

    def write(self, address: int, data: bytes | memoryview) -> None:
        self._unicorn.mem_write(address, bytes(data))

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._unicorn.mem_read(address, size))

    def argument(self, n: int) -> int:
        return int(self._unicorn.reg_read(self.passed[n]))

    def call(self, address: int, *arguments: int) -> int:
        core = self._unicorn
        every = (*self.kept, *self.lost, *self.passed, self.sp, self.link)
        saved = {register: core.reg_read(register) for register in every}
        for register, value in zip(self.passed, arguments, strict=False):
            core.reg_write(register, value & 0xFFFFFFFF)
        core.reg_write(self.link, self.returns | self.thumb)
        at = address | self.thumb
        while True:
            try:
                core.emu_start(at, 0xFFFFFFFE, timeout=LIMIT_US)
            except self._error as error:
                raise MachineFault(
                    f"{error} at {core.reg_read(self.pc):#x}: expected code that stays within its buffers"
                ) from None
            answer = self._trapped(core.reg_read(self.pc) & ~self.thumb)
            if answer is None:
                break
            at = core.reg_read(self.link)
            for n, register in enumerate((*self.passed, *self.lost)):
                core.reg_write(register, 0xDEAD0000 + n)
            core.reg_write(self.passed[0], answer)
        result = int(core.reg_read(self.passed[0]))
        for register in (*self.kept, self.sp):
            if core.reg_read(register) != saved[register]:
                raise MachineFault(f"the function did not restore unicorn's register {register}: the ABI requires it to")
        for register, value in saved.items():
            core.reg_write(register, value)
        self._check_guards()
        return result
