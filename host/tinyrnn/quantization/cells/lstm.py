# SPDX-License-Identifier: MIT
"""Quantization of the LSTM: the rows i, f, g, o become i, f, o, g."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyrnn.float_model.cells.lstm import LSTM as FloatLSTM
from tinyrnn.float_model.layers import Factors, Layer, Weight, dense
from tinyrnn.integer_model.cells.lstm import LSTM, RANGE_MOST
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS, rescaled


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatLSTM)


def quantize(layer: FloatLSTM, context: LayerContext) -> tuple[LSTM, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    hidden = layer.hidden
    # PyTorch's i, f, g, o -> i, f, o, g: the three gates with a sigmoid are consecutive
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
    if context.value_ranges is not None:
        context = replace(
            context,
            value_ranges=replace(context.value_ranges, ih=context.value_ranges.ih[order], hh=context.value_ranges.hh[order]),
        )
    extra = context.extra(slice(layer.units, None), RANGE_MOST)
    r, bits = None, STATE_BITS
    if layer.weight_hr is not None:
        bits = STATE_BITS - context.extra(slice(0, layer.units), STATE_BITS)
        r = rescaled(f"{context.where} R", dense(layer.weight_hr), np.zeros(layer.units), STATE_BITS, bits)
    return LSTM(context.w(layer, layer.bias_ih), context.u(layer, layer.bias_hh, bits), r, extra), bits


def _ordered(weight: Weight, order: np.ndarray) -> Weight:
    return replace(weight, a=weight.a[order]) if isinstance(weight, Factors) else weight[order]
