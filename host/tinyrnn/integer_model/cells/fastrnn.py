"""FastRNN in integers: device/urnn/fastrnn.py; docs/numerics.md, equations 19 and 24."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.base import LayerContext, Recurrent
from tinyrnn.integer_model.matrices import read_product
from tinyrnn.quantization.row_scaling import STATE_BITS, round_half_up


@dataclass(frozen=True)
class FastRNN(Recurrent):
    """W (H, I) on the layer's input, U (H, H) on the state; both give Q3.12. The state is in Q(extra).(15-extra)."""

    tag: ClassVar[bytes] = b"FASTRNN"
    alpha: int  # Q0.15, 0..32768
    beta: int
    extra: int  # 0..15

    def to_bytes(self) -> bytes:
        head = struct.pack("<HH3I", self.inputs, self.units, self.alpha, self.beta, self.extra)
        return head + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> FastRNN:
        w, size = read_product(data[16:])
        return cls(w, read_product(data[16 + size :])[0], *struct.unpack_from("<3I", data, 4))

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, cells.FastRNN)

    @classmethod
    def quantize(cls, layer: cells.FastRNN, given: LayerContext) -> tuple[FastRNN, int]:
        extra = given.extra(slice(None), STATE_BITS)
        bits = STATE_BITS - extra
        alpha, beta = round_half_up(np.array([layer.alpha, layer.beta]) * 32768).tolist()
        return cls(given.w(layer, layer.bias), given.u(layer, np.zeros(layer.units), bits), alpha, beta, extra), bits


CELL = FastRNN
