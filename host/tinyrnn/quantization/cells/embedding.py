# SPDX-License-Identifier: MIT
"""Quantization of an embedding."""

from __future__ import annotations

import math

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Embedding as FloatEmbedding
from tinyrnn.float_model.layers import Layer
from tinyrnn.integer_model.cells.embedding import Embedding
from tinyrnn.integer_model.limits import ACTIVATION_MAX
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import STATE_BITS, round_half_up

SYMBOLS_MOST = 32767  # the net's input has 16 bits


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatEmbedding)


def quantize(layer: FloatEmbedding, context: LayerContext) -> tuple[Embedding, int]:
    """The integer layer and the fraction bits of its output. Raises ModelError."""
    if layer.symbols > SYMBOLS_MOST:
        raise ModelError(f"{context.where}: {layer.symbols} symbols; expected at most {SYMBOLS_MOST}")
    largest = float(np.abs(layer.weight).max())
    bits = min(STATE_BITS + 8, math.floor(math.log2(ACTIVATION_MAX / max(largest, 1e-9))))
    return Embedding(round_half_up(layer.weight * 2.0**bits).astype(np.int16)), bits
