# SPDX-License-Identifier: MIT
"""Quantization of FastGRNN."""

from __future__ import annotations

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.fastgrnn import FastGRNN as FloatFastGRNN
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.fastgrnn import BIAS_LIMIT, ONE, FastGRNN
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import GATE_BITS, STATE_BITS, round_half_up


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatFastGRNN)


def quantize(layer: FloatFastGRNN, context: LayerContext) -> tuple[FastGRNN, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError, which names the row."""
    extra = context.extra(slice(None), STATE_BITS)
    bits = STATE_BITS - extra
    zeta, nu = round_half_up(np.array([layer.zeta, layer.nu]) * ONE).tolist()
    bias = round_half_up((layer.bias_h - layer.bias_z) * 2.0**GATE_BITS)
    if (np.abs(bias) >= BIAS_LIMIT).any():
        raise ModelError(f"{context.where}: its biases differ by {np.abs(bias).max() / 4096:g}; expected below 4096")
    u = context.u(layer, np.zeros(layer.units), bits)
    return FastGRNN(context.w(layer, layer.bias_z), u, bias.astype(np.int32), zeta, nu, extra), bits
