# SPDX-License-Identifier: MIT
"""``tinyrnn evaluate``, and the figures that ``quantize`` prints: they equal those of scikit-learn on the outputs."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.packages import need_package
from tinyrnn import cli
from tinyrnn.cli import evaluate, recording_options, stored_recording
from tinyrnn.float_model import model_file
from tinyrnn.float_model.model import FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization import accuracy
from tinyrnn.quantization.quantizer import quantize

need_package("torch")
metrics = need_package("sklearn.metrics")

CLASSES = 13
STEPS = 6
COLUMNS = ("c2", "c0", "c1")  # the model's are c0, c1, c2
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(list(words))
        except SystemExit as end:
            status = int(end.code or 0)
        return status, *capsys.readouterr()

    return command


def classifier() -> FloatModel:
    return random_float_model(np.random.default_rng(5), 3, (8,), CLASSES)


def moves(root: Path) -> dict[str, list[np.ndarray]]:
    """moves/train and moves/test with a folder for each class. Returns the test sequences in the model's channel order.

    Classes 3 and 11 have no test sequence. The others have 1 to 12, and the names are not sorted as the model's.
    """
    rng = np.random.default_rng(0)
    tested: dict[str, list[np.ndarray]] = {}
    for half in ("train", "test"):
        for number in range(CLASSES):
            count = 1 if half == "train" else 0 if number in (3, 11) else 1 + (7 * number) % 12
            for i in range(count):
                x = rng.integers(-3000, 3000, (STEPS, 3)).astype(float)
                path = root / "moves" / half / f"class{number}" / f"{i}.csv"
                path.parent.mkdir(parents=True, exist_ok=True)
                rows = "\n".join(f"{row[2]:.0f},{row[0]:.0f},{row[1]:.0f}" for row in x)
                path.write_text(f"{','.join(COLUMNS)}\n{rows}\n")
                if half == "test":
                    tested.setdefault(f"class{number}", []).append(x)
    return tested


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_thirteen_unequal_classes_as_scikit_learn(here: Path, run: Run) -> None:
    model = classifier()
    model_file.save(model, "m.pt")
    tested = moves(here)
    x = np.stack([each for sequences in tested.values() for each in sequences])
    y = [label for label, sequences in tested.items() for _ in sequences]
    simulator = Simulator(quantize(model))
    outputs = {
        "float": model.forward(x)[:, -1],
        "integer": simulator.values(simulator.run(simulator.network.raw(x))[0])[:, -1],
    }
    status, out, err = run("evaluate", "m.pt", "--data", "moves", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    labels = found["labels"]
    assert labels == sorted(model.labels)
    assert (found["sequences"], found["steps"]) == (len(y), STEPS * len(y))
    order = [model.labels.index(label) for label in labels]
    decided = {}
    for kind, values in outputs.items():
        decisions = [model.labels[i] for i in values.argmax(axis=1)]
        decided[kind] = decisions
        assert set(decisions) < set(labels), "some class is never decided"
        own = found[kind]
        assert own["accuracy_pct"] == pytest.approx(100 * metrics.accuracy_score(y, decisions), rel=1e-9)
        assert own["balanced_accuracy_pct"] == pytest.approx(100 * metrics.balanced_accuracy_score(y, decisions), rel=1e-9)
        assert own["confusion"] == metrics.confusion_matrix(y, decisions, labels=labels).tolist()
        wanted = metrics.precision_recall_fscore_support(y, decisions, labels=labels, zero_division=0)
        for name, numbers in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
            assert own[name] == pytest.approx(numbers.tolist(), abs=1e-12), name
        share = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
        bits = metrics.log_loss(y, share[:, order], labels=labels) / math.log(2)
        assert own["cross_entropy_bits"] == pytest.approx(bits, rel=1e-9)
    agreement = 100 * np.mean(np.array(decided["float"]) == np.array(decided["integer"]))
    assert found["agreement_pct"] == pytest.approx(agreement)
    assert found["largest_difference"] == pytest.approx(float(np.abs(outputs["float"] - outputs["integer"]).max()))

    status, out, err = run("evaluate", "m.pt", "--data", "moves")
    assert (status, err) == (0, "")
    assert f"moves: {len(y)} test sequences, {STEPS * len(y)} steps" in out
    for kind in ("float", "integer"):
        assert f"{found[kind]['accuracy_pct']:.2f} %" in next(
            line for line in out.splitlines() if line.startswith(f" {kind} ")
        )
    assert "always class0" in out
    assert "row = true class, column = decision" in out
    last = out.splitlines().index("confusion matrix of the integer model: row = true class, column = decision")
    row = next(line for line in out.splitlines()[last:] if line.split()[1:2] == ["class12"])
    counts = [int(cell.replace(".", "0")) for cell in row.split()[2:]]
    assert counts == found["integer"]["confusion"][labels.index("class12")]


def test_a_urnn_file_with_and_without_its_float_model(here: Path, run: Run) -> None:
    model = classifier()
    moves(here)
    urnn_file.write(quantize(model), "m.urnn")
    status, out, _ = run("evaluate", "m.urnn", "--data", "moves")
    assert status == 0
    assert "integer figures only: put m.pt beside it or name it with --float" in out
    assert "\n float " not in out
    model_file.save(model, "other.pt")
    both = json.loads(run("evaluate", "m.urnn", "--float", "other.pt", "--data", "moves", "--json")[1])
    model_file.save(model, "m.pt")
    assert json.loads(run("evaluate", "m.urnn", "--data", "moves", "--json")[1]) == {**both, "model": "m.urnn"}
    assert json.loads(run("evaluate", "m.pt", "--data", "moves", "--json")[1]) == {**both, "model": "m.pt"}

    model_file.save(random_float_model(np.random.default_rng(6), 3, (8,), CLASSES), "m.pt")
    assert "warning: m.pt may not be the float model of m.urnn" in run("evaluate", "m.urnn", "--data", "moves")[1]
    model_file.save(random_float_model(np.random.default_rng(6), 2, (8,), CLASSES), "m.pt")
    status, out, _ = run("evaluate", "m.urnn", "--data", "moves")
    assert status == 0
    assert "integer figures only: the float model has 2 inputs and 13 outputs" in out
    status, _, err = run("evaluate", "m.urnn", "--float", "m.pt", "--data", "moves")
    assert (status, err.count("\n")) == (4, 1)
    assert "name another one with --float" in err


def test_each_part_of_the_recording(here: Path, run: Run) -> None:
    model_file.save(classifier(), "m.pt")
    moves(here)
    count = {
        part: json.loads(run("evaluate", "m.pt", "--data", "moves", "--part", part, "--json")[1])["sequences"]
        for part in ("test", "train", "all")
    }
    assert count["train"] == CLASSES
    assert count["all"] == count["train"] + count["test"]
    assert "13 training sequences" in run("evaluate", "m.pt", "--data", "moves", "--part", "train")[1]


def regressor() -> FloatModel:
    """Two targets at every step of two channels, in units of their own."""
    model = random_float_model(np.random.default_rng(2), 2, (6,), 2)
    return replace(
        model,
        task="regression",
        when="every",
        channels=("flow", "noise"),
        labels=("soon", "gap"),
        mean=np.array([20.0, 0.0]),
        std=np.array([3.0, 1.0]),
        target_mean=np.array([20.0, 1e4]),
        target_std=np.array([0.1, 500.0]),
        calibration=replace(
            model.calibration,
            minimum=np.array([10.0, -4.0]),
            maximum=np.array([30.0, 4.0]),
            integer=False,
            sample=np.zeros((3, 2)),
        ),
    )


def pump(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A CSV with the inputs flow and noise and the targets soon and gap. Returns both arrays."""
    rng, t = np.random.default_rng(1), np.arange(1000)
    flow = 20 + 3 * np.sin(2 * math.pi * t / 25) + 0.1 * rng.normal(size=1000)
    x = np.round(np.stack([flow, rng.normal(size=1000)], axis=1), 4)
    y = np.round(np.stack([np.roll(x[:, 0], -1), 1e4 + 500 * rng.normal(size=1000)], axis=1), 4)
    rows = "\n".join(",".join(f"{v:.4f}" for v in (b, *a)) for a, b in zip(x, y[:, 0], strict=True))
    lines = [f"{row},{gap:.4f}" for row, gap in zip(rows.splitlines(), y[:, 1], strict=True)]
    path.write_text("soon,flow,noise,gap\n" + "\n".join(lines) + "\n")
    return x, y


