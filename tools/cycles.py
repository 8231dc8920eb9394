#!/usr/bin/env python3
"""Cycles a step of each kernel set on a Cortex-M0+ (RP2040), without a board: docs/measuring.md.

cycles.py [--kernels NAME]... [--inputs I] [--hidden H] [--outputs O] [--uf2 PATH] [--c]

The machine code of the viper and assembler kernels, as mpy-cross makes it, runs on the core of an emulated RP2040;
every step is compared with the plain kernels. Prints the cycles of a step and of each function, and a fit over several
sizes, step = fixed + per_mac * MACs + per_unit * H.
--uf2 PATH  also whole steps on the emulated RP2040 with that MicroPython firmware, the interpreter's share included
--c         also the same step in C, compiled for the same core by arm-none-eabi-gcc -O2
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import records
from records import Record
from tinyrnn.errors import TinyrnnError

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


def row(where: str, kernels: str, size: Size, cycles: float, fitted: Fit) -> Record:
    return {
        "where": where,
        "kernels": kernels,
        "cycles_step": round(cycles),
        "us_at_125_MHz": cycles / 125,
        "cycles_per_mac": cycles / size.macs,
        "slope_H64_96": fitted.slope,
        "fit_per_mac": fitted.per_mac,
        "fit_per_unit": fitted.per_unit,
        "fit_fixed": round(fitted.fixed),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Cycles a step of each kernel set on a Cortex-M0+ (RP2040).")
    parser.add_argument("--kernels", "--kernel", metavar="NAME", action="append", help="kernel set; default all with machine code")
    parser.add_argument("--inputs", type=int, default=6, metavar="I")
    parser.add_argument("--hidden", type=int, default=32, metavar="H")
    parser.add_argument("--outputs", type=int, default=4, metavar="O")
    args = parser.parse_args()
    size = Size(args.inputs, args.hidden, args.outputs)
    rows: list[Record] = []
    parts: list[Record] = []
    for kernels in args.kernels or machine_kernels():
        counted = on_core(kernels, size)
        fitted = fit(size.inputs, size.outputs, lambda s, k=kernels: on_core(k, s, 3).step)  # type: ignore[misc]
        rows.append(row("core", kernels, size, counted.step, fitted))
        for name, cycles in counted.parts.items():
            parts.append({"kernels": kernels, "function": name, "cycles_step": round(cycles)})
        for name, calls in counted.asked.items():
            parts.append({"kernels": kernels, "function": f"runtime: {name}, {calls:g} calls", "cycles_step": 0})
    title = f"GRU {size.inputs}-{size.hidden}-{size.outputs}, {size.macs} MACs a step"
    records.show(title, rows)
    records.show("Of which:", parts)
    return 0


if __name__ == "__main__":
    records.finish(main)
