#!/usr/bin/env python3
"""Cycles a step of each kernel set on a Cortex-M0+ (RP2040), without a board: docs/measuring.md.

cycles.py [--kernels NAME]... [--inputs I] [--hidden H] [--outputs O] [--c] [--uf2 PATH [--source]]

The machine code of the viper and assembler kernels, as mpy-cross makes it, runs on the core of an emulated RP2040;
every step is compared with the plain kernels. Prints the cycles of a step and of each function, and a fit over several
sizes, step = fixed + per_mac * MACs + per_unit * H.
--uf2 PATH  also whole steps on the emulated RP2040 with that MicroPython firmware, the interpreter's share included
--c         also the same step in C, compiled for the same core by arm-none-eabi-gcc -O2
"""

from __future__ import annotations

import argparse
import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import records
from records import Record
from tinyrnn.errors import TinyrnnError

if TYPE_CHECKING:
    from firmware import Timed

HIDDEN = (8, 16, 32, 48, 64, 96)  # sizes of the fit
LARGE = (64, 96)  # between these the slope of large models is taken
STEPS = 8
WARM = 1  # steps before, not counted


@dataclass(frozen=True)
class Size:
    """One layer of GRU and a head."""

    inputs: int
    hidden: int
    outputs: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a step's matrices."""
        return self.hidden * (3 * (self.inputs + self.hidden) + self.outputs)

    def file(self) -> bytes:
        """A model file with random weights, the same each time."""
        import numpy as np
        from tinyrnn.network import pack
        from tinyrnn.quantize import quantize, random_float_model

        model = random_float_model(np.random.default_rng(0), self.inputs, (self.hidden,), self.outputs)
        return pack(quantize(model))

    def samples(self, count: int) -> list[tuple[int, ...]]:
        """Samples as a sensor gives them, the same each time."""
        import numpy as np

        values = np.random.default_rng(1).integers(-2500, 2500, (count, self.inputs))
        return [tuple(row) for row in values.tolist()]


@dataclass(frozen=True)
class Counted:
    """Cycles a step, the mean of several. parts: the same by function. asked: what a step asks of the runtime."""

    step: float
    parts: dict[str, float]
    asked: dict[str, float]


def on_core(kernels: str, size: Size, steps: int = STEPS) -> Counted:
    """Cycles of a step in the machine code of a kernel set, each step compared with the plain kernels.

    Raises TinyrnnError when an output or a state differs, naming position, want and got.
    """
    import urnn
    from m0board import Board

    data = size.file()
    board = Board()
    net = board.load(data, kernels)
    plain = urnn.load(bytearray(data), kernels="plain")
    asked: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for number, sample in enumerate(size.samples(WARM + steps)):
        board.count()
        board.calls.clear()
        net.step(sample)
        plain.step(sample)
        check(kernels, number, [*net.output, *net.state], [*plain.output, *plain.state])
        if number >= WARM:
            parts.update(board.count()[1])
            asked.update(board.calls)
    mean = {name: cycles / steps for name, cycles in parts.items()}
    return Counted(sum(mean.values()), mean, {name: calls / steps for name, calls in asked.items()})


def check(kernels: str, step: int, got: list[int], want: list[int]) -> None:
    """Raise TinyrnnError unless two lists of outputs, then states, are equal."""
    for at, (g, w) in enumerate(zip(got, want, strict=True)):
        if g != w:
            raise TinyrnnError(f"{kernels}: step {step}, integer {at}: want {w}, got {g}: the kernels differ from plain")


@dataclass(frozen=True)
class Fit:
    """step = fixed + per_mac * MACs + per_unit * H; slope: cycles a MAC between the two large sizes."""

    fixed: float
    per_mac: float
    per_unit: float
    slope: float

    def step(self, size: Size) -> float:
        return self.fixed + self.per_mac * size.macs + self.per_unit * size.hidden


def fit(inputs: int, outputs: int, step: Callable[[Size], float]) -> Fit:
    """Least squares over HIDDEN. step(size): cycles."""
    import numpy as np

    sizes = [Size(inputs, hidden, outputs) for hidden in HIDDEN]
    cycles = {size.hidden: step(size) for size in sizes}
    rows = np.array([[1.0, size.macs, size.hidden] for size in sizes])
    fixed, per_mac, per_unit = np.linalg.lstsq(rows, np.array([cycles[h] for h in HIDDEN]), rcond=None)[0]
    small, large = (Size(inputs, hidden, outputs) for hidden in LARGE)
    slope = (cycles[LARGE[1]] - cycles[LARGE[0]]) / (large.macs - small.macs)
    return Fit(float(fixed), float(per_mac), float(per_unit), slope)


def machine_kernels() -> list[str]:
    """The kernel sets with machine code for this core, best first."""
    from m0board import PACKAGE, Board
    from mpyfile import machine_functions

    texts = {name: (PACKAGE / f"kernels_{name}.py").read_text(encoding="utf-8") for name in Board().urnn.kernels()}
    return [name for name, text in texts.items() if machine_functions(text)]


