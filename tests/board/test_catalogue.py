# SPDX-License-Identifier: MIT
"""The board files are complete and name their sources, and `tinyrnn info --board` agrees with what deploy would do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from shared.paths import ROOT
from tinyrnn.board import catalogue
from tinyrnn.board.sizing import read_model
from tinyrnn.cli import main
from tinyrnn.errors import BoardError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize

WANTED = {
    *("rpi-pico", "rpi-pico-w", "rpi-pico-2", "rpi-pico-2-w"),
    *("esp32", "esp32-s3", "esp32-c3", "esp32-c6", "esp8266"),
}
# Where a figure may come from: a file or a thread of a public repository, a measurement with its date, another figure.
SOURCE = re.compile(r"[\w.-]+/[\w.-]+(:[\w./-]+|#\d+)|^measured \d{4}-\d\d-\d\d, |^half of heap_bytes: |^Adafruit's naming ")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(3)
    made = {}
    for name, units in (("small", (32,)), ("large", (96, 96, 96))):
        made[name] = folder / f"{name}.urnn"
        made[name].write_bytes(pack(quantize(random_float_model(rng, 6, units, 4))))
    return made


@pytest.mark.parametrize("board", catalogue.known().values(), ids=catalogue.known())
def test_board_is_whole(board: catalogue.Board) -> None:
    facts = [board.machine, board.arch, board.emitters, board.usb, *board.figures.values()]
    for fact in facts:
        assert SOURCE.search(fact.source), fact.source
    assert set(board.figures) | set(board.unknown) == set(catalogue.FIGURES)
    if board.figure("largest_block_bytes") and board.figure("heap_bytes"):
        assert board.figures["largest_block_bytes"].value <= board.figures["heap_bytes"].value


def test_the_boards_that_are_wanted_are_there() -> None:
    assert set(catalogue.known()) >= WANTED
    assert any(board.firmware == "circuitpython" for board in catalogue.known().values())
    names = [name for board in catalogue.known().values() for name in board.machine.value]
    assert len(names) == len(set(names))


def test_match_by_what_the_firmware_says() -> None:
    found = catalogue.match("Raspberry Pi Pico with RP2040")
    assert found is not None
    assert found.key == "rpi-pico"
    assert catalogue.match("a board of my own") is None


@pytest.mark.parametrize("key", sorted(WANTED))
def test_small_model_fits_every_board_but_perhaps_the_smallest(key: str, models: dict[str, Path]) -> None:
    fit = catalogue.fit(read_model(models["small"]), catalogue.get(key))
    assert fit.need.largest_block_bytes == models["small"].stat().st_size
    assert fit.need.heap_bytes > fit.need.largest_block_bytes
    smallest = ("esp8266", "rpi-pico-w")  # 29 kB; a bound of 27 kB
    assert fit.answer == catalogue.FITS or key in smallest


def test_large_model_is_refused_with_numbers(models: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(models["large"]), "--board", "esp8266"]) == BoardError.exit_code
    shown = capsys.readouterr().out
    size = models["large"].stat().st_size
    assert f"largest block: needs {size}, the board has 26784 bytes: does not fit" in shown
    assert main(["info", str(models["large"]), "--board", "rpi-pico-2-w"]) == BoardError.exit_code
    assert "the board has at least 59000 bytes: unknown" in capsys.readouterr().out
    assert main(["info", str(models["small"]), "--board", "rpi-pico"]) == 0
    assert "heap: needs" in capsys.readouterr().out


def test_table_of_all(models: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(models["small"]), "--board", "all", "--json"]) == 0
    rows = {row["board"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(catalogue.known())
    assert rows["rpi-pico"]["flash_bytes"]["has"] == 1_441_792
    assert rows["feather-m4-express"]["largest_block_bytes"]["answer"] == "unknown"
    assert main(["info", str(models["small"]), "--board", "all"]) == 0
    shown = capsys.readouterr().out
    assert all(f" {key} " in shown for key in rows)


def test_unknown_board_lists_the_known(models: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(models["small"]), "--board", "pico"]) == BoardError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert "'pico'" in line
    assert "rpi-pico-2-w" in line


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[usb]", "[usb", "cannot be read"),
        ('value = ["2e8a:0005"]', 'value = ["2E8A:5"]', "usb is '2E8A:5'; expected vid:pid"),
        ('value = "armv6m"', 'value = "arm"', "arch is 'arm'; expected one of x86"),
        ("value = 125_000_000", 'value = "fast"', "clock_hz.value is 'fast'; expected int"),
        ("value = 125_000_000", "value = -1", "clock_hz is -1; expected a positive number"),
        ("[clock_hz]", "[clok_hz]", "clock_hz is 'neither'; expected a value or"),
        ('firmware = "micropython"', 'firmware = "forth"', "firmware is 'forth'"),
        ('name = "Raspberry Pi Pico"', 'name = ""', "name is ''; expected a text"),
        ("[heap_bytes]", 'colour = { value = "red", source = "x" }\n[heap_bytes]', "expected a table with value"),
        ("[arch]", '[colour]\nvalue = "red"\nsource = "me"\n[arch]', "colour is 'there'; expected only name"),
    ],
)
def test_wrong_file_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (ROOT / "boards" / "rpi-pico.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BoardError) as caught:
        catalogue.load(path)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message


def test_missing_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = (ROOT / "boards" / "rpi-pico.toml").read_text()
    path.write_text(re.sub(r"(?ms)(\[clock_hz\]\nvalue = 125_000_000\n)source = .*?\n\n", r"\1\n", text))
    with pytest.raises(BoardError, match=r"clock_hz\.source is None; expected a text"):
        catalogue.load(path)
