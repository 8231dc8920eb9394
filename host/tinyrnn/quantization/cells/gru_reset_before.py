# SPDX-License-Identifier: MIT
"""Quantization of the GRU that resets before the recurrent product."""

from __future__ import annotations

from tinyrnn.float_model.cells.gru import GRU as FloatGRU
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.gru_reset_before import GRUResetBefore
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatGRU) and not layer.reset_after


def quantize(layer: FloatGRU, context: LayerContext) -> tuple[GRUResetBefore, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    early, late = slice(0, 2 * layer.units), slice(2 * layer.units, None)
    w = context.w(layer, layer.bias_ih)
    u = context.u(layer, layer.bias_hh[early], STATE_BITS, early)
    return GRUResetBefore(w, u, context.u(layer, layer.bias_hh[late], STATE_BITS, late, "N")), STATE_BITS
