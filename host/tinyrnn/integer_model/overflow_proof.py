"""The proof that a program stays in the 31-bit range: every intermediate of every step, for any input, in [-2^30, 2^30).

It follows the largest magnitude of each number through the steps, from states and inputs of 16 bits. The kernels' insides
stay in the range by construction where their arguments are as their docstrings say (docs/numerics.md proves it); here it is
checked that they are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from urnn import program as codes

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.device_program import DeviceProgram, Instruction, Operand, Span
from tinyrnn.integer_model.limits import ACTIVATION_MAX, LIMIT
from tinyrnn.integer_model.matrices import Matrix

HALF = 1 << 14
SIGMOID_MAX = 32757
ONE = 32768


class Bounds:
    """The largest magnitude of each number of each vector. where(section) names a section for messages."""

    def __init__(self, steps: DeviceProgram, where: Callable[[int], str]) -> None:
        self.steps = steps
        self.where = where
        self.vectors = [np.zeros(length, np.int64) for length in steps.lengths]
        for state in steps.states:
            self.set(state, state.length, ACTIVATION_MAX)

    def get(self, operand: Operand, n: int) -> np.ndarray:
        assert isinstance(operand, Span), "a kernel's definition names a vector here"
        return self.vectors[operand.vector][operand.start : operand.start + n]

    def set(self, operand: Operand, n: int, values: np.ndarray | int) -> None:
        self.get(operand, n)[:] = values

    def prove(self) -> None:
        """Follow all steps. Raises ModelError, naming the layer and the row."""
        for step in self.steps.steps:
            RULES[step.code](self, step)
        for state in self.steps.states:
            self.check_16_bits(self.get(state, state.length), len(self.steps.tags) - 1, "state")

    def check(self, values: np.ndarray, section: int, what: str) -> None:
        """Raise ModelError unless all values are below 2^30."""
        if (values >= LIMIT).any():
            row = int(values.argmax())
            raise ModelError(f"{self.where(section)} row {row}: {what} can reach {values[row]}; expected below 2^30")

    def check_16_bits(self, values: np.ndarray, section: int, what: str) -> None:
        if (values > ACTIVATION_MAX).any():
            row = int(values.argmax())
            raise ModelError(f"{self.where(section)}: {what} {row} can reach {values[row]}; expected 16 bits")


def _normalise(bounds: Bounds, step: Instruction) -> None:
    bounds.set(step.c, step.n, ACTIVATION_MAX)  # the packer and load() check the table: equation 6


def _matvec(bounds: Bounds, step: Instruction) -> None:
    assert isinstance(step.a, memoryview)
    matrix, _ = Matrix.from_bytes(step.a)
    bounds.check_16_bits(bounds.get(step.b, matrix.shape[1]), step.section, "input")
    total = matrix.bounds()
    bounds.check(total, step.section, "the accumulator")
    shift = matrix.shift.astype(np.int64)
    # Shifts round down: a negative sum may end one further from zero
    after = (total >> shift) + (shift > 0)
    bounds.set(step.c, step.n, np.where(total <= ACTIVATION_MAX << shift, np.minimum(after, ACTIVATION_MAX), after))


def _gru(bounds: Bounds, step: Instruction) -> None:
    rows = 3 * step.n
    bounds.check(bounds.get(step.a, rows) + bounds.get(step.b, rows), step.section, "the gate's sum")
    bounds.set(step.a, rows, ONE)
    bounds.set(step.c, step.n, ACTIVATION_MAX)


def _sum(largest: int) -> Callable[[Bounds, Instruction], None]:
    def rule(bounds: Bounds, step: Instruction) -> None:
        bounds.check(bounds.get(step.a, step.n) + bounds.get(step.b, step.n), step.section, "the gate's sum")
        bounds.set(step.c, step.n, largest)

    return rule


def _mul(bounds: Bounds, step: Instruction) -> None:
    value = bounds.get(step.a, step.n) * bounds.get(step.b, step.n) + HALF
    bounds.check(value, step.section, "the product")
    bounds.set(step.c, step.n, value >> 15)


def _mix(bounds: Bounds, step: Instruction) -> None:
    bounds.check_16_bits(np.concatenate([bounds.get(v, step.n) for v in (step.a, step.b, step.c)]), step.section, "mix")
    bounds.set(step.c, step.n, ACTIVATION_MAX)


def _memory(bounds: Bounds, step: Instruction) -> None:
    bounds.check_16_bits(bounds.get(step.b, 4 * step.n), step.section, "gate")
    # i and f are sigmoids: docs/numerics.md needs no more than 32757 of them
    bounds.check(bounds.get(step.b, 2 * step.n) * ACTIVATION_MAX + HALF, step.section, "the product")
    bounds.get(step.b, 4 * step.n)[3 * step.n :] = ACTIVATION_MAX
    bounds.set(step.c, step.n, ACTIVATION_MAX)


def _leak(bounds: Bounds, step: Instruction) -> None:
    bounds.check_16_bits(bounds.get(step.b, step.n), step.section, "candidate")
    bounds.set(step.c, step.n, ACTIVATION_MAX)


def _blend(bounds: Bounds, step: Instruction) -> None:
    bounds.check_16_bits(bounds.get(step.b, 2 * step.n), step.section, "gate")
    bounds.set(step.c, step.n, ACTIVATION_MAX)


def _add(bounds: Bounds, step: Instruction) -> None:
    assert isinstance(step.a, memoryview)
    bias = np.frombuffer(step.a, "<i4", step.n).astype(np.int64)
    value = bounds.get(step.b, step.n) + np.abs(bias)
    bounds.check(value, step.section, "the sum")
    bounds.set(step.c, step.n, value)


def _scale(bounds: Bounds, step: Instruction) -> None:
    bounds.set(step.c, step.n, ACTIVATION_MAX)  # whatever comes in is saturated


def _fine(bounds: Bounds, step: Instruction) -> None:
    assert isinstance(step.a, memoryview)
    rows, shift = np.frombuffer(step.a, "<u2").reshape(-1, 2).T.astype(np.int64)
    vector = bounds.get(step.c, int(rows.max()) + 1)
    high = bounds.get(step.b, step.n) << 7
    bounds.check(high, step.section, "the high part of a fine row")
    total = vector[rows] + high
    bounds.check(total, step.section, "the sum of a fine row")
    vector[rows] = (total >> shift) + 1


RULES: dict[int, Callable[[Bounds, Instruction], None]] = {
    codes.NORMALISE: _normalise,
    codes.MATVEC: _matvec,
    codes.GRU: _gru,
    codes.SIGMOID: _sum(SIGMOID_MAX),
    codes.TANH: _sum(ACTIVATION_MAX),
    codes.RELU: _sum(ACTIVATION_MAX),
    codes.MUL: _mul,
    codes.MIX: _mix,
    codes.MEMORY: _memory,
    codes.LEAK: _leak,
    codes.BLEND: _blend,
    codes.ADD: _add,
    codes.SCALE: _scale,
    codes.EMBED: _scale,
    codes.LIMIT: _scale,
    codes.FINE: _fine,
}
