# SPDX-License-Identifier: MIT
"""Layer normalisation between cells: device/urnn/layer_norm.py; docs/numerics.md, equations 28 to 32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.matrices import Norm


@dataclass(frozen=True)
class LayerNorm(IntegerCell):
    """A table with gain and bias; no matrix and no state."""

    tag: ClassVar[bytes] = b"LAYER_NORM"
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
        return self.table.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> LayerNorm:
        return cls(Norm.from_bytes(data, (len(data) - 16) // 4)[0])


CELL = LayerNorm
