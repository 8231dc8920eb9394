# SPDX-License-Identifier: MIT
"""``tinyrnn bench``: its report, the check of the answers that it times, and what it adds to boards/."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial
from helpers import serving
from shared.paths import BOARDS
from tinyrnn import cli
from tinyrnn.board import catalogue
from tinyrnn.board.link import Link
from tinyrnn.board.step_timing import LEAST, MOST, ROUND_STEPS, Measured, measure, record
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError, LinkError, Mismatch
from tinyrnn.integer_model.urnn_file import UrnnFile


def test_each_kernel_set(port: Port, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = 2000 if port.name == "webassembly" else 30  # its clock ticks in milliseconds, and a step takes some 20 us
    assert cli.main(["bench", str(model), "--port", port.path, "--steps", str(steps), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    sets = [row["kernels"] for row in rows]
    assert sets[-1] == "plain"
    assert ("viper" in sets) == port.has_viper or port.name == "board"
    for row in rows:
        assert (row["model"], row["shape"], row["steps"]) == ("tiny.urnn", "GRU 2-2-3", steps)
        assert row["firmware"].startswith("MicroPython 1.")
        assert 0 <= row["min_us"] <= row["median_us"] <= row["p99_us"] <= row["max_us"]
        assert row["mean_us"] > 0
        if port.name != "webassembly":
            assert row["min_us"] <= row["mean_us"] <= row["max_us"]
        assert row["step_bytes"] == 0, "step() allocates nothing"
        assert row["heap_before"] > row["heap_after"] > 0


def test_table(port: Port, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", str(model), "--port", port.path, "--steps", "10", "--kernels", "plain"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("plain: 10 steps of about "), "something is said before it is over"
    assert "tiny.urnn, GRU 2-2-3, on " in out
    assert [line for line in out.splitlines() if line.startswith("│ plain ")]


def test_as_many_steps_as_take_seconds(port: Port, model: Path) -> None:
    """Each round is reported, the first one before it is counted."""
    seen: list[tuple[int, int]] = []
    (row,) = measure(port.path, str(model), None, ["plain"], lambda kernels, done, steps, us: seen.append((done, steps)))
    assert LEAST <= row.steps <= MOST
    assert seen[0] == (0, row.steps)
    assert seen[-1] == (row.steps, row.steps)
    (row,) = measure(port.path, str(model), ROUND_STEPS + 10, ["plain"])
    assert row.steps == ROUND_STEPS + 10


def test_measurements_are_shown_when_the_line_breaks(
    port: Port, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object) -> Iterator[Measured]:
        yield ROW
        raise LinkError("P: gone")

    monkeypatch.setattr("tinyrnn.board.step_timing.measure", broken)
    assert cli.main(["bench", str(model), "--port", port.path]) == 7
    out, err = capsys.readouterr()
    assert "viper" in out
    assert err == "tinyrnn: error: P: gone\n"


@pytest.mark.parametrize("moment", ["steps", "allocated"])
def test_interrupted(port: Port, model: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """After Ctrl-C at any moment the collector is on, no names are left, and the next command works."""
    if not port.can_interrupt:
        pytest.skip(f"{port.name}: no Ctrl-C for a running program: the other ports show it")
    ask = Link.run_script

    def impatient(link: Link, name: str, *args: object, timeout_s: float | None = None) -> str:
        if args[:1] == (moment,):
            many = 5000 if port.name == "rp2040" else 100_000  # of which each has its time noted, in the heap
            args, timeout_s = (moment, 1_000_000 if moment == "allocated" else many), 0.1
        return ask(link, name, *args, timeout_s=timeout_s)

    monkeypatch.setattr(Link, "run_script", impatient)
    with pytest.raises(LinkError, match="no answer within"):
        list(measure(port.path, str(model), 5, ["plain"]))
    with serial.Serial(port.path, timeout=300) as line:
        line.write(b"import gc; gc.isenabled(), '_tinyrnn' in globals()\r")
        assert line.read_until(b">>> ").replace(b"\r", b"").endswith(b"\n(True, False)\n>>> ")
    monkeypatch.undo()
    (row,) = measure(port.path, str(model), 5, ["plain"])
    assert row.steps == 5


def test_a_wrong_answer_is_not_timed(port: Port, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = serving.tiny_network(bias=16)
    monkeypatch.setattr("tinyrnn.integer_model.urnn_file.load", lambda path: UrnnFile(Path(path), b"", network))
    with pytest.raises(Mismatch, match=r"computes different integers: `tinyrnn verify .* --on"):
        list(measure(port.path, str(model), 5))


def test_refusals(port: Port, model: Path, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"has no kernels 'fast'; expected one of .*plain"):
        list(measure(port.path, str(model), 5, ["fast"]))
    with pytest.raises(
        BoardError, match=r"not there.urnn is not on the board|is not on the board; expected it there: `tinyrnn"
    ):
        list(measure(port.path, str(serving.write_tiny(tmp_path, "not-there.urnn")), 5))
    with pytest.raises(BoardError, match=r"another tiny.urnn is there .* expected .*: `tinyrnn deploy"):
        list(measure(port.path, str(serving.write_tiny(tmp_path, bias=16)), 5))


@pytest.mark.parametrize("steps", ["0", "-1", "5001"])
def test_steps_out_of_range(tmp_path: Path, steps: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", str(serving.write_tiny(tmp_path)), "--port", "none", "--steps", steps]) == 3
    assert f"--steps {steps}: expected 1 to 5000" in capsys.readouterr().err


ROW = Measured(
    "m.urnn", "GRU 6-32-4", "Raspberry Pi Pico with RP2040", "MicroPython 1.28.0", "viper", 200, 1, 2, 3, 4, 2.5, 0.0, 9, -1
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of boards/."""
    copy = tmp_path / "boards"
    shutil.copytree(BOARDS, copy)
    monkeypatch.setattr(catalogue, "_folder", lambda: copy)
    catalogue.known.cache_clear()
    yield copy
    catalogue.known.cache_clear()


def test_write(folder: Path) -> None:
    """After two records both are in the file, nothing else has changed, and the file still describes a board."""
    path = folder / "rpi-pico.toml"
    before = path.read_text()
    assert record([ROW], "emulated", "2026-11-23") == path
    record([ROW, ROW], "", "2026-11-24")
    text = path.read_text()
    assert text.startswith(before)
    assert catalogue.get("rpi-pico").name == "Raspberry Pi Pico"
    added = catalogue.tomllib.loads(text)["measured"]
    assert [(entry["date"], entry.get("note")) for entry in added] == [
        ("2026-11-23", "emulated"),
        ("2026-11-24", None),
        ("2026-11-24", None),
    ]
    assert added[0]["median_us"] == 2
    assert "heap_after" not in added[0], "the board could not say"


def test_write_of_an_unknown_board(folder: Path) -> None:
    row = Measured(**{**ROW.__dict__, "board": "A board of one's own"})
    with pytest.raises(
        BoardError, match=r"no file in boards/ describes \"A board of one's own\"; expected one whose `machine`"
    ):
        record([row], "", "2026-11-23")
