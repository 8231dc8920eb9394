"""Matrices of int8 weights, and the products that cells have: a matrix, two factors of low rank, normalised or not.

As the model file holds them (docs/format.md, device/urnn/format.py and part.py).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from urnn import format as frame

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.limits import ACTIVATION_MAX


def accumulator_bound(weight: np.ndarray, bias: np.ndarray | int) -> np.ndarray:
    """The largest magnitude of every partial sum of each row, int64: |bias| + sum |w| * 32767 (equation 8).

    weight: (..., C) integers. bias: (...), the rounding half included.
    """
    total: np.ndarray = np.abs(weight.astype(np.int64)).sum(axis=-1) * ACTIVATION_MAX
    return total + np.abs(np.asarray(bias, np.int64))


@dataclass(frozen=True)
class Matrix:
    """Rows of ``(bias + sum(weight * x)) >> shift``; docs/numerics.md, equation 7."""

    weight: np.ndarray  # int8 (R, C), -127..127
    bias: np.ndarray  # int32 (R,), in the accumulator's scale, the rounding half included
    shift: np.ndarray  # uint8 (R,), 0..30

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)"""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def matrices(self) -> tuple[tuple[str, Matrix], ...]:
        """What there is to prove, by name: the one matrix."""
        return (("", self),)

    def real(self) -> np.ndarray:
        """The weights (R, C) as numbers of the result's last bit: weight / 2^shift."""
        return self.weight / 2.0 ** self.shift.astype(np.float64)[:, None]

    def bounds(self) -> np.ndarray:
        """The proven bound of every partial sum of each row, int64 (R,): |bias| + sum |w| * 32767 (equation 8)."""
        return accumulator_bound(self.weight, self.bias)

    def to_bytes(self) -> bytes:
        """The matrix as the file holds it: blocks of four rows, the weights of a block column by column."""
        rows, cols = self.weight.shape
        blocks = (rows + 3) // 4
        weight = np.zeros((blocks * 4, cols), np.int64)
        weight[:rows] = self.weight
        bias = np.zeros(blocks * 4, "<i4")
        bias[:rows] = self.bias
        shift = np.zeros(blocks * 4, np.uint8)
        shift[:rows] = self.shift
        stored = (weight + 128).astype(np.uint8).reshape(blocks, 4, cols).transpose(0, 2, 1)
        parts = [struct.pack("<HH", rows, cols)]
        for b in range(blocks):
            rows4 = slice(4 * b, 4 * b + 4)
            parts += [bias[rows4].tobytes(), shift[rows4].tobytes(), stored[b].tobytes()]
        data = b"".join(parts)
        assert len(data) == frame.matrix_bytes(rows, cols)
        return data

    @staticmethod
    def from_bytes(data: memoryview) -> tuple[Matrix, int]:
        """The inverse of ``to_bytes``; returns the matrix and its length in bytes."""
        rows, cols = struct.unpack_from("<HH", data)
        size = frame.matrix_bytes(rows, cols)
        blocks = np.frombuffer(data[4:size], np.uint8).reshape(-1, 20 + 4 * cols)
        weight = blocks[:, 20:].reshape(-1, cols, 4).transpose(0, 2, 1).reshape(-1, cols)
        return (
            Matrix(
                weight=(weight.astype(np.int16) - 128).astype(np.int8)[:rows],
                bias=np.ascontiguousarray(blocks[:, :16]).view("<i4").reshape(-1)[:rows],
                shift=np.ascontiguousarray(blocks[:, 16:20]).reshape(-1)[:rows],
            ),
            size,
        )


