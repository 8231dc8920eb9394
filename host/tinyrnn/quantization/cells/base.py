"""What the quantizer knows about a layer, and the products that it makes of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import Weight, dense, rows
from tinyrnn.float_model.model import ValueRanges
from tinyrnn.integer_model.matrices import Product
from tinyrnn.quantization.row_scaling import GATE_BITS, normalised, product

HEADROOM = 1.25  # of a state's range above what calibration saw, before it is rounded up to a power of two


@dataclass(frozen=True)
class LayerContext:
    """What the quantizer knows about a layer's place."""

    where: str  # for messages: "layer 0"
    bits: int  # fraction bits of the vector u that it takes
    scale: np.ndarray | None = None  # (I,) the float layer's input is u * scale + shift; None: it is u
    shift: np.ndarray | None = None
    value_ranges: ValueRanges | None = None  # of a recurrent layer
    out: int = GATE_BITS  # fraction bits of its products
    fine: Mapping[str, Collection[int]] = field(default_factory=dict)  # product ("layer 0 U") -> rows of finer weights

    def w(self, cell: FloatCell, bias: np.ndarray) -> Product:
        """W x + bias on the layer's input, normalised before the bias is added where the cell has a norm."""
        offset = np.zeros(len(bias))
        weight: Weight = cell.weight_ih
        if self.scale is not None and self.shift is not None:
            offset = dense(weight) @ self.shift
            weight = replace(cell, norm=None).with_input(self.scale, self.shift).weight_ih
        return self._part("W", cell, weight, offset, bias, None if cell.norm is None else cell.norm.gain_ih, slice(None))

    def u(self, cell: FloatCell, bias: np.ndarray, bits: int, part: slice = slice(None), name: str = "U") -> Product:
        """U h + bias, or some of its rows, on the state with `bits` fraction bits."""
        weight = rows(cell.weight_hh, part)
        gain = None if cell.norm is None else cell.norm.gain_hh[part]
        given = replace(self, bits=bits)
        return given._part(name, cell, weight, np.zeros(weight.shape[0]), bias, gain, part)

    def _part(
        self,
        name: str,
        cell: FloatCell,
        weight: Weight,
        offset: np.ndarray,
        bias: np.ndarray,
        gain: np.ndarray | None,
        part: slice,
    ) -> Product:
        what = f"{self.where} {name}"
        if gain is None or cell.norm is None:
            return product(what, weight, bias + offset, self.bits, self.out, fine=self.fine.get(what, ()))
        if self.value_ranges is None:
            raise ModelError(f"{what}: nothing is known of its range; expected a model with calibration")
        seen = (self.value_ranges.ih if name == "W" else self.value_ranges.hh)[part]
        largest = float((seen + np.abs(offset)).max())
        fine = self.fine.get(what, ())
        return normalised(what, weight, offset, gain, bias, cell.norm.eps, self.bits, self.out, largest, fine)

    def extra(self, part: slice, most: int) -> int:
        """k: these states get the range +-2^k, 0..most."""
        if self.value_ranges is None:
            raise ModelError(f"{self.where}: nothing is known of its state's range; expected a model with calibration")
        largest = HEADROOM * float(self.value_ranges.state[part].max(initial=0))
        k = max(0, math.ceil(math.log2(max(largest, 1e-9))))
        if k > most:
            raise ModelError(
                f"{self.where}: its state reaches {largest / HEADROOM:g}; expected below {2**most}, "
                "train on shorter sequences"
            )
        return k
