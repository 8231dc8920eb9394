# SPDX-License-Identifier: MIT
"""Quantization of layer normalisation between cells."""

from __future__ import annotations

import math

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer
from tinyrnn.float_model.layers import LayerNorm as FloatLayerNorm
from tinyrnn.integer_model.cells.layer_norm import LayerNorm
from tinyrnn.integer_model.limits import ACTIVATION_MAX
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS, norm_table

DEVIATIONS = 6.0  # standard deviations that fit in the result's format; the arithmetic limits at 5.6 or more


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatLayerNorm)


def quantize(layer: FloatLayerNorm, context: LayerContext) -> tuple[LayerNorm, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError."""
    if context.scale is not None:
        raise ModelError(
            f"{context.where}, layernorm: it is the first layer, where each channel has its own format; "
            "expected a recurrent layer or an embedding first"
        )
    most = min(DEVIATIONS, math.sqrt(len(layer.weight)))
    largest = float((np.abs(layer.weight) * most + np.abs(layer.bias)).max())
    bits = min(STATE_BITS, math.floor(math.log2(ACTIVATION_MAX / max(largest, 1e-9))))
    return LayerNorm(norm_table(context.where, layer.weight, layer.bias, layer.eps, context.bits, bits)), bits
