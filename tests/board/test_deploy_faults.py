# SPDX-License-Identifier: MIT
"""A deploy that goes wrong ends in one clear line, and the board still has either the old or the new version complete."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import serial
import urnn
from helpers.cable import Wire
from helpers.installations import built_for, model, model_bytes, selftest, stands, version
from tinyrnn import cli
from tinyrnn.board import deploy as deploying
from tinyrnn.board.deploy import deploy
from tinyrnn.board.identity import Identity
from tinyrnn.board.link import Link
from tinyrnn.board.package import Package
from tinyrnn.board.sizing import Model
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError, LinkError, TinyrnnError
from urnn import format as frame

CUTS = 20
GROUPS = 4  # tests that share them
TIMEOUT_S = 120.0  # for an answer; what is cut is noticed at once


def one_line(error: pytest.ExceptionInfo[TinyrnnError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.count("expected") == 1, text
    assert error.value.exit_code != 0
    return text


def is_old_or_new(port: Port, old: Model, new: Model, built: dict[str, Package]) -> None:
    """What the board uses is complete, and it works after a restart."""
    there = stands(port.path)
    assert there.package_is(built["old"]) or there.package_is(built["new"]), there
    assert there.model_is(old.data) or there.model_is(new.data), there
    assert selftest(port.path).startswith("PASS, ")


@pytest.mark.parametrize("group", range(GROUPS))
def test_the_power_goes_at_any_point(fresh_port: Port, tmp_path: Path, group: int) -> None:
    """An upgrade of package and model loses power after some number of bytes, and the next deploy completes it."""
    board = fresh_port
    models = model(tmp_path / "a", 1), model(tmp_path / "b", 2)
    numbers = "1.", "2."
    packages = []
    for number, each in zip(numbers, models, strict=True):
        with version(tmp_path, number), Wire(board.path) as wire:
            deploy(wire.path, each)
            total = wire.to_board  # of the upgrade, at the end
            packages.append(built_for(wire.path, each))
    now = 1  # which of the two is on the board
    for cut in range(group, CUTS, GROUPS):
        old, new = models[now], models[1 - now]
        built = {"old": packages[now], "new": packages[1 - now]}
        with version(tmp_path, numbers[1 - now]):
            with Wire(board.path, int(total * (cut + 0.5) / CUTS), board.kill) as wire:
                with pytest.raises(LinkError) as error:
                    deploy(wire.path, new, timeout_s=TIMEOUT_S)
                one_line(error)
                assert wire.was_cut
            board.start()
            is_old_or_new(board, old, new, built)
            deploy(board.path, new)
        there = stands(board.path)
        assert there.package_is(built["new"])
        assert there.model_is(new.data)
        assert not there.others
        now = 1 - now


@pytest.mark.parametrize("seed", range(8))
def test_damaged_bytes(port: Port, tmp_path: Path, seed: int) -> None:
    """One flipped bit in 4000, in both directions, is noticed or harmless. What the board uses stays complete."""
    old, new = model(tmp_path / "a", 1), model(tmp_path / "b", 2)
    deploy(port.path, old)
    same = built_for(port.path, old)
    draw = random.Random(seed)

    def damage(to_board: bool, at: int, byte: int) -> int:
        return byte ^ 1 << draw.randrange(8) if draw.random() < 1 / 4000 else byte

    with Wire(port.path, damage=damage) as wire:
        try:
            deploy(wire.path, new, timeout_s=1.5)
        except TinyrnnError as error:
            assert "\n" not in str(error)  # noqa: PT017
    there = stands(port.path)
    assert there.package_is(same)
    assert there.model_is(old.data) or there.model_is(new.data)
    deploy(port.path, new)
    assert stands(port.path).model_is(new.data)


def fill(port: str, leave: int) -> None:
    """Fill the flash and leave this many bytes free."""
    with Link(port) as link:
        size = link.ask_identity().flash_free - leave
        link.exec(f"f = open('ballast', 'wb')\nfor _ in range({size} // 512): f.write(bytes(512))\nf.close()", timeout_s=120)


def only_rp2040(make_port: Callable[..., Port]) -> Port:
    return make_port("rp2040")


def test_the_file_system_is_full(make_port: Callable[..., Port], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this port has a flash that a test can fill."""
    board = only_rp2040(make_port)
    old, new = model(tmp_path / "a", 1), model(tmp_path / "b", 2, units=24)
    deploy(board.path, old)
    before = stands(board.path)
    fill(board.path, 8192)
    with pytest.raises(BoardError, match=r"flash has \d+ bytes free; expected \d+") as error:
        deploy(board.path, new)
    one_line(error)
    assert stands(board.path) == before
    # A file system that cannot say how full it is: noticed at the write
    monkeypatch.setattr(deploying._Deploy, "_check_flash", lambda *_: None)
    with version(tmp_path, "9."), pytest.raises(BoardError, match="OSError") as error:
        deploy(board.path, model(tmp_path / "c", 3, units=40))
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    there = stands(board.path)
    assert (there.version, there.files, there.model) == (before.version, before.files, before.model)
    with Link(board.path) as link:
        link.run_script("files.py", "remove", "ballast")
    deploy(board.path, new)
    assert not stands(board.path).others


