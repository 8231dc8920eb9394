# SPDX-License-Identifier: MIT
"""The simulator: the device's integers in numpy, for many sequences at once. Tests compare it with ``urnn`` by ``==``.

It runs the device program (device_program.py) with a kernel set in numpy. Products use float64 BLAS, which is exact
here: the 31-bit range keeps every partial sum below 2^30 < 2^53.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from urnn import program as codes
from urnn.tables import TANH

from tinyrnn.integer_model.device_program import DeviceProgram, Instruction, Operand, Span
from tinyrnn.integer_model.limits import ACTIVATION_MAX
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Channels, Network, assemble

_TANH = np.array(TANH, np.int64)

Batch = Callable[[Operand, int], np.ndarray]  # a view of n numbers of a vector, for all sequences: (B, n)
Kernel = Callable[[], None]  # one instruction, bound to its vectors


def rshift(x: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Equation 1: x / 2^n, rounded to the nearest integer, halves up."""
    return (x + (np.left_shift(1, n) >> 1)) >> n


def saturate(x: np.ndarray) -> np.ndarray:
    """Equation 2: x limited to -32767..32767."""
    return np.clip(x, -ACTIVATION_MAX, ACTIVATION_MAX)


def _table(s: np.ndarray, bits: int) -> np.ndarray:
    i = s >> bits
    return _TANH[i] + rshift((_TANH[i + 1] - _TANH[i]) * (s & ((1 << bits) - 1)), bits)


def tanh(a: np.ndarray) -> np.ndarray:
    """Equation 3: Q3.12 -> Q0.15."""
    return np.sign(a) * _table(np.abs(a), 7)


def sigmoid(a: np.ndarray) -> np.ndarray:
    """Equation 4: Q3.12 -> Q0.15."""
    return rshift(32768 + np.sign(a) * _table(np.abs(a), 8), 1)


def normalise(channels: Channels, raw: np.ndarray) -> np.ndarray:
    """Equations 5 and 6: raw integers (..., C) -> the net's input format."""
    limited = np.clip(raw.astype(np.int64), channels.low, channels.high)
    return rshift((limited - channels.offset) * channels.factor, channels.shift.astype(np.int64))


class _Product:
    """A matrix prepared for batches: equation 7, x (B, C) -> (B, R)."""

    def __init__(self, matrix: Matrix) -> None:
        self.weight = np.ascontiguousarray(matrix.weight.T, np.float64)
        self.bias = matrix.bias.astype(np.float64)
        self.shift = matrix.shift.astype(np.int64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ self.weight + self.bias).astype(np.int64) >> self.shift


