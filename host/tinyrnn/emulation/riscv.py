# SPDX-License-Identifier: MIT
"""A core for RV32IMC code, as that of an ESP32-C3, an ESP32-C6 or an RP2350 has it: unicorn's."""

from __future__ import annotations

from typing import Any

from tinyrnn.emulation.unicorn_core import UnicornCore


class Machine(UnicornCore):
    """RV32 with memory."""

    arch = "rv32imc"

    def _core(self, unicorn: Any) -> Any:
        from unicorn import riscv_const

        x = [getattr(riscv_const, f"UC_RISCV_REG_X{n}") for n in range(32)]
        self.pc, self.link, self.sp = riscv_const.UC_RISCV_REG_PC, x[1], x[2]
        self.passed = tuple(x[10:18])
        self.lost = (*x[5:8], *x[28:32])
        self.kept = (*x[3:5], *x[8:10], *x[18:28])
        return unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
