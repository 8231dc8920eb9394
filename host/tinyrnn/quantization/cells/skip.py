# SPDX-License-Identifier: MIT
"""Quantization of a skip connection. Its channels keep the input's format, which the head absorbs (quantizer.py)."""

from __future__ import annotations

import numpy as np

from tinyrnn.float_model.layers import Layer
from tinyrnn.float_model.layers import Skip as FloatSkip
from tinyrnn.integer_model.cells.skip import Skip
from tinyrnn.quantization.cells.base import LayerContext


def takes(layer: Layer) -> bool:
    """Whether this module quantizes the layer."""
    return isinstance(layer, FloatSkip)


def quantize(layer: FloatSkip, context: LayerContext) -> tuple[Skip, int]:
    """The integer layer and the fraction bits of the part of its output that comes from the layer before it."""
    return Skip(layer.width, layer.channels.astype(np.uint16)), context.bits
