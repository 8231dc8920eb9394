# SPDX-License-Identifier: MIT
"""The quantizer: integer models stay close to their float models, use their bits, and bad models are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.types import instance
from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import BatchNorm, LayerNorm, Linear, Skip, dense
from tinyrnn.float_model.model import Calibration, FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.cells import fastrnn, lstm
from tinyrnn.integer_model.cells import gru as integer_gru
from tinyrnn.integer_model.cells import rnn as integer_rnn
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization.quantizer import quantize


def largest_difference(model: FloatModel, x: np.ndarray) -> float:
    network = quantize(model)
    simulator = Simulator(network)
    return float(np.abs(simulator.values(simulator.run(network.raw(x))[0]) - model.forward(x)).max())


@pytest.mark.parametrize("units", [(1,), (8,), (32,), (16, 16), (8, 64, 8)], ids=str)
def test_close_to_the_float_model(units: tuple[int, ...]) -> None:
    """Logits of about 0.5 stay within 0.02 over 200 steps, without drift."""
    rng = np.random.default_rng(4)
    model = random_float_model(rng, 6, units, 5)
    assert largest_difference(model, rng.uniform(-3000, 3000, (4, 200, 6)).round()) < 0.02


OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "rank": {"rank": 4},
    "layernorm": {"layernorm": True},
    "between": {"between": True, "units": (16, 12)},
    "symbols": {"symbols": 9},
}
# Logits of some 0.5 to 2 over 100 steps of an untrained, chaotic network: errors of a layer normalisation, which has more
# to round, and of ReLU, whose states grow, weigh more. A wrong format or row is off by tenths.
ROOM = {"": 0.03, "rank": 0.03, "layernorm": 0.12, "between": 0.12, "symbols": 0.03}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", float_cells.names())
def test_every_cell_is_close_to_its_float_model(cell: str, option: str) -> None:
    options = dict(OPTIONS[option])
    units = options.pop("units", (16,))
    rng = np.random.default_rng(1)
    model = random_float_model(rng, 6, units, 5, cell, **options)
    x = rng.integers(0, 9, (8, 100, 1)) if option == "symbols" else rng.integers(-3000, 3001, (8, 100, 6))
    model = replace(model, calibration=replace(model.calibration, value_ranges=model.value_ranges(x)))
    assert largest_difference(model, x.astype(float)) < ROOM[option]


def test_projection_and_mixture() -> None:
    rng = np.random.default_rng(2)
    for cells, units, projection in (("lstm", (16, 12), 7), (("lstm", "gru", "rnn-relu", "fastgrnn"), (9, 8, 7, 6), 0)):
        model = random_float_model(rng, 6, units, 5, cells, projection=projection)
        x = rng.integers(-3000, 3001, (8, 100, 6)).astype(float)
        model = replace(model, calibration=replace(model.calibration, value_ranges=model.value_ranges(x)))
        assert largest_difference(model, x) < 0.03


def test_batch_normalisation_is_folded_away() -> None:
    rng = np.random.default_rng(3)
    model = random_float_model(rng, 6, (12, 8), 5, ("lstm", "gru"))
    first, second = model.layers

    def batchnorm(n: int) -> BatchNorm:
        return BatchNorm(rng.uniform(0.5, 2, n), rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), rng.uniform(0.2, 2, n))

    model = replace(model, layers=(batchnorm(6), first, batchnorm(12), second, batchnorm(8)))
    x = rng.integers(-3000, 3001, (4, 60, 6)).astype(float)
    model = replace(model, calibration=replace(model.calibration, value_ranges=model.value_ranges(x)))
    assert largest_difference(model, x) < 0.05
    assert [cell.tag for cell in quantize(model).cells] == [b"LSTM", b"GRU"]


def test_calibrated_ranges() -> None:
    """LSTM's c and ReLU's h get the power of two above 1.25 times the largest value seen."""
    rng = np.random.default_rng(4)
    for cell, place in (("lstm", 16), ("rnn-relu", 0), ("fastrnn", 0)):
        model = random_float_model(rng, 4, (16,), 3, cell)
        (value_ranges,) = model.value_ranges(model.calibration.sample[None])
        for largest, k in ((0.5, 0), (0.8, 0), (0.81, 1), (1.5, 1), (1.61, 2), (100.0, 7)):
            state = np.full(len(value_ranges.state), 0.1)
            state[place] = largest
            seen = replace(model.calibration, value_ranges=(replace(value_ranges, state=state),))
            (made,) = quantize(replace(model, calibration=seen)).cells
            if isinstance(made, lstm.LSTM | fastrnn.FastRNN):
                assert made.extra == k
            else:
                assert largest_format(instance(integer_rnn.RNN, made), model) == 15 - k


def largest_format(cell: integer_rnn.RNN, model: FloatModel) -> int:
    """The fraction bits of a ReLU's products: its bias is b * 2^bits before the shift."""
    bias = instance(RNN, model.layers[0]).bias_hh
    row = int(np.abs(bias).argmax())
    u = instance(Matrix, cell.u)
    return round(float(np.log2((int(u.bias[row]) >> int(u.shift[row])) / bias[row])))


