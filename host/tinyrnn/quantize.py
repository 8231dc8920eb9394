"""Post-training quantization: float model -> integer network. docs/numerics.md, equations 13 to 17.

int8 weights with one power-of-two exponent for each row, so that every rescale is one rounding shift. The normalisation
of the input (mean, standard deviation) is folded in: an integer offset and factor for each channel, and what those round
away goes into the first layer's weights and bias, so nothing is lost but the weights' own rounding.
"""

from __future__ import annotations

import math

import numpy as np

from tinyrnn import floatmodel
from tinyrnn.errors import ModelError
from tinyrnn.floatlayers import dense
from tinyrnn.floatmodel import FloatModel
from tinyrnn.network import ACTIVATION_MAX, GRU, LIMIT, Channels, Matrix, Network, with_vectors

GATE_BITS = 12  # gates are Q3.12
STATE_BITS = 15  # states are Q0.15
SHIFT_MAX = 24
WEIGHT_MAX = 127
HEADROOM = 1.25  # of the input's format above what calibration saw


def quantize(model: FloatModel) -> Network:
    """The network, its law proven and its selftest vectors made. Raises ModelError, naming the layer and the row."""
    layers = _supported(model)
    channels, bits, scale, shift, exponents = _input_format(model)
    first = layers[0]
    # W (x - mean) / std + b in terms of the input format's real value u: W (u * scale + shift) + b
    weight = dense(first.weight_ih) * scale
    bias = first.bias_ih + dense(first.weight_ih) @ shift
    cells = []
    for number, layer in enumerate(layers):
        w = _rows(f"layer {number} W", weight, bias, bits)
        u = _rows(f"layer {number} U", dense(layer.weight_hh), layer.bias_hh, STATE_BITS)
        cells.append(GRU(w, u))
        bits = STATE_BITS
        if number + 1 < len(layers):
            weight, bias = dense(layers[number + 1].weight_ih), layers[number + 1].bias_ih
    head, output_exponents = _head(model)
    network = Network(
        task=model.task,
        when=model.when,
        input=channels,
        cells=tuple(cells),
        head=head,
        exponents=output_exponents,
        labels=model.labels,
        channels=model.channels,
        input_exponents=exponents,
        name=model.name,
    )
    return with_vectors(network, network.raw(model.calibration.sample))


def _supported(model: FloatModel) -> list[floatmodel.GRU]:
    """The layers, batch normalisation folded away. Raises ModelError for what the device has no code for."""
    known = "expected one head and gru layers (reset after, full rank, no layer normalisation)"
    found = []
    for number, layer in enumerate(model.folded().layers):
        if not isinstance(layer, floatmodel.GRU) or not layer.reset_after or layer.norm is not None:
            raise ModelError(f"layer {number}, {layer.kind}: this kind or an option of it cannot be quantized; {known}")
        if any(isinstance(weight, floatmodel.Factors) for weight in (layer.weight_ih, layer.weight_hh, model.head.weight)):
            raise ModelError(f"layer {number}, {layer.kind}: low-rank factors cannot be quantized; {known}")
        found.append(layer)
    if len(model.heads) > 1:
        raise ModelError(f"{len(model.heads)} heads cannot be quantized; {known}")
    return found


def round_half_up(x: np.ndarray | float) -> np.ndarray:
    """The nearest integers, halves up: the device's rounding rule for the host's floats."""
    return np.floor(np.asarray(x, np.float64) + 0.5).astype(np.int64)


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


def _rows(what: str, weight: np.ndarray, bias: np.ndarray, bits: int) -> Matrix:
    """A gate matrix on inputs with `bits` fraction bits; the result has GATE_BITS."""
    lowest = GATE_BITS - bits  # below it the rescale would be a left shift
    highest = lowest + SHIFT_MAX
    parts = [
        _row(f"{what} row {r}", w, b, bits, lowest, highest, lowest)
        for r, (w, b) in enumerate(zip(weight, bias, strict=True))
    ]
    shift = np.array([exponent - lowest for _, _, exponent in parts])
    return _matrix([w for w, _, _ in parts], [b for _, b, _ in parts], shift)


