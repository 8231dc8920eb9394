# SPDX-License-Identifier: MIT
"""PyTorch's GRU in integers: device/urnn/gru.py; docs/numerics.md, equations 9 to 12."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import read_product


@dataclass(frozen=True)
class GRU(Recurrent):
    """W (3H, I) of the layer's input, U (3H, H) of the state; rows r, z, n; both give Q3.12. The state is Q0.15."""

    tag: ClassVar[bytes] = b"GRU"

    def to_bytes(self) -> bytes:
        return struct.pack("<HH", self.inputs, self.units) + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> GRU:
        w, size = read_product(data[4:])
        return cls(w, read_product(data[4 + size :])[0])

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> GRU:
        return cls(draw.product(3 * units, inputs), draw.product(3 * units, units))


CELL = GRU
