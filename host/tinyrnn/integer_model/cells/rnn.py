"""The simple recurrent network in integers: device/urnn/rnn.py; docs/numerics.md, equations 19 and 20."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import ClassVar

from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.base import LayerContext, Recurrent
from tinyrnn.integer_model.matrices import read_product
from tinyrnn.quantization.row_scaling import STATE_BITS


@dataclass(frozen=True)
class RNN(Recurrent):
    """W (H, I) on the layer's input, U (H, H) on the state; with tanh both give Q3.12, with ReLU the state's format."""

    tag: ClassVar[bytes] = b"RNN"
    relu: bool

    def to_bytes(self) -> bytes:
        return struct.pack("<HHHH", self.inputs, self.units, self.relu, 0) + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> RNN:
        w, size = read_product(data[8:])
        return cls(w, read_product(data[8 + size :])[0], bool(data[4]))

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, cells.RNN)

    @classmethod
    def quantize(cls, layer: cells.RNN, given: LayerContext) -> tuple[RNN, int]:
        if layer.nonlinearity == "tanh":
            return cls(given.w(layer, layer.bias_ih), given.u(layer, layer.bias_hh, STATE_BITS), False), STATE_BITS
        bits = STATE_BITS - given.extra(slice(None), STATE_BITS)
        given = replace(given, out=bits)
        return cls(given.w(layer, layer.bias_ih), given.u(layer, layer.bias_hh, bits), True), bits


CELL = RNN
