# SPDX-License-Identifier: MIT
"""`tinyrnn report`: a page that is written completely or not at all, and one clear line for each mistake."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import reports
from helpers.packages import need_package
from tinyrnn import cli, files
from tinyrnn.float_model import model_file
from tinyrnn.integer_model import urnn_file
from tinyrnn.quantization.quantizer import quantize

need_package("torch")
need_package("matplotlib")
need_package("jinja2")

Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recording of three classes and a model of it, as floats and as integers."""
    rng = np.random.default_rng(0)
    for label in ("walk", "run", "sit"):
        (tmp_path / "moves" / label).mkdir(parents=True)
        for number in range(6):
            with open(tmp_path / "moves" / label / f"{number}.csv", "w", newline="") as stream:
                writer = csv.writer(stream)
                writer.writerows([["ax", "ay"], *rng.normal(size=(20, 2)).round(3).tolist()])
    data = reports.recording(("run", "sit", "walk"), ("ax", "ay"))
    model = reports.model_for(data)
    model_file.save(model, tmp_path / "model.pt")
    urnn_file.write(quantize(model), tmp_path / "model.urnn")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report(folder: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """``report(*words)`` runs the command and returns its status, output and errors."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(["report", *words])
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def refused(said: tuple[int, str, str], status: int) -> str:
    """The only line of an error."""
    assert said[0] == status
    (line,) = said[2].splitlines()
    return line.removeprefix("tinyrnn: error: ")


def test_of_a_float_model(folder: Path, report: Report) -> None:
    status, out, err = report("model.pt", "--data", "moves", "-o", "page.html")
    assert (status, err) == (0, "")
    data = (folder / "page.html").read_bytes()
    assert out.splitlines()[-1].startswith(f"wrote page.html ({len(data)} bytes, ")
    assert data.startswith(files.REPORT_MARK)
    assert b"model.pt, quantized for this report" in data
    assert b"Float model" in data


def test_what_evaluate_would_say_of_the_figures_is_on_the_page(folder: Path, report: Report) -> None:
    model = model_file.load("model.pt")
    model_file.save(replace(model, info={**model.info, "settings": {"refit": True}, "horizon": 3}), "model.pt")
    status, out, _ = report("model.pt", "--data", "moves", "--part", "validation", "--validation", "0.3")
    assert status == 0
    for line in ("the network was trained again on these sequences too", "the model predicts 3 steps ahead"):
        assert line in out
        assert line in (folder / "model.html").read_text()


def test_of_a_urnn_file_takes_the_float_model_beside_it(folder: Path, report: Report) -> None:
    assert report("model.urnn", "--data", "moves")[0] == 0
    both = (folder / "model.html").read_text()
    assert "Float model" in both
    (folder / "model.pt").rename(folder / "other.pt")
    assert report("model.urnn", "--data", "moves")[0] == 0  # its own page is replaced
    alone = (folder / "model.html").read_text()
    assert "Float model" not in alone
    assert "integer figures only: put model.pt beside it or name it with --float" in alone
    assert report("model.urnn", "--data", "moves", "--float", "other.pt")[0] == 0
    assert "Float model" in (folder / "model.html").read_text()


def test_the_figures_are_those_of_evaluate(folder: Path, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    for part in ("test", "train", "all"):
        assert report("model.pt", "--data", "moves", "-o", "page.html", "--part", part)[0] == 0
        page = (folder / "page.html").read_text()
        assert cli.main(["evaluate", "model.pt", "--data", "moves", "--part", part, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert f"{found['integer']['accuracy_pct']:.1f} %" in page
        assert f"{found['integer']['cross_entropy_bits']:.3f}" in page


def test_without_a_recording(folder: Path, report: Report) -> None:
    line = refused(report("model.pt"), 3)
    assert line == "model.pt: does not say on which recording it was trained; expected one with --data"
    assert refused(report("model.pt", "--window", "5"), 3).startswith("--window describes a recording; expected")
    assert not (folder / "model.html").exists()


def test_another_recording(folder: Path, report: Report) -> None:
    (folder / "moves" / "sit").rename(folder / "moves" / "stand")
    line = refused(report("model.pt", "--data", "moves"), 3)
    assert line == (
        "moves: has the class 'stand', which model.pt does not know; expected run, sit, walk: "
        "rename it, or train the model again with this class"
    )
    assert not (folder / "model.html").exists()


@pytest.mark.parametrize("name", ["model.pt", "model.urnn", "notes.html"])
def test_only_a_report_is_replaced(folder: Path, report: Report, name: str) -> None:
    (folder / "notes.html").write_text("<!DOCTYPE html>\n<p>mine")
    before = (folder / name).read_bytes()
    line = refused(report("model.pt", "--data", "moves", "-o", name), 4)
    if name == "model.pt":
        assert line == "model.pt: is the file to read; choose another name with -o"
    else:
        assert line == (
            f"{name}: exists and is not a report that tinyrnn wrote, so it is not replaced; "
            "choose another name with -o, or move it away"
        )
    assert (folder / name).read_bytes() == before


def test_a_missing_folder(report: Report) -> None:
    line = refused(report("model.pt", "--data", "moves", "-o", "no/page.html"), 4)
    assert line == "no/page.html: the folder no does not exist; make it with: mkdir -p no"


def test_a_full_disk(folder: Path, report: Report, full_disk: None) -> None:
    before = sorted(path.name for path in folder.iterdir())
    line = refused(report("model.pt", "--data", "moves", "-o", "page.html"), 4)
    assert line == ("page.html: No space left on device; expected a writable folder with enough room: choose another -o")
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["matplotlib", "jinja2"])
def test_a_missing_library(folder: Path, report: Report, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted, *more: None if wanted == name else find(wanted, *more))
    line = refused(report("model.pt", "--data", "moves"), 5)
    assert line == f"{name} is not installed, which the report needs: pip install 'tinyrnn[report]'"
    assert not (folder / "model.html").exists()


def test_a_part_that_is_not_there(report: Report) -> None:
    said = report("model.pt", "--data", "basic-motions", "--part", "nothing")
    assert said[0] == 2
