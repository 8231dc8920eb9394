# SPDX-License-Identifier: MIT
"""Quantization of the simple recurrent network."""

from __future__ import annotations

from dataclasses import replace

from tinyrnn.float_model.cells.rnn import RNN as FloatRNN
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.rnn import RNN
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatRNN)


def quantize(layer: FloatRNN, context: LayerContext) -> tuple[RNN, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    if layer.nonlinearity == "tanh":
        return RNN(context.w(layer, layer.bias_ih), context.u(layer, layer.bias_hh, STATE_BITS), False), STATE_BITS
    bits = STATE_BITS - context.extra(slice(None), STATE_BITS)
    context = replace(context, out=bits)
    return RNN(context.w(layer, layer.bias_ih), context.u(layer, layer.bias_hh, bits), True), bits
