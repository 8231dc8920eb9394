# SPDX-License-Identifier: MIT
"""The link to a board: real MicroPython on each port, and every fault that a line can have."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import serial
from helpers.cable import Wire
from helpers.types import instance
from tinyrnn.board.identity import Identity, parse
from tinyrnn.board.link import Link, patience_s
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError, LinkError

SHORT_S = 1.5
PATIENT_S = 120.0  # guards against a hang: these take seconds, and a machine may have ten times the load


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "expected" in text or "nothing further" in text, text
    return text


def test_exec_and_identity(port: Port) -> None:
    with Link(port.path) as link:
        assert link.exec("print(6 * 7)") == "42\n"
        identity = link.identity
        assert identity.name == "micropython"
        assert identity.version >= (1, 23)
        if port.name != "board":
            assert ("viper" in identity.kernels) == port.has_viper
        assert identity.kernels[-1] == "plain"
        assert identity.heap_free > 10_000
        assert identity.largest_block > 0
        if port.name == "rp2040":
            assert identity.arch == "armv6m"
            assert identity.machine == "Raspberry Pi Pico with RP2040"
            assert identity.largest_block <= identity.heap_free < 264 * 1024
            assert identity.block_bytes == 4096
            assert 0 < identity.flash_free < instance(int, port.flash_bytes)
            assert identity.library == "/lib"


def test_the_board_says_no(port: Port) -> None:
    with Link(port.path) as link:
        with pytest.raises(BoardError, match="ZeroDivisionError") as error:
            link.exec("1 // 0")
        assert "\n" not in str(error.value)
        with pytest.raises(BoardError, match=r"OSError|ENOENT"):
            link.run_script("files.py", "rename", ("no-such-file", "x"))
        assert link.exec("print(1)") == "1\n"


def test_put(port: Port) -> None:
    data = bytes(range(256)) * 21 + b"end"
    with Link(port.path) as link:
        pieces: list[int] = []
        link.put("link.bin", data, pieces.append)
        assert sum(pieces) == len(data)
        link.put("empty.bin", b"")
        answer = link.run_script("files.py", "survey", "link.bin", "link.bin~", "empty.bin").splitlines()
        assert [line.split()[0] for line in answer] == [str(len(data)), "0"]
        assert (
            link.exec("f = open('link.bin', 'rb'); f.seek(255 * 21); print(f.read(3)); f.close()")
            == repr(data[255 * 21 : 255 * 21 + 3]) + "\n"
        )
        with pytest.raises(BoardError, match="OSError"):
            link.put("no/such/folder/x.bin", data)
        link.run_script("files.py", "remove", "link.bin", "empty.bin")


def test_soft_reset_clears(port: Port) -> None:
    with Link(port.path) as link:
        link.exec("left = 1")
        link.soft_reset()
        with pytest.raises(BoardError, match="NameError"):
            link.exec("print(left)")
        assert link.identity.name == "micropython"


def test_leaves_the_friendly_prompt(port: Port) -> None:
    with Link(port.path) as link:
        assert link.identity.version
    with serial.Serial(port.path, timeout=PATIENT_S) as line:
        line.write(b"print(3 * 5)\r")
        assert line.read_until(b">>> ").replace(b"\r", b"").endswith(b"15\n>>> ")


STUBBORN = """
import time
caught = 0
while caught < 3:
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        caught += 1
        print("caught", caught)
while True:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("program", ["import time\nwhile True:\n    time.sleep(0.1)\n", "while True:\n    pass\n", STUBBORN])
def test_a_running_main_is_interrupted(port: Port, program: str) -> None:
    if not (port.can_interrupt and port.can_restart):
        pytest.skip(f"{port.name}: no Ctrl-C for a running program, or no restart: the other ports show it")
    with Link(port.path) as link:
        link.put("main.py", program.encode())
    try:
        port.restart()
        with Link(port.path) as link:
            assert link.exec("print('here')") == "here\n"
    finally:
        with Link(port.path) as link:
            link.run_script("files.py", "remove", "main.py")


DEAF = "import time\nwhile True:\n    try:\n        time.sleep(0.1)\n    except:\n        pass\n"
COMPLAINING = "import time\nwhile True:\n    try:\n        time.sleep(0.1)\n    except:\n        print('an error', 1 / 3)\n"
FEEDING = DEAF.replace("import time\n", "import time\nfrom machine import WDT\ndog = WDT(timeout=8000)\n").replace(
    "        time", "        dog.feed()\n        time"
)


def put_main(port: Port, program: str) -> None:
    with Link(port.path) as link:
        link.put("main.py", program.encode())
    port.restart()


@pytest.mark.parametrize(
    ("board", "program"),
    [("unix-x64", COMPLAINING), ("rp2040", COMPLAINING), ("rp2040", DEAF), ("rp2040", FEEDING)],
    ids=["unix-x64", "complaining", "deaf", "feeding"],
)
def test_a_main_that_catches_ctrl_c(make_port: Callable[..., Port], board: str, program: str) -> None:
    """main.py loops inside a bare `except:`, with a watchdog that needs the loop to run."""
    port = make_port(board, real_time=program == FEEDING)
    put_main(port, program)
    with Link(port.path, PATIENT_S) as link:
        link.exec("here = 7")
        link.exec("import time; time.sleep(9)", PATIENT_S)  # the watchdog would have reset it
        assert link.exec("print(here)") == "7\n"


