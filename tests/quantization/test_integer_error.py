# SPDX-License-Identifier: MIT
"""How close the integers are to the float model: the measurement, its report, finer rows, refusals, and the sequences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nearness
import numpy as np
import pytest
import urnn
from helpers.packages import need_package
from tinyrnn import cli
from tinyrnn.errors import ModelError
from tinyrnn.float_model import model_file, probing
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.evaluation import value_ranges_over
from tinyrnn.float_model.layers import Linear
from tinyrnn.float_model.model import Calibration, FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.matrices import ExtendedProduct
from tinyrnn.integer_model.network import Nearness, Network, pack, unpack
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization.integer_error import RECORDING, Evidence, Judge, at_fault
from tinyrnn.quantization.precision_search import measured
from tinyrnn.quantization.quantizer import quantize, quantized


def regression(layer: FloatCell, head: list[float], low: float = -1.0, high: float = 1.0) -> FloatModel:
    """One cell, one target, every input in the same range."""
    inputs = layer.inputs
    calibration = Calibration(np.full(inputs, low), np.full(inputs, high), False, np.full((4, inputs), high))
    return FloatModel(
        task="regression",
        when="every",
        mean=np.zeros(inputs),
        std=np.ones(inputs),
        layers=(layer,),
        head=Linear(np.array([head]), np.zeros(1)),
        labels=("y",),
        channels=tuple(f"input {i}" for i in range(inputs)),
        target_mean=np.zeros(1),
        target_std=np.ones(1),
        calibration=calibration,
    )


def leaky(unity: float, nonlinearity: str = "relu") -> FloatModel:
    """h' = unity * h + (1 - unity) * x: a mean over time, with a weight close to 1."""
    cell = RNN(np.array([[1 - unity]]), np.array([[unity]]), np.zeros(1), np.zeros(1), nonlinearity)
    return regression(cell, [1.0], 0.0, 1.0)


def slow_lstm(forget: float = 9.0) -> FloatModel:
    """An LSTM whose c grows while the input is held."""
    weight, bias = np.array([[0.0], [0.0], [2.0], [0.0]]), np.array([6.0, forget, 0.0, 6.0])
    return regression(LSTM(weight, np.zeros((4, 1)), bias, np.zeros(4)), [1.0])


def last_value(network: Network, x: np.ndarray) -> float:
    """What the device's own code gives in the user's unit after the last sample of x (T, C)."""
    net = urnn.load(bytearray(pack(network)), kernels="plain")
    for sample in network.raw(x).tolist():
        net.step(sample)
    return float(net.value(0))


@pytest.mark.parametrize("unity", [0.9, 0.95, 0.98, 0.99, 0.995])
def test_weights_close_to_1(unity: float) -> None:
    model = leaky(unity)
    held = np.full((2000, 1), 0.8)
    found = measured(model)
    assert found.finer == {"layer 0 U": (0,)}
    assert last_value(found.network, held) == pytest.approx(0.8, abs=0.008)
    assert found.warning() is None
    coarse = quantized(
        replace(model, calibration=replace(model.calibration, value_ranges=found.quantized.model.calibration.value_ranges))
    )
    assert abs(last_value(coarse.network, held) - 0.8) > 0.008, "8 bits would have done"


def test_relu_network_on_held_inputs() -> None:
    rng = np.random.default_rng(3)
    u = np.diag([0.95, 0.98, 0.9, 0.97]) + np.triu(rng.uniform(0, 0.004, (4, 4)), 1)
    model = regression(RNN(rng.uniform(-1, 1, (4, 1)), u, np.zeros(4), np.zeros(4), "relu"), [0.05, -0.02, -0.05, 0.03])
    found = measured(model)
    held = np.ones((1500, 1))
    want = model.forward(held[None])[0, -1, 0]
    assert abs(last_value(found.network, held) - want) < 0.01 * max(abs(want), 0.1)
    assert found.error.largest_share < 0.01
    assert 0 < sum(map(len, found.finer.values())) <= 12


def test_a_state_that_grows_gets_its_range_or_a_warning() -> None:
    model = slow_lstm()
    found = measured(model)
    x = np.concatenate([np.ones((60, 1)), -np.ones((30, 1))])
    assert last_value(found.network, x) == pytest.approx(model.forward(x[None])[0, -1, 0], abs=0.01)
    warning = found.warning()
    assert warning is not None
    assert f"{100 * found.error.largest_share:.3g} %" in warning
    assert "layer 0, lstm, adds most to it" in warning
    assert "--data" in warning


