# SPDX-License-Identifier: MIT
"""GRU, reset before the recurrent product: device/urnn/gru_reset_before.py; docs/numerics.md, equations 18 to 21."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import Product, read_product


@dataclass(frozen=True)
class GRUResetBefore(Recurrent):
    """W (3H, I) of the layer's input, rows r, z, n; U (2H, H) of the state, rows r, z; N (H, H) of r * state.

    All give Q3.12. The state is Q0.15.
    """

    tag: ClassVar[bytes] = b"GRU_RESET_BEFORE"
    n: Product

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        return *super().products, ("N", self.n)

    def to_bytes(self) -> bytes:
        return struct.pack("<HH", self.inputs, self.units) + b"".join(product.to_bytes() for _, product in self.products)

    @classmethod
    def from_bytes(cls, data: memoryview) -> GRUResetBefore:
        w, size = read_product(data[4:])
        u, more = read_product(data[4 + size :])
        return cls(w, u, read_product(data[4 + size + more :])[0])

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> GRUResetBefore:
        w, u = draw.product(3 * units, inputs), draw.product(2 * units, units)
        return cls(w, u, draw.product(units, units))


CELL = GRUResetBefore
