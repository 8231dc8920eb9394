# SPDX-License-Identifier: MIT
"""The trainer learns, repeats itself bit for bit, survives interruptions, and ignores the test set."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from tinyrnn import cli
from tinyrnn.cli import train as command
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model import (
    evaluation,
    model_file,
)
from tinyrnn.float_model.layers import dense
from tinyrnn.float_model.model import FloatModel
from tinyrnn.training import trainer
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.batches import Batch, Batches
from tinyrnn.training.hyperparameters import PIECE, default_hyperparameters, rate
from tinyrnn.training.losses import EARLY_STEPS, Loss, spread
from tinyrnn.training.torch_model import from_floatmodel

QUICK: dict[str, Any] = {"units": 6, "epochs": 3}


def tones(task: str = "classification", when: str = "last", sequences: int = 24, steps: int = 20) -> Recording:
    """Sines. The classes are two frequencies; the targets are any frequency and amplitude."""
    rng = np.random.default_rng(7)

    def part(count: int) -> Sequences:
        xs: list[np.ndarray] = []
        ys: list[np.ndarray] = []
        for number in range(count):
            length = steps - number % 4
            label = number % 2
            f = (0.05, 0.2)[label] if task == "classification" else rng.uniform(0.02, 0.1)
            amplitude = rng.uniform(0.5, 1.5)
            angle = 2 * np.pi * f * np.arange(length) + rng.uniform(0, 6)
            xs.append(np.stack([900 + 300 * amplitude * np.sin(angle), 40 * amplitude * np.cos(angle)], axis=1).round())
            y = np.array(label) if task == "classification" else np.array([100 * f, amplitude])
            ys.append(y if when == "last" else np.repeat(y[None], length, axis=0))
        return Sequences(xs, np.stack(ys) if when == "last" else ys)

    labels = ("slow", "fast") if task == "classification" else ("hertz", "amplitude")
    return Recording("tones", task, when, ("ax", "ay"), labels, part(sequences), part(10))


def weights(model: FloatModel) -> list[np.ndarray]:
    arrays = [getattr(gru, name) for gru in model.layers for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    return [*arrays, dense(model.head.weight), model.head.bias]


def same(a: FloatModel, b: FloatModel) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(weights(a), weights(b), strict=True))


@pytest.mark.parametrize("when", ["last", "every"])
def test_learns_classes(when: str) -> None:
    model = trainer.fit(tones(when=when), units=8, epochs=40)
    assert model.info["float_accuracy_pct"] >= (90 if when == "last" else 80)  # its first steps tell nothing
    assert max(float(np.abs(w).max()) for w in weights(model)) < 4  # moderate: fine steps in int8


@pytest.mark.parametrize("when", ["last", "every"])
def test_learns_targets_in_their_unit(when: str) -> None:
    recording = tones("regression", when, sequences=64)
    model = trainer.fit(recording, units=8, epochs=60)
    outputs, y = evaluation.predict(model, recording.test), recording.test.all_y()
    assert model.info["float_r2"] > (0.8 if when == "last" else 0.4)
    assert model.info["float_rmse"] == pytest.approx(np.sqrt(np.square(outputs - y).mean()))
    assert "float_accuracy_pct" not in model.info


def test_same_seed_same_weights_and_other_seed_others() -> None:
    torch.manual_seed(1)
    first = trainer.fit(tones(), **QUICK, seed=3)
    state = torch.get_rng_state()
    torch.rand(5)  # whatever the caller draws changes nothing, and fit() draws nothing of the caller's
    second = trainer.fit(tones(), **QUICK, seed=3)
    assert same(first, second)
    assert first.info == second.info
    assert not same(first, trainer.fit(tones(), **QUICK, seed=4))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_settings_of_torch_are_restored() -> None:
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    trainer.fit(tones(), **QUICK)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


def test_test_sequences_change_nothing() -> None:
    recording = tones()
    other = Sequences([x * 0 + 5 for x in recording.test.x], 1 - np.asarray(recording.test.y))
    changed = trainer.fit(replace(recording, test=other), **QUICK)
    model = trainer.fit(recording, **QUICK)
    assert same(model, changed)
    assert model.info["training_loss"] == changed.info["training_loss"]
    assert np.array_equal(model.calibration.sample, changed.calibration.sample)


@pytest.mark.parametrize("layers", [1, 3])
def test_torch_network_is_the_float_model(layers: int) -> None:
    recording = tones("regression", "every")
    model = trainer.fit(recording, units=5, layers=layers, epochs=2)
    assert len(model.layers) == layers
    x, lengths = recording.test.padded()
    with torch.no_grad():
        raw = from_floatmodel(model)(torch.from_numpy(((x - model.mean) / model.std).astype(np.float32))).numpy()
    want = model.forward(x, lengths)
    got = raw * model.target_std + model.target_mean
    assert np.abs(got - want).max() < 1e-5 * (1 + np.abs(want).max())
    widths = [2] + [5] * layers
    for number, layer in enumerate(from_floatmodel(model).layers):
        assert isinstance(layer, torch.nn.GRU)
        assert (layer.input_size, layer.hidden_size) == (widths[number], 5)


def test_stacked_nn_gru_gives_the_same() -> None:
    """Our list of single layers equals torch's own stack of layers."""
    model = trainer.fit(tones(), units=4, layers=2, epochs=1)
    stack = torch.nn.GRU(2, 4, num_layers=2, batch_first=True)
    with torch.no_grad():
        for number, gru in enumerate(model.layers):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(stack, f"{name}_l{number}").copy_(torch.from_numpy(getattr(gru, name)))
        x = np.random.default_rng(0).normal(size=(3, 9, 2)) * model.std + model.mean
        h, _ = stack(torch.from_numpy(((x - model.mean) / model.std).astype(np.float32)))
        got = (h @ torch.from_numpy(dense(model.head.weight).T).float()).numpy() + model.head.bias
    assert np.abs(got - model.forward(x)).max() < 1e-5


