# SPDX-License-Identifier: MIT
"""The lines of `tinyrnn bench --compare` for an RP2040, in cycles: whole steps with firmware, machine code alone, C."""

from __future__ import annotations

import os
from pathlib import Path

from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.runtimes.kernel_timing import FLOAT_NET, SCRIPT, Case, Line, timed

CLOCK_MHZ = 125
NAME, CORE, C = "rp2040", "rp2040 core alone", "rp2040 core, C -O2"


def find_uf2() -> Path:
    """MicroPython's firmware for the Raspberry Pi Pico, as the tests find it. Raises RuntimeMissing with the cure."""
    from tinyrnn.emulation import serial_ports

    return serial_ports.find_uf2()


def whole_steps(uf2: Path, case: Case, small: Case | None = None) -> list[Line]:
    """Every kernel set of the firmware and the floats, by the board's own clock; interpreter and collections included."""
    from tinyrnn.emulation.rp2040_firmware import run

    def on_board(*arguments: str, files: dict[str, bytes]) -> str:
        with_net = {**files, FLOAT_NET.name: FLOAT_NET.read_bytes()}
        return run(uf2, with_net, SCRIPT, list(arguments))

    return [
        Line(each.runtime, each.kernels, each.us, each.fixed_us, _cycles(each.us), _cycles(each.fixed_us), each.allocated)
        for each in timed(NAME, on_board, case, small)
    ]


def _cycles(us: float | None) -> float | None:
    return None if us is None else us * CLOCK_MHZ


def core_only(case: Case, small: Case) -> list[Line]:
    """The machine code of each set that has some: without firmware, and without the interpreter's part."""
    from tinyrnn.emulation.step_cycles import count, kernel_sets

    return [
        _counted(CORE, kernels, *(count(kernels, each.data, each.samples).step for each in (case, small)))
        for kernels in kernel_sets()[0]
    ]


def in_c(case: Case, small: Case) -> list[Line]:
    """The same step in C on the same core. Raises RuntimeMissing without compiler, TinyrnnError for another network."""
    from tinyrnn.emulation.c_baseline import VARIANTS

    return [_counted(C, name, *(_c_cycles(name, each) for each in (case, small))) for name in VARIANTS]


def _counted(where: str, kernels: str, cycles: float, fixed: float) -> Line:
    return Line(where, kernels, cycles / CLOCK_MHZ, fixed / CLOCK_MHZ, cycles, fixed, None)


def _c_cycles(variant: str, case: Case) -> float:
    import urnn

    from tinyrnn.emulation.c_baseline import CNet
    from tinyrnn.emulation.step_cycles import check

    net = CNet(case.data, variant)
    plain = urnn.load(bytearray(case.data), kernels="plain")
    for number, sample in enumerate(case.samples):
        plain.step(sample)
        check(f"C {variant}", number, net.step(sample), [*plain.output, *plain.state])
    return net.machine.cycles / len(case.samples)


def lines(case: Case, small: Case, uf2: str | None = None) -> tuple[list[Line], list[str]]:
    """All lines that can be had here, and for each that cannot the cure. uf2: of the firmware; default: as found."""
    found: list[Line] = []
    missing: list[str] = []

    try:
        if uf2 and not os.path.isfile(uf2):
            raise RuntimeMissing(f"{uf2} is not there: expected MicroPython's RPI_PICO firmware, a .uf2 file")
        found += whole_steps(Path(uf2) if uf2 else find_uf2(), case, small)
    except RuntimeMissing as error:
        missing.append(str(error))
    for more in (core_only, in_c):
        try:
            found += more(case, small)
        except RuntimeMissing as error:
            missing.append(str(error))
        except TinyrnnError as error:
            if more is not in_c or "C baseline" not in str(error):
                raise
            missing.append(f"{C}: {error}")
    return found, missing
