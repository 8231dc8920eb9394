# SPDX-License-Identifier: MIT
"""The overflow proof: every intermediate value of every step, for any input, stays in the 31-bit range [-2^30, 2^30).

It starts from states and inputs of 16 bits and follows the largest magnitude of each number through the instructions. A
kernel stays in range if its arguments are as its docstring requires (docs/numerics.md proves this). The rules here check
that they are.
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
    """The largest magnitude of each number in each vector. where(section) gives the name of a section for messages."""

    def __init__(self, program: DeviceProgram, where: Callable[[int], str]) -> None:
        self.program = program
        self.where = where
        self.vectors = [np.zeros(length, np.int64) for length in program.lengths]
        for state in program.states:
            self.set(state, state.length, ACTIVATION_MAX)

    def get(self, operand: Operand, n: int) -> np.ndarray:
        assert isinstance(operand, Span), "a kernel's definition names a vector here"
        return self.vectors[operand.vector][operand.start : operand.start + n]

    def set(self, operand: Operand, n: int, values: np.ndarray | int) -> None:
        self.get(operand, n)[:] = values

    def prove(self) -> None:
        """Follow all instructions. Raises ModelError, which names the layer and the row."""
        for instruction in self.program.instructions:
            RULES[instruction.code](self, instruction)
        for state in self.program.states:
            self.check_16_bits(self.get(state, state.length), len(self.program.tags) - 1, "state")

    def check(self, values: np.ndarray, section: int, what: str) -> None:
        """Raise ModelError unless all values are below 2^30."""
        if (values >= LIMIT).any():
            row = int(values.argmax())
            raise ModelError(f"{self.where(section)} row {row}: {what} can reach {values[row]}; expected below 2^30")

    def check_16_bits(self, values: np.ndarray, section: int, what: str) -> None:
        if (values > ACTIVATION_MAX).any():
            row = int(values.argmax())
            raise ModelError(f"{self.where(section)}: {what} {row} can reach {values[row]}; expected 16 bits")


def _normalise(bounds: Bounds, instruction: Instruction) -> None:
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)  # the packer and load() check the table: equation 6


def _matvec(bounds: Bounds, instruction: Instruction) -> None:
    assert isinstance(instruction.a, memoryview)
    matrix, _ = Matrix.from_bytes(instruction.a)
    bounds.check_16_bits(bounds.get(instruction.b, matrix.shape[1]), instruction.section, "input")
    total = matrix.bounds()
    bounds.check(total, instruction.section, "the accumulator")
    shift = matrix.shift.astype(np.int64)
    # Shifts round down, so a negative sum may end one further from zero
    after = (total >> shift) + (shift > 0)
    bounds.set(
        instruction.c, instruction.n, np.where(total <= ACTIVATION_MAX << shift, np.minimum(after, ACTIVATION_MAX), after)
    )


def _gru(bounds: Bounds, instruction: Instruction) -> None:
    rows = 3 * instruction.n
    bounds.check(bounds.get(instruction.a, rows) + bounds.get(instruction.b, rows), instruction.section, "the gate's sum")
    bounds.set(instruction.a, rows, ONE)
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)


def _sum(largest: int) -> Callable[[Bounds, Instruction], None]:
    def rule(bounds: Bounds, instruction: Instruction) -> None:
        bounds.check(
            bounds.get(instruction.a, instruction.n) + bounds.get(instruction.b, instruction.n),
            instruction.section,
            "the gate's sum",
        )
        bounds.set(instruction.c, instruction.n, largest)

    return rule


def _mul(bounds: Bounds, instruction: Instruction) -> None:
    value = bounds.get(instruction.a, instruction.n) * bounds.get(instruction.b, instruction.n) + HALF
    bounds.check(value, instruction.section, "the product")
    bounds.set(instruction.c, instruction.n, value >> 15)


def _mix(bounds: Bounds, instruction: Instruction) -> None:
    bounds.check_16_bits(
        np.concatenate([bounds.get(v, instruction.n) for v in (instruction.a, instruction.b, instruction.c)]),
        instruction.section,
        "mix",
    )
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)


def _memory(bounds: Bounds, instruction: Instruction) -> None:
    bounds.check_16_bits(bounds.get(instruction.b, 4 * instruction.n), instruction.section, "gate")
    # i and f are results of sigmoid, at most 32757; docs/numerics.md relies on that
    bounds.check(bounds.get(instruction.b, 2 * instruction.n) * ACTIVATION_MAX + HALF, instruction.section, "the product")
    bounds.get(instruction.b, 4 * instruction.n)[3 * instruction.n :] = ACTIVATION_MAX
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)


def _leak(bounds: Bounds, instruction: Instruction) -> None:
    bounds.check_16_bits(bounds.get(instruction.b, instruction.n), instruction.section, "candidate")
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)


def _blend(bounds: Bounds, instruction: Instruction) -> None:
    bounds.check_16_bits(bounds.get(instruction.b, 2 * instruction.n), instruction.section, "gate")
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)


def _add(bounds: Bounds, instruction: Instruction) -> None:
    assert isinstance(instruction.a, memoryview)
    bias = np.frombuffer(instruction.a, "<i4", instruction.n).astype(np.int64)
    value = bounds.get(instruction.b, instruction.n) + np.abs(bias)
    bounds.check(value, instruction.section, "the sum")
    bounds.set(instruction.c, instruction.n, value)


def _scale(bounds: Bounds, instruction: Instruction) -> None:
    bounds.set(instruction.c, instruction.n, ACTIVATION_MAX)  # the result is saturated


def _fine(bounds: Bounds, instruction: Instruction) -> None:
    assert isinstance(instruction.a, memoryview)
    rows, shift = np.frombuffer(instruction.a, "<u2").reshape(-1, 2).T.astype(np.int64)
    vector = bounds.get(instruction.c, int(rows.max()) + 1)
    high = bounds.get(instruction.b, instruction.n) << 7
    bounds.check(high, instruction.section, "the high half of a finer row")
    total = vector[rows] + high
    bounds.check(total, instruction.section, "the sum of a finer row")
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
