# SPDX-License-Identifier: MIT
"""The length of the training sequences, from the trainer to the board, and its use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urnn
from helpers.packages import need_package
from shared.paths import EXAMPLES
from tinyrnn import cli, data
from tinyrnn.errors import ModelError
from tinyrnn.float_model import model_file
from tinyrnn.float_model.model import FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.network import pack, unpack
from tinyrnn.quantization.quantizer import quantize
from urnn.format import unseal

EXAMPLE = EXAMPLES / "gesture.urnn"


def model(**fields: Any) -> FloatModel:
    return replace(random_float_model(np.random.default_rng(0), 3, (5,), 2), **fields)


@pytest.mark.parametrize("window", [0, 1, 100, 255, 256, 65535])
def test_the_window_reaches_the_board(window: int, tmp_path: Path) -> None:
    need_package("torch")
    model_file.save(model(window=window, when="last"), tmp_path / "model.pt")
    assert cli.main(["quantize", str(tmp_path / "model.pt"), "-o", str(tmp_path / "m.urnn")]) == 0
    assert urnn_file.load(tmp_path / "m.urnn").network.window == window
    net = urnn.load(str(tmp_path / "m.urnn"))
    assert (net.window, net.every_step, net.regression) == (window, False, False)


def test_a_file_without_a_window_is_unchanged() -> None:
    """The window has its own field, which is 0 without one. Nothing else differs but the CRC."""
    plain, with_window = pack(quantize(model())), pack(quantize(model(window=0x1234)))
    (at,) = (start for tag, start, _ in unseal(plain) if tag == b"DENS")
    different = [i for i in range(len(plain) - 4) if plain[i] != with_window[i]]
    assert different == [at + 2, at + 3]
    assert (plain[at + 2 : at + 4], with_window[at + 2 : at + 4]) == (b"\0\0", b"\x34\x12")
    assert pack(unpack(plain)) == plain
    assert pack(unpack(with_window)) == with_window


@pytest.mark.parametrize("window", [-1, 65536, 1.5, True, "100", None])
def test_wrong_windows_are_refused(window: object) -> None:
    with pytest.raises(ModelError, match="expected a number of steps, 0 to 65535"):
        model(window=window)


def test_an_older_model_file_is_read(tmp_path: Path) -> None:
    torch = need_package("torch")
    model_file.save(model(window=7), tmp_path / "model.pt")
    raw = torch.load(tmp_path / "model.pt", weights_only=True)
    assert raw["model"].pop("window") == 7
    torch.save(raw, tmp_path / "old.pt")
    assert model_file.load(tmp_path / "old.pt").window == 0
    raw["model"]["window"] = "long"
    torch.save(raw, tmp_path / "bad.pt")
    with pytest.raises(ModelError, match="window 'long'"):
        model_file.load(tmp_path / "bad.pt")


def write_recording(folder: Path, lengths: tuple[int, ...]) -> Path:
    """Two classes that differ in their mean, a file for each sequence."""
    rng = np.random.default_rng(0)
    for name, mean in (("low", -500), ("high", 500)):
        (folder / "data" / name).mkdir(parents=True)
        for number in range(8):
            values = rng.normal(mean, 300, (lengths[number % len(lengths)], 2)).round()
            np.savetxt(folder / "data" / name / f"{number}.csv", values, "%d", ",", header="a,b", comments="")
    return folder / "data"


@pytest.mark.parametrize(("lengths", "words"), [((12,), "12 steps"), ((9, 14), "9 to 14 steps")])
def test_train_and_info_print_the_window(
    lengths: tuple[int, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_package("torch")
    recording, output, packed = write_recording(tmp_path, lengths), tmp_path / "model.pt", tmp_path / "m.urnn"
    assert cli.main(["train", str(recording), "-o", str(output), "--units", "4", "--epochs", "2"]) == 0
    said = capsys.readouterr().out
    assert f"trained on windows of {words}: call net.reset() at each window's start\n" in said
    assert model_file.load(output).window == max(lengths)
    assert cli.main(["quantize", str(output), "-o", str(packed)]) == 0
    capsys.readouterr()
    assert cli.main(["info", str(packed)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"trained on windows of up to {max(lengths)} steps: call net.reset() at each window's start" in said
    assert cli.main(["info", "--json", str(packed)]) == 0
    assert json.loads(capsys.readouterr().out)["window"] == max(lengths)


def test_a_stream_has_no_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training cuts a recording with a label at every step anywhere."""
    need_package("torch")
    rng = np.random.default_rng(0)
    label = (np.arange(600) // 50) % 2
    rows = [f"{int(v)},{'on' if c else 'off'}" for v, c in zip(rng.normal(0, 50, 600) + 300 * label, label, strict=True)]
    (tmp_path / "stream.csv").write_text("a,label\n" + "\n".join(rows) + "\n")
    arguments = [str(tmp_path / "stream.csv"), "--label", "label", "--units", "4", "--epochs", "2"]
    assert cli.main(["train", *arguments, "-o", str(tmp_path / "model.pt")]) == 0
    assert "trained on windows" not in capsys.readouterr().out
    assert model_file.load(tmp_path / "model.pt").window == 0


def test_the_example_model_is_right_on_windows_and_not_on_a_stream() -> None:
    """net.window prevents this loss of accuracy, which docs/device.md describes."""
    network = urnn_file.load(EXAMPLE).network
    recording = data.load("basic-motions")
    net = urnn.load(str(EXAMPLE), kernels="plain")
    assert net.window == recording.train.lengths.max() == 100
    raw, truth = [network.raw(x) for x in recording.test.x], np.array(recording.test.y)
    order = np.random.default_rng(0).permutation(len(raw))[:16]
    right = {}
    for stream in (False, True):
        net.reset()
        found = []
        for number in order:
            for sample in raw[number].tolist():
                if net.steps == net.window and not stream:
                    net.reset()
                net.step(sample)
            found.append(net.argmax())
        right[stream] = (np.array(found) == truth[order]).mean()
    assert right[False] == 1
    assert right[True] < 0.8
