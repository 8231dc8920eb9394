# SPDX-License-Identifier: MIT
"""Count the cycles of a step in three ways, and fit a linear model to them.

on_core() runs the machine code of a kernel set on the Cortex-M0+ core, and in_c() the same step in C. on_firmware() runs
net.step() on the emulated RP2040 under MicroPython. All three compare all integers with the plain kernels.
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
WARM = 1  # steps before the counted ones
HIDDEN = (8, 16, 32, 48, 64, 96)  # sizes of the fit


@dataclass(frozen=True)
class Size:
    """The size of a network of one GRU layer and a head."""

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
        """count samples like those of a sensor, the same each time."""
        return samples(self.inputs, count)

    def others(self, hidden: Iterable[int]) -> list[Size]:
        """The same size with other numbers of units."""
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
            raise TinyrnnError(f"{kernels}: step {step}, integer {at}: expected {w}, got {g}: the kernels differ from plain")


@dataclass(frozen=True)
class Counted:
    """Mean cycles of a step.

    parts: function -> (its cycles, its calls) in a step. asked: runtime function -> its calls in a step.
    """

    step: float
    parts: dict[str, tuple[float, float]]
    asked: dict[str, float]


def count(kernels: str, data: bytes, given: Sequence[tuple[int, ...]]) -> Counted:
    """Count the machine code's cycles in a step of a model file. The first WARM of the given samples do not count.

    Raises TinyrnnError with the first output or state that differs from the plain kernels'.
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
    """Cycles of a step in C on the same core. Raises the errors of count(), and RuntimeMissing without a compiler."""
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
    """Time whole steps on the emulated RP2040. compiled: whether mpy-cross compiles the package, or the firmware.

    Raises TinyrnnError when the board's outputs or states differ from those of the plain kernels on the host.
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
    """step = fixed + per_mac * MACs + per_unit * H. slope: cycles per MAC between the two largest sizes."""

    fixed: float
    per_mac: float
    per_unit: float
    slope: float

    def step(self, size: Size) -> float:
        return self.fixed + self.per_mac * size.macs + self.per_unit * size.hidden


def fit(sizes: Sequence[Size], step: Callable[[Size], float]) -> Fit:
    """Fit by least squares over at least three sizes, the largest last. step(size) gives the cycles."""
    import numpy as np

    cycles = [step(size) for size in sizes]
    rows = np.array([[1.0, size.macs, size.hidden] for size in sizes])
    fixed, per_mac, per_unit = np.linalg.lstsq(rows, np.array(cycles), rcond=None)[0]
    slope = (cycles[-1] - cycles[-2]) / (sizes[-1].macs - sizes[-2].macs)
    return Fit(float(fixed), float(per_mac), float(per_unit), slope)


def kernel_sets() -> tuple[list[str], list[str]]:
    """(kernel sets with machine code for this core, those without). Each list has the fastest first and plain last."""
    from tinyrnn.emulation.core_board import PACKAGE, CoreBoard
    from tinyrnn.emulation.mpy_file import machine_functions

    names = CoreBoard().urnn.kernel_sets()
    with_code = [n for n in names if machine_functions((PACKAGE / f"kernels_{n}.py").read_text(encoding="utf-8"))]
    return with_code, [name for name in names if name not in with_code]
