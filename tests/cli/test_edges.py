# SPDX-License-Identifier: MIT
"""Every command with inputs and outputs that are not regular files, or that do not exist.

Each command ends with one line and an exit status, without a traceback, without waiting, and without a change to any file.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.packages import need_package

need_package("torch")

from helpers.text import printable
from tinyrnn import cli
from tinyrnn.float_model import model_file
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import urnn_file
from tinyrnn.quantization.quantizer import quantize

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs on this system; run it on Linux or macOS")

HUNG_S = 300  # a command that waits for ever is ended so, whatever the machine's load
ODD = b"\xff\xfe-\x1b[31m-[/b]-\xe2\x80\xae"  # no UTF-8, an escape sequence, rich's markup, a turn of the line's direction


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise AssertionError("the command hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HUNG_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt, model.urnn, and a recording as d.csv and d.npz."""
    folder = tmp_path_factory.mktemp("good")
    model = random_float_model(np.random.default_rng(0), 3, (4,), 2)
    model_file.save(model, folder / "model.pt")
    urnn_file.write(quantize(model), folder / "model.urnn")
    rng = np.random.default_rng(1)
    x = rng.integers(-500, 500, (200, 3))
    rows = [",".join(map(str, [*row, number // 20 % 2])) for number, row in enumerate(x.tolist())]
    (folder / "d.csv").write_text("\n".join(["a,b,c,y", *rows, ""]))
    np.savez(folder / "d.npz", x=x.reshape(20, 10, 3), y=np.arange(20) % 2)
    drive = folder / "drive"
    drive.mkdir()
    (drive / "boot_out.txt").write_text("Adafruit CircuitPython 9.2.1 on 2025-01-01; Test board with rp2040\n")
    return folder


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path is 107 bytes at most
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def sparse(path: Path) -> None:
    with open(path, "wb") as stream:
        stream.truncate(1 << 40)


# What an input may be: a name, and how it is made at a path
INPUTS: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4000)),
    "text": lambda path: path.write_text("This is a text, long enough to hold a header.\n"),
    "huge": sparse,
    "folder": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "socket": bound,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),  # for root as well
}

# Commands with an input, and the suffix that it has
READERS = {
    ".urnn": [
        "info {}",
        "info {} --json",
        "info {} --board rpi-pico",
        "info {} --board all",
        "verify {} --runtime cpython",
        "verify {} --on /dev/null",
        "deploy {} --port /dev/null",
        "deploy {} --to {good}/drive",
        "run {} --port /dev/null",
        "bench {} --port /dev/null",
        "bench {} --compare",
    ],
    ".pt": ["quantize {}", "import {} -o out.urnn --range -1 1"],
    ".pt2": ["import {} -o out.urnn --range -1 1"],
    ".onnx": ["import {} -o out.urnn --range -1 1"],
    ".keras": ["import {} -o out.urnn --range -1 1"],
    ".h5": ["import {} -o out.urnn --range -1 1"],
    ".bin": ["import {} -o out.urnn --range -1 1"],
    ".odd": ["import {} -o out.urnn", "train {}", "quantize {}", "info {}"],
    ".csv": [
        "train {} --label y",
        "verify {good}/model.urnn --data {} --label y",
        "import {good}/model.pt -o o.urnn --data {}",
    ],
    ".tsv": ["train {} --label y"],
    ".npz": ["train {}", "verify {good}/model.urnn --data {}"],
    "": ["train {}", "info {}", "quantize {}", "verify {good}/model.urnn --data {}"],
}
CASES = [(what, command, suffix) for suffix, commands in READERS.items() for command in commands for what in INPUTS]


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """The one line of a command, which has to fail."""
    try:
        status = cli.main(list(args))
    except SystemExit as end:
        status = int(end.code or 0)
    said = capsys.readouterr()
    assert status != 0, said.out
    (line,) = said.err.splitlines()
    assert line.startswith("tinyrnn: error: ")
    assert printable(line), line
    assert len(line) < 1000
    return line


def words(command: str, good: Path, path: str) -> list[str]:
    return [word.format(path, good=good) for word in command.split()]


