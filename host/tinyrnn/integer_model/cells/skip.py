# SPDX-License-Identifier: MIT
"""A skip connection from the sample to the head: device/urnn/skip.py; docs/numerics.md, equation 37."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.limits import U16_MAX


@dataclass(frozen=True)
class Skip(IntegerCell):
    """The output of the layer before it, followed by some channels of the normalised sample; no matrix and no state."""

    tag: ClassVar[bytes] = b"SKIP"
    width: int  # length of the output of the layer before it
    channels: np.ndarray  # uint16 (K,), numbers of input channels

    @property
    def inputs(self) -> int:
        return self.width

    @property
    def units(self) -> int:
        return self.width + len(self.channels)

    @property
    def state_size(self) -> int:
        return 0

    def to_bytes(self) -> bytes:
        if self.units > U16_MAX:
            raise ModelError(f"a skip connection that makes {self.units} numbers; expected at most {U16_MAX}")
        return struct.pack("<HH", self.width, len(self.channels)) + self.channels.astype("<u2").tobytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> Skip:
        width, count = struct.unpack_from("<HH", data)
        return cls(width, np.frombuffer(data[4 : 4 + 2 * count], "<u2"))


CELL = Skip
