# SPDX-License-Identifier: MIT
"""``tinyrnn verify --on``: every output and state of a board's steps is compared, and the first difference is located."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import serving
from helpers.types import instance
from tinyrnn import cli
from tinyrnn.board.link import Link
from tinyrnn.board.protocol import Client
from tinyrnn.board.replay import Replayed, replay_on
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.integer_model.urnn_file import UrnnFile

RNG = np.random.default_rng(0)
SEQUENCES = [RNG.integers(-1200, 1200, (length, 2)) for length in (1, 2, 90, 200, 91)]  # 90 samples fill a line


def replay(
    port: Port, model: Path, network: Network, sequences: list[np.ndarray], kernels: str = "plain"
) -> tuple[Replayed, int]:
    seen: list[int] = []
    with Link(port.path) as link:
        client = Client(link)
        result = replay_on(client, client.load_same(str(model), kernels), network, sequences, seen.append)
        client.quit()
    return result, sum(seen)


def test_all_sequences_and_lengths(port: Port, model: Path) -> None:
    """Lines with one sample, full lines, one sample more than a line holds, and values that need 32 bits."""
    sequences = [*SEQUENCES, np.array([[2**30 - 1, -(2**30)], [0, 1], [-40000, 40000]])]
    result, told = replay(port, model, serving.tiny_network(), sequences)
    assert result.exact
    assert (result.sequences, result.steps, result.differences, result.first) == (6, 387, 0, ())
    assert told == 387


def test_each_kernel_set(port: Port, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(model), "--on", port.path, "--kernels", "all", "--sequences", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("3 sequences, 150 steps, 5 integers a step")
    assert lines.pop().startswith("integers against float: not known; give the float model with --float")
    sets = [line.split()[1].rstrip(":") for line in lines[1:]]
    assert "plain" in sets
    assert ("viper" in sets) == port.has_viper or port.name == "board"
    assert all("3 sequences, 150 steps bit-exact in" in line for line in lines[1:])


@pytest.mark.parametrize("step", [0, 95, 199])
def test_a_difference_is_located(port: Port, model: Path, step: int) -> None:
    """The host expects one output that is 1 too large, at one step of one sequence. Only that difference is found."""
    network = serving.tiny_network()
    simulator = Simulator(network)
    want = simulator.run(SEQUENCES[3][None])[0][0]

    class Wrong(Simulator):
        def run(self, raw: np.ndarray, before: Any = None) -> tuple[np.ndarray, np.ndarray]:
            output, state = super().run(raw, before)
            if raw.shape[1] == 200:
                output[0, step, 2] += 1
            return output, state

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyrnn.board.replay.Simulator", Wrong)
        result, _ = replay(port, model, network, SEQUENCES)
    value = want[step, 2]
    assert not result.exact
    assert result.first == (f"sequence 3 step {step} output 2: want {value + 1}, got {value}",)
    assert (result.sequences, result.differences) == (4, 1)


def test_a_wrong_state_is_located(port: Port, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The board's network has another weight. The command says where the difference began, with exit status 6."""
    network = serving.tiny_network()
    instance(Matrix, instance(GRU, network.cells[0]).u).weight[5, 1] += 1
    result, _ = replay(port, model, network, SEQUENCES)
    assert result.first[0].startswith("sequence 1 step 1 ")
    simulator, wrong = (Simulator(n).run(SEQUENCES[1][None]) for n in (serving.tiny_network(), network))
    differ = [sum(int((a != b).sum()) for a, b in zip(simulator, wrong, strict=True))]
    assert result.differences == differ[0] > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyrnn.integer_model.urnn_file.load", lambda path: UrnnFile(Path(path), b"", network))
        assert cli.main(["verify", str(model), "--on", port.path, "--kernels", "plain"]) == 6
    assert f"{port.path} with kernels plain computes different integers" in capsys.readouterr().err


def test_another_model_on_the_board(port: Port, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = serving.write_tiny(tmp_path, bias=16)
    assert cli.main(["verify", str(other), "--on", port.path]) == 8
    error = capsys.readouterr().err
    assert "another tiny.urnn is there" in error
    assert f"`tinyrnn deploy {other} --port {port.path}`" in error
    assert len(error.splitlines()) == 1


def test_no_such_port(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = serving.write_tiny(tmp_path)
    assert cli.main(["verify", str(path), "--on", str(tmp_path / "no-port")]) == 7
    assert "no such port" in capsys.readouterr().err
