# SPDX-License-Identifier: MIT
"""Cores of the package unicorn to call machine code on. They count no cycles: they say what the code computes.

Every register that a called function may change holds nonsense after it, and all others are compared on return.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from tinyrnn.emulation.memory import SRAM, MachineFault, Memory
from tinyrnn.errors import RuntimeMissing

LIMIT_US = 60_000_000  # of a call
PAGE = 0x1000


class UnicornCore(Memory):
    """A subclass gives the registers: pc, sp, link, passed (arguments, the result first), lost and kept by a call."""

    pc: int
    sp: int
    link: int
    passed: tuple[int, ...]
    lost: tuple[int, ...]
    kept: tuple[int, ...]

    @abstractmethod
    def _core(self, unicorn: Any) -> Any:
        """The package's core, its registers named in self."""

    def _start(self) -> None:
        try:
            import unicorn
        except ImportError:
            raise RuntimeMissing(f"the core for {self.arch} is not here: pip install 'unicorn>=2.1'") from None
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
                    f"{error} at {core.reg_read(self.pc):#x}: expected code that stays in its buffers"
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
                raise MachineFault(f"unicorn's register {register} is not restored, which the ABI asks for")
        for register, value in saved.items():
            core.reg_write(register, value)
        self._check_guards()
        return result
