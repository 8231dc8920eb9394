"""FastGRNN in integers: device/urnn/fastgrnn.py; docs/numerics.md, equations 18, 19, 25 to 27."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.base import LayerContext, Recurrent
from tinyrnn.integer_model.matrices import read_product
from tinyrnn.quantization.row_scaling import GATE_BITS, STATE_BITS, round_half_up

BIAS_LIMIT = 1 << 24


@dataclass(frozen=True)
class FastGRNN(Recurrent):
    """W (H, I) on the layer's input with the gate's bias, U (H, H) on the state; both give Q3.12.

    The state is in Q(extra).(15-extra).
    """

    tag: ClassVar[bytes] = b"FASTGRNN"
    bias: np.ndarray  # int32 (H,), Q3.12 scale: what the candidate's bias has more than the gate's
    zeta: int  # Q1.14, 0..16384
    nu: int
    extra: int  # 0..15

    def to_bytes(self) -> bytes:
        head = struct.pack("<HH3I", self.inputs, self.units, self.zeta, self.nu, self.extra)
        return head + self.bias.astype("<i4").tobytes() + self.w.to_bytes() + self.u.to_bytes()

    @classmethod
    def from_bytes(cls, data: memoryview) -> FastGRNN:
        _, units, *figures = struct.unpack_from("<HH3I", data)
        at = 16 + 4 * units
        bias = np.frombuffer(data[16:at], "<i4")
        w, size = read_product(data[at:])
        return cls(w, read_product(data[at + size :])[0], bias, *figures)

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, cells.FastGRNN)

    @classmethod
    def quantize(cls, layer: cells.FastGRNN, given: LayerContext) -> tuple[FastGRNN, int]:
        extra = given.extra(slice(None), STATE_BITS)
        bits = STATE_BITS - extra
        zeta, nu = round_half_up(np.array([layer.zeta, layer.nu]) * 16384).tolist()
        bias = round_half_up((layer.bias_h - layer.bias_z) * 2.0**GATE_BITS)
        if (np.abs(bias) >= BIAS_LIMIT).any():
            raise ModelError(f"{given.where}: its biases differ by {np.abs(bias).max() / 4096:g}; expected below 4096")
        u = given.u(layer, np.zeros(layer.units), bits)
        return cls(given.w(layer, layer.bias_z), u, bias.astype(np.int32), zeta, nu, extra), bits


CELL = FastGRNN
