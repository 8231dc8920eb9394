# SPDX-License-Identifier: MIT
"""FastGRNN in integers: device/urnn/fastgrnn.py; docs/numerics.md, equations 18, 19, 25 to 27."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import read_product

BIAS_LIMIT = 1 << 24
ONE = 1 << 14  # 1 in Q1.14


@dataclass(frozen=True)
class FastGRNN(Recurrent):
    """W (H, I) of the layer's input, with the gate's bias; U (H, H) of the state; both give Q3.12.

    The state is in Q(extra).(15-extra).
    """

    tag: ClassVar[bytes] = b"FASTGRNN"
    bias: np.ndarray  # int32 (H,), in the scale of Q3.12: the candidate's bias less the gate's
    zeta: int  # Q1.14, 0..16384
    nu: int  # Q1.14, 0..16384
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

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> FastGRNN:
        w, u, bias = draw.product(units, inputs), draw.product(units, units), draw.vector(units, BIAS_LIMIT - 1)
        return cls(w, u, bias, draw.number(0, ONE), draw.number(0, ONE), draw.number(0, 15))


CELL = FastGRNN