class Simulator:
    """Runs a network on batches of sequences."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.program = DeviceProgram(assemble(network))
        self._products = {
            i: _Product(Matrix.from_bytes(instruction.a)[0])
            for i, instruction in enumerate(self.program.instructions)
            if instruction.code == codes.MATVEC and isinstance(instruction.a, memoryview)
        }

    def run(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run raw integers (B, T, C), padded, from the zero state.

        Returns the outputs (B, T, O) and the states of all layers (B, T, S) after every step, int64. The network is
        causal, so padding does not change earlier outputs.
        """
        program = self.program
        outputs, *states = self._follow(raw, [program.output, *program.states])
        return outputs, np.concatenate(states, axis=2)

    def outputs(self, raw: np.ndarray) -> np.ndarray:
        """As run(), but returns only the outputs (B, T, O): the states of long sequences would take far more memory."""
        return self._follow(raw, [self.program.output])[0]

    def layer_outputs(self, raw: np.ndarray) -> list[np.ndarray]:
        """As run(), but returns the output of each layer after every step, (B, T, units), and then the outputs (B, T, O)."""
        instructions = self.program.instructions
        # The output of a layer is what the first instruction of the next section reads
        firsts = [instruction for before, instruction in pairwise(instructions) if before.section != instruction.section]
        spans = []
        for cell, instruction in zip(self.network.cells, firsts[-len(self.network.cells) :], strict=True):
            assert isinstance(instruction.b, Span), "a layer begins with a product or a normalisation of its input"
            spans.append(Span(instruction.b.vector, instruction.b.start, cell.units))
        return self._follow(raw, [*spans, self.program.output])

    def _follow(self, raw: np.ndarray, spans: list[Span]) -> list[np.ndarray]:
        """The numbers in each span after every step, (B, T, length)."""
        x = normalise(self.network.input, raw)
        batch, steps = x.shape[:2]
        program = self.program
        vectors = [np.zeros((batch, length), np.int64) for length in program.lengths]

        def vector(operand: Operand, n: int) -> np.ndarray:
            assert isinstance(operand, Span), "a kernel's definition names a vector here"
            return vectors[operand.vector][:, operand.start : operand.start + n]

        entry, *rest = program.instructions
        sample = vector(entry.c, entry.n)
        kernels = [self._kernel(number, instruction, vector) for number, instruction in enumerate(rest, 1)]
        views = [vector(span, span.length) for span in spans]
        found = [np.empty((batch, steps, span.length), np.int64) for span in spans]
        for t in range(steps):
            sample[:] = x[:, t]
            for kernel in kernels:
                kernel()
            for values, view in zip(found, views, strict=True):
                values[:, t] = view
        return found

    def _kernel(self, number: int, instruction: Instruction, vector: Batch) -> Kernel:
        if instruction.code != codes.MATVEC:
            return KERNELS[instruction.code](instruction, vector)
        product = self._products[number]
        x, y = vector(instruction.b, len(product.weight)), vector(instruction.c, instruction.n)

        def kernel() -> None:
            y[:] = product(x)

        return kernel

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as floats in the user's unit, as from net.value()."""
        return outputs * 2.0 ** self.network.exponents.astype(np.float64)


def _gru(instruction: Instruction, vector: Batch) -> Kernel:
    """Equations 9 to 12."""
    n = instruction.n
    a, b, h = vector(instruction.a, 3 * n), vector(instruction.b, 3 * n), vector(instruction.c, n)

    def kernel() -> None:
        gates = sigmoid(saturate(a[:, : 2 * n] + b[:, : 2 * n]))
        r, z = gates[:, :n], gates[:, n:]
        new = tanh(saturate(a[:, 2 * n :] + rshift(r * saturate(b[:, 2 * n :]), 15)))
        h[:] = rshift((32768 - z) * new + z * h, 15)

    return kernel


def _elementwise(of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Instruction, Batch], Kernel]:
    def make(instruction: Instruction, vector: Batch) -> Kernel:
        a, b, c = (vector(operand, instruction.n) for operand in (instruction.a, instruction.b, instruction.c))

        def kernel() -> None:
            c[:] = of(a, b)

        return kernel

    return make