def test_predict_orders_and_cuts_as_one_by_one() -> None:
    for when in ("last", "every"):
        recording = tones(when=when)
        model = trainer.fit(recording, **QUICK)
        single = [model.forward(x[None])[0] for x in recording.test.x]
        want = np.concatenate([y[-1:] if when == "last" else y for y in single])
        assert np.allclose(evaluation.predict(model, recording.test), want, rtol=0, atol=1e-12)


def test_calibration_is_of_the_training_set() -> None:
    recording = tones()
    calibration = trainer.fit(recording, **QUICK).calibration
    steps = np.concatenate(recording.train.x)
    assert np.array_equal(calibration.minimum, steps.min(axis=0))
    assert np.array_equal(calibration.maximum, steps.max(axis=0))
    assert calibration.integer
    assert calibration.sample.shape == (evaluation.SAMPLE_STEPS, 2)
    windows = [x[i : i + evaluation.SAMPLE_STEPS] for x in recording.train.x for i in range(len(x))]
    assert any(np.array_equal(calibration.sample, window) for window in windows)
    short = evaluation.calibrate(tones(steps=6))
    assert short.sample.shape == (6, 2)


def test_long_recordings_are_cut_and_every_step_is_used() -> None:
    recording = tones(when="every", sequences=2, steps=5 * PIECE)
    batches = Batches(recording, recording.train)
    generator = torch.Generator().manual_seed(0)
    steps = 10 * PIECE - 1
    seen = []
    for _ in range(20):
        parts = batches.epoch(4, generator)
        assert len(parts) == batches.count(4)
        assert all(batch.x.shape[1] <= PIECE and set(batch.weight.unique().tolist()) <= {0.0, 1.0} for batch in parts)
        seen.append(sorted(int(row.sum()) for batch in parts for row in batch.weight > 0))
    assert min(sum(counts) for counts in seen) > 0.7 * steps  # the first quarter of a piece only settles the state
    assert max(sum(counts) for counts in seen) <= steps
    assert len({tuple(counts) for counts in seen}) > 1  # cut elsewhere in each epoch


