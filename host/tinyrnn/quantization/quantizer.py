"""Post-training quantization: float model -> integer network. docs/numerics.md, equations 13 to 17, 34 and 35.

int8 weights with one power-of-two exponent for each row, so that every rescale is one rounding shift. The normalisation
of the input (mean, standard deviation) is folded in: an integer offset and factor for each channel, and what those round
away goes into the first layer's weights and bias, so nothing is lost but the weights' own rounding.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import Embedding, dense
from tinyrnn.float_model.model import FloatModel, ValueRanges
from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.limits import ACTIVATION_MAX, LIMIT
from tinyrnn.integer_model.matrices import Product
from tinyrnn.integer_model.network import Channels, IntegerHead, Network, with_vectors
from tinyrnn.quantization import cells
from tinyrnn.quantization.cells.base import LayerContext
from tinyrnn.quantization.row_scaling import FINE_MAX, SHIFT_MAX, WEIGHT_MAX, fine_matrix, matrix, round_half_up, row

HEADROOM = 1.25  # of the input's format above what calibration saw
STEPS_ENOUGH = 512  # of the raw integers in a channel's standard deviation, where it is a float
STEPS_FEW = 64  # fewer lose the signal among the integers


@dataclass(frozen=True)
class Quantized:
    """The integer network, and what relates it to its float model."""

    network: Network
    model: FloatModel  # without BatchNorm layers: a layer for each of the network's
    bits: tuple[int, ...]  # fraction bits of what each layer gives


def quantize(model: FloatModel) -> Network:
    """The network, its 31-bit range proven and its selftest vectors made. Raises ModelError that names layer and row."""
    return quantized(model).network


def quantized(model: FloatModel, fine: Mapping[str, Collection[int]] = MappingProxyType({})) -> Quantized:
    """quantize(), with finer weights in some rows of some products: "layer 0 U" -> rows; "head" -> any, which is all."""
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
    formats: list[int] = []
    bits = context.bits
    for number, layer in enumerate(model.layers):
        where = f"layer {number}"
        if number:
            context = LayerContext(where, bits)
        if isinstance(layer, FloatCell):
            context = LayerContext(where, context.bits, context.scale, context.shift, value_ranges.pop(0))
        cell, bits = cells.for_layer(layer, where).quantize(layer, replace(context, fine=fine))
        found.append(cell)
        formats.append(bits)
    head, output_exponents = _head(model, bits, bool(fine.get("head")))
    network = Network(
        task=model.task,
        when=model.when,
        input=channels,
        cells=tuple(found),
        head=head,
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
    """How many steps of the raw integers one standard deviation of each channel is, (C,)."""
    # Without a normalisation of its own a network does not tell its inputs' deviation: a quarter of the range stands for it
    plain = not model.mean.any() and (model.std == 1).all()
    deviation = (model.calibration.maximum - model.calibration.minimum) / 4 if plain else model.std
    steps: np.ndarray = deviation * 2.0 ** network.input_exponents.astype(np.float64)
    return steps


def _guessed(model: FloatModel) -> tuple[ValueRanges, ...]:
    """What the cells' values may reach, where nobody has measured it on the recording: twice what the short sample does."""
    seen = model.value_ranges(model.calibration.sample[None])
    return tuple(ValueRanges(2 * each.state, 2 * each.ih, 2 * each.hh) for each in seen)


def _symbols(count: int) -> tuple[Channels, np.ndarray]:
    """The one channel in front of an embedding: the symbol as it is, limited to those there are; its exponent, 0."""
    return Channels(*(np.array([v], np.int32) for v in (0, count - 1, 0, 1, 0))), np.zeros(1, np.int8)