def _mix(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 12."""
    z, a, h = (vector(operand, instruction.n) for operand in (instruction.a, instruction.b, instruction.c))

    def kernel() -> None:
        h[:] = rshift((32768 - z) * a + z * h, 15)

    return kernel


def _memory(instruction: Instruction, vector: Batch) -> Kernel:
    """Equations 22 and 23."""
    n, k = instruction.n, int(_words(instruction.a)[0] & 255)
    i, f, _, g = np.split(vector(instruction.b, 4 * n), 4, axis=1)
    c = vector(instruction.c, n)

    def kernel() -> None:
        c[:] = saturate(rshift(f * c, 15) + rshift(rshift(i * g, 15), k))
        g[:] = tanh(rshift(c, 3 - k) if k < 4 else saturate(c << (k - 3)))

    return kernel


def _leak(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 24."""
    alpha, beta, k = _words(instruction.a)[:3].tolist()
    a, h = vector(instruction.b, instruction.n), vector(instruction.c, instruction.n)

    def kernel() -> None:
        h[:] = saturate(rshift(rshift(alpha * a, 15), k) + rshift(beta * h, 15))

    return kernel


def _blend(instruction: Instruction, vector: Batch) -> Kernel:
    """Equations 25 and 26."""
    zeta, nu, k = _words(instruction.a)[:3].tolist()
    z, a = np.split(vector(instruction.b, 2 * instruction.n), 2, axis=1)
    h = vector(instruction.c, instruction.n)

    def kernel() -> None:
        p = rshift(zeta * (32768 - z), 15) + nu
        h[:] = saturate(rshift(rshift(p * a, 14), k) + rshift(z * h, 15))

    return kernel


def _add(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 27."""
    bias = _words(instruction.a)[: instruction.n].astype(np.int64)
    a, c = vector(instruction.b, instruction.n), vector(instruction.c, instruction.n)

    def kernel() -> None:
        c[:] = a + bias

    return kernel


def rsqrt(w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equation 30: (y, j), so that w^-1/2 = y * 2^(j - 28)."""
    j = np.zeros_like(w)
    for _ in range(14):
        small = w < 1 << 28
        w, j = np.where(small, w << 2, w), j + small
    w = w >> 14
    y = 19400 - (w * 3200 >> 14)
    for _ in range(3):
        y = rshift(y * (49152 - (w * (y * y >> 14) >> 14)), 15)
    return y, j


def _scale(instruction: Instruction, vector: Batch) -> Kernel:
    """Equations 28 to 32."""
    p, r, e, s = _words(instruction.a)[:4].tolist()
    gain, bias = _halves(instruction.a)[8:].reshape(-1, 2).T.astype(np.int64)
    a, c = vector(instruction.b, instruction.n), vector(instruction.c, instruction.n)

    def kernel() -> None:
        limited = saturate(a)
        total = limited.sum(axis=1, keepdims=True)
        mean = saturate(rshift(rshift(total, p) * r, 14))
        d = rshift(limited - mean, 1)
        y, j = rsqrt(e + rshift(d * d, p).sum(axis=1, keepdims=True))
        q = saturate(rshift(d * y, 16 - j))
        c[:] = saturate(rshift(q * gain, s) + bias)

    return kernel


def _embed(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 33."""
    table = saturate(_halves(instruction.a)[2:].astype(np.int64)).reshape(-1, instruction.n)
    x, c = vector(instruction.b, 1)[:, 0], vector(instruction.c, instruction.n)

    def kernel() -> None:
        c[:] = table[np.clip(x, 0, len(table) - 1)]

    return kernel


def _limit(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 2."""
    a, c = vector(instruction.b, instruction.n), vector(instruction.c, instruction.n)

    def kernel() -> None:
        c[:] = saturate(a)

    return kernel


def _fine(instruction: Instruction, vector: Batch) -> Kernel:
    """Equation 36."""
    rows, shift = _halves(instruction.a).reshape(-1, 2).T.astype(np.int64)
    a, c = vector(instruction.b, instruction.n), vector(instruction.c, int(rows.max()) + 1)

    def kernel() -> None:
        c[:, rows] = (c[:, rows] + (a << 7)) >> shift

    return kernel


def _words(table: Operand) -> np.ndarray:
    assert isinstance(table, memoryview), "a kernel's definition names a table here"
    return np.frombuffer(table[: len(table) & -4], "<i4")


def _halves(table: Operand) -> np.ndarray:
    assert isinstance(table, memoryview), "a kernel's definition names a table here"
    return np.frombuffer(table, "<i2")


KERNELS: dict[int, Callable[[Instruction, Batch], Kernel]] = {
    codes.GRU: _gru,
    codes.SIGMOID: _elementwise(lambda a, b: sigmoid(saturate(a + b))),
    codes.TANH: _elementwise(lambda a, b: tanh(saturate(a + b))),
    codes.RELU: _elementwise(lambda a, b: np.clip(a + b, 0, ACTIVATION_MAX)),
    codes.MUL: _elementwise(lambda a, b: rshift(a * b, 15)),
    codes.MIX: _mix,
    codes.MEMORY: _memory,
    codes.LEAK: _leak,
    codes.BLEND: _blend,
    codes.ADD: _add,
    codes.SCALE: _scale,
    codes.EMBED: _embed,
    codes.LIMIT: _limit,
    codes.FINE: _fine,
}
