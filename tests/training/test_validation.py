# SPDX-License-Identifier: MIT
"""Validation, early stopping, refitting, and forecasts that learn differences from the last value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import ModelError
from tinyrnn.float_model.evaluation import predict
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.accuracy import predict_integers
from tinyrnn.quantization.precision_search import measured
from tinyrnn.training import trainer
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.checkpoint import Checkpoint
from tinyrnn.training.hyperparameters import default_hyperparameters
from tinyrnn.training.optimization import Measured, Optimization, Progress


def walk(when: str = "last", sequences: int = 60, seed: int = 0) -> Recording:
    """A forecast: a level that stays, far from zero, and an oscillation that tells how the value changes next."""
    rng = np.random.default_rng(seed)

    def part(count: int) -> Sequences:
        xs: list[np.ndarray] = []
        ys: list[np.ndarray] = []
        for _ in range(count):
            wave = 2 * np.sin(0.7 * np.arange(26) + rng.uniform(0, 6))
            series = 1000 + rng.uniform(-8, 8) + wave
            xs.append(np.stack([rng.normal(size=25), series[:-1]], axis=1))
            ys.append(series[-1:] if when == "last" else series[1:, None])
        return Sequences(xs, np.stack(ys) if when == "last" else ys)

    return Recording(
        "walk", "regression", when, ("noise", "level"), ("next",), part(sequences), part(20), validation=part(20)
    )


def noise(sequences: int = 12) -> Recording:
    """Nothing to learn: every training epoch after the first few makes the validation worse."""
    rng = np.random.default_rng(3)

    def part(count: int) -> Sequences:
        return Sequences([rng.normal(size=(10, 3)) for _ in range(count)], rng.normal(size=(count, 1)))

    return Recording("noise", "regression", "last", ("a", "b", "c"), ("y",), part(sequences), part(30), validation=part(30))


def rmse(model: FloatModel, sequences: Sequences) -> float:
    return float(np.sqrt(np.square(predict(model, sequences) - sequences.all_y()).mean()))


def test_the_weights_of_the_best_epoch_are_kept() -> None:
    recording = noise()
    model = trainer.fit(recording, units=12, settings={"epochs": 120, "patience": 0, "refit": False, "difference": "no"})
    history = model.info["history"]
    assert [entry[0] for entry in history] == list(range(1, 121))
    best = min(history, key=lambda entry: entry[2])
    assert history[-1][2] > 1.1 * best[2]  # it does overfit
    assert model.info["validation_loss"] <= history[model.info["best_epoch"] - 1][2]
    assert recording.validation is not None
    # what is exported is what was measured then
    assert rmse(model, recording.validation) == pytest.approx(history[model.info["best_epoch"] - 1][3], rel=1e-4)


def test_patience_ends_a_training_that_gets_worse() -> None:
    model = trainer.fit(noise(), units=12, settings={"epochs": 300, "patience": 10, "refit": False, "difference": "no"})
    assert model.info["epochs"] == model.info["best_epoch"] + 10 < 300


def test_validation_changes_the_choice_but_not_the_gradient() -> None:
    recording = noise()
    assert recording.validation is not None
    other = replace(recording, validation=Sequences([x * 2 for x in recording.validation.x], recording.validation.y))
    settings = {"epochs": 20, "patience": 0, "refit": False, "difference": "no"}
    losses = [[entry[1] for entry in trainer.fit(r, units=6, settings=settings).info["history"]] for r in (recording, other)]
    assert losses[0] == losses[1]


def test_refit_trains_on_the_validation_sequences_too() -> None:
    recording = noise()
    runs: list[tuple[str, int]] = []
    settings = {"epochs": 30, "patience": 5, "refit": True, "difference": "no"}
    model = trainer.fit(recording, units=6, settings=settings, progress=lambda s: runs.append((s.run, s.epochs)))
    again = [epochs for run, epochs in runs if run == "all sequences"]
    assert len(again) == model.info["best_epoch"] == again[0]
    assert recording.validation is not None
    whole = np.concatenate([*recording.train.x, *recording.validation.x])
    assert np.allclose(model.mean, whole.mean(axis=0), atol=0.05)
    assert not np.allclose(model.mean, np.concatenate(recording.train.x).mean(axis=0), atol=1e-6)


def test_losses_are_compared_sequence_by_sequence() -> None:
    best = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert Measured(best + 0.1, 0.0).as_good_as(best + 0.1)
    assert not Measured(best + 0.1, 0.0).as_good_as(best)  # worse in each
    scattered = best + torch.tensor([0.5, -0.4, 0.3, -0.3])
    assert Measured(scattered, 0.0).as_good_as(best)  # worse on average, but by less than the scatter
    assert not Measured(torch.tensor([2.0]), 0.0).as_good_as(torch.tensor([1.9]))


@pytest.mark.parametrize("when", ["last", "every"])
def test_forecast_learns_the_difference_and_adds_the_last_value_in_integers(when: str) -> None:
    recording = walk(when)
    settings: dict[str, Any] = {"epochs": 60}
    direct = trainer.fit(recording, units=8, settings={**settings, "difference": "no"})
    model = trainer.fit(recording, units=8, settings=settings)
    assert model.info["difference"]
    assert [layer.kind for layer in model.layers] == ["gru", "skip"]
    y = recording.test.all_y()[:, 0]
    now = np.concatenate([x[-1:, 1] if when == "last" else x[:, 1] for x in recording.test.x])
    last_value = float(np.sqrt(np.square(now - y).mean()))
    assert rmse(model, recording.test) < min(0.9 * last_value, rmse(direct, recording.test))
    network = measured(model).network
    assert pack(network)
    floats, integers = predict(model, recording.test), predict_integers(network, recording.test)
    assert np.abs(floats - integers).mean() < 0.05 * last_value


def test_difference_options() -> None:
    recording = walk()
    with pytest.raises(ModelError, match="--difference is 'maybe'; expected one of auto, yes, no"):
        trainer.fit(recording, units=4, settings={"difference": "maybe", "epochs": 1})
    far = replace(recording, train=Sequences(recording.train.x, recording.train.all_y() * 0.001))
    with pytest.raises(ModelError, match=r"no input resembles a target.* --horizon N"):
        trainer.fit(far, units=4, settings={"difference": "yes", "epochs": 1})
    assert not trainer.fit(far, units=4, settings={"epochs": 1}).info["difference"]
    without = replace(recording, validation=None)
    assert trainer.fit(without, units=4, settings={"epochs": 1}).info["difference"]  # clearly better than the mean


def steps() -> Recording:
    """The answer is a step of the last value: near it, but nothing that is added to it."""
    rng = np.random.default_rng(5)

    def part(count: int) -> Sequences:
        xs = [rng.normal(size=(8, 1)) for _ in range(count)]
        return Sequences(xs, np.array([1.2 * np.sign(x[-1]) for x in xs]))

    return Recording("steps", "regression", "last", ("x",), ("y",), part(160), part(40), validation=part(60))


@pytest.mark.parametrize(("recording", "difference"), [(walk(), True), (steps(), False)])
def test_what_validates_better_is_kept(recording: Recording, difference: bool) -> None:
    loss = {
        choice: trainer.fit(recording, units=8, settings={"epochs": 60, "difference": choice}).info["validation_loss"]
        for choice in ("yes", "no")
    }
    assert (loss["yes"] < loss["no"]) is difference
    model = trainer.fit(recording, units=8, settings={"epochs": 60})
    assert model.info["difference"] is difference
    assert model.info["validation_loss"] == min(loss.values())
    assert [layer.kind for layer in model.layers] == ["gru"] + ["skip"] * difference


class Stop(Exception):
    pass


@pytest.mark.parametrize("moment", [(0, 3), (1, 2), (2, 1)])
def test_every_run_of_a_training_resumes(tmp_path: Path, moment: tuple[int, int]) -> None:
    """A training of three runs, interrupted in each of them, ends with the weights of an uninterrupted one."""
    recording = walk(sequences=30)
    settings = {"epochs": 5, "refit": True, "lr": 0.003}  # so slow that each epoch is better than the one before
    whole = trainer.fit(recording, units=5, settings=settings)
    assert whole.info["best_epoch"] > 1
    part = tmp_path / "model.pt.part"
    runs: list[str] = []

    def stop(state: Progress) -> None:
        if state.run not in runs:
            runs.append(state.run)
        if (runs.index(state.run), state.epoch) == moment:
            raise Stop

    options: dict[str, Any] = {"units": 5, "settings": settings, "checkpoint": part, "checkpoint_every_s": 0}
    with pytest.raises(Stop):
        trainer.fit(recording, **options, progress=stop)
    notes: list[str] = []
    resumed = trainer.fit(recording, **options, notice=notes.append)
    assert len(notes) == 1
    assert "resuming after epoch" in notes[0]
    x = recording.test.x[0][None]
    assert np.array_equal(resumed.forward(x), whole.forward(x))
    assert resumed.info == whole.info


def test_hostile_checkpoint_is_refused(tmp_path: Path) -> None:
    """Every entry of a checkpoint replaced by something else: one line, and a training from the beginning."""
    recording = walk(sequences=10)
    part = tmp_path / "model.pt.part"
    options: dict[str, Any] = {"units": 3, "settings": {"epochs": 2, "difference": "no", "refit": False}}
    whole = trainer.fit(recording, **options, checkpoint=part)
    good = torch.load(part, weights_only=True)
    state = good["runs"][""]
    bad: list[tuple[str, Any]] = [
        ("history", []),
        ("history", [[1.0, 1.0, 1.0, 1.0]] * 9),
        ("history", [[2.0, 1.0, 1.0, 1.0]]),
        ("history", "abc"),
        ("best_epoch", 0),
        ("best_epoch", 9),
        ("best_epoch", "1"),
        ("validation_loss", "low"),
        ("losses", torch.zeros(2, 2)),
        ("finished", 1),
        ("best", {}),
        ("average", {name: value * float("nan") for name, value in state["average"].items()}),
        ("generator", torch.zeros(3)),
        ("optimizer", {"state": {}}),
    ]
    for key, value in bad:
        torch.save({**good, "runs": {"": {**state, key: value}}}, part)
        notes: list[str] = []
        model = trainer.fit(recording, **options, checkpoint=part, notice=notes.append)
        assert len(notes) == 1, key
        assert "cannot be read" in notes[0]
        assert "\n" not in notes[0]
        assert np.array_equal(model.head.bias, whole.head.bias)


def test_symbols_are_learnt_through_an_embedding() -> None:
    """The next symbol of a cycle with a surprise: no number of the symbol tells it, only its identity and the one before."""
    after = {0: 3, 3: 1, 1: 4, 4: 2, 2: 0}
    rng = np.random.default_rng(0)

    def part(count: int) -> Sequences:
        xs, ys = [], []
        for _ in range(count):
            symbols = [int(rng.integers(5))]
            for _ in range(30):
                symbols.append(after[symbols[-1]])
            xs.append(np.array(symbols[:-1], np.float64)[:, None])
            ys.append(np.array(symbols[1:]))
        return Sequences(xs, ys)

    labels = tuple("abcde")
    recording = Recording(
        "cycle", "classification", "every", ("symbol",), labels, part(20), part(6), validation=part(6), symbols=labels
    )
    model = trainer.fit(recording, units=8, epochs=30)
    assert [layer.kind for layer in model.layers] == ["embedding", "gru"]
    assert model.layers[0].units == trainer.EMBEDDING
    assert (model.mean.tolist(), model.std.tolist()) == ([0.0], [1.0])
    assert model.info["float_accuracy_pct"] > 99
    network = measured(model).network
    assert (predict_integers(network, recording.test).argmax(axis=1) == recording.test.all_y()).mean() > 0.99
    plain = replace(recording, symbols=())
    settings = {"noise": 0, "scaling": 0, "offset": 0}
    chosen = trainer.fit(plain, architecture=Architecture(units=4, embedding=3), epochs=2, settings=settings)
    assert chosen.layers[0].units == 3
    with pytest.raises(ModelError, match=r"--noise 0\.3 with symbols as input; expected --noise 0"):
        trainer.fit(recording, units=4, epochs=1, settings={"noise": 0.3})
    with pytest.raises(ModelError, match="--embedding 3: the recording has 2 channels; expected one channel of whole"):
        trainer.fit(walk(), architecture=Architecture(units=4, embedding=3), epochs=1)


def test_device_that_is_absent_is_one_line() -> None:
    for name in ("nonsense", "cuda:99"):
        words = f"--device {name}: PyTorch cannot use it here .*; expected cpu, or cuda"
        with pytest.raises(ModelError, match=words) as caught:
            trainer.fit(walk(sequences=6), units=3, epochs=1, device=name)
        assert "\n" not in str(caught.value)


def test_defaults_follow_size_and_task() -> None:
    assert default_hyperparameters(walk()).label_smoothing == 0
    text = Recording(
        "t", "classification", "every", ("c",), ("a", "b"),
        Sequences([np.zeros((9, 1))], [np.array([0, 1] * 4 + [0])]), Sequences([np.zeros((9, 1))], [np.zeros(9, int)]),
        symbols=("a", "b"),
    )  # fmt: skip
    assert default_hyperparameters(text).label_smoothing == 0  # probabilities matter
    assert default_hyperparameters(text).noise == 0
    few, many = (default_hyperparameters(walk(sequences=count)) for count in (60, 3000))
    assert few.epochs > many.epochs
    assert few.batch < many.batch


def test_runs_report_their_speed_and_validation() -> None:
    seen: list[Progress] = []
    settings = {"epochs": 2, "refit": False, "difference": "no"}
    trainer.fit(walk(sequences=12), units=3, settings=settings, progress=seen.append)
    assert [state.epoch for state in seen] == [1, 2]
    assert all(state.steps_per_s > 0 and state.validation_loss is not None for state in seen)


def test_checkpoint_and_optimization_are_small_enough_to_use_alone(tmp_path: Path) -> None:
    recording = walk(sequences=12)
    settings = replace(default_hyperparameters(recording), epochs=2)
    run = Optimization(recording, Architecture(units=3), settings, 0, torch.device("cpu"), 0, "")
    run.run(Checkpoint(tmp_path / "a.part", {"epochs": 2}, lambda text: None), 0, None)
    assert run.state.finished
    assert len(run.state.history) == 2
