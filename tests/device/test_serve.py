# SPDX-License-Identifier: MIT
"""urnn.serve: the line protocol of docs/protocol.md on every runtime, by pipes and by serial ports."""

from __future__ import annotations

import ast
import base64
import os
import re
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import serving
from helpers.runtimes import each
from helpers.runtimes import need_runtime as need
from helpers.serving import PipeLine, SerialLine
from shared.paths import DEVICE_SCRIPTS, DOCS
from tinyrnn.board import protocol
from tinyrnn.board.protocol import frame, pack_samples, unframe
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.runtimes import Runtime, verification

DOCUMENT = DOCS / "protocol.md"
Line = PipeLine | SerialLine
PIPES = ("cpython", "unix-x64", "unix-i386", "unix-armhf")  # a port is there for webassembly, whose stdin is none


class Talk:
    """A conversation that counts numbers, checks answers and splits them."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.number = 0
        greeting = self.receive()
        assert greeting[:4] == ["0000", "ok", "urnn", "1"]
        self.window, self.length = int(greeting[5]), int(greeting[6])

    def receive(self) -> list[str]:
        line = self.line.line()
        assert line is not None, "no answer"
        words = unframe(line)
        assert words is not None, f"a damaged answer: {line!r}"
        return words

    def send(self, data: bytes) -> list[str]:
        self.line.send(data)
        return self.receive()

    def ask(self, body: str) -> list[str]:
        """Send a good frame with the next number; return the answer without its number."""
        self.number = (self.number + 1) & 0xFFFF
        words = self.send(frame(f"{self.number:04x} {body}"))
        assert words[0] == f"{self.number:04x}"
        return words[1:]


def words_of(*samples: tuple[int, ...]) -> str:
    return pack_samples(np.array(samples))


def expect_vectors(talk: Talk) -> None:
    """The document's frames, byte for byte. Of an error, only what does not depend on the runtime's own words."""
    for sent, answer in documented():
        got = talk.send(sent.encode() + b"\n")
        want = answer.split(" ")[:-1]
        if want[1:3] == ["err", "model"]:
            got, want = got[:3], want[:3]
        assert got == want, sent
    assert talk.line.ended()


def expect_errors(talk: Talk) -> None:
    """Every error has its code, and the session goes on."""
    sample = words_of((1, 2))
    for body in (f"step {sample}", f"steps {sample}", f"check {sample}", "reset", "state"):
        assert talk.ask(body)[:2] == ["err", "model"], body
    assert talk.ask("load no-such.urnn")[:2] == ["err", "model"]
    assert talk.ask("load damaged.urnn")[:2] == ["err", "model"]
    assert talk.ask("load tiny.urnn no-such-set")[:2] == ["err", "model"]
    assert talk.ask("reset")[:2] == ["err", "model"], "a failed load leaves no model"
    assert talk.ask("load tiny.urnn plain")[0] == "ok"
    expected = {
        "command": [
            "fly",
            "step",
            "step h",
            f"step {sample} x",
            "reset x",
            "load",
            "load a b c",
            "quit x",
            "state x y",
            "",
            "Reset",
        ],
        "length": [
            "step h AQ==",
            "step h AQACAAM=",
            f"step {words_of((1, 2), (3, 4))}",
            "steps h ",
            "steps h AQA=",
            "check i AQACAA==",
            "state AQA=",
            "state AQACAAMA",
        ],
        "value": ["step x AQACAA==", "step H AQACAA==", "state AIABAA=="],
    }
    for code, bodies in expected.items():
        for body in bodies:
            assert talk.ask(body)[:2] == ["err", code], body
    assert talk.ask(f"step {sample}")[0] == "ok"


def expect_long_lines(talk: Talk) -> None:
    """A line of the greatest length is accepted. A longer line, and an answer that has no room, are refused."""
    talk.ask("load tiny.urnn plain")
    room = (talk.length - len("ffff check h  ffffffff")) // 4 * 3 // 4
    samples = np.arange(2 * room).reshape(room, 2)
    assert talk.ask(f"check {pack_samples(samples)}")[0] == "ok"
    assert talk.ask(f"steps {pack_samples(samples)}")[:2] == ["err", "length"]
    for extra in (1, 2, 300, 3000):
        text = "x" * (talk.length - len("ffff  ffffffff") + extra)
        next_number = f"{talk.number + 1:04x}"
        assert talk.send(frame(f"{next_number} {text}"))[:3] == [next_number, "err", "line"]
    exact = "x" * (talk.length - len("ffff  ffffffff"))
    assert talk.ask(exact)[:2] == ["err", "command"]


def expect_numbers(talk: Talk) -> None:
    """A command is carried out once. The same number gives the same answer again, and any other number is refused."""
    talk.ask("load tiny.urnn plain")
    body = f"step {words_of((100, -200))}"
    first = talk.ask(body)
    again = frame(f"{talk.number:04x} {body}")
    assert talk.send(again)[1:] == first
    assert talk.send(again)[1:] == first
    for number in (talk.number + 2, talk.number - 1, 0xFFFF):
        assert talk.send(frame(f"{number:04x} {body}")) == [f"{talk.number + 1:04x}", "err", "order", f"{number:04x}"]
    second = talk.ask(body)
    outputs = Simulator(serving.tiny_network()).run(np.array([[[100, -200]] * 2]))[0][0]
    for answer, want in zip((first, second), outputs, strict=True):
        assert list(protocol.unpack(answer[2], "<i4")) == list(want)
    talk.number = 0xFFFE
    assert talk.ask("hello")[:3] == ["ok", "urnn", "1"]
    assert talk.ask(body)[0] == "ok", "the number after ffff is 0000"
    assert talk.number == 0


def expect_noise(talk: Talk) -> None:
    """Random bytes, also those that stop a REPL, give an error line each. The next good frame is answered."""
    talk.ask("load tiny.urnn plain")
    rng = np.random.default_rng(0)
    ends = re.compile(rb"(^|[\r\n])\x03([\r\n\x03]|$)")  # what ends the server, and may
    want = talk.ask(f"step {words_of((5, 6))}")
    for size in (1, 2, 5, 17, 64, 150, 200):
        for kind in range(4):
            noise = bytes(rng.integers(0, 256, size, np.uint8))
            if kind == 1:
                noise = bytes(rng.choice(np.frombuffer(b"\x00\x01\x02\x04\x05\x1a\xff\r\n", np.uint8), size))
            elif kind == 2:  # a good frame with some bytes changed
                good = bytearray(frame(f"{talk.number + 1:04x} step {words_of((7, 8))}"))
                for at in rng.integers(0, len(good) - 1, 1 + size % 3):
                    good[at] ^= 1 << int(rng.integers(0, 8))
                noise = bytes(good) if bytes(good) != frame(f"{talk.number + 1:04x} step {words_of((7, 8))}") else b"\xff"
            elif kind == 3:
                noise = b"\x04\x00\x03\x03\x03\x04"[: size % 7]
            noise = ends.sub(b"\xff", ends.sub(b"\xff", b"\n" + noise + b"\n"))
            talk.line.send(noise)
            probe = f"{(talk.number + 0x4000) & 0xFFFF:04x}"
            talk.line.send(b"\n" + frame(f"{probe} reset"))
            while (words := talk.receive())[1:] != ["err", "order", probe]:
                assert words[1:3] == ["err", "line"], noise
            assert talk.ask("reset") == ["ok"]
            assert talk.ask(f"step {words_of((5, 6))}") == want, noise


def expect_state(talk: Talk) -> None:
    """A stream can be interrupted and continued."""
    talk.ask("load tiny.urnn")
    rng = np.random.default_rng(1)
    samples = rng.integers(-1000, 1000, (12, 2))
    talk.ask(f"check {pack_samples(samples[:5])}")
    saved = talk.ask("state")[1]
    want = talk.ask(f"check {pack_samples(samples[5:])}")
    assert talk.ask("reset") == ["ok"]
    assert list(protocol.unpack(talk.ask("state")[1], "<i2")) == [0, 0]
    assert talk.ask(f"state {saved}") == ["ok", saved]
    assert talk.ask(f"check {pack_samples(samples[5:])}") == want
    outputs, states = Simulator(serving.tiny_network()).run(samples[None])
    crc = 0
    for output, state in zip(outputs[0, 5:], states[0, 5:], strict=True):
        crc = zlib.crc32(state.astype("<i2").tobytes(), zlib.crc32(output.astype("<i4").tobytes(), crc))
    assert want[1:] == [str(outputs[0, -1].argmax()), base64.b64encode(outputs[0, -1].astype("<i4")).decode(), f"{crc:08x}"]


def expect_steps(talk: Talk) -> None:
    """`steps` with 16 and with 32 bits gives the same as single `step` commands."""
    talk.ask("load tiny.urnn")
    samples = np.array([(1, -2), (300, 400), (-5, 6)])
    singles = [talk.ask(f"step {pack_samples(sample)}") for sample in samples]
    talk.ask("reset")
    data = base64.b64encode(struct.pack("<6i", *samples.ravel().tolist())).decode()
    for body in (f"steps {pack_samples(samples)}", f"steps i {data}"):
        got = talk.ask(body)
        assert got[1] == singles[-1][1]
        assert base64.b64decode(got[2]) == b"".join(base64.b64decode(words[2]) for words in singles)
        talk.ask("reset")


def expect_ctrl_c(talk: Talk) -> None:
    """The first byte that mpremote sends ends the server, also after half a line."""
    talk.line.send(b"0001 res\r\x03")
    assert talk.receive()[1:3] == ["err", "line"]
    talk.line.send(b"\r")
    assert talk.line.ended()


def expect_two_ctrl_c(talk: Talk) -> None:
    talk.line.send(b"\x03\x03")
    assert talk.line.ended()


def expect_four_digits(talk: Talk) -> None:
    """A number is four lower-case hexadecimal digits. Other text that int() accepts is a damaged line."""
    talk.ask("load tiny.urnn plain")
    expected = f"{talk.number + 1:04x}"
    for number in ("0x02", "0_02", "+002", " 002", "0X02", "002", "00002", "000G", "-001", "00 2"):
        assert talk.send(frame(f"{number} reset"))[:3] == [expected, "err", "line"], number
    talk.number = 0x9
    assert talk.send(frame("000A hello"))[1:3] == ["err", "line"], "a capital"
    assert talk.ask("hello")[0] == "ok"


def expect_hello_is_one_word(talk: Talk) -> None:
    """Only hello itself accepts any number."""
    talk.ask("load tiny.urnn plain")
    for body in ("hello x", "hello ", "hello hello"):
        for number in ("1234", "0100"):
            assert talk.send(frame(f"{number} {body}")) == [f"{talk.number + 1:04x}", "err", "order", number]
    for body in ("hello x", "hello ", "hello hello"):
        assert talk.ask(body)[:2] == ["err", "command"]
    talk.number = 0x1233
    assert talk.ask("hello")[0] == "ok"
    assert talk.ask(f"step {words_of((1, 2))}")[0] == "ok"


def expect_short_errors(talk: Talk) -> None:
    """The text of an error is cut to the length of a line, and is printable ASCII."""
    for path in ("x" * 480, "\x01\x7f\t", "é" * 200):
        words = talk.ask(f"load {path}")
        assert words[:2] == ["err", "model"]
        assert 14 + len(" ".join(words)) <= talk.length
        assert all(32 <= ord(c) < 127 for c in "".join(words))


EXPECTATIONS = (
    expect_vectors,
    expect_errors,
    expect_long_lines,
    expect_numbers,
    expect_noise,
    expect_state,
    expect_steps,
    expect_four_digits,
    expect_hello_is_one_word,
    expect_short_errors,
    expect_ctrl_c,
    expect_two_ctrl_c,
)
each_expectation = pytest.mark.parametrize("expect", EXPECTATIONS, ids=lambda f: f.__name__.removeprefix("expect_"))


@pytest.fixture(params=each(PIPES))
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PipeLine]:
    runtime = need(request.param)
    serving.write_tiny(tmp_path)
    (tmp_path / "damaged.urnn").write_bytes(damaged(tmp_path))
    line = PipeLine(runtime, tmp_path)
    yield line
    line.close()


@pytest.fixture
def serial_line(port: Port, tmp_path: Path) -> Iterator[SerialLine]:
    serving.put_model(port, serving.write_tiny(tmp_path))
    with protocol_link(port) as link:
        link.put("damaged.urnn", damaged(tmp_path))
    line = SerialLine(port)
    yield line
    line.close()


def protocol_link(port: Port) -> serving.Link:
    return serving.Link(port.path)


def damaged(folder: Path) -> bytes:
    data = bytearray((folder / "tiny.urnn").read_bytes())
    data[60] ^= 1
    return bytes(data)


@each_expectation
def test_by_pipe(pipe: PipeLine, expect: Callable[[Talk], None]) -> None:
    expect(Talk(pipe))


@each_expectation
def test_by_port(serial_line: SerialLine, expect: Callable[[Talk], None]) -> None:
    expect(Talk(serial_line))


def test_ends_with_its_input(pipe: PipeLine) -> None:
    Talk(pipe)
    pipe.send(b"0001 re")
    pipe.end_input()
    assert pipe.ended()


def test_mpremote_finds_the_board_free(port: Port, tmp_path: Path) -> None:
    """mpremote's own way in works while the server waits and after half a line."""
    from mpremote.transport_serial import SerialTransport

    serving.put_model(port, serving.write_tiny(tmp_path))
    for left in (b"", b"0001 hel"):
        transport = SerialTransport(port.path)
        transport.enter_raw_repl(soft_reset=False)
        transport.use_raw_paste = port.name != "webassembly"
        transport.exec_raw_no_follow(protocol.SERVE)
        assert b" ok urnn 1 " in transport.read_until(1, b"\n")
        transport.serial.write(left)
        transport.close()
        transport = SerialTransport(port.path)
        transport.enter_raw_repl(soft_reset=False)
        transport.use_raw_paste = port.name != "webassembly"
        assert transport.exec("print(6 * 7)").strip() == b"42"
        transport.exit_raw_repl()
        transport.close()


