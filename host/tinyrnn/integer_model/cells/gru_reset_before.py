"""GRU with the reset before the recurrent product: device/urnn/grub.py; docs/numerics.md, equations 18 to 21."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Recurrent
from tinyrnn.integer_model.matrices import Product, read_product


@dataclass(frozen=True)
class GRUBefore(Recurrent):
    """W (3H, I) on the layer's input, rows r, z, n; U of r and z (2H, H) on the state; of n (H, H) on r * state."""

    tag: ClassVar[bytes] = b"GRUB"
    n: Product

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        return *super().products, ("N", self.n)

    def to_bytes(self) -> bytes:
        return struct.pack("<HH", self.inputs, self.units) + b"".join(product.to_bytes() for _, product in self.products)

    @classmethod
    def from_bytes(cls, data: memoryview) -> GRUBefore:
        w, size = read_product(data[4:])
        u, more = read_product(data[4 + size :])
        return cls(w, u, read_product(data[4 + size + more :])[0])


CELL = GRUBefore
