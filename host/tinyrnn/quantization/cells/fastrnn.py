# SPDX-License-Identifier: MIT
"""Quantization of FastRNN."""

from __future__ import annotations

import numpy as np

from tinyrnn.float_model.cells.fastrnn import FastRNN as FloatFastRNN
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.fastrnn import ONE, FastRNN
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS, round_half_up


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatFastRNN)


def quantize(layer: FloatFastRNN, context: LayerContext) -> tuple[FastRNN, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    extra = context.extra(slice(None), STATE_BITS)
    bits = STATE_BITS - extra
    alpha, beta = round_half_up(np.array([layer.alpha, layer.beta]) * ONE).tolist()
    return FastRNN(context.w(layer, layer.bias), context.u(layer, np.zeros(layer.units), bits), alpha, beta, extra), bits
