# SPDX-License-Identifier: MIT
"""A core for Armv7E-M code, like that of an RP2350: unicorn's Cortex-M33, with dual multiplications."""

from __future__ import annotations

from typing import Any

from tinyrnn.emulation.unicorn_core import PAGE, UnicornCore

CPUID, CORTEX_M33 = 0xE000ED00, 0x410FD213


class Machine(UnicornCore):
    """A Cortex-M33 with memory and with CPUID, the register that identifies the core."""

    arch = "armv7emsp"
    thumb = 1

    def _core(self, unicorn: Any) -> Any:
        from unicorn import arm_const

        r = [getattr(arm_const, f"UC_ARM_REG_R{n}") for n in range(13)]
        self.pc, self.link, self.sp = arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_LR, arm_const.UC_ARM_REG_SP
        self.passed = tuple(r[:4])
        self.lost = (r[12],)
        self.kept = tuple(r[4:12])
        core = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        core.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M33)
        core.mem_map(CPUID & -PAGE, PAGE)
        core.mem_write(CPUID, CORTEX_M33.to_bytes(4, "little"))
        return core
