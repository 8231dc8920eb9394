"""FastGRNN in integers: device/urnn/fgrn.py; docs/numerics.md, equations 18, 19, 25 to 27."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.integer_model.cells.base import Recurrent
from tinyrnn.integer_model.matrices import read_product


@dataclass(frozen=True)
class FastGRNN(Recurrent):
    """W (H, I) on the layer's input with the gate's bias, U (H, H) on the state; both give Q3.12.

    The state is in Q(extra).(15-extra).
    """

    tag: ClassVar[bytes] = b"FGRN"
    bias: np.ndarray  # int32 (H,), Q3.12 scale: what the candidate's bias has more than the gate's
    zeta: int  # Q1.14, 0..16384
    nu: int
    extra: int  # 0..15

    def to_bytes(self) -> bytes:
        head = struct.pack("<HH3I", self.inputs, self.units, self.zeta, self.nu, self.extra)
        return head + self.bias.astype("<i4").tobytes() + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> FastGRNN:
        _, units, *figures = struct.unpack_from("<HH3I", data)
        at = 16 + 4 * units
        bias = np.frombuffer(data[16:at], "<i4")
        w, size = read_product(data[at:])
        return cls(w, read_product(data[at + size :])[0], bias, *figures)


CELL = FastGRNN