def test_a_watchdog_that_expires_at_once(make_port: Callable[..., Port]) -> None:
    """The emulated chip's clock advances by hours while it waits for the host's next message."""
    port = make_port("rp2040")
    put_main(
        port,
        "import time\nfrom machine import WDT\ndog = WDT(timeout=5000)\nwhile True:\n    dog.feed()\n    time.sleep(0.1)\n",
    )
    with Link(port.path, PATIENT_S) as link:
        link.exec("here = 7")
    with Link(port.path, PATIENT_S) as link:
        assert link.exec("print(here)") == "7\n"


def test_a_main_that_turned_ctrl_c_off(make_port: Callable[..., Port]) -> None:
    """Nothing that the line can send helps. The error names what does."""
    port = make_port("rp2040")
    put_main(port, "import time, micropython\nmicropython.kbd_intr(-1)\nwhile True:\n    time.sleep(0.1)\n")
    with pytest.raises(LinkError, match=r"no answer within 2 s of Ctrl-C; .*erase its files through") as error:
        Link(port.path, 2.0)
    one_line(error)
    port.kill()
    erase_files(port)
    port.start()
    with Link(port.path, PATIENT_S) as link:
        assert "main.py" not in link.exec("import os; print(os.listdir())")


def erase_files(port: Port) -> None:
    """Erase the flash as flash_nuke.uf2 does: only firmware is left."""
    image = port.folder / "flash.img"
    assert image.is_file()
    image.unlink()


def test_the_collector_is_on_again(port: Port) -> None:
    """An interrupted program left the collector off, and a soft reset of an RP2040 does not turn it on."""
    with Link(port.path) as link:
        link.exec("import gc; gc.disable()")
    with Link(port.path) as link:
        assert link.exec("import gc; print(gc.isenabled())") == "True\n"
        link.exec("gc.disable()")
        link.soft_reset()
        assert link.exec("import gc; print(gc.isenabled())") == "True\n"


def test_a_heap_full_of_garbage(make_port: Callable[..., Port]) -> None:
    """The collector is off, and no block is free for the first line."""
    port = make_port("rp2040")
    with Link(port.path) as link, pytest.raises(BoardError, match="MemoryError"):
        link.exec(
            "import gc; gc.disable()\nfor size in (4096, 512, 64, 16):\n  try:\n    while True: bytearray(size)\n"
            "  except MemoryError: pass\nwhile True: bytearray(1)",
            PATIENT_S,
        )
    with Link(port.path, PATIENT_S) as link:
        assert link.identity.heap_free > 100_000


def test_nothing_of_ours_is_left(port: Port) -> None:
    """After a command, complete or interrupted, there are no names and no open files, and the collector is on."""
    with Link(port.path) as link:
        before = link.exec("print(sorted(globals()))")
        assert link.identity.name == "micropython"
    with Link(port.path) as link:
        assert link.exec("print(sorted(globals()))") == before
        assert link.run_script("files.py", "survey", "no-such-file") == ""
        if port.can_interrupt:
            link.start("while True: pass")
    with Link(port.path) as link:
        assert link.exec("print(sorted(globals()))") == before


def test_a_program_that_owns_the_line(port: Port) -> None:
    with Link(port.path) as link:
        link.start("import sys\nprint('mine', sys.stdin.readline())")
        link.serial.timeout = PATIENT_S
        link.serial.write(b"yes\n")
        assert b"mine yes" in link.serial.read_until(b"mine yes")
    with Link(port.path) as link:
        assert link.exec("print(2)") == "2\n"


def test_port_busy(port: Port) -> None:
    with serial.Serial(port.path, exclusive=True), pytest.raises(LinkError, match="in use by another program") as error:
        Link(port.path)
    one_line(error)
    with Link(port.path) as link:  # and is free again
        assert link.exec("print(1)") == "1\n"


def test_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYRNN_TIMEOUT_S")
    assert (patience_s(), patience_s(5.0)) == (10.0, 5.0)
    monkeypatch.setenv("TINYRNN_TIMEOUT_S", "90")
    assert (patience_s(), patience_s(5.0)) == (90.0, 90.0)
    for text in ("soon", "0", "-1", "nan", "inf"):
        monkeypatch.setenv("TINYRNN_TIMEOUT_S", text)
        with pytest.raises(LinkError, match=f"TINYRNN_TIMEOUT_S is '{text}'; expected seconds"):
            patience_s()


def test_no_such_port() -> None:
    with pytest.raises(LinkError, match="no such port") as error:
        Link("/dev/no-such-port")
    one_line(error)


