# SPDX-License-Identifier: MIT
"""Cycles of a step, counted three ways, and the linear model that they follow.

Each way compares all integers with the plain kernels.

on_core: the machine code of a kernel set on the Cortex-M0+ core. in_c: the same step in C there. on_firmware: net.step()
on the emulated RP2040 under MicroPython.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.errors import TinyrnnError

if TYPE_CHECKING:
    from tinyrnn.emulation.rp2040_firmware import Timed

STEPS = 8
WARM = 1  # steps before, not counted
HIDDEN = (8, 16, 32, 48, 64, 96)  # sizes of the fit


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

        from tinyrnn.float_model.random_models import random_float_model
        from tinyrnn.integer_model.network import pack
        from tinyrnn.quantization.quantizer import quantize

        model = random_float_model(np.random.default_rng(0), self.inputs, (self.hidden,), self.outputs)
        return pack(quantize(model))

    def samples(self, count: int) -> list[tuple[int, ...]]:
        """Samples as a sensor gives them, the same each time."""
        return samples(self.inputs, count)

    def others(self, hidden: Iterable[int]) -> list[Size]:
        """The same with other numbers of units."""
        return [Size(self.inputs, units, self.outputs) for units in hidden]


def samples(inputs: int, count: int) -> list[tuple[int, ...]]:
    """Samples within +-2500, the same each time."""
    import numpy as np

    values = np.random.default_rng(1).integers(-2500, 2500, (count, inputs))
    return [tuple(row) for row in values.tolist()]


def check(kernels: str, step: int, got: Sequence[int], want: Sequence[int]) -> None:
    """Raise TinyrnnError unless two lists of outputs, then states, are equal."""
    for at, (g, w) in enumerate(zip(got, want, strict=True)):
        if g != w:
            raise TinyrnnError(f"{kernels}: step {step}, integer {at}: want {w}, got {g}: the kernels differ from plain")


@dataclass(frozen=True)
class Counted:
    """Cycles a step, the mean of several.

    parts: function -> its cycles and its calls in a step. asked: what a step asks of the runtime -> how often.
    """

    step: float
    parts: dict[str, tuple[float, float]]
    asked: dict[str, float]


def count(kernels: str, data: bytes, given: Sequence[tuple[int, ...]]) -> Counted:
    """Cycles of the machine code in a step of a model file, after WARM of the given samples.

    Raises TinyrnnError when an output or a state is not the plain kernels', naming position, want and got.
    """
    import urnn

    from tinyrnn.emulation.core_board import CoreBoard

    board = CoreBoard()
    net = board.load(data, kernels)
    plain = urnn.load(bytearray(data), kernels="plain")
    for number, sample in enumerate(given):
        if number == WARM:
            board.start()
        net.step(sample)
        plain.step(sample)
        check(kernels, number, [*net.output, *net.state], [*plain.output, *plain.state])
    steps = len(given) - WARM
    parts = {name: (cycles / steps, board.entered[name] / steps) for name, cycles in board.cycles.items()}
    return Counted(sum(board.cycles.values()) / steps, parts, _divided(board.calls, steps))


def _divided(counts: Counter[str], steps: int) -> dict[str, float]:
    return {name: n / steps for name, n in counts.items()}


def on_core(kernels: str, size: Size, steps: int = STEPS) -> Counted:
    """count() for a size."""
    return count(kernels, size.file(), size.samples(WARM + steps))


def in_c(variant: str, size: Size, steps: int = STEPS) -> float:
    """Cycles of a step in C on the same core. Raises TinyrnnError as count() does, RuntimeMissing without compiler."""
    import urnn

    from tinyrnn.emulation.c_baseline import CNet

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


def on_firmware(firmware: Path, kernels: str, sizes: list[Size], compiled: bool = True) -> dict[Size, Timed]:
    """What whole steps take on the emulated RP2040; compiled: by mpy-cross, else by the firmware.

    Raises TinyrnnError when the board's outputs or states are not those of the plain kernels on the host.
    """
    from tinyrnn.emulation.rp2040_firmware import host_digest, time_steps

    files = {f"h{size.hidden}.urnn": (size, size.file()) for size in sizes}
    found = {}
    for name, timed in time_steps(firmware, {n: data for n, (_, data) in files.items()}, kernels, compiled).items():
        size, data = files[name]
        want = host_digest(data)
        if timed.digest != want:
            raise TinyrnnError(f"{kernels}, {name}: digest {timed.digest} on the board, expected {want}")
        found[size] = timed
    return found


@dataclass(frozen=True)
class Fit:
    """step = fixed + per_mac * MACs + per_unit * H; slope: cycles a MAC between the two largest sizes."""

    fixed: float
    per_mac: float
    per_unit: float
    slope: float

    def step(self, size: Size) -> float:
        return self.fixed + self.per_mac * size.macs + self.per_unit * size.hidden


def fit(sizes: Sequence[Size], step: Callable[[Size], float]) -> Fit:
    """Least squares over three sizes or more, the largest at the end. step(size): cycles."""
    import numpy as np

    cycles = [step(size) for size in sizes]
    rows = np.array([[1.0, size.macs, size.hidden] for size in sizes])
    fixed, per_mac, per_unit = np.linalg.lstsq(rows, np.array(cycles), rcond=None)[0]
    slope = (cycles[-1] - cycles[-2]) / (sizes[-1].macs - sizes[-2].macs)
    return Fit(float(fixed), float(per_mac), float(per_unit), slope)


def kernel_sets() -> tuple[list[str], list[str]]:
    """The sets with machine code for this core, and those without, plain at the end; each best first."""
    from tinyrnn.emulation.core_board import PACKAGE, CoreBoard
    from tinyrnn.emulation.mpy_file import machine_functions

    names = CoreBoard().urnn.kernel_sets()
    with_code = [n for n in names if machine_functions((PACKAGE / f"kernels_{n}.py").read_text(encoding="utf-8"))]
    return with_code, [name for name in names if name not in with_code]
