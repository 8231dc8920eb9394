"""The command line as a user meets it: files in, files out, one clear line for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import urnn
from tinyrnn import cli
from tinyrnn.float_model import model_file
from tinyrnn.float_model.random_models import random_float_model

pytest.importorskip("torch", reason="needs torch: pip install 'tinyrnn[train]'")

HEAVY = {"numpy", "torch", "rich", "sktime", "pandas"}


def tinyrnn(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    command = [sys.executable, "-m", "tinyrnn", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path):
    """A folder with model.pt in it."""
    model_file.save(random_float_model(np.random.default_rng(0), 3, (8, 5), 4), tmp_path / "model.pt")
    return tmp_path


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.COMMANDS)], ids=lambda c: " ".join(c) or "all")
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys\nfrom tinyrnn.cli import main\n"
        f"try:\n    main({[*command, '--help']!r})\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('HEAVY', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "usage: tinyrnn" in out
    assert out.splitlines()[-1].split() == ["HEAVY"]


def test_quantize_info_verify(folder):
    made = tinyrnn("quantize", "model.pt", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert "3 inputs -> GRU 8 + GRU 5 -> 4 outputs, every bound proven" in made.stdout
    net = urnn.load(str(folder / "model.urnn"))
    assert net.selftest().startswith("PASS")

    shown = tinyrnn("info", "model.urnn", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    for word in ("layer 0 GRU W", "24 x 3", "layer 1 GRU U", "15 x 5", "head", "sections in bytes", "RAM", "kernel sets"):
        assert word in shown.stdout, shown.stdout
    facts = json.loads(tinyrnn("info", "model.urnn", "--json", cwd=folder).stdout)
    assert facts["bytes"] == (folder / "model.urnn").stat().st_size
    assert sum(s["bytes"] for s in facts["sections"]) + facts["frame_bytes"] == facts["bytes"]
    assert facts["macs"] == 24 * 3 + 24 * 8 + 15 * 8 + 15 * 5 + 4 * 5
    assert all(0 < m["bound"] < 2**30 for m in facts["matrices"])

    checked = tinyrnn("verify", "model.urnn", "--runtime", "cpython", cwd=folder)
    assert checked.returncode == 0, checked.stderr
    assert "bit-exact on all of them" in checked.stdout
    assert "1000 steps, 17 integers a step" in checked.stdout


def test_verify_says_what_differs(folder, need_runtime, monkeypatch, capsys):
    """A runtime that computes something else ends in one line and exit status 6."""
    need_runtime("unix-x64")
    from tinyrnn.cli import main
    from tinyrnn.runtimes import verification

    assert tinyrnn("quantize", "model.pt", cwd=folder).returncode == 0
    true_expected = verification.expected

    def wrong(network, raw):
        data = bytearray(true_expected(network, raw))
        data[8 + 4 * network.inputs] ^= 1
        return bytes(data)

    monkeypatch.setattr(verification, "expected", wrong)
    assert main(["verify", str(folder / "model.urnn"), "--runtime", "unix-x64"]) == 6
    captured = capsys.readouterr()
    assert "NO: 1 differ" in captured.out
    assert "sequence 0 step 0 output 0: want" in captured.err


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
def test_mistakes(folder, args, status, words):
    assert tinyrnn("quantize", "model.pt", cwd=folder).returncode == 0
    (folder / "text.pt").write_text("This is a text, long enough to hold a header.")
    before = sorted(folder.iterdir())
    result = tinyrnn(*args, cwd=folder)
    assert result.returncode == status, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    if status != 2:  # argparse adds the usage
        assert len(result.stderr.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_a_pickle_bomb_is_not_run(folder):
    """A .pt that would run code is refused without running it."""
    import pickle

    class Bomb:
        def __reduce__(self):
            return (open, (str(folder / "ran"), "w"))

    (folder / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    result = tinyrnn("quantize", "bomb.pt", cwd=folder)
    assert result.returncode == 4
    assert not (folder / "ran").exists()


def test_quantize_leaves_the_old_file_when_it_fails(folder):
    assert tinyrnn("quantize", "model.pt", cwd=folder).returncode == 0
    old = (folder / "model.urnn").read_bytes()
    model = model_file.load(folder / "model.pt")
    from dataclasses import replace

    huge = replace(model.layers[0], weight_hh=model.layers[0].weight_hh * 1e4)
    model_file.save(replace(model, layers=(huge, model.layers[1])), folder / "model.pt")
    result = tinyrnn("quantize", "model.pt", cwd=folder)
    assert result.returncode == 4
    assert "layer 0 U row 0" in result.stderr
    assert (folder / "model.urnn").read_bytes() == old
    assert sorted(path.name for path in folder.iterdir()) == ["model.pt", "model.urnn"]
