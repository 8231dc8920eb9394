# SPDX-License-Identifier: MIT
"""The command line: files in, files out, one clear line for each mistake."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import urnn
from helpers.packages import need_package
from helpers.types import instance
from tinyrnn import cli
from tinyrnn.errors import Mismatch, ModelError
from tinyrnn.float_model import model_file
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.layers import dense
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.network import Network
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, verification

need_package("torch")

HEAVY = {"numpy", "torch", "rich", "sktime", "pandas"}


class Said(NamedTuple):
    status: int
    out: str
    err: str


Tinyrnn = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with model.pt in it."""
    model_file.save(random_float_model(np.random.default_rng(0), 3, (8, 5), 4), tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def tinyrnn(folder: Path, capsys: pytest.CaptureFixture[str]) -> Tinyrnn:
    """``tinyrnn(*words)`` runs the command in this process."""

    def run(*words: str) -> Said:
        try:
            status = cli.main(list(words))
        except SystemExit as end:
            status = int(end.code or 0)
        return Said(status, *capsys.readouterr())

    return run


def test_as_a_program(folder: Path) -> None:
    """As a program of its own: both streams and the exit status."""
    command = [sys.executable, "-m", "tinyrnn", "info"]
    done = subprocess.run([*command, "model.pt"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (ModelError.exit_code, "")
    assert done.stderr.startswith("tinyrnn: error: model.pt: ")
    assert done.stderr.count("\n") == 1
    urnn_file.write(quantize(random_float_model(np.random.default_rng(0), 3, (8, 5), 4)), folder / "model.urnn")
    done = subprocess.run([*command, "model.urnn"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "layer 0 GRU W" in done.stdout


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.COMMANDS)], ids=lambda c: " ".join(c) or "all")
def test_help_imports_nothing_heavy(command: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom tinyrnn.cli import main\n"
        f"try:\n    main({[*command, '--help']!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('HEAVY', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "usage: tinyrnn" in out
    assert out.splitlines()[-1].split() == ["HEAVY"]


def test_quantize_info_verify(folder: Path, tinyrnn: Tinyrnn) -> None:
    made = tinyrnn("quantize", "model.pt")
    assert made.status == 0, made.err
    assert "3 inputs -> GRU 8 + GRU 5 -> 4 outputs, every bound proven" in made.out
    net = urnn.load("model.urnn")
    assert net.selftest().startswith("PASS")

    shown = tinyrnn("info", "model.urnn")
    assert shown.status == 0, shown.err
    for word in ("layer 0 GRU W", "24 x 3", "layer 1 GRU U", "15 x 5", "head", "sections in bytes", "RAM", "kernel sets"):
        assert word in shown.out, shown.out
    facts = json.loads(tinyrnn("info", "model.urnn", "--json").out)
    assert facts["bytes"] == (folder / "model.urnn").stat().st_size
    assert sum(s["bytes"] for s in facts["sections"]) + facts["frame_bytes"] == facts["bytes"]
    assert facts["macs"] == 24 * 3 + 24 * 8 + 15 * 8 + 15 * 5 + 4 * 5
    assert all(0 < m["bound"] < 2**30 for m in facts["matrices"])

    checked = tinyrnn("verify", "model.urnn", "--runtime", "cpython")
    assert checked.status == 0, checked.err
    assert "bit-exact on all of them" in checked.out
    assert "1000 steps, 17 integers a step" in checked.out


def test_verify_says_what_differs(
    tinyrnn: Tinyrnn, need_runtime: Callable[[str], Runtime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime that computes something else gives one line and exit status 6."""
    need_runtime("unix-x64")
    assert tinyrnn("quantize", "model.pt").status == 0
    true_expected = verification.expected

    def wrong(network: Network, raw: list[np.ndarray]) -> bytes:
        data = bytearray(true_expected(network, raw))
        data[8 + 4 * network.inputs] ^= 1
        return bytes(data)

    monkeypatch.setattr(verification, "expected", wrong)
    said = tinyrnn("verify", "model.urnn", "--runtime", "unix-x64")
    assert said.status == Mismatch.exit_code
    assert "NO: 1 differ" in said.out
    assert "sequence 0 step 0 output 0: want" in said.err


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (("quantize", "absent.pt"), 4, "no such file; expected a model.pt written by `tinyrnn train`"),
        (("quantize", "text.pt"), 4, "cannot be read as a PyTorch file"),
        (("quantize", "model.pt", "-o", "no/such/x.urnn"), 4, "no/such does not exist; make it with: mkdir -p no/such"),
        (("info", "absent.urnn"), 4, "expected a .urnn file"),
        (("info", "text.pt"), 4, "not a .urnn file"),
        (("info", "model.pt"), 4, "expected a .urnn file: tinyrnn quantize model.pt"),
        (("verify", "text.pt"), 4, "not a .urnn file"),
        (("verify", "model.urnn", "--runtime", "unix-z80"), 5, "no runtime is called 'unix-z80'"),
        (("verify", "model.urnn", "--data", "absent"), 3, "absent"),
        (("verify", "model.urnn", "--data", "basic-motions"), 3, "has 6 channels, model.urnn takes 3"),
        (("verify", "model.urnn", "--sequences", "0"), 3, "expected 1 to 100000"),
        (("verify", "model.urnn", "--sequences", "99999999999999999999"), 3, "expected 1 to 100000"),
        (("train", "absent"), 3, "absent"),
        (("demo", "-o", "no/such/x.urnn"), 4, "does not exist"),
        (("no-such-command",), 2, "invalid choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes(folder: Path, tinyrnn: Tinyrnn, args: tuple[str, ...], status: int, words: str) -> None:
    assert tinyrnn("quantize", "model.pt").status == 0
    (folder / "text.pt").write_text("This is a text, long enough to hold a header.")
    before = sorted(folder.iterdir())
    said = tinyrnn(*args)
    assert said.status == status, said.err
    assert words in said.err
    if status != 2:  # argparse adds the usage
        assert len(said.err.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_a_pickle_bomb_is_not_run(folder: Path, tinyrnn: Tinyrnn) -> None:
    """A .pt that would run code is refused without running it."""

    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(folder / "ran"), "w"))

    (folder / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    assert tinyrnn("quantize", "bomb.pt").status == ModelError.exit_code
    assert not (folder / "ran").exists()


def test_quantize_leaves_the_old_file_when_it_fails(folder: Path, tinyrnn: Tinyrnn) -> None:
    assert tinyrnn("quantize", "model.pt").status == 0
    old = (folder / "model.urnn").read_bytes()
    model = model_file.load(folder / "model.pt")
    first = instance(GRU, model.layers[0])
    huge = replace(first, weight_hh=dense(first.weight_hh) * 1e4)
    model_file.save(replace(model, layers=(huge, model.layers[1])), folder / "model.pt")
    said = tinyrnn("quantize", "model.pt")
    assert said.status == ModelError.exit_code
    assert "layer 0 U row 0" in said.err
    assert (folder / "model.urnn").read_bytes() == old
    assert sorted(path.name for path in folder.iterdir()) == ["model.pt", "model.urnn"]
