# SPDX-License-Identifier: MIT
"""`tinyrnn import`: options, recordings, ranges, and what it writes."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from tinyrnn import cli
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import ModelError
from tinyrnn.float_model import model_file
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.layers import BatchNorm, Layer, LayerNorm
from tinyrnn.importers import float_conversion, framework_check
from tinyrnn.importers.source_model import Affine, Dense, SourceModel, SourceStep
from tinyrnn.integer_model import urnn_file
from tinyrnn.text import counted
from torch import nn


class Net(nn.Module):
    """A GRU with a head, 2 inputs, 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0][:, -1])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.pt, and sensor.npz: raw integers around 2000, three classes."""
    torch.manual_seed(1)
    torch.save(Net().state_dict(), tmp_path / "net.pt")
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.round(2000 + 300 * rng.standard_normal((60, 12, 2)) + 200 * y[:, None, None]).astype(np.float64)
    np.savez(tmp_path / "sensor.npz", x=x, y=y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    status = cli.main(["import", *args])
    out, err = capsys.readouterr()
    return status, out, err


def test_to_float_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "net.pt", "-o", "model.pt", "--labels", "a,b,c", "--channels", "x,y", "--name", "mine")
    assert (status, err) == (0, "")
    assert "2 inputs -> gru 6 -> 3 outputs; classification at the last step: a, b, c" in out
    assert "largest difference from PyTorch on 9 sequences:" in out
    assert "inputs are assumed to lie within 4 standard deviations" in out
    model = model_file.load("model.pt")
    assert (model.name, model.labels, model.channels) == ("mine", ("a", "b", "c"), ("x", "y"))
    assert model.info["imported"] == "net.pt"
    assert 0 <= model.info["difference"] <= 1e-5
    np.testing.assert_array_equal(model.calibration.maximum, [4, 4])
    x = torch.randn(2, 5, 2)
    net = Net().eval()
    net.load_state_dict(torch.load("net.pt"))
    with torch.no_grad():
        np.testing.assert_allclose(model.forward(x.numpy())[:, -1], net(x).numpy(), atol=1e-5)


def test_to_urnn(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording sets the normalisation: raw integers in, torch's decisions on normalised data out."""
    status, out, err = run(capsys, "net.pt", "-o", "net.urnn", "--data", "sensor.npz", "--normalise")
    assert (status, err) == (0, "")
    assert "test accuracy on sensor" in out
    network = urnn_file.load("net.urnn").network
    assert network.name == "net"
    with np.load("sensor.npz") as data:
        x = data["x"]
    recording = cli.import_.from_args(_arguments("--data", "sensor.npz"))  # type: ignore[attr-defined]
    net = Net().double().eval()
    net.load_state_dict(torch.load("net.pt"))
    with torch.no_grad():
        want = net(torch.from_numpy((x - recording.mean) / recording.std)).numpy()
    got = np.array([_outputs(network, sequence)[-1] for sequence in x])
    clear = np.sort(want, axis=1)[:, -1] - np.sort(want, axis=1)[:, -2] > 0.02
    assert clear.sum() > 40
    assert (got.argmax(1) == want.argmax(1))[clear].all()
    # without --normalise the network is given the raw numbers, of which it was not trained to make anything
    assert run(capsys, "net.pt", "-o", "raw.pt", "--data", "sensor.npz")[0] == 0
    assert np.abs(_outputs_of("raw.pt", x) - want).max() > 0.1
    assert run(capsys, "net.pt", "-o", "range.urnn", "--range", "-3", "3")[0] == 0


def _arguments(*args: str) -> Any:
    return cli.build_parser().parse_args(["import", "net.pt", "-o", "x.pt", *args])


def _outputs(network: Any, x: np.ndarray) -> np.ndarray:
    """The integers of every step in the user's unit."""
    raw = network.raw(x)
    return np.array([out * 2.0 ** network.exponents.astype(float) for out in _run(network, raw)])


def _outputs_of(path: str, x: np.ndarray) -> np.ndarray:
    return model_file.load(path).forward(x)[:, -1]


