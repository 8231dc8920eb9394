"""LSTM in integers: device/urnn/lstm.py; docs/numerics.md, equations 18 to 23."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import Factors, Layer, Weight, dense
from tinyrnn.integer_model.cells.base import LayerContext, Recurrent
from tinyrnn.integer_model.matrices import Matrix, Product, read_product
from tinyrnn.quantization.row_scaling import STATE_BITS, rescaled

RANGE_MOST = 12  # c within +-2^12


@dataclass(frozen=True)
class LSTM(Recurrent):
    """W (4H, I) on the layer's input, U (4H, P) on the output; rows i, f, o, g; both give Q3.12; R (P, H) or None.

    The state is h (P, without R H), then c (H) in Q(extra).(15-extra).
    """

    tag: ClassVar[bytes] = b"LSTM"
    r: Matrix | None
    extra: int  # 0..12

    @property
    def hidden(self) -> int:
        """H"""
        return self.w.shape[0] // 4

    @property
    def state_size(self) -> int:
        return self.units + self.hidden

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        return *super().products, *([("R", self.r)] if self.r else [])

    def to_bytes(self) -> bytes:
        head = struct.pack("<HHHH", self.inputs, self.hidden, self.extra, self.units if self.r else 0)
        return head + b"".join(product.to_bytes() for _, product in self.products)

    @classmethod
    def from_bytes(cls, data: memoryview) -> LSTM:
        _, _, extra, outputs = struct.unpack_from("<HHHH", data)
        w, size = read_product(data[8:])
        u, more = read_product(data[8 + size :])
        return cls(w, u, Matrix.from_bytes(data[8 + size + more :])[0] if outputs else None, extra & 255)

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, cells.LSTM)

    @classmethod
    def quantize(cls, layer: cells.LSTM, given: LayerContext) -> tuple[LSTM, int]:
        hidden = layer.hidden
        # PyTorch's i, f, g, o -> i, f, o, g: the three that take a sigmoid stand together
        order = np.concatenate([np.arange(2 * hidden), np.arange(3 * hidden, 4 * hidden), np.arange(2 * hidden, 3 * hidden)])
        norm = layer.norm and replace(layer.norm, gain_ih=layer.norm.gain_ih[order], gain_hh=layer.norm.gain_hh[order])
        layer = replace(
            layer,
            weight_ih=_ordered(layer.weight_ih, order),
            weight_hh=_ordered(layer.weight_hh, order),
            bias_ih=layer.bias_ih[order],
            bias_hh=layer.bias_hh[order],
            norm=norm,
        )
        if given.value_ranges is not None:
            given = replace(
                given,
                value_ranges=replace(given.value_ranges, ih=given.value_ranges.ih[order], hh=given.value_ranges.hh[order]),
            )
        extra = given.extra(slice(layer.units, None), RANGE_MOST)
        r, bits = None, STATE_BITS
        if layer.weight_hr is not None:
            bits = STATE_BITS - given.extra(slice(0, layer.units), STATE_BITS)
            r = rescaled(f"{given.where} R", dense(layer.weight_hr), np.zeros(layer.units), STATE_BITS, bits)
        return cls(given.w(layer, layer.bias_ih), given.u(layer, layer.bias_hh, bits), r, extra), bits


def _ordered(weight: Weight, order: np.ndarray) -> Weight:
    return replace(weight, a=weight.a[order]) if isinstance(weight, Factors) else weight[order]


CELL = LSTM