def test_a_recording_is_measured_in_the_place_of_probing_sequences() -> None:
    """The warning's advice works: inputs of a recording do not drive c that far."""
    model = slow_lstm()
    x = 0.2 * np.sin(np.arange(60) / 4)[:, None]
    seen = replace(model.calibration, sequences=(x,), value_ranges=value_ranges_over(model, [x]))
    found = measured(replace(model, calibration=seen))
    assert found.error.source == RECORDING
    assert found.warning() is None
    assert found.error.outputs == 60


def test_networks_that_8_bits_serve_stay_as_they_are() -> None:
    for seed, cell in enumerate(("gru", "lstm", "fastgrnn")):
        model = replace(random_float_model(np.random.default_rng(seed), 3, (12,), 2, cell), task="regression")
        found = measured(model)
        assert not found.finer
        assert found.error.largest_share < 0.02
        value_ranges = found.quantized.model.calibration.value_ranges
        same = quantize(replace(model, calibration=replace(model.calibration, value_ranges=value_ranges)))
        assert pack(replace(found.network, nearness=None)) == pack(same)


def test_the_layer_at_fault() -> None:
    """The second of two layers has a weight close to 1, and only 8 bits for it."""
    rng = np.random.default_rng(1)
    model = random_float_model(rng, 2, (6,), 1, "gru")
    slow = RNN(np.full((1, 6), 0.002), np.array([[0.995]]), np.zeros(1), np.zeros(1), "relu")
    model = replace(
        model, task="regression", when="every", layers=(*model.layers, slow), head=Linear(np.ones((1, 1)), np.zeros(1))
    )
    evidence, value_ranges = Evidence.of(model)
    found = quantized(replace(model, calibration=replace(model.calibration, value_ranges=value_ranges)))
    assert at_fault(Judge(model, evidence), found.network, found.bits) == "layer 1, rnn,"
    assert "layer 1 U" in measured(model).finer


def test_figures_are_those_of_a_direct_comparison() -> None:
    model = replace(random_float_model(np.random.default_rng(2), 2, (5,), 3), when="every")
    xs = {f"s{i}": np.random.default_rng(i).normal(0, 900, (20 + i, 2)) for i in range(4)}
    evidence = Evidence(xs, "these", False)
    network = quantize(model)
    error = Judge(model, evidence).measure(network)
    simulator = Simulator(network)
    want = np.concatenate([model.forward(x[None])[0] for x in xs.values()])
    got = np.concatenate([simulator.values(simulator.run(network.raw(x)[None])[0])[0] for x in xs.values()])
    share = np.abs(got - want) / np.ptp(want)
    assert error.outputs == len(want) == 86
    assert error.largest_share == pytest.approx(share.max())
    assert error.mean_share == pytest.approx(share.mean(axis=0).max())
    assert error.equal_share == np.mean(want.argmax(axis=1) == got.argmax(axis=1))
    worst = [name for name, x in xs.items() for _ in x][int(share.max(axis=1).argmax())]
    assert error.worst == worst


def test_probing_sequences_stay_in_their_range_and_cover_it() -> None:
    low, high = np.array([-3.0, 100.0]), np.array([5.0, 101.0])
    found = probing.in_range(low, high, 250)
    for x in found.values():
        assert x.shape == (250, 2)
        assert (x >= low).all()
        assert (x <= high).all()
    assert np.array_equal(found["held high"][0], high)
    assert np.array_equal(found["held low, channel 1"][0], [1.0, 100.0])
    up = found["step up"]
    assert np.array_equal(up[0], low)
    assert np.array_equal(up[-1], high)
    assert len(np.unique(found["short steps"][:, 0])) == 2
    assert len({x.tobytes() for x in found.values()}) == len(found), "two are the same"


def test_probing_sequences_last_until_the_states_have_settled() -> None:
    short, _ = probing.settled(leaky(0.5))
    long, value_ranges = probing.settled(slow_lstm())
    assert len(short["held high"]) == 250
    assert len(long["held high"]) == probing.LAST_STEPS
    assert value_ranges[0].state[1] > 1000


