# SPDX-License-Identifier: MIT
"""The figures of float and integer model on a recording: batches, heads, parts and the line of a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.types import instance
from tinyrnn.data.figures import ClassificationFigures, RegressionFigures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import DataError
from tinyrnn.float_model import evaluation
from tinyrnn.float_model.model import FloatHead, FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization import accuracy
from tinyrnn.quantization.quantizer import quantize

CHANNELS = ("c0", "c1", "c2")
LENGTHS = (7, 3, 12, 1, 7, 5, 9, 2)


def sequences(labels: int, when: str, seed: int) -> Sequences:
    rng = np.random.default_rng(seed)
    x = [rng.integers(-3000, 3000, (steps, 3)).astype(float) for steps in LENGTHS]
    if when == "every":
        return Sequences(x, [rng.permutation(np.arange(steps) % labels) for steps in LENGTHS])
    return Sequences(x, np.arange(len(LENGTHS)) % labels)


def recording(labels: tuple[str, ...], when: str = "last") -> Recording:
    train, test, validation = (sequences(len(labels), when, seed) for seed in range(3))
    return Recording("moves", "classification", when, CHANNELS, labels, train, test, validation=validation)


def model_of(when: str = "last") -> FloatModel:
    return replace(random_float_model(np.random.default_rng(1), 3, (8,), 4), when=when)


@pytest.mark.parametrize("when", ["last", "every"])
@pytest.mark.parametrize("room", [1, 10, 100_000])
def test_batches_change_nothing(when: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sequence alone gives the same outputs as all of them in batches, in the order of the recording."""
    monkeypatch.setattr(evaluation, "ROOM", room)
    network = quantize(model_of(when))
    simulator = Simulator(network)
    given = recording(("a", "b", "c", "d"), when).test
    alone = [simulator.values(simulator.run(network.raw(x[None]))[0])[0] for x in given.x]
    wanted = np.concatenate([each[-1:] if when == "last" else each for each in alone])
    assert np.array_equal(accuracy.predict_integers(network, given), wanted)


def test_a_network_alone_and_both() -> None:
    model = model_of()
    network = quantize(model)
    given = recording(model.labels)
    both = accuracy.evaluate(model, network, given)
    alone = accuracy.evaluate(None, network, given)
    assert np.array_equal(instance(np.ndarray, both.integer_outputs), instance(np.ndarray, alone.integer_outputs))
    assert (alone.float_figures, alone.agreement_pct, alone.largest_difference) == (None, None, None)
    assert instance(float, both.agreement_pct) >= 75
    assert 0 < instance(float, both.largest_difference) < 0.05


def test_the_head_of_the_recording() -> None:
    """Outputs, labels and order of the second head."""
    four = model_of()
    heads = (FloatHead("hand", 2, "classification"), FloatHead("move", 2, "classification"))
    model = replace(four, heads=heads, labels=("left", "right", "walk", "run"))
    given = recording(("run", "walk"))
    for one, other in ((model, None), (None, quantize(model))):
        found = accuracy.evaluate(one, other, given)
        assert found.match.head == "move"
        assert found.match.outputs == (3, 2)
    floats = instance(np.ndarray, accuracy.evaluate(model, None, given).float_outputs)
    alone = np.stack([four.forward(x[None])[0, -1, [3, 2]] for x in given.test.x])
    assert np.allclose(floats, alone, rtol=0, atol=1e-12)


def test_a_network_without_names() -> None:
    network = replace(quantize(model_of()), labels=(), channels=())
    found = accuracy.evaluate(None, network, recording(("a", "b", "c", "d")))
    assert found.match.remarks == ("labels matched by their order: 0 = a, 1 = b, 2 = c, 3 = d",)


def test_classes_that_the_recording_lacks_are_in_the_baselines_too() -> None:
    model = model_of()
    found = accuracy.evaluate(model, None, recording(model.labels[1:]))
    assert found.match.labels == (*model.labels[1:], model.labels[0])
    ((baseline, figures),) = found.baselines
    assert baseline.description == f"always {model.labels[1]}"
    assert instance(ClassificationFigures, figures).confusion.shape == (4, 4)
    assert np.isfinite(instance(ClassificationFigures, figures).cross_entropy_bits)


def test_parts() -> None:
    given = recording(("a", "b", "c", "d"))
    assert accuracy.part_of(given, "validation") is given.validation
    assert len(accuracy.part_of(given, "all")) == 3 * len(LENGTHS)
    assert len(accuracy.part_of(recording(("a", "b"), "every"), "all").all_y()) == 3 * sum(LENGTHS)
    with pytest.raises(DataError, match="has no validation sequences; expected --part test, train or all"):
        accuracy.part_of(replace(given, validation=None), "validation")


def test_the_line_of_a_seed() -> None:
    model = model_of()
    network, given = quantize(model), recording(model.labels)
    each = [accuracy.evaluate(model, network, given, part) for part in ("validation", "test")]
    line = accuracy.seed_line(each)
    numbers = [float(word) for word in line.replace("%", "").split()]
    wanted = [
        instance(ClassificationFigures, found).accuracy_pct
        for one in each
        for found in (one.float_figures, one.integer_figures)
    ]
    assert numbers == pytest.approx(wanted, abs=0.005)
    heading = accuracy.seed_headings("classification", ("validation", "test"))
    assert " ".join(heading.split()) == "validation accuracy: float, integer test accuracy: float, integer"
    assert len(heading) == len(line)


def test_the_line_of_a_seed_of_a_regression() -> None:
    model = replace(model_of(), task="regression")
    rng = np.random.default_rng(0)
    part = Sequences(sequences(4, "last", 0).x, rng.normal(size=(len(LENGTHS), 4)))
    given = Recording("moves", "regression", "last", CHANNELS, model.labels, part, part)
    found = accuracy.evaluate(model, quantize(model), given)
    numbers = [float(word) for word in accuracy.seed_line([found]).split()]
    floats, integers = (instance(RegressionFigures, each) for each in (found.float_figures, found.integer_figures))
    wanted = [floats.overall_rmse, floats.r2.mean(), integers.overall_rmse, integers.r2.mean()]
    assert numbers == pytest.approx(wanted, rel=1e-3)
