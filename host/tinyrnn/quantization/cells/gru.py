# SPDX-License-Identifier: MIT
"""Quantization of the GRU, as in PyTorch."""

from __future__ import annotations

from tinyrnn.float_model.cells.gru import GRU as FloatGRU
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatGRU) and layer.reset_after


def quantize(layer: FloatGRU, context: LayerContext) -> tuple[GRU, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    return GRU(context.w(layer, layer.bias_ih), context.u(layer, layer.bias_hh, STATE_BITS)), STATE_BITS
