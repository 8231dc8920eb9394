# SPDX-License-Identifier: MIT
"""Post-training quantization: float model -> integer network; docs/numerics.md, equations 13 to 17, 34 and 35.

Weights are int8 with a power-of-two exponent for each row, so rescaling is one rounding shift. The normalisation of the
input (mean, standard deviation) becomes an integer offset and factor for each channel. The first layer's weights and bias
absorb the rounding error of these, so only the rounding of the weights remains.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import Embedding, Linear, Skip, dense, rows
from tinyrnn.float_model.model import FloatModel, ValueRanges
from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.limits import ACTIVATION_MAX, LIMIT
from tinyrnn.integer_model.matrices import Product
from tinyrnn.integer_model.network import Channels, IntegerHead, Network, with_vectors
from tinyrnn.quantization import cells
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import FINE_MAX, SHIFT_MAX, WEIGHT_MAX, fine_matrix, matrix, round_half_up, row

HEADROOM = 1.25  # the input's range relative to the largest value in calibration
SKIP_HEADROOM = 4.0  # likewise, of channels that the head reads: a trend leaves the range, and the last value must not
STEPS_ENOUGH = 512  # steps of the raw integers in a standard deviation of a float channel
STEPS_FEW = 64  # fewer steps are too coarse for the signal


@dataclass(frozen=True)
class Quantized:
    """An integer network, its float model, and the formats between its layers."""

    network: Network
    model: FloatModel  # without BatchNorm layers, so that it has a layer for each of the network's
    bits: tuple[int | np.ndarray, ...]  # fraction bits of each layer's output; (units,) if its numbers differ in them


def quantize(model: FloatModel) -> Network:
    """The integer network, with proven 31-bit range and self-test vectors. Raises ModelError, which names layer and row."""
    return quantized(model).network


def quantized(model: FloatModel, fine: Mapping[str, Collection[int]] = MappingProxyType({})) -> Quantized:
    """As quantize(), with finer rows in some products: "layer 0 U" -> row numbers; "head" -> anything, for all its rows."""
    model = model.folded()
    value_ranges = list(model.calibration.value_ranges or _guessed(model))
    first = model.layers[0]
    if isinstance(first, Embedding):
        channels, exponents = _symbols(first.symbols)
        context = LayerContext("layer 0", bits=0)
    else:
        channels, bits, scale, shift, exponents = _input_format(model)
        context = LayerContext("layer 0", bits, scale, shift)
    found: list[IntegerCell] = []
    formats: list[int | np.ndarray] = []
    head = model.head
    sample = context
    bits = context.bits
    for number, layer in enumerate(model.layers):
        where = f"layer {number}"
        if number:
            context = LayerContext(where, bits)
        if isinstance(layer, FloatCell):
            context = LayerContext(where, context.bits, context.scale, context.shift, value_ranges.pop(0))
        cell, bits = cells.for_layer(layer, where).quantize(layer, replace(context, fine=fine))
        found.append(cell)
        if isinstance(layer, Skip):
            formats.append(np.repeat([bits, sample.bits], [layer.width, len(layer.channels)]))
            head = _after_skip(head, layer, bits, sample)
        else:
            formats.append(bits)
    # 8 bits of a weight would round the last value of a forecast to 1 part in 256
    skips = isinstance(model.layers[-1], Skip)
    product, output_exponents = _head(model, head, bits, skips or bool(fine.get("head")))
    network = Network(
        task=model.task,
        when=model.when,
        input=channels,
        cells=tuple(found),
        head=product,
        exponents=output_exponents,
        labels=model.labels,
        channels=model.channels,
        input_exponents=exponents,
        name=model.name,
        heads=tuple(IntegerHead(each.name, each.outputs, each.task == "regression") for each in model.heads),
        window=model.window,
    )
    network = with_vectors(network, network.raw(model.calibration.sample))
    return Quantized(network, model, tuple(formats))


def input_steps(model: FloatModel, network: Network) -> np.ndarray:
    """Steps of the raw integers in one standard deviation of each channel, (C,)."""
    # A network without normalisation does not tell the deviation of its inputs: a quarter of the range stands in for it
    plain = not model.mean.any() and (model.std == 1).all()
    deviation = (model.calibration.maximum - model.calibration.minimum) / 4 if plain else model.std
    steps: np.ndarray = deviation * 2.0 ** network.input_exponents.astype(np.float64)
    return steps


def _guessed(model: FloatModel) -> tuple[ValueRanges, ...]:
    """Assumed value ranges if none were measured on the recording: twice those of the short sample."""
    seen = model.value_ranges(model.calibration.sample[None])
    return tuple(ValueRanges(2 * each.state, 2 * each.ih, 2 * each.hh) for each in seen)


def _symbols(count: int) -> tuple[Channels, np.ndarray]:
    """The single channel of an embedding: the symbol itself, limited to 0..count - 1; and its exponent, 0."""
    return Channels(*(np.array([v], np.int32) for v in (0, count - 1, 0, 1, 0))), np.zeros(1, np.int8)


def _input_format(model: FloatModel) -> tuple[Channels, int, np.ndarray, np.ndarray, np.ndarray]:
    """The input's table and fraction bits, then (scale, shift), which the first layer absorbs, then the exponents.

    The float network's normalised input is u * scale + shift, where u is the real value of the device's normalised input.
    exponents: raw = round(user's value * 2^exponent).
    """
    seen = model.calibration
    largest = np.maximum(np.abs(seen.minimum), np.abs(seen.maximum))
    # Raw integers are the sensor's own, or floats scaled to 15 bits, with up to one bit of headroom
    exponents = np.zeros(len(largest), np.int64)
    if not seen.integer:
        wide = np.floor(np.log2((1 << 14) / np.maximum(largest, 1e-30)))
        # A small signal on a large offset needs more bits: enough steps in a standard deviation, if there is room
        spread = np.ceil(np.log2(STEPS_ENOUGH / np.clip(model.std, 1e-30, 1e30)))
        room = np.ceil(np.log2((1 << 24) / np.maximum(largest, 1e-30))) - 1
        exponents = np.clip(np.maximum(wide, np.minimum(spread, room)), -16, 24).astype(np.int64)
    unit = 2.0**exponents
    if (largest * unit >= 1 << 24).any():
        c = int((largest * unit).argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) reaches {largest[c]:g}; expected integers below 2^24: "
            "scale it down in the recording"
        )
    furthest = np.maximum(np.abs(seen.minimum - model.mean), np.abs(seen.maximum - model.mean)) / model.std
    headroom = np.full(len(furthest), HEADROOM)
    for layer in model.layers:
        if isinstance(layer, Skip):
            headroom[layer.channels.astype(np.int64)] = SKIP_HEADROOM
    widest = float((headroom * furthest).max())
    bits = int(np.clip(math.floor(math.log2(ACTIVATION_MAX / max(widest, 1e-6))), 10, 14))
    middle = np.abs(model.mean * unit)
    if not (middle < 1 << 29).all():
        c = int(middle.argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) has a mean of {model.mean[c]:g}, far outside its range in "
            "calibration; expected mean and calibration from the same recording"
        )
    offset = round_half_up(model.mean * unit)
    # A raw step is `step` steps of the input format; factor / 2^shift approximates it within the 31-bit range
    step = 2.0**bits / (model.std * unit)
    shift = np.full(len(step), 14)
    factor = np.maximum(round_half_up(step * 2.0**14), 1)
    crowded = factor >= LIMIT // 4  # a nearly constant channel, where one raw step spans the format
    factor = np.where(crowded, LIMIT // 4, factor)
    half = (1 << shift) >> 1
    room = ((ACTIVATION_MAX << shift) + half - 1) // factor  # largest |raw - offset| that fits in 16 bits
    low = np.maximum(offset - room, -LIMIT)
    high = np.minimum(offset + room, LIMIT - 1)
    real = factor / 2.0**shift / 2.0**bits * unit  # u = (x - offset / unit) * real
    return (
        Channels(*(column.astype(np.int32) for column in (low, high, offset, factor, shift))),
        bits,
        1 / (real * model.std),
        (offset / unit - model.mean) / model.std,
        exponents.astype(np.int8),
    )


def _after_skip(head: Linear, skip: Skip, bits: int, sample: LayerContext) -> Linear:
    """The head for an input whose numbers all have `bits` fraction bits. It absorbs the format of the sample's channels."""
    assert sample.scale is not None, "the input is no symbol: FloatModel checks it"
    assert sample.shift is not None, "the input is no symbol: FloatModel checks it"
    chosen = skip.channels.astype(np.int64)
    scale = np.append(np.ones(skip.width), sample.scale[chosen] * 2.0 ** (bits - sample.bits))
    return head.with_input(scale, np.append(np.zeros(skip.width), sample.shift[chosen]))


def _head(model: FloatModel, whole: Linear, bits: int, fine: bool) -> tuple[Product, np.ndarray]:
    """The dense heads as one product, and the exponents of its outputs (equation 16). whole: the rows of all heads."""
    most = FINE_MAX if fine else WEIGHT_MAX
    weights: list[np.ndarray] = []
    biases: list[int] = []
    shifts: list[int] = []
    exponents: list[int] = []
    for head, span, _ in model.each_head():
        std = model.target_std[span]
        weight = dense(rows(whole.weight, span)) * std[:, None]
        bias = whole.bias[span] * std + model.target_mean[span]
        names = [f"head row {r}" for r in range(span.start, span.stop)]
        given = list(zip(names, weight, bias, strict=True))
        scaled = [row(name, w, b, bits, -60, 60, None, most) for name, w, b in given]
        common = min(exponent for _, _, exponent in scaled)
        if head.task != "regression":  # all classes have the same exponent, so that they can be compared
            scaled = [row(name, w, b, bits, common, common + SHIFT_MAX, common, most) for name, w, b in given]
        for w, b, exponent in scaled:
            own = exponent if head.task == "regression" else common
            weights.append(w)
            biases.append(b)
            shifts.append(exponent - own)
            exponents.append(-(own + bits))
    shift = np.array(shifts)
    if fine:
        return fine_matrix(np.array(weights), np.array(biases), shift, np.arange(len(weights))), np.array(exponents)
    return matrix(weights, biases, shift), np.array(exponents)