@pytest.mark.parametrize(("what", "command", "suffix"), CASES, ids=lambda value: str(value).replace("/", ":"))
def test_hostile_inputs(
    what: str,
    command: str,
    suffix: str,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"in{suffix}"
    try:
        INPUTS[what](path)
    except OSError as error:
        pytest.skip(f"cannot be made here: {error}")
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    refused(capsys, *words(command, good, path.name))
    assert sorted(os.listdir(tmp_path)) == before


# Names that are no names of files that could be there
NAMES = {
    "empty": "",
    "long": "x" * 300,
    "deep": "x/" * 3000 + "x",
    "under a file": "file/x",
    "odd": os.fsdecode(b"absent" + ODD),
    "newline": "absent\nTraceback",
    "home": "~nobody/x",
    "dots": "..",
}


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize(
    "command", ["info", "info --board esp32", "quantize", "train", "verify", "import -o o.pt", "deploy"]
)
def test_hostile_names_of_inputs(
    what: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a,b\n1,2\n")
    name, *options = command.split()
    try:
        status = cli.main([name, NAMES[what], *options])
    except SystemExit as end:
        status = int(end.code or 0)
    said = capsys.readouterr()
    assert status != 0
    assert said.err.startswith("tinyrnn: error: ")
    assert said.err.count("\n") == 1
    assert printable(said.err)
    assert os.listdir(tmp_path) == ["file"]


def archive(path: Path) -> None:
    with open(path, "wb") as stream:
        np.savez(stream, x=np.zeros(3))


def link_to_text(path: Path) -> None:
    path.with_name("notes").write_text("my notes\n")
    path.symlink_to("notes")


OUTPUTS: dict[str, Callable[[Path], object]] = {
    "folder": lambda path: path.mkdir(),
    "fifo": lambda path: os.mkfifo(path),
    "socket": bound,
    "device": lambda path: path.symlink_to("/dev/null"),
    "full": lambda path: path.symlink_to("/dev/full"),
    "loop": lambda path: path.symlink_to(path.name),
    "link to a folder": lambda path: path.symlink_to("."),
    "into no folder": lambda path: path.symlink_to("no/such/file"),
    "text": lambda path: path.write_text("my notes\n"),
    "csv": lambda path: path.write_text("a,b\n1,2\n"),
    "archive": archive,
    "script": lambda path: path.write_text("import os\n"),
    "link to text": link_to_text,
}
WRITERS = [
    "quantize {good}/model.pt -o {}",
    "train {good}/d.npz --epochs 1 --units 2 -o {}",
    "import {good}/model.pt --range -1 1 -o {}",
    "demo -o {}",
]


def contents(folder: Path) -> dict[str, object]:
    """Everything in a folder, by name: its kind, and the bytes of files."""
    found: dict[str, object] = {}
    for path in folder.iterdir():
        kind = stat.S_IFMT(path.lstat().st_mode)
        text = os.readlink(path) if stat.S_ISLNK(kind) else path.read_bytes() if stat.S_ISREG(kind) else b""
        found[path.name] = (kind, path.lstat().st_ino, text)
    return found


@pytest.mark.parametrize("what", OUTPUTS)
@pytest.mark.parametrize("command", WRITERS)
@pytest.mark.parametrize("suffix", [".urnn", ".pt", ".csv"])
def test_hostile_outputs(
    what: str,
    command: str,
    suffix: str,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"out{suffix}"
    OUTPUTS[what](path)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    line = refused(capsys, *words(command, good, path.name))
    assert "choose another" in line or "expected" in line or "mkdir" in line
    assert contents(tmp_path) == before


@pytest.mark.parametrize("link", ["same", "hard", "symbolic", "dotted"])
@pytest.mark.parametrize(
    "command",
    [
        "quantize model.pt -o {model.pt}",
        "quantize model.urnn",
        "train d.npz -o {d.npz}",
        "train d.csv --label y -o {d.csv}",
        "import model.pt --range -1 1 -o {model.pt}",
        "import model.pt --data d.npz -o {d.npz}",
    ],
)
def test_never_onto_an_input(
    link: str, command: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("d.npz", "d.csv"):
        (tmp_path / name).write_bytes((good / name).read_bytes())
    for name in ("model.pt", "model.urnn"):  # a float model under that name: quantize's default is its own input
        (tmp_path / name).write_bytes((good / "model.pt").read_bytes())
    monkeypatch.chdir(tmp_path)
    found = re.search(r"\{(.*)\}", command)
    if found:
        source = Path(found[1])
        place = {"same": source, "dotted": Path("../" + tmp_path.name) / source}.get(link, Path("other" + source.suffix))
        if link == "hard":
            os.link(source, place)
        elif link == "symbolic":
            place.symlink_to(source)
        command = command.replace(found[0], str(place))
    before = contents(tmp_path)
    assert "choose another name" in refused(capsys, *command.split())
    assert contents(tmp_path) == before


@pytest.mark.parametrize("make", ["link to text", "folder", "fifo", "device", "hard link to the recording"])
def test_another_file_in_a_checkpoint_s_place(
    make: str, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.npz").write_bytes((good / "d.npz").read_bytes())
    path = tmp_path / "model.pt.seed1.part"
    if make.startswith("hard"):
        os.link("d.npz", path)
    else:
        OUTPUTS[make](path)
    before = contents(tmp_path)
    line = refused(capsys, "train", "d.npz", "--epochs", "1", "--units", "2", "--seeds", "2", "-o", "model.pt")
    assert "model.pt.seed1.part: is " in line
    assert contents(tmp_path) == before
