# SPDX-License-Identifier: MIT
"""What a report measures is what the models compute, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import reports
from helpers.types import instance
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.cells.rnn import RNN
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.simulator import Simulator, normalise, rshift, saturate, sigmoid
from tinyrnn.report.calibration import reliability
from tinyrnn.report.measurement import TimeAxis, probabilities
from tinyrnn.report.saturation import BINS, NEAR, Histogram
from tinyrnn.report.subject import Subject
from tinyrnn.report.worst import STRETCH, worst


def product(matrix: object, x: np.ndarray) -> np.ndarray:
    """A product in whole numbers: equation 7 of docs/numerics.md."""
    m = instance(Matrix, matrix)
    return (m.weight.astype(np.int64) @ x + m.bias) >> m.shift.astype(np.int64)


def gate_sums(found: Subject, number: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The sums before each activation function and the states of one test sequence, computed step by step."""
    network = found.network
    cell = network.cells[0]
    raw = network.raw(found.sequences.x[number])
    states = Simulator(network).run(raw[None])[1][0]
    h = np.zeros(cell.units, np.int64)
    sums = []
    for x, after in zip(normalise(network.input, raw), states, strict=True):
        if isinstance(cell, GRU):
            a, b = product(cell.w, x), product(cell.u, h)
            n = cell.units
            r = sigmoid(saturate(a[:n] + b[:n]))
            sums += [a[: 2 * n] + b[: 2 * n], a[2 * n :] + rshift(r * saturate(b[2 * n :]), 15)]
        else:
            assert isinstance(cell, RNN)
            sums.append(product(cell.w, x) + product(cell.u, h))
        h = after
    return sums, states


@pytest.mark.parametrize("kind", ["gru", "rnn"])
def test_histograms_count_every_state_and_every_sum_before_a_gate(kind: str) -> None:
    data = reports.recording(lengths=(12, 3, 7))
    model = reports.model_for(data, kind)
    found = reports.subject(data, model)
    sums, states = zip(*(gate_sums(found, number) for number in range(len(found.sequences))), strict=True)
    (layer,) = found.saturation.layers
    for histogram, values, limit in (
        (layer.states[0], np.concatenate([s.ravel() for s in states]), NEAR),
        (layer.sums, np.concatenate([part for each in sums for part in each]), 32768),
    ):
        assert histogram is not None
        bins = np.clip(np.floor_divide(values + 32768, 2048), 0, BINS - 1)
        assert histogram.counts.tolist() == [int((bins == i).sum()) for i in range(BINS)]
        assert histogram.at_limit == int((np.abs(values) >= limit).sum())


def test_a_saturated_sum_is_at_the_limit() -> None:
    histogram = Histogram("sums", 32768)
    histogram.add(np.array([[-40000, -32768, -32767], [0, 32767, 32768]]))
    assert (histogram.at_limit, histogram.counts[0], histogram.counts[-1], histogram.share) == (3, 3, 2, 0.5)


def test_samples_beyond_the_range_are_counted_for_each_channel() -> None:
    data = reports.recording(channels=("ax", "ay"), lengths=(10, 5, 5))
    data.test.x[0][:4, 1] = 1e6
    data.test.x[2][0, 1] = -1e6
    model = reports.model_for(data)
    assert reports.subject(data, model).saturation.inputs.tolist() == [0.0, 5 / 20]


def test_an_lstm_has_a_histogram_of_its_memory() -> None:
    data = reports.recording()
    (layer,) = reports.subject(data, reports.model_for(data, "lstm")).saturation.layers
    assert [state.name for state in layer.states] == ["state h", "memory c"]
    steps = int(data.test.lengths.sum())
    assert [int(state.counts.sum()) for state in layer.states] == [steps * 7, steps * 7]
    assert layer.sums is not None
    assert layer.sums.counts.sum() == steps * 4 * 7


def test_right_decisions_at_each_step_of_sequences_of_one_length() -> None:
    data = reports.recording(lengths=(9,) * 6)
    model = reports.model_for(data)
    found = reports.subject(data, model)
    decisions = model.forward(np.stack(data.test.x)).argmax(axis=2)
    assert found.axis.edges.tolist() == list(range(10))
    right = (decisions == data.test.all_y()[:, None]).mean(axis=0)
    assert found.measured["float"].over_time == pytest.approx(right)


