"""PyTorch's GRU in integers: device/urnn/gru.py; docs/numerics.md, equations 9 to 12."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.base import LayerContext, Recurrent
from tinyrnn.integer_model.matrices import read_product
from tinyrnn.quantization.row_scaling import STATE_BITS


@dataclass(frozen=True)
class GRU(Recurrent):
    """W (3H, I) on the layer's input, U (3H, H) on the state; rows r, z, n; both give Q3.12. The state is Q0.15."""

    tag: ClassVar[bytes] = b"GRU"

    def to_bytes(self) -> bytes:
        return struct.pack("<HH", self.inputs, self.units) + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> GRU:
        w, size = read_product(data[4:])
        return cls(w, read_product(data[4 + size :])[0])

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, cells.GRU) and layer.reset_after

    @classmethod
    def quantize(cls, layer: cells.GRU, given: LayerContext) -> tuple[GRU, int]:
        return cls(given.w(layer, layer.bias_ih), given.u(layer, layer.bias_hh, STATE_BITS)), STATE_BITS


CELL = GRU
