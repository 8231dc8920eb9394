"""The simple recurrent network in integers: device/urnn/rnn.py; docs/numerics.md, equations 19 and 20."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Recurrent
from tinyrnn.integer_model.matrices import read_product


@dataclass(frozen=True)
class RNN(Recurrent):
    """W (H, I) on the layer's input, U (H, H) on the state; with tanh both give Q3.12, with ReLU the state's format."""

    tag: ClassVar[bytes] = b"RNN "
    relu: bool

    def to_bytes(self) -> bytes:
        return struct.pack("<HHHH", self.inputs, self.units, self.relu, 0) + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> RNN:
        w, size = read_product(data[8:])
        return cls(w, read_product(data[8 + size :])[0], bool(data[4]))


CELL = RNN