def test_a_regression_as_scikit_learn(here: Path, run: Run) -> None:
    model = regressor()
    model_file.save(model, "m.pt")
    pump(here / "pump.csv")
    options = ("--data", "pump.csv", "--target", "gap,soon", "--window", "50", "--split", "random")
    status, out, err = run("evaluate", "m.pt", *options, "--part", "all", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    table = np.loadtxt(here / "pump.csv", delimiter=",", skiprows=1)
    x, y = table[:, [1, 2]], table[:, [3, 0]]
    assert found["labels"] == ["gap", "soon"]
    values = model.forward(x.reshape(-1, 50, 2)).reshape(-1, 2)[:, ::-1]
    own = found["float"]
    assert own["rmse"] == pytest.approx(np.sqrt(metrics.mean_squared_error(y, values, multioutput="raw_values")).tolist())
    assert own["mae"] == pytest.approx(metrics.mean_absolute_error(y, values, multioutput="raw_values").tolist())
    assert own["r2"] == pytest.approx(metrics.r2_score(y, values, multioutput="raw_values").tolist())
    assert found["integer"]["rmse"] == pytest.approx(own["rmse"], rel=0.05)
    assert [each["name"] for each in found["baselines"]] == ["mean", "last value", "seasonal naive"]

    out = run("evaluate", "m.pt", *options)[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert any(line.startswith("gap float ") for line in lines)
    assert any(line.startswith("last value of flow ") for line in lines)
    assert any(line.startswith("the model does not beat its baseline: RMSE of gap ") for line in lines)
    assert "equal decisions" not in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "pump.csv", "--label", "kind"), "no column 'kind'"),
        (("--data", "pump.csv", "--target", "soon"), "has 3 channels, m.pt takes 2"),
        (("--data", "pump.csv", "--target", "flow", "--drop", "gap"), "which m.pt does not take"),
        (("--data", "moves"), "has 3 channels, m.pt takes 2"),
        ((), "m.pt: does not say on which recording it was trained; expected one with --data"),
        (("--target", "soon"), "--target describes a recording; expected the recording with --data"),
        (("--data", "pump.csv", "--target", "soon,gap", "--float", "m.pt"), "is a float model itself"),
        (("--data", "absent.csv"), "absent.csv"),
    ],
    ids=" ".join,
)
def test_mistakes(here: Path, run: Run, words: tuple[str, ...], message: str) -> None:
    model_file.save(regressor(), "m.pt")
    pump(here / "pump.csv")
    moves(here)
    status, out, err = run("evaluate", "m.pt", *words)
    assert status in (3, 4)
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