def test_decisions_along_sequences_of_several_lengths_are_relative() -> None:
    data = reports.recording(("walk", "run"), lengths=(4, 8))
    model = reports.model_for(data)
    found = reports.subject(data, model)
    assert found.axis.relative
    assert found.axis.edges.tolist() == [0, 25, 50, 75, 100]
    right = [model.forward(x[None])[0].argmax(axis=1) == y for x, y in zip(data.test.x, data.test.y, strict=True)]
    quarters = [np.concatenate([right[0][i : i + 1], right[1][2 * i : 2 * i + 2]]) for i in range(4)]
    assert found.measured["float"].over_time == pytest.approx([quarter.mean() for quarter in quarters])


def test_error_at_each_step_since_the_start() -> None:
    data = reports.recording(("speed", "load"), task="regression", when="every", lengths=(4, 8))
    model = reports.model_for(data)
    found = reports.subject(data, model)
    assert found.axis.edges.tolist() == list(range(9))
    errors = [np.square(model.forward(x[None])[0] - y) for x, y in zip(data.test.x, data.test.y, strict=True)]
    both = np.mean([errors[0], errors[1][:4]], axis=0)
    assert found.measured["float"].over_time == pytest.approx(np.sqrt([*both, *errors[1][4:]]))


@pytest.mark.parametrize(
    ("lengths", "when", "relative"), [((90, 100), "last", False), ((89, 100), "last", True), ((1, 100), "every", False)]
)
def test_the_kind_of_axis(lengths: tuple[int, int], when: str, relative: bool) -> None:
    assert TimeAxis.of(np.array(lengths), when).relative == relative


def test_the_axis_has_at_most_fifty_points() -> None:
    axis = TimeAxis.of(np.array([1000, 1000]), "last")
    points = axis.points(np.arange(1000), 1000)
    assert np.bincount(points).tolist() == [20] * 50


def test_channels_and_classes_in_another_order_change_nothing() -> None:
    data = reports.recording(("a", "b", "c"), ("x", "y"))
    model = reports.model_for(data)
    swapped = reports.recording(("c", "a", "b"), ("y", "x"))
    for part, given in ((swapped.train, data.train), (swapped.test, data.test)):
        part.x[:] = [x[:, ::-1] for x in given.x]
        part.all_y()[:] = (given.all_y() + 1) % 3
    first, second = reports.subject(data, model), reports.subject(swapped, model)
    assert second.figures["integer"].entries() == first.figures["integer"].entries()
    assert second.channels == ("x", "y")
    assert second.measured["integer"].over_time.tolist() == first.measured["integer"].over_time.tolist()


def test_the_worst_sequences_come_first_with_what_was_said() -> None:
    data = reports.recording(lengths=(5, 9, 7, 6, 8, 4))
    found = reports.subject(data)
    answers = data.test.all_y()
    shares = probabilities(found.measured["integer"].outputs)[np.arange(6), answers]
    order = np.argsort(shares)[:3]
    pieces = worst(found, 3)
    assert [piece.name for piece in pieces] == [f"test/{i}.csv" for i in order]
    for piece, i in zip(pieces, order, strict=True):
        assert piece.loss == pytest.approx(-np.log2(shares[i]))
        assert piece.outputs["integer"][-1].tolist() == found.measured["integer"].outputs[i].tolist()
        assert len(piece.outputs["float"]) == len(piece.x) == data.test.lengths[i]


def test_the_worst_stretch_of_a_long_sequence() -> None:
    data = reports.recording(("speed",), task="regression", when="every", lengths=(3 * STRETCH - 50,))
    y = data.test.y[0]
    y[2 * STRETCH + 10 : 2 * STRETCH + 40] += 100
    found = reports.subject(data)
    (piece,) = worst(found, 1)
    assert (piece.start, len(piece.x)) == (2 * STRETCH, STRETCH - 50)
    # The state is that of the whole sequence, not of a new one
    assert piece.outputs["integer"].tolist() == found.measured["integer"].outputs[2 * STRETCH :].tolist()


def test_reliability_of_decisions() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65], [0.4, 0.6]])
    found = reliability(np.log(shares), np.array([0, 1, 1, 1]))
    assert found.count.tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 2, 0]
    assert found.right[[5, 6, 8]].tolist() == [1.0, 1.0, 0.5]
    assert found.probability[[5, 6, 8]] == pytest.approx([0.6, 0.65, 0.9])
    assert found.expected_error == pytest.approx((0.4 + 0.35 + 2 * 0.4) / 4)
