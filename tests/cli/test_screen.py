# SPDX-License-Identifier: MIT
"""Names from files are shown and never interpreted, in the output of every command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

need_package("torch")

from helpers.text import printable
from tinyrnn import cli
from tinyrnn.cli import screen
from tinyrnn.data import load
from tinyrnn.errors import DataError, ModelError
from tinyrnn.float_model import model_file
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.network import pack, unpack
from tinyrnn.quantization.quantizer import quantize
from urnn import format as frame

# A title for the window, colour, rich's markup and emoji, a turn of the line's direction, a new line of its own
EVIL = ("\x1b]0;evil\x07", "\x1b[31mred", "[b]x[/b]", "[/b]", ":smile:", "\u202eabc", "a\u2028b", "\x9b31m", "\x7f", "\x08")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("accel x, Übung 走", "accel x, Übung 走"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202e\u2066\u200f", r"\u202e\u2066\u200f"),
        (os.fsdecode(b"\xff.csv") if os.name == "posix" else "\udcff.csv", r"\xff.csv"),
        ("\ud800\U000e0001", r"\ud800\U000e0001"),
    ],
)
def test_shown(text: str, want: str) -> None:
    assert screen.shown(text) == want
    assert screen.shown(Path(text)) == want


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """evil.pt and evil.urnn with hostile names only, and evil.csv with such column names."""
    model = random_float_model(np.random.default_rng(0), len(EVIL), (4,), len(EVIL))
    model = replace(model, channels=EVIL, labels=EVIL[::-1], name="".join(EVIL))
    model_file.save(model, tmp_path / "evil.pt")
    urnn_file.write(quantize(model), tmp_path / "evil.urnn")
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, row)) for row in rng.integers(0, 99, (300, len(EVIL))).tolist()]
    (tmp_path / "evil.csv").write_text(",".join(f'"{name}"' for name in EVIL) + "\n" + "\n".join(rows), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "info {}.urnn",
        "info {}.urnn --board rpi-pico",
        "info {}.urnn --board all",
        "info {}.urnn --json",
        "verify {}.urnn --runtime cpython --sequences 1",
        "quantize {}.pt",
        "train {}.csv --target :smile: --epochs 1 --units 2 -o {}.pt",
        "train {}.csv --target nosuch",
        "import {}.pt -o x.pt",
    ],
)
def test_every_command_shows_names_as_they_are(
    evil: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "[final]-\x1b[31m-\u202e"
    for suffix in ("pt", "urnn", "csv"):
        (evil / f"evil.{suffix}").rename(evil / f"{name}.{suffix}")
    monkeypatch.chdir(evil)
    status = cli.main([word.format(name) for word in command.split()])
    said = capsys.readouterr()
    assert printable(said.out + said.err), repr(said.out + said.err)
    failed = "--board" in command or "nosuch" in command or "import" in command
    assert (status != 0) == failed, said.err
    assert r"[final]-\x1b[31m-\u202e" in re.sub(r"\s+", "", said.out + said.err) or "--json" in command


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX; run it on Linux or macOS")
@pytest.mark.parametrize("command", ["info evil.urnn", "train evil.csv --target :smile: --epochs 1 --units 2 -o x.pt"])
def test_on_a_terminal_too(evil: Path, command: str) -> None:
    """Rich's own colours and bars may appear. Control characters from the names may not."""
    import pty

    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [sys.executable, "-m", "tinyrnn", *command.split()], stdout=follower, stderr=follower, cwd=evil, env=environment
    ) as process:
        os.close(follower)
        text = b""
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            text += data
    os.close(leader)
    assert process.returncode == 0, text
    assert b"\x1b[" in text  # rich saw a terminal
    for bad in (b"\x1b]0;", b"\x1b[31mred", "\u202e".encode(), "\u2028".encode(), b"\x7f", b"\x08"):
        assert bad not in text
    assert b":smile:" in text
    if "info" in command:
        assert rb"\x1b]0;evil\x07" in text
        assert b"[b]x[/b]" in text