def test_a_file_that_is_no_model(here: Path, run: Run) -> None:
    (here / "m.pt").write_text("This is a text, long enough to hold a header.")
    for name in ("m.pt", "absent.urnn", "absent.pt"):
        status, _, err = run("evaluate", name, "--data", "moves")
        assert (status, err.count("\n")) == (4, 1), name
        assert name in err


def test_quantize_prints_the_figures(here: Path, run: Run) -> None:
    model_file.save(classifier(), "m.pt")
    moves(here)
    evaluated = json.loads(run("evaluate", "m.pt", "--data", "moves", "--json")[1])
    status, out, _ = run("quantize", "m.pt", "--data", "moves")
    assert status == 0
    for kind in ("float", "integer"):
        line = next(line for line in out.splitlines() if line.startswith(f" {kind} "))
        assert f"{evaluated[kind]['accuracy_pct']:.2f} %" in line
    assert "confusion" not in out
    assert (here / "m.urnn").exists()

    (here / "m.urnn").unlink()
    pump(here / "pump.csv")
    status, _, err = run("quantize", "m.pt", "--data", "pump.csv", "--label", "noise")
    assert (status, err.count("\n")) == (3, 1)
    assert not (here / "m.urnn").exists()
    assert run("quantize", "m.pt", "--split-seed", "3")[0] == 3
    assert "always class" not in run("quantize", "m.pt")[1]