def test_weights_of_steps_and_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.tensor([[0.0, 0.0, 0.0, 0.5], [0.0, 0.5, 0.0, 0.0]])
    assert spread(weight, 0.0, generator) is weight
    got = spread(weight, 0.6, generator)
    want = torch.tensor([[0.0, 0.1, 0.1, 0.3], [0.15, 0.35, 0.0, 0.0]])
    assert torch.allclose(got, want)
    long = torch.zeros(1, 20 * EARLY_STEPS)
    long[0, -1] = 1
    drawn = spread(long, 0.6, generator)
    assert float(drawn.sum()) == pytest.approx(1)
    assert EARLY_STEPS / 2 < int((drawn > 0).sum()) < 2 * EARLY_STEPS
    assert float(drawn[0, : 10 * EARLY_STEPS - 1].sum()) == 0
    lengths = torch.tensor([4, 2])
    classes = Batch(torch.zeros(2, 4, 2), torch.tensor([0, 1]), lengths, weight)
    sums, weights = Loss(tones())(torch.zeros(2, 2), classes, weight)
    assert (sums / weights).tolist() == pytest.approx([np.log(2)] * 2)
    targets = Batch(torch.zeros(2, 4, 2), torch.full((2, 2), 2.0), lengths, weight)
    sums, weights = Loss(tones("regression"))(torch.zeros(2, 2), targets, weight)
    assert (sums / weights).tolist() == pytest.approx([4, 4])
    assert weights.tolist() == [0.5, 0.5]


def test_class_weights() -> None:
    recording = tones()
    answers = np.array([0] * 18 + [1] * 6)
    recording = replace(recording, train=Sequences(recording.train.x, answers))
    weight = torch.ones(2, 1)
    batch = Batch(torch.zeros(2, 1, 2), torch.tensor([0, 1]), torch.tensor([1, 1]), weight)
    for text, want in (("balanced", [24 / 36, 2]), ("fast=5", [1, 5]), ("slow=0.5, fast=2", [0.5, 2]), ("none", [1, 1])):
        sums, weights = Loss(recording, text)(torch.zeros(2, 2), batch, weight)
        assert weights.tolist() == pytest.approx(want)
        assert (sums / weights).tolist() == pytest.approx([np.log(2)] * 2)
    for text in ("quick=2", "fast", "fast=0", "fast=x"):
        expected = r"--class-weights has .*; expected none, balanced, or CLASS=WEIGHT.* the classes slow, fast"
        with pytest.raises(ModelError, match=expected):
            Loss(recording, text)
    with pytest.raises(ModelError, match="--class-weights balanced for a regression"):
        Loss(tones("regression"), "balanced")


