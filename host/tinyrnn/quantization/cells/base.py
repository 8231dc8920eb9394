# SPDX-License-Identifier: MIT
"""The context of a layer in the network, from which its module makes integer products."""

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

HEADROOM = 1.25  # a state's range relative to the largest value in calibration, before rounding up to a power of two


@dataclass(frozen=True)
class LayerContext:
    """The formats of a layer's input, states and products. u is the real value of its integer input."""

    where: str  # for messages: "layer 0"
    bits: int  # fraction bits of the input
    scale: np.ndarray | None = None  # (I,) the float layer's input is u * scale + shift; None: it is u
    shift: np.ndarray | None = None  # (I,)
    value_ranges: ValueRanges | None = None  # of a recurrent layer
    out: int = GATE_BITS  # fraction bits of its products
    fine: Mapping[str, Collection[int]] = field(default_factory=dict)  # product ("layer 0 U") -> its finer rows

    def w(self, cell: FloatCell, bias: np.ndarray) -> Product:
        """W x + bias of the layer's input x. If the cell has layer normalisation, it comes before the bias."""
        offset = np.zeros(len(bias))
        weight: Weight = cell.weight_ih
        if self.scale is not None and self.shift is not None:
            offset = dense(weight) @ self.shift
            weight = replace(cell, norm=None).with_input(self.scale, self.shift).weight_ih
        return self._product("W", cell, weight, offset, bias, None if cell.norm is None else cell.norm.gain_ih, slice(None))

    def u(self, cell: FloatCell, bias: np.ndarray, bits: int, span: slice = slice(None), name: str = "U") -> Product:
        """U h + bias of the state h with `bits` fraction bits. span: the rows of U that the product has."""
        weight = rows(cell.weight_hh, span)
        gain = None if cell.norm is None else cell.norm.gain_hh[span]
        given = replace(self, bits=bits)
        return given._product(name, cell, weight, np.zeros(weight.shape[0]), bias, gain, span)

    def _product(
        self,
        name: str,
        cell: FloatCell,
        weight: Weight,
        offset: np.ndarray,
        bias: np.ndarray,
        gain: np.ndarray | None,
        span: slice,
    ) -> Product:
        what = f"{self.where} {name}"
        if gain is None or cell.norm is None:
            return product(what, weight, bias + offset, self.bits, self.out, fine=self.fine.get(what, ()))
        if self.value_ranges is None:
            raise ModelError(f"{what}: its range is not known; expected a model with calibration")
        seen = (self.value_ranges.ih if name == "W" else self.value_ranges.hh)[span]
        largest = float((seen + np.abs(offset)).max())
        fine = self.fine.get(what, ())
        return normalised(what, weight, offset, gain, bias, cell.norm.eps, self.bits, self.out, largest, fine)

    def extra(self, span: slice, most: int) -> int:
        """k in 0..most, so that the range +-2^k holds the states in span. Raises ModelError if there is none."""
        if self.value_ranges is None:
            raise ModelError(f"{self.where}: the range of its state is not known; expected a model with calibration")
        largest = HEADROOM * float(self.value_ranges.state[span].max(initial=0))
        k = max(0, math.ceil(math.log2(max(largest, 1e-9))))
        if k > most:
            raise ModelError(
                f"{self.where}: its state reaches {largest / HEADROOM:g}; expected below {2**most}: "
                "train on shorter sequences"
            )
        return k
