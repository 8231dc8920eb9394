# SPDX-License-Identifier: MIT
"""``tinyrnn bench --compare``: its lines, the check of its answers, and what it prints when something is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.missing_runtimes import needed
from helpers.types import instance
from tinyrnn import cli
from tinyrnn.cli import comparison_table as command
from tinyrnn.emulation import rp2040_timing
from tinyrnn.errors import Mismatch, RuntimeMissing, TinyrnnError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import pack, unpack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, kernel_timing, verification
from tinyrnn.runtimes.kernel_timing import Line

SMALL = kernel_timing.random_case(2, 4, 3)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_timing, "BATCH_MS", 4)
    monkeypatch.setattr(kernel_timing, "BATCHES", 1)


def test_every_kernel_set_and_the_floats(runtime: Runtime) -> None:
    lines = kernel_timing.on_runtime(runtime, SMALL, kernel_timing.smallest(SMALL))
    sets = [line.kernels for line in lines]
    assert sets == [*verification.kernel_sets(runtime), "float"]
    for line in lines:
        assert line.us is not None
        assert line.runtime == runtime.name
        if line.kernels != "float":
            assert line.allocated == (0 if runtime.is_micropython else None)


def test_wrong_integers_are_not_timed(runtime: Runtime) -> None:
    network = unpack(SMALL.data)
    right = instance(Matrix, network.head)
    head = replace(right, bias=right.bias + 64 * 2**10)
    other = replace(SMALL, data=pack(replace(network, head=head, vectors=None)))

    def run(*arguments: str, files: dict[str, bytes]) -> str:
        return "model plain 1.0 0 " + other.crc

    with pytest.raises(Mismatch, match="computes different integers for GRU 2-4-3: expected CRC"):
        kernel_timing.timed(runtime.name, run, SMALL)


def test_floats_that_do_not_fit_are_no_figure() -> None:
    answer = f"model plain 8.0 0 {SMALL.crc}\nmodel float - - memory\n"
    lines = kernel_timing.timed("somewhere", lambda *arguments, files: answer, SMALL)
    assert [(line.kernels, line.us) for line in lines] == [("plain", 8.0), ("float", None)]
    assert kernel_timing.ratios(lines) == [1.0, None]


def test_floats_of_a_file_have_its_shape(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    gru = kernel_timing.file_case(quantize(random_float_model(rng, 3, (5,), 2)))
    assert (gru.title, gru.macs, gru.hidden) == ("GRU 3-5-2", 5 * (3 * 8 + 2), 5)
    assert gru.floats is not None
    assert gru.floats.forward(np.zeros((1, 1, 3))).shape[-1] == 2
    two = kernel_timing.file_case(quantize(random_float_model(rng, 3, (5, 4), 2, ("lstm", "gru"))))
    assert (two.title, two.floats, two.hidden) == ("LSTM+GRU 3-5-4-2", None, 9)
    assert kernel_timing.smallest(two).title == "LSTM 1-1-1"


def test_command(tmp_path: Path, runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.urnn"
    path.write_bytes(SMALL.data)
    assert cli.main(["bench", str(path), "--compare", "--runtime", runtime.name, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["runtime"] for row in rows} == {runtime.name, "host"}
    assert all((row["hidden"], row["inputs"], row["outputs"]) == (4, 2, 3) for row in rows)
    assert all(row["cycles_step"] is None for row in rows)


def test_table_shows_all_figures(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        Line("unix-x64", "plain", 100.0, 5.0, allocated=0),
        Line("unix-x64", "float", None, None),
        Line("rp2040", "asm_thumb", 196.0, 27.6, 24468.0, 3455.0, 0),
    ]
    command.show(SMALL, lines, True)
    out = capsys.readouterr().out
    assert "no memory" in out
    assert "24468" in out
    assert "…" not in out


def test_the_core_alone() -> None:
    with needed():
        lines = rp2040_timing.core_only(SMALL, kernel_timing.smallest(SMALL))
    assert [line.kernels for line in lines] == ["asm_thumb", "viper"]
    for line in lines:
        assert line.cycles is not None
        assert line.fixed_cycles is not None
        assert 3 * SMALL.macs < line.cycles > line.fixed_cycles > 0
        assert line.us == line.cycles / 125


def test_missing_parts_are_named_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(case: kernel_timing.Case, small: kernel_timing.Case) -> list[Line]:
        raise RuntimeMissing("no compiler")

    line = Line(rp2040_timing.CORE, "viper", 1.0, 1.0, 125.0, 125.0)
    monkeypatch.setattr(rp2040_timing, "in_c", none)
    monkeypatch.setattr(rp2040_timing, "core_only", lambda case, small: [line])
    found, missing = rp2040_timing.lines(SMALL, SMALL, "no.uf2")
    assert found == [line]
    assert missing == ["no.uf2 is not there: expected MicroPython's RPI_PICO firmware, a .uf2 file", "no compiler"]


def test_c_has_no_other_cells() -> None:
    lstm = kernel_timing.random_case(2, 4, 3, "lstm")
    with pytest.raises(TinyrnnError, match="expected GRU: the C baseline"):
        rp2040_timing.in_c(lstm, lstm)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no model: expected the MODEL.urnn"),
        (["--compare", "--port", "x"], "--compare with --port"),
        (["model.urnn", "--runtime", "cpython"], "without --compare"),
    ],
)
def test_refusals(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", *arguments]) == 3
    assert words in capsys.readouterr().err
