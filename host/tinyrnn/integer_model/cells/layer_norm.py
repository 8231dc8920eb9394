"""Layer normalisation between cells: device/urnn/norm.py; docs/numerics.md, equations 28 to 32."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.matrices import Norm


@dataclass(frozen=True)
class Normalisation(IntegerCell):
    """One table; no matrix and no state."""

    tag: ClassVar[bytes] = b"NORM"
    table: Norm

    @property
    def inputs(self) -> int:
        return len(self.table.gain)

    @property
    def units(self) -> int:
        return self.inputs

    @property
    def state_size(self) -> int:
        return 0

    def to_bytes(self) -> bytes:
        return struct.pack("<HH", self.inputs, 0) + self.table.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> Normalisation:
        return cls(Norm.from_bytes(data[4:], int.from_bytes(data[:2], "little"))[0])


CELL = Normalisation
