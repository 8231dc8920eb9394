"""The table of symbols in front of a network: device/urnn/embd.py; docs/numerics.md, equation 33."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.cells.base import IntegerCell


@dataclass(frozen=True)
class Embedding(IntegerCell):
    """A row of the table for each symbol; no matrix and no state."""

    tag: ClassVar[bytes] = b"EMBD"
    table: np.ndarray  # int16 (N, D), -32767..32767

    @property
    def inputs(self) -> int:
        return 1

    @property
    def units(self) -> int:
        return int(self.table.shape[1])

    @property
    def state_size(self) -> int:
        return 0

    def to_bytes(self) -> bytes:
        if max(self.table.shape) > 0xFFFF:
            raise ModelError(f"an embedding of {self.table.shape} numbers; expected 65535 x 65535 or fewer")
        return struct.pack("<HH", *self.table.shape) + self.table.astype("<i2").tobytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> Embedding:
        return cls(np.frombuffer(data[4:], "<i2").reshape(struct.unpack_from("<HH", data)))


CELL = Embedding
