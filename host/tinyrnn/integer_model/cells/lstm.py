# SPDX-License-Identifier: MIT
"""LSTM in integers: device/urnn/lstm.py; docs/numerics.md, equations 18 to 23."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import Matrix, Product, read_product

RANGE_MOST = 12  # largest extra: c is within +-2^12


@dataclass(frozen=True)
class LSTM(Recurrent):
    """W (4H, I) of the layer's input, U (4H, P) of the output; rows i, f, o, g; both give Q3.12. R (P, H) or None.

    The state is h (P, which is H without R) in Q0.15, then c (H) in Q(extra).(15-extra).
    """

    tag: ClassVar[bytes] = b"LSTM"
    options: ClassVar[tuple[str, ...]] = ("", "projection")
    r: Matrix | None
    extra: int  # 0..12

    @property
    def hidden(self) -> int:
        """H, the length of c."""
        return self.w.shape[0] // 4

    @property
    def state_size(self) -> int:
        return self.units + self.hidden

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        return *super().products, *([("R", self.r)] if self.r else [])

    def to_bytes(self) -> bytes:
        head = struct.pack("<HHHH", self.inputs, self.hidden, self.extra, self.units if self.r else 0)
        return head + b"".join(product.to_bytes() for _, product in self.products)

    @classmethod
    def from_bytes(cls, data: memoryview) -> LSTM:
        _, _, extra, outputs = struct.unpack_from("<HHHH", data)
        w, size = read_product(data[8:])
        u, more = read_product(data[8 + size :])
        return cls(w, u, Matrix.from_bytes(data[8 + size + more :])[0] if outputs else None, extra & 255)

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> LSTM:
        width = draw.number(1, units) if option else units
        w, u = draw.product(4 * units, inputs), draw.product(4 * units, width)
        return cls(w, u, draw.matrix(width, units) if option else None, draw.number(0, RANGE_MOST))


CELL = LSTM