def test_no_command_makes_a_console_of_its_own() -> None:
    for path in Path(cli.__file__).parent.glob("*.py"):
        if path.name != "screen.py":
            assert not re.search(r"\bConsole\(", path.read_text(encoding="utf-8")), f"{path.name}: use screen.console()"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_encoding_of_the_terminal(evil: Path, encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "tinyrnn", "info", "Übung-走.urnn"]
    (evil / "evil.urnn").rename(evil / "Übung-走.urnn")
    done = subprocess.run(command, capture_output=True, cwd=evil, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Übung-走".encode(encoding, "backslashreplace") in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system; run it on Linux")
@pytest.mark.parametrize(("where", "status"), [(">/dev/full", 1), (">&-", 0), ("2>&-", 0), ("| head -c 1", 0)])
def test_an_output_that_takes_nothing(evil: Path, where: str, status: int) -> None:
    done = subprocess.run(
        f"{sys.executable} -m tinyrnn info evil.urnn {where}",
        shell=True,
        capture_output=True,
        text=True,
        cwd=evil,
        check=False,
    )
    assert done.returncode == status
    said = "tinyrnn: error: No space left on device; expected a place that can be read and written\n"
    assert done.stderr == (said if status else "")


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX; run it on Linux or macOS")
@pytest.mark.parametrize("module", ["tinyrnn.cli", "tinyrnn.cli.verify", "tinyrnn.errors"])
def test_ctrl_c_while_the_command_line_is_built(tmp_path: Path, module: str) -> None:
    """The import of one module waits until it is interrupted."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.abc, sys, time\n"
        "class Wait(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}:\n"
        "            print('here', flush=True)\n            time.sleep(600)\n"
        "sys.meta_path.insert(0, Wait())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-m", "tinyrnn", "info", "x.urnn"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (130, "tinyrnn: interrupted\n")


# ---- names inside model files


def resealed(data: bytes, tag: bytes, payload: bytes) -> bytes:
    """The file with the section of that tag replaced."""
    sections = [(name, data[start:stop]) for name, start, stop in frame.unseal(data) if name != tag]
    return bytes(frame.seal([*sections, (tag, payload)]))


@pytest.mark.parametrize("names", [b"", b"one", b"one\ntwo", b"one\ntwo\nthree\nfour\nfive", b"\xff"])
@pytest.mark.parametrize("exponents", [0, 1, 3, 200])
def test_info_of_a_file_with_too_few_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: bytes, exponents: int
) -> None:
    data = pack(quantize(random_float_model(np.random.default_rng(0), 3, (4,), 2)))
    path = tmp_path / "m.urnn"
    path.write_bytes(resealed(data, b"unit", exponents.to_bytes(2, "little") + bytes(min(exponents, 3)) + names))
    status = cli.main(["info", str(path)])
    said = capsys.readouterr()
    if status:
        assert said.err.count("\n") == 1
        assert said.err.startswith(f"tinyrnn: error: {path}: not a model that this version can read")
    else:
        assert "channel 2" in said.out
        assert len(unpack(path.read_bytes()).channels) in (0, 3)


@pytest.mark.parametrize("field", ["labels", "channels", "name"])
def test_half_a_character_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], field: str) -> None:
    model = random_float_model(np.random.default_rng(0), 2, (4,), 2)
    value: Any = "a\ud800" if field == "name" else ("a\ud800", "b")
    with pytest.raises(ModelError, match="not valid text"):
        replace(model, **{field: value})
    with pytest.raises(ModelError, match="not valid text"):
        pack(replace(quantize(model), **{field: value}))
    import torch

    model_file.save(model, tmp_path / "m.pt")
    raw = torch.load(tmp_path / "m.pt", weights_only=True)
    raw["model"][field] = value if field == "name" else list(value)
    torch.save(raw, tmp_path / "m.pt")
    assert cli.main(["quantize", str(tmp_path / "m.pt")]) == ModelError.exit_code
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no UTF-8 are Linux's")
def test_a_label_folder_with_an_undecodable_name_is_refused(tmp_path: Path) -> None:
    for label in (b"a", b"b\xff"):
        folder = os.path.join(os.fsencode(tmp_path), label)
        os.mkdir(folder)
        for number in range(3):
            Path(os.fsdecode(folder), f"{number}.csv").write_text("x\n1\n2\n")
    with pytest.raises(DataError, match=r"label 'b\\udcff' is not valid text; expected UTF-8: rename the folder"):
        load(str(tmp_path))
    os.rename(os.path.join(os.fsencode(tmp_path), b"b\xff"), tmp_path / "b")
    odd = tmp_path.parent / os.fsdecode(tmp_path.name.encode() + b"\xff")
    tmp_path.rename(odd)
    assert load(str(odd)).name == f"{tmp_path.name}?"


def test_kernels_of_info_are_those_of_the_device_package(
    evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    import urnn
    from tinyrnn.board import catalogue
    from tinyrnn.board.sizing import read_model

    monkeypatch.chdir(evil)
    assert cli.main(["info", "evil.urnn", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kernels"] == list(urnn.KERNEL_SETS)
    assert facts["kernels_need"]["viper"] == ["viper"]
    assert facts["kernels_need"]["asm_thumb"] == ["asm_thumb"]
    assert facts["kernels_need"]["plain"] == []
    assert cli.main(["info", "evil.urnn"]) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "viper (firmware with viper)" in shown
    assert "plain (any firmware)" in shown
    urnn_file.write(quantize(random_float_model(np.random.default_rng(0), 3, (4,), 2)), "m.urnn")
    bare = next(key for key, board in catalogue.known().items() if not board.emitters.value)
    assert cli.main(["info", "m.urnn", "--board", bare]) in (0, 8)
    kernels = catalogue.fit(read_model("m.urnn"), catalogue.get(bare)).kernels
    assert f"emitters: none; kernels: {', '.join(kernels)}" in capsys.readouterr().out
    assert set(kernels) <= {name for name, needs in facts["kernels_need"].items() if not needs}


def test_verify_takes_the_options_that_a_recording_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    urnn_file.write(quantize(random_float_model(np.random.default_rng(0), 2, (4,), 2)), "m.urnn")
    rows = "\n".join(f"{t},{t % 7},{t % 5},{t // 10 % 2}" for t in range(100))
    Path("d.csv").write_text(f"t,a,b,y\n{rows}\n")
    command = ["verify", "m.urnn", "--runtime", "cpython", "--data", "d.csv"]
    assert cli.main(command) == DataError.exit_code
    assert "--label COLUMN" in capsys.readouterr().err
    command += ["--label", "y"]
    assert cli.main(command) == DataError.exit_code
    assert '--drop "t"' in capsys.readouterr().err
    assert cli.main([*command, "--drop", "t", "--window", "10"]) == 0
    assert "bit-exact on all of them" in capsys.readouterr().out
    assert cli.main(["verify", "m.urnn", "--label", "y"]) == DataError.exit_code
    assert "expected the recording with --data" in capsys.readouterr().err
    assert cli.main(["verify", "m.urnn", "--runtime", "cpython", "--sequences", "1"]) == 0
    assert "1 sequence, 50 steps" in capsys.readouterr().out


def test_quantize_refuses_a_quantized_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    urnn_file.write(quantize(random_float_model(np.random.default_rng(0), 2, (4,), 2)), "m.urnn")
    before = Path("m.urnn").read_bytes()
    assert cli.main(["quantize", "m.urnn"]) == ModelError.exit_code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tinyrnn: error: m.urnn: is a .urnn file, which is already quantized; expected a model.pt")
    assert Path("m.urnn").read_bytes() == before