def test_no_permission_or_no_port(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a port")
    with pytest.raises(LinkError) as error:
        Link(str(file))
    one_line(error)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A port that answers everything with ``answer``: something other than a board."""
    master, slave = pty.openpty()
    tty.setraw(slave)

    def talk() -> None:
        try:
            while os.read(master, 100):
                os.write(master, answer)
        except OSError:
            pass

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        thread.join(5)
        os.close(master)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "no answer within"),
        (b"$GPGGA,123519,4807.038,N,01131.000,E*47\r\n", "no MicroPython prompt"),
        (b"raw REPL; CTRL-B to exit\r\n>OK", "no answer within"),
        (b"raw REPL; CTRL-B to exit\r\n>OK\x04\x04>", "expected MicroPython"),
        (b"\xff\x00\x80", "no MicroPython prompt"),
    ],
)
def test_something_else_answers(answer: bytes, message: str) -> None:
    with answering(answer) as path, pytest.raises(LinkError, match=message) as error:
        Link(path, SHORT_S)
    one_line(error)


def test_unplugged_in_the_middle(port: Port) -> None:
    with Wire(port.path, cut_after=900) as wire:
        link = Link(wire.path, SHORT_S)

        def go_on() -> None:
            for _ in range(100):
                link.exec("print('x' * 50)")

        with pytest.raises(LinkError, match=r"went away|no answer") as error:
            go_on()
        link.close()
        assert wire.was_cut
    one_line(error)
    with Link(port.path) as link:
        assert link.exec("print(1)") == "1\n"


@pytest.mark.parametrize("to_board", [True, False])
def test_a_damaged_byte_is_noticed(port: Port, to_board: bool) -> None:
    """One flipped bit, in the bytes of a file to the board or in an answer from it."""
    at = -1

    def damage(towards: bool, number: int, byte: int) -> int:
        return byte ^ 1 if towards == to_board and number == at else byte

    with Wire(port.path, damage=damage) as wire, Link(wire.path, PATIENT_S) as link:
        assert link.identity.name == "micropython"
        if to_board:
            at = wire.to_board + 600
            with pytest.raises(LinkError, match="damaged") as error:
                link.put("noise.bin", bytes(2000))
        else:
            at = wire.to_host + 100
            with pytest.raises(LinkError, match="damaged") as error:
                link.ask_identity()
        one_line(error)
    with Link(port.path) as link:
        link.run_script("files.py", "remove", "noise.bin~")


def identity() -> Identity:
    return Identity(
        name="micropython",
        version=(1, 28, 0),
        machine="A board",
        mpy=4870,
        platform="rp2",
        heap_free=200_000,
        largest_block=100_000,
        block_bytes=4096,
        flash_blocks=100,
        flash_blocks_free=90,
        emitters=("native", "viper", "asm_thumb"),
        libraries=("", "/lib"),
        folder="/",
        installed=(),
        models=(),
    )


def test_firmware_that_is_refused() -> None:
    good = identity()
    good.refuse("P")
    assert good.kernels == ("viper", "asm_thumb", "plain")
    assert good.arch == "armv6m"
    for change, words in (
        ({"version": (1, 22, 2)}, ("1.22.2", "1.23", "micropython.org/download")),
        ({"name": "circuitpython", "version": (10, 0, 3)}, ("CircuitPython 10.0.3", "--to DIR")),
        ({"name": "pycopy"}, ("pycopy", "MicroPython")),
    ):
        with pytest.raises(BoardError) as error:
            replace(good, **change).refuse("P")
        text = one_line(error)
        assert all(word in text for word in words), text


@pytest.mark.parametrize("answer", ["", "name 'micropython'", "nonsense", "name [\n", "flash (1, 2)"])
def test_an_answer_that_is_not_one(answer: str) -> None:
    with pytest.raises(LinkError, match="cannot be read") as error:
        parse("P", answer)
    one_line(error)


@pytest.mark.parametrize(
    ("error", "want"),
    [
        (OSError(2, "could not open port x: [Errno 2] No such file or directory: 'x'"), "No such file or directory"),
        (OSError("Could not configure port: (25, 'Inappropriate ioctl for device')"), "Inappropriate ioctl for device"),
        (OSError("[Errno 5] read failed: [Errno 5] Input/output error"), "Input/output error"),
        (OSError("write failed: [Errno 5] Input/output error"), "Input/output error"),
        (OSError("device disconnected"), "device disconnected"),
        (OSError(), "OSError"),
    ],
)
def test_the_system_s_message_about_a_port_appears_once(error: OSError, want: str) -> None:
    from tinyrnn.board.raw_repl import _reason

    assert _reason(error) == want


def test_what_is_not_a_port_gives_one_line(tmp_path: Path) -> None:
    for path, words in ((tmp_path, "Is a directory"), (tmp_path / "file", "Inappropriate ioctl for device")):
        if path != tmp_path:
            path.write_bytes(b"")
        with pytest.raises(LinkError) as caught:
            Link(str(path))
        assert str(caught.value) == f"{path}: cannot be opened ({words}); expected a serial port: see `tinyrnn devices`"
