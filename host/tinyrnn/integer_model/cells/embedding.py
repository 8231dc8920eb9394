# SPDX-License-Identifier: MIT
"""The table of symbols at the input of a network: device/urnn/embedding.py; docs/numerics.md, equation 33."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.limits import U16_MAX


@dataclass(frozen=True)
class Embedding(IntegerCell):
    """A table with a row for each symbol; no matrix and no state."""

    tag: ClassVar[bytes] = b"EMBEDDING"
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
        if max(self.table.shape) > U16_MAX:
            raise ModelError(f"an embedding of shape {self.table.shape}; expected at most {U16_MAX} x {U16_MAX}")
        return struct.pack("<HH", *self.table.shape) + self.table.astype("<i2").tobytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> Embedding:
        return cls(np.frombuffer(data[4:], "<i2").reshape(struct.unpack_from("<HH", data)))


CELL = Embedding
