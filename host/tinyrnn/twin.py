"""The numpy twin of the device: the same integers for many sequences at once. Tests hold it equal to ``urnn``.

Sums run in float64 BLAS, which is exact here: the law keeps every partial sum below 2^30 < 2^53.
"""

from __future__ import annotations

import numpy as np
from urnn.tables import TANH

from tinyrnn.network import ACTIVATION_MAX, GRU, Channels, Matrix, Network

_TANH = np.array(TANH, np.int64)


def rshift(x: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Equation 1: x / 2^n to the nearest, halves up."""
    return (x + (np.left_shift(1, n) >> 1)) >> n


def saturate(x: np.ndarray) -> np.ndarray:
    """Equation 2."""
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
    """A matrix ready for batches: equation 7 for x (B, C) -> (B, R)."""

    def __init__(self, matrix: Matrix) -> None:
        self.weight = np.ascontiguousarray(matrix.weight.T, np.float64)
        self.bias = matrix.bias.astype(np.float64)
        self.shift = matrix.shift.astype(np.int64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ self.weight + self.bias).astype(np.int64) >> self.shift


class _GRU:
    def __init__(self, cell: GRU) -> None:
        self.w, self.u, self.units = _Product(cell.w), _Product(cell.u), cell.units

    def step(self, a: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Equations 9 to 12: a = W x + bias (B, 3H), h (B, H) -> h' (B, H)."""
        b = self.u(h)
        units = self.units
        r = sigmoid(saturate(a[:, :units] + b[:, :units]))
        z = sigmoid(saturate(a[:, units : 2 * units] + b[:, units : 2 * units]))
        n = tanh(saturate(a[:, 2 * units :] + rshift(r * saturate(b[:, 2 * units :]), 15)))
        return rshift((32768 - z) * n + z * h, 15)


class Twin:
    """A network that runs batches."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.cells = [_GRU(cell) for cell in network.cells]
        self.head = _Product(network.head)

    def run(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """raw: (B, T, C) integers, padded, from the zero state.

        Returns the outputs (B, T, O) and the states of all layers (B, T, sum of units), int64, after every step. The
        network is causal: padding after a sequence's end does not change what comes before it.
        """
        x = normalise(self.network.input, raw)
        batch, steps = x.shape[:2]
        states = []
        for cell in self.cells:
            a = cell.w(x.reshape(batch * steps, -1)).reshape(batch, steps, -1)
            h = np.zeros((batch, cell.units), np.int64)
            x = np.empty((batch, steps, cell.units), np.int64)
            for t in range(steps):
                x[:, t] = h = cell.step(a[:, t], h)
            states.append(x)
        return self.head(x.reshape(batch * steps, -1)).reshape(batch, steps, -1), np.concatenate(states, axis=2)

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as floats in the user's unit, as net.value() gives them."""
        return outputs * 2.0 ** self.network.exponents.astype(np.float64)