def in_c(variant: str, size: Size, steps: int = STEPS) -> float:
    """Cycles of a step in C on the same core, each step compared with the plain kernels as in on_core()."""
    import urnn
    from cbaseline import CNet

    data = size.file()
    net = CNet(data, variant)
    plain = urnn.load(bytearray(data), kernels="plain")
    began = 0
    for number, sample in enumerate(size.samples(WARM + steps)):
        if number == WARM:
            began = net.machine.cycles
        got = net.step(sample)
        plain.step(sample)
        check(f"C {variant}", number, got, [*plain.output, *plain.state])
    return (net.machine.cycles - began) / steps


def on_firmware(firmware: Path, kernels: list[str], sizes: list[Size], compiled: bool) -> dict[str, dict[Size, Timed]]:
    """Kernel set -> size -> what whole steps took on the emulated RP2040, all outputs and states compared.

    Raises TinyrnnError when the board's integers are not the plain kernels' on the host.
    """
    from firmware import host_digest, time_steps

    names = {f"h{size.hidden}.urnn": size for size in sizes}
    found: dict[str, dict[Size, Timed]] = {}
    files = {name: size.file() for name, size in names.items()}
    for name, list_of in time_steps(firmware, files, kernels, compiled).items():
        want = host_digest(files[name])
        for timed in list_of:
            if timed.digest != want:
                raise TinyrnnError(f"{timed.kernels}, {name}: digest {timed.digest} on the board, expected {want}")
            found.setdefault(timed.kernels, {})[names[name]] = timed
    return found


def row(where: str, kernels: str, size: Size, step: Callable[[Size], float]) -> Record:
    """A line of the table; step(size): cycles."""
    fitted = fit(size.inputs, size.outputs, step)
    cycles = step(size)
    return {
        "where": where,
        "kernels": kernels,
        "cycles_step": round(cycles),
        "us_125MHz": cycles / 125,
        "per_mac": cycles / size.macs,
        "slope": fitted.slope,
        "fit: mac": fitted.per_mac,
        "unit": fitted.per_unit,
        "fixed": round(fitted.fixed),
    }


EXPLAINED = f"""per_mac: cycles_step / MACs. slope: cycles a MAC between H={LARGE[0]} and H={LARGE[1]}.
fit: cycles_step = mac * MACs + unit * H + fixed, least squares over H = {", ".join(map(str, HIDDEN))}.
core: machine code only. C: the whole step. firmware: the whole net.step(), the interpreter's part included."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Cycles a step of each kernel set on a Cortex-M0+ (RP2040).")
    add = parser.add_argument
    add("--kernels", "--kernel", metavar="NAME", action="append", default=[], help="default: all but the plain loop")
    add("--inputs", type=int, default=6, metavar="I")
    add("--hidden", type=int, default=32, metavar="H")
    add("--outputs", type=int, default=4, metavar="O")
    add("--uf2", type=Path, metavar="PATH", help="MicroPython for the RP2040: whole steps on the emulated board too")
    add("--source", action="store_true", help="with --uf2: the firmware compiles the package, not mpy-cross")
    add("--c", action="store_true", help="the same step in C too, compiled with -O2 by arm-none-eabi-gcc")
    args = parser.parse_args()
    size = Size(args.inputs, args.hidden, args.outputs)
    rows: list[Record] = []
    parts: list[Record] = []
    core: dict[str, Callable[[Size], float]] = {}
    for kernels in [name for name in machine_kernels() if not args.kernels or name in args.kernels]:
        core[kernels] = functools.cache(lambda s, k=kernels: on_core(k, s).step)
        rows.append(row("core", kernels, size, core[kernels]))
        counted = on_core(kernels, size)
        for name, cycles in counted.parts.items():
            parts.append({"kernels": kernels, "a step": name, "cycles": round(cycles), "calls_of_the_runtime": 0.0})
        for name, calls in counted.asked.items():
            parts.append({"kernels": kernels, "a step": f"({name})", "cycles": 0, "calls_of_the_runtime": calls})
    if args.c:
        from cbaseline import VARIANTS, version

        for variant in VARIANTS:
            rows.append(row("C -O2", variant, size, functools.cache(lambda s, v=variant: in_c(v, s))))
        print(version())
    shares: list[Record] = []
    if args.uf2:
        sizes = [Size(size.inputs, hidden, size.outputs) for hidden in sorted({*HIDDEN, *LARGE, size.hidden})]
        for kernels, timed in on_firmware(args.uf2, args.kernels, sizes, not args.source).items():
            rows.append(row("firmware", kernels, size, lambda s, t=timed: t[s].cycles))
            for s in sizes if kernels in core else ():
                whole, inside = timed[s].cycles, core[kernels](s)
                shares.append(
                    {
                        "kernels": kernels,
                        "hidden": s.hidden,
                        "core": round(inside),
                        "firmware": round(whole),
                        "difference": round(whole - inside),
                        "percent": 100 * (whole - inside) / whole,
                        "bytes_allocated_step": timed[s].allocated,
                    }
                )
    if not rows:
        raise TinyrnnError(f"no machine code in {', '.join(args.kernels)}: expected {', '.join(machine_kernels())}")
    records.show(f"GRU {size.inputs}-{size.hidden}-{size.outputs}, {size.macs} MACs a step", rows)
    print(EXPLAINED)
    records.show("By function", parts)
    if shares:
        records.show("Agreement: the difference is the interpreter's and the runtime's share", shares)
    return 0


if __name__ == "__main__":
    records.finish(main)