def test_the_file_has_its_error() -> None:
    found = measured(leaky(0.99))
    near = unpack(pack(found.network)).nearness
    assert near is not None
    assert near.largest_share == pytest.approx(found.error.largest_share, rel=1e-6)
    assert (near.equal_share, near.outputs, near.recorded) == (None, found.error.outputs, False)
    assert Nearness.from_bytes(memoryview(b"123")) is None
    assert "probing sequences" in str(near)


def test_a_large_error_is_refused_unless_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A chaotic network, in which the smallest rounding error grows without bound."""
    need_package("torch")
    path, output = tmp_path / "m.pt", tmp_path / "m.urnn"
    rng = np.random.default_rng(16)
    cell = RNN(rng.normal(size=(16, 1)), 2 * rng.normal(size=(16, 16)), np.zeros(16), np.zeros(16))
    model_file.save(regression(cell, list(rng.normal(size=16))), path)
    assert cli.main(["quantize", str(path)]) == ModelError.exit_code
    out, err = capsys.readouterr()
    assert "adds most to it" in out
    assert "--accept-error" in err
    assert err.count("\n") == 1
    assert not output.exists()
    assert cli.main(["quantize", str(path), "--accept-error"]) == 0
    assert urnn_file.load(output).network.nearness is not None


def test_few_outputs_are_no_reason_to_refuse() -> None:
    model = random_float_model(np.random.default_rng(2), 2, (5,), 3)
    network = quantize(replace(model, head=Linear(-model.head.weight, -model.head.bias)))  # type: ignore[operator]
    xs = {f"s{i}": np.random.default_rng(i).normal(0, 900, (20, 2)) for i in range(30)}
    many, few = (Judge(model, Evidence(dict(list(xs.items())[:n]), "these", False)).measure(network) for n in (30, 5))
    assert many.far
    assert few.above()
    assert not few.far


def test_a_target_that_hardly_moves_has_the_range_of_its_training() -> None:
    model = replace(random_float_model(np.random.default_rng(2), 2, (5,), 1), task="regression", when="every")
    still = {"still": np.zeros((40, 2)) + 1e-3 * np.random.default_rng(0).normal(size=(40, 2))}
    shares = []
    for std in (1.0, 3.0):  # 1: nothing is known
        scaled = replace(model, target_std=np.array([std]))
        shares.append(Judge(scaled, Evidence(still, "these", False)).measure(quantize(scaled)).largest_share)
    assert shares[1] < shares[0] / 2


def test_quantize_and_verify_print_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_package("torch")
    path, output = tmp_path / "m.pt", tmp_path / "m.urnn"
    model_file.save(leaky(0.99), path)
    assert cli.main(["quantize", str(path)]) == 0
    out = capsys.readouterr().out
    assert "integers against float on probing sequences: largest difference" in out
    assert "1 of its rows have 15-bit weights" in out
    assert cli.main(["verify", str(output), "--runtime", "cpython", "--sequences", "1"]) == 0
    assert f"{path}: integers against float on probing sequences: largest difference" in capsys.readouterr().out
    path.rename(tmp_path / "other.pt")
    assert cli.main(["verify", str(output), "--runtime", "cpython", "--sequences", "1"]) == 0
    assert "when it was quantized: largest difference" in capsys.readouterr().out
    assert cli.main(["verify", str(output), "--runtime", "cpython", "--float", str(tmp_path / "other.pt")]) == 0
    assert "other.pt: integers against float" in capsys.readouterr().out


@pytest.mark.slow
def test_verify_warns_and_names_the_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_package("torch")
    path = tmp_path / "m.pt"
    model_file.save(slow_lstm(), path)
    assert cli.main(["quantize", str(path)]) == 0
    assert "warning: the integers are off by" in capsys.readouterr().out
    verify = ["verify", str(tmp_path / "m.urnn"), "--runtime", "cpython", "--sequences", "1"]
    assert cli.main(verify) == 0
    assert "layer 0, lstm, adds most to it" in capsys.readouterr().out
    model_file.save(slow_lstm(8.0), path)  # another network of the same shape: the layer is not known
    assert cli.main(verify) == 0
    out = capsys.readouterr().out
    assert "warning: the integers are off by" in out
    assert "adds most to it" not in out


def test_a_float_model_of_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_package("torch")
    other = tmp_path / "other.pt"
    model_file.save(random_float_model(np.random.default_rng(0), 3, (4,), 2), other)
    urnn_file.write(measured(leaky(0.5)).network, tmp_path / "m.urnn")
    assert cli.main(["verify", str(tmp_path / "m.urnn"), "--float", str(other)]) == ModelError.exit_code
    assert "the float model has 3 inputs and 2 outputs; expected 1 and 1" in capsys.readouterr().err


def test_a_small_signal_on_a_large_offset_keeps_its_steps() -> None:
    """A barometer in Pa: the raw integers are fine enough for the deviation and small enough for the device."""
    for mean, least in ((101_325.0, 64), (1e6, 8), (-101_325.0, 64)):
        gru = random_float_model(np.random.default_rng(0), 1, (6,), 1)
        seen = Calibration(np.array([mean - 2]), np.array([mean + 2]), False, np.full((4, 1), mean))
        model = replace(gru, task="regression", mean=np.array([mean]), std=np.array([0.7]), calibration=seen)
        found = measured(model)
        raw = found.network.raw(np.array([[mean - 2], [mean + 2]]))
        assert np.ptp(raw) / (4 / 0.7) >= least
        assert np.abs(raw).max() < 1 << 24
        assert found.error.largest_share < 0.02
        assert bool(found.few_steps) == (least < 64)


def test_other_channels_keep_their_exponents() -> None:
    """Where the deviation has enough steps, the largest value keeps 13 to 14 bits."""
    gru = random_float_model(np.random.default_rng(0), 2, (6,), 2)
    seen = Calibration(np.array([-3.0, 0.0]), np.array([3.0, 40.0]), False, np.zeros((4, 2)))
    model = replace(gru, mean=np.array([0.0, 20.0]), std=np.array([1.0, 5.0]), calibration=seen)
    assert quantize(model).input_exponents.tolist() == [12, 8]


@pytest.mark.parametrize("mean", [2.0**63, 1e30, 1e300, -(2.0**63)])
def test_a_mean_far_from_what_calibration_saw_is_refused(mean: float) -> None:
    model = random_float_model(np.random.default_rng(0), 1, (4,), 2)
    with pytest.raises(ModelError, match="far outside its range in calibration"):
        quantize(replace(model, mean=np.array([mean])))


def test_finer_rows_cost_a_row_each() -> None:
    model = random_float_model(np.random.default_rng(0), 3, (8,), 2, "gru")
    plain, fine = quantized(model), quantized(model, {"layer 0 U": (1, 2, 5, 20)})
    before, after = plain.network.cells[0], fine.network.cells[0]
    assert isinstance(before, type(after))
    u = dict(after.products)["U"]
    assert isinstance(u, ExtendedProduct)
    assert u.fine is not None
    assert u.fine.rows.tolist() == [1, 2, 5, 20]
    coarse = dict(before.products)["U"].real()
    exact = model.layers[0]
    assert isinstance(exact, GRU)
    lost = [np.abs(w * 2.0 ** (15 - 12) - np.asarray(exact.weight_hh)).max(axis=1) for w in (coarse, u.real())]
    assert (lost[1][[1, 2, 5, 20]] < lost[0][[1, 2, 5, 20]] / 8).all()
    assert (lost[1][[0, 3, 4, 6]] == lost[0][[0, 3, 4, 6]]).all()
    # one more block of four rows of 8 columns, a header, the table of four rows, and the section PRODUCTS
    assert len(pack(fine.network)) - len(pack(plain.network)) == 20 + 4 * 8 + 8 + 16 + 12


@pytest.mark.slow
def test_the_table_of_the_page() -> None:
    """docs/numerics.md has the results of tools/nearness.py: two of its rows are computed again."""
    text = (
        nearness.PAGE.read_text(encoding="utf-8")
        .split(f"<!-- {nearness.MARK} -->")[1]
        .split(f"<!-- /{nearness.MARK} -->")[0]
    )
    rows = {line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ")[1:] for line in text.splitlines() if "|" in line}
    assert set(nearness.ARCHITECTURES) <= set(rows)
    for cell in ("rnn", "fastrnn"):
        found = [nearness.shares(cell, seed) for seed in range(nearness.SEEDS)]
        want = [float(figure) for figure in rows[cell]]
        for i, kind in enumerate(nearness.KINDS):
            assert 100 * max(each[kind][0] for each in found) == pytest.approx(want[2 * i], rel=0.05, abs=0.006)
            mean = sum(each[kind][1] for each in found) / len(found)
            assert 100 * mean == pytest.approx(want[2 * i + 1], rel=0.05, abs=0.0006)