def _input_format(model: FloatModel) -> tuple[Channels, int, np.ndarray, np.ndarray, np.ndarray]:
    """The channels' table, the format's fraction bits, and what the folding leaves: x_norm = u * scale + shift.

    u is the real value of the device's normalised input. The last result: raw = round(user's value * 2^exponent).
    """
    seen = model.calibration
    largest = np.maximum(np.abs(seen.minimum), np.abs(seen.maximum))
    # Raw integers: the sensor's own, or floats spread over 15 bits with a bit of room above what was seen
    exponents = np.zeros(len(largest), np.int64)
    if not seen.integer:
        wide = np.floor(np.log2((1 << 14) / np.maximum(largest, 1e-30)))
        # A small signal on a large offset needs more: enough steps in a deviation, as far as the integers have room
        spread = np.ceil(np.log2(STEPS_ENOUGH / np.clip(model.std, 1e-30, 1e30)))
        room = np.ceil(np.log2((1 << 24) / np.maximum(largest, 1e-30))) - 1
        exponents = np.clip(np.maximum(wide, np.minimum(spread, room)), -16, 24).astype(np.int64)
    unit = 2.0**exponents
    if (largest * unit >= 1 << 24).any():
        c = int((largest * unit).argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) reaches {largest[c]:g}; expected integers below 2^24, "
            "scale it down in the recording"
        )
    furthest = np.maximum(np.abs(seen.minimum - model.mean), np.abs(seen.maximum - model.mean)) / model.std
    bits = int(np.clip(math.floor(math.log2(ACTIVATION_MAX / (HEADROOM * max(furthest.max(), 1e-6)))), 10, 14))
    middle = np.abs(model.mean * unit)
    if not (middle < 1 << 29).all():
        c = int(middle.argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) has a mean of {model.mean[c]:g}, far outside what calibration saw; "
            "expected the statistics of the same recording"
        )
    offset = round_half_up(model.mean * unit)
    # One raw step is `step` of the format's; factor / 2^shift is the nearest with a shift the 31-bit range has room for
    step = 2.0**bits / (model.std * unit)
    shift = np.full(len(step), 14)
    factor = np.maximum(round_half_up(step * 2.0**14), 1)
    crowded = factor >= LIMIT // 4  # a nearly constant channel: a step of one raw unit spans the format
    factor = np.where(crowded, LIMIT // 4, factor)
    half = (1 << shift) >> 1
    room = ((ACTIVATION_MAX << shift) + half - 1) // factor  # largest |raw - offset| that stays within 16 bits
    low = np.maximum(offset - room, -LIMIT)
    high = np.minimum(offset + room, LIMIT - 1)
    real = factor / 2.0**shift / 2.0**bits * unit  # u = (x - offset / unit) * real
    return (
        Channels(*(part.astype(np.int32) for part in (low, high, offset, factor, shift))),
        bits,
        1 / (real * model.std),
        (offset / unit - model.mean) / model.std,
        exponents.astype(np.int8),
    )


def _head(model: FloatModel, bits: int, fine: bool) -> tuple[Product, np.ndarray]:
    """The dense heads as one product, and its outputs' exponents (equation 16)."""
    most = FINE_MAX if fine else WEIGHT_MAX
    weights: list[np.ndarray] = []
    biases: list[int] = []
    shifts: list[int] = []
    exponents: list[int] = []
    for head, part, linear in model.each_head():
        std = model.target_std[part]
        weight = dense(linear.weight) * std[:, None]
        bias = linear.bias * std + model.target_mean[part]
        names = [f"head row {r}" for r in range(part.start, part.stop)]
        rows = list(zip(names, weight, bias, strict=True))
        parts = [row(name, w, b, bits, -60, 60, None, most) for name, w, b in rows]
        common = min(exponent for _, _, exponent in parts)
        if head.task != "regression":  # one for all classes, so that they compare
            parts = [row(name, w, b, bits, common, common + SHIFT_MAX, common, most) for name, w, b in rows]
        for w, b, exponent in parts:
            own = exponent if head.task == "regression" else common
            weights.append(w)
            biases.append(b)
            shifts.append(exponent - own)
            exponents.append(-(own + bits))
    shift = np.array(shifts)
    if fine:
        return fine_matrix(np.array(weights), np.array(biases), shift, np.arange(len(weights))), np.array(exponents)
    return matrix(weights, biases, shift), np.array(exponents)
