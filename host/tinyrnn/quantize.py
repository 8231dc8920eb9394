"""Post-training quantization: float model -> integer network. docs/numerics.md, equations 13 to 17, 34 and 35.

int8 weights with one power-of-two exponent for each row, so that every rescale is one rounding shift. The normalisation
of the input (mean, standard deviation) is folded in: an integer offset and factor for each channel, and what those round
away goes into the first layer's weights and bias, so nothing is lost but the weights' own rounding.
"""

from __future__ import annotations

import math

import numpy as np

from tinyrnn import cells, floatmodel
from tinyrnn.cells.base import Cell, Given
from tinyrnn.errors import ModelError
from tinyrnn.floatlayers import Embedding, dense
from tinyrnn.floatmodel import FloatModel, Reach
from tinyrnn.matrix import ACTIVATION_MAX, LIMIT, Matrix
from tinyrnn.network import Channels, Head, Network, with_vectors
from tinyrnn.randommodel import random_float_model
from tinyrnn.rows import SHIFT_MAX, matrix, round_half_up, row

__all__ = ["quantize", "random_float_model"]

HEADROOM = 1.25  # of the input's format above what calibration saw


def quantize(model: FloatModel) -> Network:
    """The network, its law proven and its selftest vectors made. Raises ModelError, naming the layer and the row."""
    model = model.folded()
    reach = list(model.calibration.reach or _guessed(model))
    first = model.layers[0]
    if isinstance(first, Embedding):
        channels, exponents = _symbols(first.symbols)
        given = Given("layer 0", bits=0)
    else:
        channels, bits, scale, shift, exponents = _input_format(model)
        given = Given("layer 0", bits, scale, shift)
    found: list[Cell] = []
    bits = given.bits
    for number, layer in enumerate(model.layers):
        where = f"layer {number}"
        if number:
            given = Given(where, bits)
        if isinstance(layer, floatmodel.Cell):
            given = Given(where, given.bits, given.scale, given.shift, reach.pop(0))
        cell, bits = cells.for_layer(layer, where).quantize(layer, given)
        found.append(cell)
    head, output_exponents = _head(model, bits)
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
        heads=tuple(Head(each.name, each.outputs, each.task == "regression") for each in model.heads),
        window=model.window,
    )
    return with_vectors(network, network.raw(model.calibration.sample))


def _guessed(model: FloatModel) -> tuple[Reach, ...]:
    """What the cells' values may reach, where nobody has measured it on the recording: twice what the short sample does."""
    seen = model.reach(model.calibration.sample[None])
    return tuple(Reach(2 * each.state, 2 * each.ih, 2 * each.hh) for each in seen)


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
        exponents = np.clip(np.floor(np.log2((1 << 14) / np.maximum(largest, 1e-30))), -16, 24).astype(np.int64)
    unit = 2.0**exponents
    if (largest * unit >= 1 << 24).any():
        c = int((largest * unit).argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) reaches {largest[c]:g}; expected integers below 2^24, "
            "scale it down in the recording"
        )
    reach = np.maximum(np.abs(seen.minimum - model.mean), np.abs(seen.maximum - model.mean)) / model.std
    bits = int(np.clip(math.floor(math.log2(ACTIVATION_MAX / (HEADROOM * max(reach.max(), 1e-6)))), 10, 14))
    offset = round_half_up(model.mean * unit)
    if (np.abs(offset) >= 1 << 29).any():
        c = int(np.abs(offset).argmax())
        raise ModelError(
            f"input channel {c} ({model.channels[c]}) has a mean of {model.mean[c]:g}, far outside what calibration saw; "
            "expected the statistics of the same recording"
        )
    # One raw step is `step` of the format's; factor / 2^shift is the nearest with a shift the law has room for
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


def _head(model: FloatModel, bits: int) -> tuple[Matrix, np.ndarray]:
    """The dense heads as one matrix, and its outputs' exponents (equation 16)."""
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
        parts = [row(name, w, b, bits, -60, 60, unit=None) for name, w, b in rows]
        common = min(exponent for _, _, exponent in parts)
        if head.task != "regression":  # one for all classes, so that they compare
            parts = [row(name, w, b, bits, common, common + SHIFT_MAX, common) for name, w, b in rows]
        for w, b, exponent in parts:
            own = exponent if head.task == "regression" else common
            weights.append(w)
            biases.append(b)
            shifts.append(exponent - own)
            exponents.append(-(own + bits))
    return matrix(weights, biases, np.array(shifts)), np.array(exponents)
