# SPDX-License-Identifier: MIT
"""The simple recurrent network in integers: device/urnn/rnn.py; docs/numerics.md, equations 19 and 20."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import Draw, Recurrent
from tinyrnn.integer_model.matrices import read_product


@dataclass(frozen=True)
class RNN(Recurrent):
    """W (H, I) of the layer's input, U (H, H) of the state. Both give Q3.12 with tanh, the state's format with ReLU."""

    tag: ClassVar[bytes] = b"RNN"
    options: ClassVar[tuple[str, ...]] = ("", "relu")
    relu: bool

    @property
    def title(self) -> str:
        return f"{super().title}-relu" if self.relu else super().title

    def to_bytes(self) -> bytes:
        return struct.pack("<HHHH", self.inputs, self.units, self.relu, 0) + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> RNN:
        w, size = read_product(data[8:])
        return cls(w, read_product(data[8 + size :])[0], bool(data[4]))

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> RNN:
        return cls(draw.product(units, inputs), draw.product(units, units), bool(option))


CELL = RNN