def test_a_model_knows_the_recording_of_its_training(here: Path, run: Run) -> None:
    """`train` stores the words in FloatModel.info; evaluate and quantize read the recording again."""
    parser = argparse.ArgumentParser()
    recording_options.add_arguments(parser)
    words = ["pump.csv", "--target", "soon,gap", "--window", "50", "--drop", "t", "--drop", "u", "--split-seed", "7"]
    stored = stored_recording.words(parser.parse_args(words))
    assert parser.parse_args(stored) == parser.parse_args(words)
    dashed = parser.parse_args(["--window", "5", "--", "-odd.csv"])
    assert parser.parse_args(stored_recording.words(dashed)) == dashed

    stored = stored_recording.words(parser.parse_args([word for word in words if word not in ("--drop", "t", "u")]))
    model_file.save(replace(regressor(), info={stored_recording.KEY: stored}), "m.pt")
    assert run("evaluate", "m.pt")[0] == 3  # the file is not there
    status, out, err = run("quantize", "m.pt", "--accept-error")
    assert status == 0, err
    assert "no figures on a recording: pump.csv: " in out
    pump(here / "pump.csv")
    options = ("--data", "pump.csv", "--target", "soon,gap", "--window", "50", "--split-seed", "7")
    assert run("evaluate", "m.pt", "--json")[1] == run("evaluate", "m.pt", *options, "--json")[1]
    assert "last value of flow" in run("quantize", "m.pt", "--accept-error")[1]

    model_file.save(replace(regressor(), info={stored_recording.KEY: ["--no-such-option", "pump.csv"]}), "m.pt")
    status, _, err = run("evaluate", "m.pt")
    assert (status, err.count("\n")) == (3, 1)
    assert "give the recording with --data" in err


def test_another_horizon_is_said(here: Path, run: Run) -> None:
    model_file.save(replace(regressor(), labels=("flow", "gap"), info={"horizon": 3}), "m.pt")
    pump(here / "pump.csv")
    words = ("evaluate", "m.pt", "--data", "pump.csv", "--target", "flow", "--drop", "soon,gap", "--window", "50")
    assert "the model predicts 3 steps ahead, here 2 are asked of it" in run(*words, "--horizon", "2")[1]
    assert "ahead" not in run(*words, "--horizon", "3")[1]


def options_of(command: str) -> set[str]:
    parser = next(
        action.choices[command] for action in cli.build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return {option for action in parser._actions for option in action.option_strings}


def test_every_command_takes_every_option_of_a_recording() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    recording_options.add_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    assert "--window" in options
    for command in ("train", "evaluate", "quantize", "verify", "import"):
        assert options <= options_of(command), command
        assert command == "train" or "--data" in options_of(command)
    assert evaluate.PARTS == accuracy.PARTS


def many(classes: int, names: str) -> accuracy.Evaluation:
    """An evaluation whose integer model confuses each class with the next one."""
    from tinyrnn.data.matching import Match
    from tinyrnn.data.recording import Recording, Sequences

    y = np.repeat(np.arange(classes), 3)
    part = Sequences([np.full((1, 1), float(i)) for i in range(len(y))], y)
    labels = tuple(f"{names} {i}" for i in range(classes))
    recording = Recording("set", "classification", "last", ("a",), labels, part, part)
    decided = np.where(np.arange(len(y)) % 3 == 0, (y + 1) % classes, y)
    matched = Match((0,), (), (), tuple(range(classes)), labels, "")
    return accuracy.Evaluation(recording, "test", part, matched, None, np.eye(classes)[decided])


def test_a_confusion_matrix_fits_or_is_a_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tinyrnn.cli import evaluation_tables

    evaluation_tables.show(many(4, "class"))
    out = capsys.readouterr().out
    assert "true class  class 0  class 1" in out
    evaluation_tables.show(many(20, "a class with a rather long name"))
    out = capsys.readouterr().out
    assert "20 a class with a rather long name 19" in out
    assert "…" not in out
    evaluation_tables.show(many(30, "class"))
    out = capsys.readouterr().out
    assert "confusion matrix" not in out
    assert "mistakes of the integer model, the 20 most frequent of 30 kinds" in out
    assert "class 19    class 20      1" in out


def test_control_characters_in_a_label_are_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tinyrnn.cli import evaluation_tables
    from tinyrnn.cli.screen import escaped_output

    with escaped_output():
        evaluation_tables.show(many(3, "walk\x1b[2J\nrun"))
        evaluation_tables.show(many(22, "walk\x1b[2J\nrun"))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("walk\\x1b[2J\\nrun 0") > 5
    assert not any(line.lstrip().startswith("run") for line in out.splitlines())


def test_a_long_name_does_not_widen_a_table_without_end(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tinyrnn.cli import evaluation_tables

    evaluation_tables.show(many(3, "x" * 900))
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) < 160