def test_a_state_without_end_is_refused() -> None:
    model = random_float_model(np.random.default_rng(5), 4, (6,), 3, "rnn-relu")
    (value_ranges,) = model.value_ranges(model.calibration.sample[None])
    seen = replace(model.calibration, value_ranges=(replace(value_ranges, state=np.full(6, 1e6)),))
    with pytest.raises(ModelError, match="layer 0: its state reaches 1e\\+06; expected below 32768"):
        quantize(replace(model, calibration=seen))


def test_a_norm_of_the_raw_inputs_is_refused() -> None:
    model = random_float_model(np.random.default_rng(6), 4, (6,), 3)
    layers = (LayerNorm(np.ones(4), np.zeros(4)), *model.layers)
    with pytest.raises(ModelError, match="layer 0, layernorm: it is the first layer"):
        quantize(replace(model, layers=layers))


def test_normalisation_of_awkward_channels() -> None:
    """Large offsets, tiny and huge ranges, bits and floats are folded in without loss."""
    rng = np.random.default_rng(5)
    model = random_float_model(rng, 6, (16,), 3)
    mean = np.array([1e5, 0.5, -2.0, 0.0, 3e6, 512.0])
    std = np.array([30.0, 0.5, 0.9, 1e3, 2e5, 1.0])
    x = mean + std * rng.uniform(-2, 2, (4, 60, 6))
    whole = np.round(x)
    for values, integer in ((x, False), (whole, True)):
        seen = Calibration(values.min((0, 1)), values.max((0, 1)), integer, values[0, :8])
        changed = replace(model, mean=mean, std=std, calibration=seen)
        # Floats of 1e5 +- 30 in 15 bits have steps of 4: that loss is the format's, the user's to scale away
        channels = [0] if not integer else []
        kept = values.copy()
        kept[..., channels] = mean[channels]
        assert largest_difference(changed, kept) < 0.03


def test_values_far_outside_what_was_seen_saturate() -> None:
    rng = np.random.default_rng(6)
    model = random_float_model(rng, 2, (8,), 2)
    network = quantize(model)
    simulator = Simulator(network)
    far = np.full((1, 5, 2), 2**30 - 1)
    edge = np.tile(network.input.high.astype(np.int64), (1, 5, 1))
    assert (simulator.run(far)[0] == simulator.run(edge)[0]).all()


def recurrent(network: Network) -> Matrix:
    """U of the first layer, a GRU."""
    return instance(Matrix, instance(integer_gru.GRU, network.cells[0]).u)


def test_rows_use_their_eight_bits() -> None:
    """The largest weight of every row is in 64..127, however small the row."""
    model = random_float_model(np.random.default_rng(7), 4, (8,), 3)
    scale = 2.0 ** -np.arange(24)[:, None] / 4
    layer = instance(GRU, model.layers[0])
    small = dense(layer.weight_hh) * np.maximum(scale, 2.0**-9)
    u = recurrent(quantize(replace(model, layers=(replace(layer, weight_hh=small, bias_hh=np.zeros(24)),))))
    assert (np.abs(u.weight.astype(int)).max(axis=1) >= 63).all()


