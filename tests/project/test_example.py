# SPDX-License-Identifier: MIT
"""examples/main.py on the unix ports, with a fake machine module: any number of channels, and windows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared.paths import EXAMPLES
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.network import Network, pack
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, verification

MACHINE = """
values = eval(open("values.txt").read())
at = 0
class ADC:
    def __init__(self, pin):
        if pin > 28:
            raise ValueError("Pin doesn't have ADC capabilities")
    def read_u16(self):
        global at
        if at == len(values):
            raise KeyboardInterrupt
        at += 1
        return values[at - 1]
"""


def run(runtime: Runtime, folder: Path, values: list[int], **constants: object) -> list[str]:
    """What main.py prints when its inputs read these values in turn, and Ctrl-C after the last."""
    text = (EXAMPLES / "main.py").read_text()
    for name, value in {"PERIOD_MS": 0, **constants}.items():
        old = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(old, f"{name} = {value}")
    (folder / "main.py").write_text(text)
    (folder / "machine.py").write_text(MACHINE)
    (folder / "values.txt").write_text(repr(values))
    out = runtime.run(folder / "main.py", cwd=folder, path=[verification.DEVICE], timeout=60)
    return [line.rstrip() for line in out.splitlines()]


def random(inputs: int, **fields: Any) -> Network:
    return replace(quantize(random_float_model(np.random.default_rng(inputs), inputs, (8,), 3)), **fields)


def test_the_example_model_as_it_is(bounded32: Runtime, tmp_path: Path) -> None:
    """A board with the README's model and no sensor: it runs, names what is missing, and prints a class every 100 steps."""
    shutil.copy(EXAMPLES / "gesture.urnn", tmp_path)
    network = urnn_file.load(EXAMPLES / "gesture.urnn").network
    values = np.random.default_rng(0).integers(0, 65536, (250, 3))
    said = run(bounded32, tmp_path, values.ravel().tolist())
    assert said[0].startswith("main.py: PASS, 12 steps, ")
    assert said[1] == "main.py: gesture.urnn takes 6 channels, PINS names 3: the others read 0,"
    assert said[2].startswith("main.py: and what it says means nothing until read()")
    assert said[3].startswith("main.py: it says something at the end of each window, every ")
    assert said[-1] == "main.py: stopped"
    windows = np.concatenate([values, np.zeros_like(values)], axis=1)[:200].reshape(2, 100, 6)
    assert said[4:-1] == lines(network, windows)


def lines(network: Network, windows: np.ndarray) -> list[str]:
    """What show() prints at the end of each window, each started from the zero state. windows: (N, T, C)"""
    last = Simulator(network).run(windows)[0][:, -1]
    return [f"{network.labels[best]} {output[best]}" for output in last for best in [int(output.argmax())]]


@pytest.mark.parametrize("inputs", [1, 2, 3, 7])
def test_models_of_any_number_of_channels(bounded32: Runtime, inputs: int, tmp_path: Path) -> None:
    network = random(inputs, window=4, when="last")
    (tmp_path / "gesture.urnn").write_bytes(pack(network))
    values = np.random.default_rng(1).integers(0, 2000, (17, inputs))
    said = run(bounded32, tmp_path, values.ravel().tolist(), PINS=tuple(range(20, 20 + inputs)))
    assert not any("PINS" in line for line in said)
    assert said[2:-1] == lines(network, values[:16].reshape(4, 4, inputs))


def test_a_stream_says_something_at_each_step(bounded32: Runtime, tmp_path: Path) -> None:
    network = random(2, window=0)
    (tmp_path / "gesture.urnn").write_bytes(pack(network))
    values = np.random.default_rng(1).integers(0, 2000, (9, 2))
    said = run(bounded32, tmp_path, values.ravel().tolist())
    outputs = Simulator(network).run(values[None])[0][0]
    assert said[1:-1] == [f"{network.labels[int(y.argmax())]} {y.max()}" for y in outputs]


def test_a_regression_says_its_targets(bounded32: Runtime, tmp_path: Path) -> None:
    network = random(2, task="regression")
    (tmp_path / "gesture.urnn").write_bytes(pack(network))
    said = run(bounded32, tmp_path, [5] * 6)
    simulator = Simulator(network)
    want = simulator.values(simulator.run(np.full((1, 3, 2), 5))[0])[0]
    assert [[float(word) for word in line.split()] for line in said[1:-1]] == [pytest.approx(y, rel=1e-3) for y in want]


def test_a_pin_without_an_analog_input(bounded32: Runtime, tmp_path: Path) -> None:
    (tmp_path / "gesture.urnn").write_bytes(pack(random(2)))
    said = run(bounded32, tmp_path, [1] * 8, PINS=(26, 40))
    assert said[1:] == ["main.py: pin 40 is no analog input here (Pin doesn't have ADC capabilities): name another in PINS"]


def test_a_failed_self_test_is_reported(bounded32: Runtime, tmp_path: Path) -> None:
    network = random(2)
    assert network.vectors
    wrong = replace(network.vectors, output=network.vectors.output + 1)
    (tmp_path / "gesture.urnn").write_bytes(pack(replace(network, vectors=wrong)))
    said = run(bounded32, tmp_path, [1] * 8)
    assert len(said) == 1
    assert said[0].startswith("main.py: FAIL, ")


def test_a_file_without_vectors(bounded32: Runtime, tmp_path: Path) -> None:
    (tmp_path / "gesture.urnn").write_bytes(pack(random(2, vectors=None)))
    said = run(bounded32, tmp_path, [1] * 8)
    assert len(said) == 5
    assert said[-1] == "main.py: stopped"