def _run(network: Any, raw: np.ndarray) -> np.ndarray:
    import urnn
    from tinyrnn.integer_model.network import pack

    net = urnn.load(pack(network), kernels="plain")
    rows = []
    for sample in raw.tolist():
        net.step(sample)
        rows.append(list(net.output))
    return np.array(rows)


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("gru", ""),
        ("gru", "hidden"),
        ("lstm", ""),
        ("lstm-projected", "layernorm"),
        ("rnn-tanh", "batchnorm"),
        ("rnn-relu", ""),
    ],
)
def test_every_cell_to_urnn(
    kind: str, parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file to integers in one command. The board's arithmetic gives torch's outputs, rounded."""
    from helpers.torch_networks import Net as Other

    torch.manual_seed(2)
    net = Other(kind, 1, True, parts, "every")
    with torch.no_grad():  # such as training leaves them: no exploding states
        net.rnn.weight_hh_l0 *= 0.3
    torch.save(net.state_dict(), tmp_path / "m.pt")
    monkeypatch.chdir(tmp_path)
    more = ["--nonlinearity", kind.split("-")[1]] if kind.startswith("rnn") else []
    more += ["--activation", "relu"] if "hidden" in parts else []
    status, _, err = run(capsys, "m.pt", "-o", "m.urnn", "--range", "-2", "2", *more)
    assert status == 0, err
    network = urnn_file.load("m.urnn").network
    x = np.random.default_rng(1).uniform(-2, 2, (4, 8, 3))
    with torch.no_grad():
        want = net(torch.from_numpy(x).float()).numpy()
    got = np.array([_outputs(network, sequence) for sequence in x])
    error = np.sqrt(np.square(got - want).mean()) / want.std()
    assert error < 0.1, error


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (("net.pt", "-o", "x.urnn"), 4, "does not say the range of its inputs, which a .urnn file needs; .* --data"),
        (("net.pt", "-o", "net.pt"), 4, "is the file to import; choose another name with -o"),
        (("net.pt", "-o", "none/x.pt"), 4, "the folder none does not exist; make it with"),
        (("none.pt", "-o", "x.pt"), 4, "none.pt: cannot be opened"),
        (("net.pt", "-o", "x.pt", "--labels", "a,b"), 4, "--labels gives 2 names; expected 3, as in the model"),
        (("net.pt", "-o", "x.pt", "--channels", "a"), 4, "--channels gives 1 names; expected 2"),
        (("net.pt", "-o", "x.pt", "--range", "3", "-3"), 4, "--range is 3 to -3; expected the lower end first"),
        (("net.pt", "-o", "x.pt", "--normalise"), 4, "--normalise describes a recording; expected the .* --data"),
        (("net.pt", "-o", "x.pt", "--window", "5"), 4, "--window describes a recording; expected the recording with --data"),
        (("net.pt", "-o", "x.pt", "--data", "sensor.npz", "--range", "0", "1"), 4, "--data and --range both give the range"),
        (("net.pt", "-o", "x.pt", "--data", "basic-motions"), 3, "has 6 channels .*; expected 2, as in the model"),
        (("net.pt", "-o", "x.pt", "--data", "basic-motions", "--normalise"), 3, "has 6 channels .*; expected 2"),
        (("net.pt", "-o", "x.pt", "--order", "rnn"), 4, "--order gives rnn; expected each of: rnn, head"),
        (("net.pt", "-o", "x.pt", "--key", "ema"), 4, "has no state_dict under 'ema'"),
        (("net.txt", "-o", "x.pt"), 4, "a file of unknown kind; expected"),
    ],
)
def test_mistakes(
    args: tuple[str, ...], status: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, its exit status, and no file."""
    import re

    if "basic-motions" in args:
        need_package("sktime")
    before = sorted(p.name for p in folder.iterdir())
    found, _, err = run(capsys, *args)
    assert found == status, err
    assert re.search(message, err), err
    assert err.count("\n") == 1
    assert sorted(p.name for p in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("module", "suffix"), [("onnx", ".onnx"), ("onnxruntime", ".onnx"), ("h5py", ".h5"), ("keras", ".keras")]
)
def test_missing_frameworks(
    module: str, suffix: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the command that installs it. An import without a comparison is refused."""
    path = folder / f"net{suffix}"
    if suffix == ".onnx":
        need_package("onnx")
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(Net().eval(), (torch.zeros(1, 5, 2),), str(path), dynamo=False)
    else:
        import os

        os.environ["KERAS_BACKEND"] = "torch"
        keras = need_package("keras")
        keras.Sequential([keras.layers.Input((None, 2)), keras.layers.GRU(3)]).save(path)
    monkeypatch.setitem(sys.modules, module, None)
    status, _, err = run(capsys, path.name, "-o", "x.pt")
    assert status == 1
    assert f"{module} is not installed" in err or f"{module}: import of {module} halted" in err
    assert "pip install 'tinyrnn[import]'" in err
    assert not (folder / "x.pt").exists()


def source(*steps: Any, inputs: int = 2) -> SourceModel:
    """A source model that needs no framework."""
    named = tuple(SourceStep(f"step {i}", what) for i, what in enumerate(steps))
    return SourceModel("nobody", named, inputs, "every", run=lambda x: x)


def gru(rng: np.random.Generator, inputs: int = 2) -> GRU:
    w, u, b, c = (rng.standard_normal(shape) for shape in ((12, inputs), (12, 4), (12,), (12,)))
    return GRU(w, u, b, c)


def recording(scale: float, offset: float) -> Recording:
    rng = np.random.default_rng(3)
    x = [offset + scale * rng.standard_normal((9, 2)) for _ in range(8)]
    y = np.arange(8) % 4
    return Recording("noise", "classification", "last", ("a", "b"), ("0", "1", "2", "3"), Sequences(x, y), Sequences(x, y))


@pytest.mark.parametrize("first", ["gru", "affine", "batchnorm", "layernorm", "dense", "affine twice"])
def test_a_new_normalisation_changes_nothing(first: str) -> None:
    """Raw sensor values get the recording's normalisation, and the first layer undoes it, whatever its kind."""
    rng = np.random.default_rng(5)
    weight, bias, mean = rng.random((3, 2))
    layers: dict[str, tuple[Layer | Dense | Affine, ...]] = {
        "gru": (),
        "affine": (Affine(np.array([0.5, 2.0]), np.array([1.0, -3.0])),),
        "affine twice": (
            Affine(np.array([0.5, 2.0]), np.array([1.0, -3.0])),
            Affine(np.array([3.0, 0.1]), np.array([0.0, 7.0])),
        ),
        "batchnorm": (BatchNorm(weight, bias, mean, np.array([0.5, 2.0])),),
        "layernorm": (LayerNorm(weight, bias, 1e-3),),
        "dense": (Dense(rng.standard_normal((3, 2)) / 1000, rng.standard_normal(3)),),
    }
    cell = gru(rng, 3 if first == "dense" else 2)
    made = source(*layers[first], cell)
    data = recording(700.0, 2500.0)
    plain = float_conversion.build(made, float_conversion.Settings(labels=tuple("abcd")), None)
    model = float_conversion.build(made, float_conversion.Settings(), data)
    x = np.stack(data.test.x)
    np.testing.assert_allclose(model.forward(x), plain.forward(x), atol=1e-9)
    furthest = np.abs((x - model.mean) / model.std).max()
    assert furthest < float_conversion.WIDE + 1e-9
    assert len(model.calibration.value_ranges) == 1
    assert model.calibration.integer == data.integer


def test_refusal_of_what_cannot_be_placed() -> None:
    rng = np.random.default_rng(6)
    dense = Dense(rng.standard_normal((2, 2)), np.zeros(2))
    with pytest.raises(ModelError, match="step 1: layernorm after a dense layer without activation"):
        float_conversion.build(
            source(dense, LayerNorm(np.ones(2), np.zeros(2)), gru(rng)), float_conversion.Settings(), None
        )
    with pytest.raises(ModelError, match="step 1: takes 2 inputs but gets 4"):
        float_conversion.build(source(gru(rng), gru(rng)), float_conversion.Settings(), None)
    with pytest.raises(ModelError, match="has no recurrent layer"):
        float_conversion.build(source(dense), float_conversion.Settings(), None)


def test_comparison_of_decisions() -> None:
    """After argmax, a class that loses to another logit by more than the limit is a difference."""
    rng = np.random.default_rng(7)
    made = replace(source(gru(rng)), tail=("argmax",))
    model = float_conversion.build(made, float_conversion.Settings(), None)

    def classes(x: np.ndarray) -> np.ndarray:
        return model.forward(x).argmax(-1)[..., None].astype(np.float64)

    assert framework_check.compare(replace(made, run=classes), model)[0] == 0
    with pytest.raises(ModelError, match="differs from nobody"):
        framework_check.compare(replace(made, run=lambda x: (classes(x) + 1) % 4), model)
    with pytest.raises(ModelError, match="gives NaN or infinity"):
        framework_check.compare(replace(source(gru(rng)), run=lambda x: np.full((*x.shape[:2], 4), np.nan)), model)


class Ending(nn.Module):
    """Strong weights, so that the outputs fill the range of the last function."""

    def __init__(self, function: Any, outputs: int = 1) -> None:
        super().__init__()
        self.rnn, self.head, self.function = nn.GRU(3, 8, batch_first=True), nn.Linear(8, outputs), function
        with torch.no_grad():
            self.head.weight.mul_(8)

    def forward(self, x: Any) -> Any:
        return self.function(self.head(self.rnn(x)[0][:, -1]))


def exported(net: nn.Module, path: Path) -> None:
    if path.suffix == ".pt2":
        torch.export.save(torch.export.export(net.eval(), (torch.zeros(1, 20, 3),)), path)
        return
    need_package("onnx")
    need_package("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), (torch.zeros(1, 20, 3),), str(path), dynamo=False)


def values_on_a_board(path: str, x: np.ndarray) -> np.ndarray:
    """net.value() of every output after each sequence of x (N, T, C)."""
    import urnn

    network = urnn_file.load(path).network
    net = urnn.load(path, kernels="plain")
    rows = []
    for sequence in x:
        net.reset()
        for sample in network.raw(sequence).tolist():
            net.step(sample)
        rows.append([net.value(i) for i in range(len(net.output))])
    return np.array(rows)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize(("function", "outputs"), [("sigmoid", 1), ("sigmoid", 3), ("tanh", 2), ("relu", 1)])
def test_a_function_at_the_end(
    suffix: str, function: str, outputs: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --task regression, or a recording of one, the board gives the function's own values."""
    torch.manual_seed(5)
    net = Ending(getattr(torch, function), outputs)
    exported(net, folder / f"net{suffix}")
    rng = np.random.default_rng(3)
    x = np.repeat(rng.uniform(-1, 1, (24, 1, 3)), 20, axis=1) + 0.2 * rng.uniform(-1, 1, (24, 20, 3))
    x = np.clip(x, -1, 1)
    np.savez("reg.npz", x=x, y=rng.random((24, outputs)))
    with torch.no_grad():
        want = net(torch.from_numpy(x.astype(np.float32))).numpy()
    for given in (["--range", "-1", "1", "--task", "regression"], ["--data", "reg.npz"]):
        status, out, err = run(capsys, f"net{suffix}", "-o", "net.urnn", *given)
        assert (status, err) == (0, "")
        assert f"-> {counted(outputs, 'output')}; regression at the last step" in out
        got = values_on_a_board("net.urnn", x)
        assert np.abs(got - want).max() < 0.03 * np.ptp(want)
    if function == "sigmoid":
        assert np.ptp(want) > 0.3
        status, out, _ = run(capsys, f"net{suffix}", "-o", "net.urnn", "--range", "-1", "1")
        kind = "2 outputs; classification" if outputs == 1 else "3 outputs; regression"
        assert status == 0
        assert kind in out