def documented() -> list[tuple[str, str]]:
    """(sent, answered) pairs of the document's frames."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(("> ", "< "))]
    assert lines[0].startswith("< 0000 ok urnn ")
    pairs = list(zip(lines[1::2], lines[2::2], strict=True))
    assert len(pairs) > 10
    return [(sent[2:], answer[2:]) for sent, answer in pairs]


def test_the_documents_frames_have_right_checks() -> None:
    wrong = [line for pair in documented() for line in pair if not unframe(line.encode())]
    assert len(wrong) == 1, "but for the one that shows a damaged line"
    assert wrong[0].endswith(" 00000000")


def test_the_documents_client_runs(port: Port, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The client runs unchanged, except for the port's name."""
    serving.put_model(port, serving.write_tiny(tmp_path))
    code = re.search(r"```python\n(import base64.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert code
    source = code[1].replace("/dev/ttyACM0", port.path)
    names: dict[str, object] = {}
    exec(compile(ast.parse(source), "docs/protocol.md", "exec"), names)
    names["port"].close()  # type: ignore[attr-defined]
    out = capsys.readouterr().out.splitlines()
    assert ast.literal_eval(out[0])[:6] == ["ok", "2", "3", "2", "512", str((tmp_path / "tiny.urnn").stat().st_size)]
    assert out[1] in ("0", "1", "2")


def full_heap_commands(name: str, kernels: str) -> list[str]:
    """Commands of every kind, and the longest lines and answers."""
    samples = np.random.default_rng(0).integers(-900, 900, (300, 2))
    line = (512 - len("ffff check h  ffffffff")) // 4 * 3 // 4
    answer = (512 - 32) * 3 // 16 // 3
    loaded = [f"load {name} {kernels}", f"step {words_of((1, 2))}", f"check {pack_samples(samples[:line])}"]
    loaded += [f"steps {pack_samples(samples[:answer])}", "state", "state ZAA4/w==", "fly", "step x AQAC", "state AAA="]
    loaded += [f"step i {base64.b64encode(struct.pack('<2i', -(2**31), 2**31 - 1)).decode()}", "check h AQ=="]
    return ["hello", *loaded, "reset", f"load {'x' * 400}", "load no-such.urnn", *loaded, "hello x", "quit"]


def with_full_heap(runtime: Runtime, folder: Path, free: int, piece: int, kernels: str) -> list[list[str]]:
    """The answers to full_heap_commands(), sent at once to a server with this much free heap."""
    commands = full_heap_commands("tiny.urnn", kernels)
    sent = b"".join(frame(f"{number:04x} {body}") for number, body in enumerate(commands, 1))
    script = DEVICE_SCRIPTS / "full_heap.py"
    done = subprocess.run(
        [*runtime.command, "-X", "heapsize=256k", str(script), str(free), str(piece), "tiny.urnn", kernels],
        cwd=folder,
        env={**os.environ, "MICROPYPATH": f"{verification.DEVICE}:.frozen"},
        input=sent,
        capture_output=True,
        timeout=60,
    )
    lines = [line.rstrip(b"\r") for line in done.stdout.split(b"\n")]
    assert (done.returncode, lines[-2:]) == (0, [b"END", b""]), done.stdout[-300:] + done.stderr[-300:]
    answers = [unframe(line) for line in lines[1:-2]]
    assert [words and words[0] for words in answers] == [f"{number:04x}" for number in range(1, len(commands) + 1)]
    return [words[1:] for words in answers if words]


@pytest.mark.parametrize("kernels", ["plain", "unrolled", "bytecode", "viper"])
def test_a_full_heap_ends_no_session(need_runtime: Callable[[str], Runtime], kernels: str, tmp_path: Path) -> None:
    """Each command has an answer: the right one if the model could be loaded, otherwise that memory is full."""
    serving.write_tiny(tmp_path)
    runtime = need_runtime("unix-i386")
    want = with_full_heap(runtime, tmp_path, 60000, 60000, kernels)
    assert [words[0] for words in want].count("ok") == 17
    full = tight = 0
    for piece in (96, 400, 3000):
        for free in (500, *range(1000, 10001, 1500)):
            model = False
            got = with_full_heap(runtime, tmp_path, free, piece, kernels)
            for command, answer, right in zip(full_heap_commands("tiny.urnn", kernels), got, want, strict=True):
                if command.startswith("load "):
                    model = answer[0] == "ok"
                    full += answer[:2] == ["err", "memory"]
                    assert answer == right or answer[:2] == ["err", "memory"], (piece, free, command)
                elif model or command.startswith(("hello", "fly", "quit")):
                    assert answer == right, (piece, free, command)
                    tight += piece == 96 and command.startswith("check")
                else:
                    assert answer[:3] == ["err", "model", "none"], (piece, free, command)
    assert full, "none of these heaps was full"
    assert tight, "none of these heaps was in pieces smaller than a line"