def _head(model: FloatModel) -> tuple[Matrix, np.ndarray]:
    """The dense head and its outputs' exponents: one for all classes, so that they compare; each target its own."""
    weight = dense(model.head.weight) * model.target_std[:, None]
    bias = model.head.bias * model.target_std + model.target_mean
    parts = [
        _row(f"head row {r}", w, b, STATE_BITS, -60, 60, unit=None)
        for r, (w, b) in enumerate(zip(weight, bias, strict=True))
    ]
    own = np.array([exponent for _, _, exponent in parts])
    if model.task == "regression":
        return _matrix([w for w, _, _ in parts], [b for _, b, _ in parts], 0 * own), -(own + STATE_BITS)
    common = int(own.min())
    parts = [
        _row(f"head row {r}", w, b, STATE_BITS, common, common + SHIFT_MAX, common)
        for r, (w, b) in enumerate(zip(weight, bias, strict=True))
    ]
    shift = np.array([exponent - common for _, _, exponent in parts])
    exponents = np.full(len(parts), -(common + STATE_BITS))
    return _matrix([w for w, _, _ in parts], [b for _, b, _ in parts], shift), exponents


def _row(
    what: str, w: np.ndarray, b: float, bits: int, lowest: int, highest: int, unit: int | None
) -> tuple[np.ndarray, int, int]:
    """The row's integers: weights (C,) scaled by 2^e, bias scaled by 2^(e + bits), and the largest e that fits.

    Fits: lowest <= e <= highest, weights within +-127, and the accumulator's bound (equation 8) below 2^30. The result
    will be shifted right by e - unit, whose rounding half counts in the bound; None: not shifted.
    """
    largest = float(np.abs(w).max(initial=0))
    exponent = highest if largest == 0 else min(highest, math.floor(math.log2((WEIGHT_MAX + 0.5) / largest)))
    while exponent >= lowest:
        weight = round_half_up(w * 2.0**exponent)
        offset = int(round_half_up(b * 2.0 ** (exponent + bits)))
        half = 0 if unit is None else 1 << (exponent - unit) >> 1
        bound = abs(offset) + half + int(np.abs(weight).sum()) * ACTIVATION_MAX
        if np.abs(weight).max(initial=0) <= WEIGHT_MAX and bound < LIMIT:
            return weight, offset, exponent
        exponent -= 1
    raise ModelError(
        f"{what}: weights up to {largest:g}, a bias of {b:g} and {len(w)} columns do not fit 8-bit weights and a 31-bit "
        "accumulator; expected smaller weights (train with weight decay) or fewer units"
    )


def _matrix(weights: list[np.ndarray], biases: list[int], shift: np.ndarray) -> Matrix:
    half = (1 << shift.astype(np.int64)) >> 1
    return Matrix(
        weight=np.array(weights).astype(np.int8),
        bias=(np.array(biases, np.int64) + half).astype(np.int32),
        shift=shift.astype(np.uint8),
    )


def random_float_model(rng: np.random.Generator, inputs: int, units: tuple[int, ...], outputs: int) -> FloatModel:
    """An untrained model with PyTorch's initialisation, for tests and for judging sizes and speeds."""
    layers = []
    width = inputs
    for n in units:
        bound = n**-0.5
        layers.append(
            floatmodel.GRU(
                weight_ih=rng.uniform(-bound, bound, (3 * n, width)),
                weight_hh=rng.uniform(-bound, bound, (3 * n, n)),
                bias_ih=rng.uniform(-bound, bound, 3 * n),
                bias_hh=rng.uniform(-bound, bound, 3 * n),
            )
        )
        width = n
    sample = np.floor(rng.uniform(-2000, 2000, (8, inputs)))
    return FloatModel(
        task="classification",
        when="last",
        mean=np.zeros(inputs),
        std=np.full(inputs, 1000.0),
        layers=tuple(layers),
        head=floatmodel.Linear(rng.uniform(-bound, bound, (outputs, width)), rng.uniform(-bound, bound, outputs)),
        labels=tuple(f"class{i}" for i in range(outputs)),
        channels=tuple(f"c{i}" for i in range(inputs)),
        target_mean=np.zeros(outputs),
        target_std=np.ones(outputs),
        calibration=floatmodel.Calibration(np.full(inputs, -3000.0), np.full(inputs, 3000.0), True, sample),
        name=f"random-{inputs}-" + "-".join(map(str, units)),
    )