@pytest.fixture
def tight(make_port: Callable[..., Port]) -> Port:
    """A board with a small heap."""
    return make_port("unix-x64", heapsize="80k")


def test_the_heap_is_too_small(tight: Port, tmp_path: Path) -> None:
    """The model is refused before a byte is copied, and the message has the numbers."""
    old, large = model(tmp_path / "a", 1), model(tmp_path / "b", 2, units=140)
    deploy(tight.path, old)
    before = stands(tight.path)
    with pytest.raises(BoardError, match=r"the heap has \d+ bytes free; expected about \d+ \(model \d+") as error:
        deploy(tight.path, large)
    one_line(error)
    assert stands(tight.path) == before


def test_no_block_is_large_enough(tight: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Link.ask_identity
    monkeypatch.setattr(
        Link, "ask_identity", lambda self, wanted=1 << 20: replace(real(self, wanted), heap_free=200_000, largest_block=900)
    )
    with pytest.raises(BoardError, match=r"largest free block of the heap has 900 bytes; expected \d+") as error:
        deploy(tight.path, model(tmp_path, 1, units=24))
    one_line(error)
    monkeypatch.undo()
    assert stands(tight.path).version == ""


def test_the_trial_finds_that_the_heap_is_too_small(tight: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial before the switch finds a model that the estimate let through."""
    old, large = model(tmp_path / "a", 1), model(tmp_path / "b", 2, units=140)
    deploy(tight.path, old)
    before = stands(tight.path)
    monkeypatch.setattr(deploying._Deploy, "_check_heap", lambda *_: None)
    with pytest.raises(BoardError, match=r"memory|heap") as error:
        deploy(tight.path, large)
    one_line(error)
    there = stands(tight.path)
    assert (there.version, there.files, there.model) == (before.version, before.files, before.model)
    assert selftest(tight.path).startswith("PASS, ")
    deploy(tight.path, old)
    assert stands(tight.path) == before


def test_boot_py_takes_the_heap(make_port: Callable[..., Port], tmp_path: Path) -> None:
    board = only_rp2040(make_port)
    with Link(board.path) as link:
        link.put("boot.py", b"ballast = bytearray(215000)\n")
    with pytest.raises(BoardError, match=r"the heap has \d+ bytes free|largest free block") as error:
        deploy(board.path, model(tmp_path, 1, units=48))
    one_line(error)
    assert stands(board.path).version == ""


def test_the_self_test_fails(port: Port, tmp_path: Path) -> None:
    """A model whose weights do not give its vectors is tried and refused, and the old model stays."""
    old = model(tmp_path / "a", 1)
    deploy(port.path, old)
    before = stands(port.path)
    data = model_bytes(2)
    sections = [(tag, bytes(data[start:stop])) for tag, start, stop in frame.unseal(data)]
    sections = [(tag, body if tag != b"test" else body[:-1] + bytes([body[-1] ^ 1])) for tag, body in sections]
    wrong = replace(old, data=frame.seal(sections))
    assert urnn.load(bytearray(wrong.data)).inputs == 3
    with pytest.raises(BoardError, match=r"self-test: FAIL, .*what was in use before still is") as error:
        deploy(port.path, wrong)
    one_line(error)
    there = stands(port.path)
    assert (there.version, there.files, there.model) == (before.version, before.files, before.model)
    assert deploy(port.path, old).copied == []
    assert stands(port.path) == before


def test_the_board_runs_a_program(fresh_port: Port, tmp_path: Path) -> None:
    if not fresh_port.can_interrupt:
        pytest.skip(f"{fresh_port.name}: Ctrl-C does not stop a running program there; the other ports show it")
    with Link(fresh_port.path) as link:
        link.put("main.py", b"import time\nn = 0\nwhile True:\n    n += 1\n    print('reading', n)\n    time.sleep(0.02)\n")
    fresh_port.restart()
    assert deploy(fresh_port.path, model(tmp_path, 1)).selftest.startswith("PASS, ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": (1, 22, 2)}, "expected 1.23 or newer"),
        ({"name": "circuitpython", "version": (9, 2, 1)}, "--to DIR"),
    ],
)
def test_firmware_that_is_refused(
    port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: dict, words: str
) -> None:
    """The board's own answer, with the version changed."""
    real = Link.ask_identity

    def older(self: Link, wanted: int = 1 << 20) -> Identity:
        return replace(real(self, wanted), **change)

    before = stands(port.path)
    monkeypatch.setattr(Link, "ask_identity", older)
    model(tmp_path, 1)
    assert cli.main(["deploy", str(tmp_path / "gesture.urnn"), "--port", port.path]) == BoardError.exit_code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    monkeypatch.undo()
    assert stands(port.path) == before


def test_the_port_is_busy(port: Port, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model(tmp_path, 1)
    with serial.Serial(port.path, exclusive=True):
        assert cli.main(["deploy", str(tmp_path / "gesture.urnn"), "--port", port.path]) == LinkError.exit_code
    said = capsys.readouterr().err
    assert "in use by another program" in said
    assert said.count("\n") == 1