@dataclass(frozen=True)
class Norm:
    """The table of scale(): layer normalisation of n integers; docs/numerics.md, equations 28 to 32."""

    gain: np.ndarray  # int16 (n,), sqrt(n / 2^p) included
    bias: np.ndarray  # int16 (n,), in the result's format
    epsilon: int  # 1..32768
    shift: int  # of gain * normalised, 0..15

    @property
    def power(self) -> int:
        """p: the smallest with n <= 2^p."""
        return (len(self.gain) - 1).bit_length()

    def to_bytes(self) -> bytes:
        n, p = len(self.gain), self.power
        if n > 16384:
            raise ModelError(f"a layer normalisation of {n} numbers; expected 16384 or fewer")
        reciprocal = ((2 << 14 + p) + n) // (2 * n)
        rows = np.stack([self.gain, self.bias], axis=1).astype("<i2")
        return struct.pack("<4I", p, reciprocal, self.epsilon, self.shift) + rows.tobytes()

    @staticmethod
    def from_bytes(data: memoryview, n: int) -> tuple[Norm, int]:
        """The inverse of ``to_bytes`` for n numbers; returns the table and its length in bytes."""
        _, _, epsilon, shift = struct.unpack_from("<4I", data)
        gain, bias = np.frombuffer(data[16 : 16 + 4 * n], "<i2").reshape(-1, 2).T
        return Norm(gain, bias, epsilon, shift), 16 + 4 * n


@dataclass(frozen=True)
class Fine:
    """Rows whose weights have 15 bits, 128 * high + low: docs/numerics.md, equation 36.

    The matrix's own row holds the low parts and the bias, unshifted; F rows behind all others hold the high parts.
    """

    rows: np.ndarray  # uint16 (F,)
    shift: np.ndarray  # uint16 (F,), 0..30, of the whole sum

    def to_bytes(self) -> bytes:
        return np.stack([self.rows, self.shift], axis=1).astype("<u2").tobytes()

    @staticmethod
    def from_bytes(data: memoryview, count: int) -> Fine:
        return Fine(*np.frombuffer(data[: 4 * count], "<u2").reshape(-1, 2).T)


@dataclass(frozen=True)
class ExtendedProduct:
    """More than a matrix: ``matrix @ (low @ x)`` where there are two factors, and normalised where there is a norm."""

    matrix: Matrix  # (R + F, C), or (R + F, K) behind low
    low: Matrix | None = None  # (K, C), its results proven to have 16 bits
    norm: Norm | None = None  # of R numbers
    fine: Fine | None = None  # the F rows of finer weights

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)"""
        return self.matrix.shape[0] - self.extra, (self.low or self.matrix).shape[1]

    def real(self) -> np.ndarray:
        """The weights (R, C), behind low (R, K), as numbers of the result's last bit."""
        whole = self.matrix.real()
        if self.fine is None:
            return whole
        rows, high = self.fine.rows, whole[self.shape[0] :]
        whole[rows] = (whole[rows] + 128 * high) / 2.0 ** self.fine.shift.astype(np.float64)[:, None]
        return whole[: self.shape[0]]

    @property
    def extra(self) -> int:
        """F"""
        return len(self.fine.rows) if self.fine else 0

    @property
    def matrices(self) -> tuple[tuple[str, Matrix], ...]:
        """By name: "" or, of two factors, B and A, in the file's order."""
        return (("", self.matrix),) if self.low is None else ((" B", self.low), (" A", self.matrix))

    def to_bytes(self) -> bytes:
        rank = self.low.shape[0] if self.low else 0
        parts = [self.low, self.matrix, self.fine, self.norm]
        return struct.pack("<4H", 0, bool(self.norm), rank, self.extra) + b"".join(part.to_bytes() for part in parts if part)


Product = Matrix | ExtendedProduct


def read_product(data: memoryview) -> tuple[Product, int]:
    """A matrix or a product at the start of data, as their ``to_bytes`` wrote them; and its length in bytes."""
    rows, norm, rank, extra = struct.unpack_from("<4H", data)
    if rows:
        return Matrix.from_bytes(data)
    at = 8
    low = None
    if rank:
        low, size = Matrix.from_bytes(data[at:])
        at += size
    matrix, size = Matrix.from_bytes(data[at:])
    at += size
    fine = Fine.from_bytes(data[at:], extra) if extra else None
    at += 4 * extra
    table = None
    if norm:
        table, size = Norm.from_bytes(data[at:], matrix.shape[0] - extra)
        at += size
    return ExtendedProduct(matrix, low, table, fine), at
