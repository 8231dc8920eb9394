# SPDX-License-Identifier: MIT
"""Matrices of int8 weights, and the products of cells: a matrix or two low-rank factors, with or without normalisation.

docs/format.md, device/urnn/format.py and device/urnn/products.py describe their form in the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from urnn import format as frame

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.limits import ACTIVATION_MAX


def accumulator_bound(weight: np.ndarray, bias: np.ndarray | int) -> np.ndarray:
    """Bound on the magnitude of every partial sum of each row, int64 (...): |bias| + sum |w| * 32767 (equation 8).

    weight: (..., C) integers. bias: (...), including the rounding half.
    """
    total: np.ndarray = np.abs(weight.astype(np.int64)).sum(axis=-1) * ACTIVATION_MAX
    return total + np.abs(np.asarray(bias, np.int64))


@dataclass(frozen=True)
class Matrix:
    """A matrix whose rows compute ``(bias + sum(weight * x)) >> shift``; docs/numerics.md, equation 7."""

    weight: np.ndarray  # int8 (R, C), -127..127
    bias: np.ndarray  # int32 (R,), in the accumulator's scale, including the rounding half
    shift: np.ndarray  # uint8 (R,), 0..30

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C)"""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def matrices(self) -> tuple[tuple[str, Matrix], ...]:
        """The matrices to prove, by name: this one."""
        return (("", self),)

    def real(self) -> np.ndarray:
        """The weights (R, C) in units of the result's last bit: weight / 2^shift."""
        return self.weight / 2.0 ** self.shift.astype(np.float64)[:, None]

    def bounds(self) -> np.ndarray:
        """accumulator_bound() of each row, int64 (R,)."""
        return accumulator_bound(self.weight, self.bias)

    def to_bytes(self) -> bytes:
        """The matrix as in the file: blocks of four rows, with the weights of a block column by column."""
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
        """The inverse of ``to_bytes``. Returns the matrix and its length in bytes."""
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
    """The table of the kernel scale(), layer normalisation of n integers; docs/numerics.md, equations 28 to 32."""

    gain: np.ndarray  # int16 (n,), including sqrt(n / 2^p)
    bias: np.ndarray  # int16 (n,), in the result's format
    epsilon: int  # 1..32768
    shift: int  # of the product of gain and normalised value, 0..15

    @property
    def power(self) -> int:
        """p, the smallest with n <= 2^p."""
        return (len(self.gain) - 1).bit_length()

    def to_bytes(self) -> bytes:
        n, p = len(self.gain), self.power
        if n > 16384:
            raise ModelError(f"a layer normalisation of {n} numbers; expected at most 16384")
        reciprocal = ((2 << 14 + p) + n) // (2 * n)
        rows = np.stack([self.gain, self.bias], axis=1).astype("<i2")
        return struct.pack("<4I", p, reciprocal, self.epsilon, self.shift) + rows.tobytes()

    @staticmethod
    def from_bytes(data: memoryview, n: int) -> tuple[Norm, int]:
        """The inverse of ``to_bytes`` for n numbers. Returns the table and its length in bytes."""
        _, _, epsilon, shift = struct.unpack_from("<4I", data)
        gain, bias = np.frombuffer(data[16 : 16 + 4 * n], "<i2").reshape(-1, 2).T
        return Norm(gain, bias, epsilon, shift), 16 + 4 * n


@dataclass(frozen=True)
class Fine:
    """Finer rows, whose weights have 15 bits, 128 * high + low; docs/numerics.md, equation 36.

    The matrix's own row holds the low halves and the bias, with a shift of 0. F more rows at the end hold the high halves.
    """

    rows: np.ndarray  # uint16 (F,), numbers of the finer rows
    shift: np.ndarray  # uint16 (F,), 0..30, shift of the whole sum

    def to_bytes(self) -> bytes:
        return np.stack([self.rows, self.shift], axis=1).astype("<u2").tobytes()

    @staticmethod
    def from_bytes(data: memoryview, count: int) -> Fine:
        return Fine(*np.frombuffer(data[: 4 * count], "<u2").reshape(-1, 2).T)


@dataclass(frozen=True)
class ExtendedProduct:
    """More than a matrix: ``matrix @ (low @ x)`` if there are two factors, and normalised if ``norm`` is set."""

    matrix: Matrix  # (R + F, C), or (R + F, K) if there are two factors
    low: Matrix | None = None  # (K, C), with results that are proven to fit in 16 bits
    norm: Norm | None = None  # of R numbers
    fine: Fine | None = None  # the F finer rows

    @property
    def shape(self) -> tuple[int, int]:
        """(R, C), without the rows of high halves."""
        return self.matrix.shape[0] - self.extra, (self.low or self.matrix).shape[1]

    def real(self) -> np.ndarray:
        """The weights of ``matrix``, (R, C) or (R, K), in units of the result's last bit."""
        whole = self.matrix.real()
        if self.fine is None:
            return whole
        rows, high = self.fine.rows, whole[self.shape[0] :]
        whole[rows] = (whole[rows] + 128 * high) / 2.0 ** self.fine.shift.astype(np.float64)[:, None]
        return whole[: self.shape[0]]

    @property
    def extra(self) -> int:
        """F, the number of finer rows."""
        return len(self.fine.rows) if self.fine else 0

    @property
    def matrices(self) -> tuple[tuple[str, Matrix], ...]:
        """The matrices by name, in the file's order: "", or B and A if there are two factors."""
        return (("", self.matrix),) if self.low is None else ((" B", self.low), (" A", self.matrix))

    def to_bytes(self) -> bytes:
        rank = self.low.shape[0] if self.low else 0
        members = [self.low, self.matrix, self.fine, self.norm]
        head = struct.pack("<4H", 0, bool(self.norm), rank, self.extra)
        return head + b"".join(member.to_bytes() for member in members if member)


Product = Matrix | ExtendedProduct


def read_product(data: memoryview) -> tuple[Product, int]:
    """The matrix or extended product at the start of data, and its length in bytes."""
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