def test_no_weight_leaves_the_accumulator() -> None:
    """A wide layer of large weights gets fewer bits instead of an overflow."""
    model = random_float_model(np.random.default_rng(8), 3, (400,), 2)
    layer = instance(GRU, model.layers[0])
    ones = np.sign(dense(layer.weight_hh)) * 0.99
    u = recurrent(quantize(replace(model, layers=(replace(layer, weight_hh=ones),))))
    assert int(u.bounds().max()) < 2**30
    assert np.abs(u.weight.astype(int)).max() == 63  # 400 * 127 * 32767 would not fit


def test_too_large_values_are_refused() -> None:
    model = random_float_model(np.random.default_rng(9), 2, (4,), 2)
    seen = replace(model.calibration, maximum=np.array([1e9, 1.0]))
    with pytest.raises(ModelError, match="input channel 0 \\(c0\\) reaches 1e\\+09; expected integers below 2\\^24"):
        quantize(replace(model, calibration=seen))


@pytest.mark.parametrize("mean", [2.0**29, 2.0**31, 2.0**32, 2.0**62, 2.0**63, 1.5 * 2.0**63, 2.0**64, 1e30, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_far_outside_is_refused_however_far(mean: float, sign: int) -> None:
    """The magnitude of the smallest 64-bit integer is negative: a mean of 2^63 once passed as an offset of 0."""
    model = random_float_model(np.random.default_rng(9), 2, (4,), 2)
    with pytest.raises(ModelError, match=r"input channel 1 \(c1\) has a mean of .*, far outside its range in calibration"):
        quantize(replace(model, mean=model.mean + np.array([0.0, sign * mean])))


@pytest.mark.parametrize("std", [5e-324, 1e-310, 1e-31])
def test_a_deviation_that_cannot_be_divided_by_is_refused(std: float) -> None:
    model = random_float_model(np.random.default_rng(9), 2, (4,), 2)
    with pytest.raises(ModelError, match=r"channel 1 has a standard deviation of .*; expected 1e-30 or more"):
        replace(model, std=np.array([1.0, std]))
    quantize(replace(model, std=np.array([1.0, 1e3])))


def test_a_long_calibration_sample_is_refused_before_it_is_run() -> None:
    model = random_float_model(np.random.default_rng(9), 2, (4,), 2)
    for steps in (4097, 70_000):
        with pytest.raises(ModelError, match=f"calibration sample has {steps} steps; expected at most 4096"):
            replace(model, calibration=replace(model.calibration, sample=np.zeros((steps, 2))))


def test_the_last_value_of_a_forecast_goes_on_beyond_the_range_of_training() -> None:
    """A trend leaves the range that calibration saw. What the head reads through a skip connection must follow it."""
    rng = np.random.default_rng(0)
    model = random_float_model(rng, 2, (5,), 1)
    skip = Skip(5, np.array([1.0]))
    head = Linear(np.hstack([0.01 * dense(model.head.weight), [[1.0]]]), np.zeros(1))
    model = replace(model, task="regression", layers=(*model.layers, skip), head=head, labels=("next",))
    model = replace(model, target_std=np.array([1000.0]), heads=())
    network = quantize(model)
    assert model.calibration.maximum[1] == 3000
    for value in (0, 3000, 5000, 8000, 11000, -11000):
        x = np.array([[[7.0, value]]])
        outputs, _ = Simulator(network).run(network.raw(x))
        want = model.forward(x)[0, 0, 0]
        assert abs(float(Simulator(network).values(outputs)[0, 0, 0]) - want) < 3
        assert abs(want - value) < 30


@pytest.mark.parametrize("bias", [90.0, -5.0, 1e-20, 3e8])
def test_a_head_row_without_weights(bias: float) -> None:
    model = random_float_model(np.random.default_rng(0), 2, (5,), 3)
    weight = dense(model.head.weight).copy()
    weight[1] = 0
    for task, head in (
        ("classification", Linear(weight, np.array([0.0, min(bias, 90.0), 0.0]))),
        ("regression", Linear(np.zeros_like(weight), np.array([0.0, bias, 1.0]))),
    ):
        network = quantize(replace(model, task=task, head=head))
        outputs, _ = Simulator(network).run(network.raw(np.zeros((1, 2, 2))))
        want = replace(model, task=task, head=head).forward(np.zeros((1, 2, 2)))[0, 1]
        got = Simulator(network).values(outputs)[0, 1]
        assert np.abs(got - want).max() <= 0.01 * max(1.0, float(np.abs(want).max()))
