"""Layer normalisation between cells: device/urnn/layer_norm.py; docs/numerics.md, equations 28 to 32."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer, LayerNorm
from tinyrnn.integer_model.cells.base import IntegerCell, LayerContext
from tinyrnn.integer_model.matrices import ACTIVATION_MAX, Norm
from tinyrnn.quantization.row_scaling import STATE_BITS, norm_table

DEVIATIONS = 6.0  # what the result's format has room for; the arithmetic itself limits the normalised to 5.6 or more


@dataclass(frozen=True)
class Normalisation(IntegerCell):
    """One table; no matrix and no state."""

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
    def from_bytes(cls, data: memoryview) -> Normalisation:
        return cls(Norm.from_bytes(data, (len(data) - 16) // 4)[0])

    @classmethod
    def takes(cls, layer: Layer) -> bool:
        return isinstance(layer, LayerNorm)

    @classmethod
    def quantize(cls, layer: LayerNorm, given: LayerContext) -> tuple[Normalisation, int]:
        if given.scale is not None:
            raise ModelError(
                f"{given.where}, layernorm: it stands in front of all cells, where channels have formats of their own; "
                "expected a recurrent layer or an embedding first"
            )
        most = min(DEVIATIONS, math.sqrt(len(layer.weight)))
        largest = float((np.abs(layer.weight) * most + np.abs(layer.bias)).max())
        bits = min(STATE_BITS, math.floor(math.log2(ACTIVATION_MAX / max(largest, 1e-9))))
        return cls(norm_table(given.where, layer.weight, layer.bias, layer.eps, given.bits, bits)), bits


CELL = Normalisation
