"""FastRNN in integers: device/urnn/frnn.py; docs/numerics.md, equations 19 and 24."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Recurrent
from tinyrnn.integer_model.matrices import read_product


@dataclass(frozen=True)
class FastRNN(Recurrent):
    """W (H, I) on the layer's input, U (H, H) on the state; both give Q3.12. The state is in Q(extra).(15-extra)."""

    tag: ClassVar[bytes] = b"FRNN"
    alpha: int  # Q0.15, 0..32768
    beta: int
    extra: int  # 0..15

    def to_bytes(self) -> bytes:
        head = struct.pack("<HH3I", self.inputs, self.units, self.alpha, self.beta, self.extra)
        return head + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> FastRNN:
        w, size = read_product(data[16:])
        return cls(w, read_product(data[16 + size :])[0], *struct.unpack_from("<3I", data, 4))


CELL = FastRNN
