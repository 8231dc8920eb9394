# SPDX-License-Identifier: MIT
"""FastRNN in integers: device/urnn/fastrnn.py; docs/numerics.md, equations 19 and 24."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import read_product

ONE = 1 << 15  # 1 in Q0.15


@dataclass(frozen=True)
class FastRNN(Recurrent):
    """W (H, I) of the layer's input, U (H, H) of the state; both give Q3.12. The state is in Q(extra).(15-extra)."""

    tag: ClassVar[bytes] = b"FASTRNN"
    alpha: int  # Q0.15, 0..32768
    beta: int  # Q0.15, 0..32768
    extra: int  # 0..15

    def to_bytes(self) -> bytes:
        head = struct.pack("<HH3I", self.inputs, self.units, self.alpha, self.beta, self.extra)
        return head + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> FastRNN:
        w, size = read_product(data[16:])
        return cls(w, read_product(data[16 + size :])[0], *struct.unpack_from("<3I", data, 4))

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> FastRNN:
        w, u = draw.product(units, inputs), draw.product(units, units)
        return cls(w, u, draw.number(0, ONE), draw.number(0, ONE), draw.number(0, 15))


CELL = FastRNN