def test_learning_rate_rises_and_falls_to_zero() -> None:
    hyperparameters = default_hyperparameters(tones())
    rates = [rate(update, 100, hyperparameters) for update in range(100)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(hyperparameters.lr)
    assert sorted(rates[: top + 1]) == rates[: top + 1]
    assert sorted(rates[top:], reverse=True) == rates[top:]
    assert rates[-1] < 0.01 * hyperparameters.lr


class Stop(Exception):
    pass


@pytest.mark.parametrize("when", ["last", "every"])
def test_resumes_with_the_same_weights(tmp_path: Path, when: str) -> None:
    recording = tones(when=when)
    part = tmp_path / "model.pt.part"
    notes: list[str] = []
    epochs: list[int] = []

    def stop(state: trainer.Progress) -> None:
        if state.epoch == 4:
            raise Stop

    def go(progress: Callable[[trainer.Progress], None], **options: object) -> FloatModel:
        settings: dict[str, Any] = {
            "units": 6,
            "epochs": 7,
            "checkpoint": part,
            "checkpoint_every_s": 0,
            "notice": notes.append,
        }
        return trainer.fit(recording, progress=progress, **(settings | options))

    with pytest.raises(Stop):
        go(stop)
    assert notes == []
    model = go(lambda state: epochs.append(state.epoch))
    assert epochs == [5, 6, 7]
    assert len(notes) == 1
    assert "after epoch 4" in notes[0]
    assert same(model, trainer.fit(recording, units=6, epochs=7))
    # a finished one is not trained again
    epochs.clear()
    assert same(model, go(lambda state: epochs.append(state.epoch)))
    assert epochs == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt.part"]


def test_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    part = tmp_path / "model.pt.part"
    notes: list[str] = []
    settings: dict[str, Any] = {"epochs": 2, "checkpoint": part, "notice": notes.append}
    trainer.fit(tones(), units=6, **settings)
    assert same(trainer.fit(tones(), units=5, **settings), trainer.fit(tones(), units=5, epochs=2))
    trainer.fit(tones(), units=5, **settings, lr=0.001)
    trainer.fit(tones(sequences=22), units=5, **settings, lr=0.001)
    assert [note.split("with ")[1] for note in notes] == [
        "units 6 instead of 5; not used, starting from the beginning",
        f"lr {default_hyperparameters(tones()).lr} instead of 0.001; not used, starting from the beginning",
        "other training data; not used, starting from the beginning",
    ]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_damaged_checkpoint_is_reported_and_not_used(tmp_path: Path, content: bytes | None) -> None:
    part = tmp_path / "model.pt.part"
    notes: list[str] = []
    trainer.fit(tones(), **QUICK, checkpoint=part)
    part.write_bytes(part.read_bytes()[:-200] if content is None else content)
    model = trainer.fit(tones(), **QUICK, checkpoint=part, notice=notes.append)
    assert len(notes) == 1
    assert "cannot be read" in notes[0]
    assert "\n" not in notes[0]
    assert same(model, trainer.fit(tones(), **QUICK))


VARIANTS: list[dict[str, Any]] = [
    *({"cells": (name,)} for name in float_cells.names()),
    {"cells": ("lstm",), "projection": 3},
    {"cells": ("fastgrnn", "gru"), "rank": 2, "layernorm": True},
    {"cells": ("rnn", "lstm"), "layernorm_between": True},
]


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_cell_resumes(tmp_path: Path, options: dict[str, Any]) -> None:
    """A resumed training gives the weights of an uninterrupted one, and the value ranges of its training sequences."""
    architecture = Architecture(units=6, **options)
    part = tmp_path / "model.pt.part"

    def stop(state: trainer.Progress) -> None:
        if state.epoch == 2:
            raise Stop

    recording = tones()
    with pytest.raises(Stop):
        trainer.fit(recording, architecture=architecture, epochs=3, checkpoint=part, checkpoint_every_s=0, progress=stop)
    notes: list[str] = []
    model = trainer.fit(recording, architecture=architecture, epochs=3, checkpoint=part, notice=notes.append)
    assert "after epoch" in notes[0]
    whole = trainer.fit(recording, architecture=architecture, epochs=3)
    assert np.array_equal(model.forward(recording.test.x[0][None]), whole.forward(recording.test.x[0][None]))
    assert model.info["cell"] == architecture.title
    x, lengths = recording.train.padded()
    for got, want in zip(model.calibration.value_ranges, model.value_ranges(x, lengths), strict=True):
        assert np.allclose(got.state, want.state, rtol=1e-12)
        assert np.allclose(got.hh, want.hh, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", float_cells.names())
def test_every_cell_learns(name: str) -> None:
    model = trainer.fit(tones(sequences=48), architecture=Architecture((name,), 8), epochs=100)
    assert model.info["float_accuracy_pct"] >= 90
    assert model.info["training_loss"] < 0.55  # the fastrnn's; ln 2 is to know nothing


def test_checkpoint_of_another_cell_is_not_used(tmp_path: Path) -> None:
    part = tmp_path / "model.pt.part"
    notes: list[str] = []
    for name in ("gru", "lstm"):
        trainer.fit(tones(), architecture=Architecture((name,), 6), epochs=2, checkpoint=part, notice=notes.append)
    assert notes == [f"{part}: written by a training with cell gru instead of lstm; not used, starting from the beginning"]


def test_divergence_and_bad_options_are_model_errors() -> None:
    with pytest.raises(ModelError, match="units is 0"):
        trainer.fit(tones(), units=0)
    with pytest.raises(ModelError, match="--lr is -1; expected a number"):
        trainer.fit(tones(), lr=-1)
    wild: dict[str, Any] = {"lr": 1.0, "clip": 1e38, "weight_decay": 0.0}
    with pytest.raises(ModelError, match=r"training diverged in epoch .*: try a learning rate below 1"):
        trainer.fit(tones("regression", steps=400), architecture=Architecture(("rnn-relu",), 8), epochs=50, settings=wild)


# --- the command ---


@pytest.fixture
def recording_file(tmp_path: Path) -> Path:
    """The tones as a folder of CSV files."""
    recording = tones(sequences=24)
    for number, (x, y) in enumerate(zip(recording.train.x, recording.train.y, strict=True)):
        folder = tmp_path / "tones" / recording.labels[int(y)]
        folder.mkdir(parents=True, exist_ok=True)
        np.savetxt(folder / f"{number:02}.csv", x, delimiter=",", header="ax,ay", comments="", fmt="%d")
    return tmp_path / "tones"


def test_command_writes_a_model_and_leaves_nothing_else(
    recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "model.pt"
    output.parent.mkdir()
    options = ["--units", "6", "--epochs", "4", "--seed", "2", "--seeds", "3"]
    assert cli.main(["train", str(recording_file), "-o", str(output), *options]) == 0
    assert [path.name for path in output.parent.iterdir()] == ["model.pt"]
    text = capsys.readouterr()
    assert "3 seeds, test float accuracy: mean" in text.out
    assert "; integer accuracy: mean" in text.out
    assert "2 inputs: ax, ay\n" in text.out
    assert "baselines on the test, accuracy: always " in text.out
    assert text.err == ""  # no terminal, no progress bar
    model = model_file.load(output)
    assert f"kept: seed {model.info['seed']}, the lowest validation loss" in text.out
    assert model.info["units"] == 6
    assert model.info["epochs"] == 4
    assert model.info["seed"] in (2, 3, 4)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (("--cell", "lstm", "--projection", "3"), ["lstm"]),
        (("--cell", "gru-reset-before", "--layers", "2"), ["gru", "gru"]),
        (("--cells", "lstm,rnn-relu", "--layernorm-between"), ["lstm", "layernorm", "rnn"]),
        (("--cell", "fastgrnn", "--rank", "2", "--layernorm"), ["fastgrnn"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_command_trains_other_cells(
    recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], kinds: list[str]
) -> None:
    output = tmp_path / "model.pt"
    arguments = [str(recording_file), "-o", str(output), "--units", "6", "--epochs", "2", *options]
    assert cli.main(["train", *arguments]) == 0
    assert capsys.readouterr().err == ""
    model = model_file.load(output)
    assert [layer.kind for layer in model.layers] == kinds
    assert len(model.calibration.value_ranges) == len(model.cells)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--cells", "lstm,gru", "--cell", "gru"), "--cells and --cell both choose the layers"),
        (("--cells", "lstm,gru", "--layers", "2"), "--cells and --layers both choose the layers"),
        (("--projection", "3"), "expected an lstm: --cell lstm"),
        (("--layernorm-between",), "use --layers 2"),
        (("--rank", "6", "--units", "6"), "a rank of 6 saves nothing"),
        (("--units", "2147483647"), "1 layer of 2147483647 units; expected at most 16 of 2048: no board holds more"),
        (("--layers", "2147483647"), "--layers 2147483647; expected at most 16: no board holds more"),
        (("--cells", ",".join(["rnn"] * 17)), "17 layers of 32 units; expected at most 16 of 2048"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_command_refuses_options_that_contradict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert cli.main(["train", "absent", "-o", str(tmp_path / "model.pt"), *options]) == ModelError.exit_code
    text = capsys.readouterr()
    assert words in text.err
    assert text.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_command_lists_the_cells(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "absent", "--cells", "lstm,conv"])
    assert "'conv'; expected cells of gru, fastgrnn, fastrnn, gru-reset-before" in capsys.readouterr().err


def test_summary_is_mean_sample_deviation_and_worst() -> None:
    base = trainer.fit(tones(), units=2, epochs=1)
    recording = tones()
    first = command.test(base, recording)
    evaluated = []
    for right in (6, 7, 8):
        logits = np.zeros((10, 2))
        answers = recording.test.all_y()
        logits[np.arange(10), np.where(np.arange(10) < right, answers, 1 - answers)] = 1
        evaluated.append(replace(first, float_outputs=logits, integer_outputs=None))
    assert command.summary(evaluated, "seeds") == (
        "3 seeds, test float accuracy: mean 70.00 %, standard deviation 10.00, worst 60.00 %; integer: not known"
    )


@pytest.mark.parametrize("output", ["missing/model.pt", "."])
def test_command_refuses_an_output_before_it_trains(
    recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    assert cli.main(["train", str(recording_file), "-o", str(tmp_path / output)]) == ModelError.exit_code
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("tinyrnn: error: ")
    assert text.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system; run it on Linux or macOS")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_command_killed_and_given_again_gives_the_same_weights(recording_file: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / "model.pt"
    older = trainer.fit(tones(), units=2, epochs=1)
    model_file.save(older, output)
    arguments = [str(recording_file), "-o", str(output), "--units", "4", "--epochs", "250"]
    # every epoch is kept and takes 20 ms more, so that the signal comes in the middle on any machine
    script = (
        "import sys, time\n"
        "from tinyrnn import cli\nfrom tinyrnn.training import trainer\n"
        "fit, pause = trainer.fit, float(sys.argv.pop(1))\n"
        "def slow(*a, progress, **k):\n"
        "    return fit(*a, progress=lambda s: (progress(s), time.sleep(pause)), checkpoint_every_s=0, **k)\n"
        "trainer.fit = slow\n"
        "from tinyrnn.cli import train\ntrain.PAUSE_S = 1e9\n"
        "raise SystemExit(cli.main(['train', *sys.argv[1:]]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    started = subprocess.Popen(
        [sys.executable, "-c", script, "0.02", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoint = command.checkpoint_path(output, 0)
    while not checkpoint.exists():
        assert started.poll() is None, started.communicate()[1]
        time.sleep(0.02)
    started.send_signal(getattr(signal, name))
    _, errors = started.communicate(timeout=60)
    if name == "SIGINT":
        assert started.returncode == 130
        assert errors == "tinyrnn: interrupted\n"
    else:
        assert started.returncode == -signal.SIGKILL
    assert same(model_file.load(output), older)
    again = subprocess.run(
        [sys.executable, "-c", script, "0", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0, again.stderr
    assert "resuming after epoch" in again.stderr
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert left == ["model.pt"]
    recording = cli_recording(recording_file)
    assert same(model_file.load(output), trainer.fit(recording, units=4, epochs=250))


def cli_recording(folder: Path) -> Recording:
    from tinyrnn.data import load

    return load(str(folder))


# --- checkpoints that somebody else made, and trainings side by side


def _without(state: dict, *path: object) -> None:
    for key in path[:-1]:
        state = state[key]
    del state[path[-1]]


def best_epoch(value: object) -> Callable[[dict], object]:
    return lambda state: state.update(best_epoch=value)


HOSTILE: dict[str, Callable[[dict], object]] = {
    "no optimizer": lambda state: state.update(optimizer={}),
    "an empty optimizer": lambda state: state.update(optimizer={"state": {}, "param_groups": []}),
    "a short generator": lambda state: state.update(generator=state["generator"][:100]),
    "a generator of zeros": lambda state: state["generator"].zero_(),
    "a generator of floats": lambda state: state.update(generator=state["generator"].float()),
    "an extra key": lambda state: state["network"].update(more=torch.zeros(3)),
    "a missing key": lambda state: _without(state, "network", next(iter(state["network"]))),
    "another shape": lambda state: state["network"].update({next(iter(state["network"])): torch.zeros(1)}),
    "doubles": lambda state: state.update(network={key: value.double() for key, value in state["network"].items()}),
    "no number": lambda state: next(iter(state["network"].values())).fill_(float("nan")),
    "a moment of another shape": lambda state: state["optimizer"]["state"][0].update(exp_avg=torch.zeros(2)),
    "a negative square": lambda state: state["optimizer"]["state"][0]["exp_avg_sq"].fill_(-1.0),
    "one number for all": lambda state: state["optimizer"]["state"][0].update(
        exp_avg=torch.zeros(1).expand(state["optimizer"]["state"][0]["exp_avg"].shape)
    ),
    "no step": lambda state: state["optimizer"]["state"][0]["step"].fill_(-3.0),
    "one moment more": lambda state: state["optimizer"]["state"].update({99: state["optimizer"]["state"][0]}),
    **{f"best epoch {value!r}": best_epoch(value) for value in (-5, 10**9, 0, 4, 2.5, True, "3", None, float("nan"))},
    "no best epoch": lambda state: state.pop("best_epoch"),
    "no history": lambda state: state.update(history=[]),
    "a long history": lambda state: state.update(history=[[float(n), 1.0] for n in range(1, 10)]),
    "a history of text": lambda state: state.update(history=["one", "two", "three"]),
    "other best weights": lambda state: state.update(best={}),
    "no average": lambda state: state.pop("average"),
    "a list": lambda state: state.update(network=[1]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_checkpoint_is_reported_and_not_used(tmp_path: Path, change: Callable[[dict], object]) -> None:
    part = tmp_path / "model.pt.part"
    settings: dict[str, Any] = {"units": 4, "epochs": 7, "checkpoint": part}

    def stop(state: trainer.Progress) -> None:
        if state.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        trainer.fit(tones(), **settings, checkpoint_every_s=0, progress=stop)
    state = torch.load(part, weights_only=True)
    change(state["runs"][""])
    torch.save(state, part)
    notes: list[str] = []
    model = trainer.fit(tones(), **settings, notice=notes.append)
    assert len(notes) == 1
    assert "not used, starting from the beginning" in notes[0]
    assert "\n" not in notes[0]
    assert same(model, trainer.fit(tones(), units=4, epochs=7))


def test_rates_in_a_checkpoint_are_not_used(tmp_path: Path) -> None:
    """The options have the rates that count, and are compared. The optimizer's own copies are ignored."""
    part = tmp_path / "model.pt.part"

    def stop(state: trainer.Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        trainer.fit(tones(), **QUICK, checkpoint=part, checkpoint_every_s=0, progress=stop)
    state = torch.load(part, weights_only=True)
    for group in state["runs"][""]["optimizer"]["param_groups"]:
        group.update(lr=1e9, weight_decay=-1.0, betas=(2.0, 2.0), eps=float("nan"))
    torch.save(state, part)
    assert same(trainer.fit(tones(), **QUICK, checkpoint=part), trainer.fit(tones(), **QUICK))


@pytest.mark.slow
def test_two_identical_trainings_at_once(recording_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.pt"
    script = (
        "import sys\nfrom tinyrnn import cli\nfrom tinyrnn.training import trainer\nfit = trainer.fit\n"
        "trainer.fit = lambda *a, **k: fit(*a, checkpoint_every_s=0, **k)\n"
        "from tinyrnn.cli import train\ntrain.PAUSE_S = 1e9\n"
        "raise SystemExit(cli.main(['train', *sys.argv[1:]]))\n"
    )
    command = [sys.executable, "-c", script, str(recording_file), "-o", str(output), "--units", "4", "--epochs", "60"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in running:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
        assert all("resuming after epoch" in line for line in errors.splitlines())
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.pt"]
    assert same(model_file.load(output), trainer.fit(cli_recording(recording_file), units=4, epochs=60))


def test_the_longest_output_name(recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for length in (250, 255):
        name = "m" * (length - 3) + ".pt"
        command = ["train", str(recording_file), "-o", str(folder / name), "--units", "2", "--epochs", "1"]
        assert cli.main(command) == 0, capsys.readouterr().err
    assert sorted(len(path.name) for path in folder.iterdir()) == [250, 255]


@pytest.mark.usefixtures("full_disk")
def test_a_disk_that_is_full_is_one_line(recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out" / "model.pt"
    output.parent.mkdir()
    command = ["train", str(recording_file), "-o", str(output), "--units", "2", "--epochs", "1"]
    assert cli.main(command) == ModelError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be written (No space left on device); free some space" in line
    assert list(output.parent.iterdir()) == []


def test_a_long_training_prints_a_line_now_and_then(
    recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PAUSE_S", 0.0)
    arguments = ["train", str(recording_file), "-o", str(tmp_path / "m.pt"), "--units", "3", "--epochs", "3"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    first = r"seed 0: epoch 1/3  loss \d\.\d{4}  validation \d\.\d{4}, best epoch 1  \d+ steps/s"
    assert re.fullmatch(first, lines[0]), lines[0]
    assert lines[-1].startswith("seed 0, all sequences: epoch ")


def test_command_with_folds(recording_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(recording_file), "-o", str(tmp_path / "m.pt"), "--units", "3", "--epochs", "2"]
    assert cli.main([*arguments, "--folds", "3"]) == 0
    text = capsys.readouterr().out
    assert "fold  epochs" in text
    assert "3 folds, test float accuracy: mean " in text
    assert text.index("3 folds") < text.index("seed  epochs")
    assert (tmp_path / "m.pt").exists()
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--folds", "1"])
    assert "'1'; expected 2 or more, or group" in capsys.readouterr().err
