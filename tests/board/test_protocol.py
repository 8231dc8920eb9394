# SPDX-License-Identifier: MIT
"""The client of the line protocol on a damaged, cut or silent line, and with the wrong board."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import serving
from tinyrnn.board import protocol
from tinyrnn.board.link import Link
from tinyrnn.board.protocol import Client, Refused, frame, pack_samples, unframe, unpack
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError, LinkError
from tinyrnn.integer_model.simulator import Simulator

SAMPLES = np.random.default_rng(0).integers(-1000, 1000, (40, 2))


Fault = Callable[[int, bytes], bytes]  # (number, data) -> data


def unchanged(number: int, data: bytes) -> bytes:
    return data


class Noise:
    """pyserial's object with faults. write changes the data of the n-th write, read changes the n-th line."""

    def __init__(self, serial: Any, write: Fault = unchanged, read: Fault = unchanged) -> None:
        self._serial, self._write, self._read = serial, write, read
        self.writes = self.lines = 0
        self._ahead = b""

    def write(self, data: bytes) -> int:
        self.writes += 1
        return int(self._serial.write(self._write(self.writes, data)))

    @property
    def in_waiting(self) -> int:
        return len(self._ahead) + int(self._serial.in_waiting)

    def read(self, size: int) -> bytes:
        if not self._ahead:
            data = self._serial.read_until(b"\n")
            if data.endswith(b"\n"):
                self.lines += 1
                data = self._read(self.lines, data)
            self._ahead = data
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data


def stream(client: Client) -> list[list[int]]:
    """The outputs of all SAMPLES, pipelined."""
    got = []
    for sample in SAMPLES:
        client.send(f"step {pack_samples(sample)}")
        while (words := client.receive(0.0)) is not None:
            got.append(unpack(words[1], "<i4").tolist())
    return got + drain(client)


def drain(client: Client) -> list[list[int]]:
    got = []
    while client.pending:
        words = client.receive()
        assert words
        got.append(unpack(words[1], "<i4").tolist())
    return got


def expected() -> list[list[int]]:
    return Simulator(serving.tiny_network()).run(SAMPLES[None])[0][0].tolist()


@pytest.fixture
def client(port: Port, tmp_path: Path) -> Iterator[Client]:
    serving.put_model(port, serving.write_tiny(tmp_path))
    with Link(port.path) as link:
        client = Client(link)
        began = time.monotonic()
        client.load("tiny.urnn", "plain")
        client.timeout_s = max(2.0, 20 * (time.monotonic() - began))  # what is lost is found out after so long
        yield client


def test_pipelined_answers_come_in_order(client: Client) -> None:
    assert stream(client) == expected()
    assert client.sent_again == 0


@pytest.mark.parametrize("fault", ["bit", "lost", "cut", "end", "garbage", "ctrl-c"])
def test_a_damaged_command_is_sent_again(client: Client, fault: str) -> None:
    """Two commands of a stream are damaged. Every step is computed once, in order."""

    def damage(number: int, data: bytes) -> bytes:
        if number not in (7, 20):
            return data
        return {
            "bit": data[:8] + bytes([data[8] ^ 4]) + data[9:],
            "lost": b"",
            "cut": data[:11],
            "end": data[:-1],
            "garbage": b"\xff\x00\x03\x04" + data,
            "ctrl-c": data[:5] + b"\x03" + data[5:],
        }[fault]

    client._serial = Noise(client._serial, write=damage)
    assert stream(client) == expected()
    assert client.sent_again > 0


def test_a_damaged_answer_is_asked_for_again(client: Client) -> None:
    """With one command at a time, the board still has its answer, and it does not repeat the step."""
    client._serial = Noise(client._serial, read=lambda n, data: data.replace(b"ok", b"oj") if n in (3, 4, 9) else data)
    got = [unpack(client.ask(f"step {pack_samples(sample)}")[1], "<i4").tolist() for sample in SAMPLES]
    assert got == expected()
    assert client.sent_again > 0


def test_lost_answers_are_a_clear_error(client: Client) -> None:
    """Two answers are lost while commands are in flight. The client does not know the state and does not guess."""
    client._serial = Noise(client._serial, read=lambda n, data: b"?" + data if n in (3, 4, 5) else data)
    for sample in SAMPLES[:6]:
        client.send(f"step {pack_samples(sample)}")
    with pytest.raises(LinkError, match=r"the answer to command .* was lost: bytes are damaged on the line"):
        drain(client)


def test_a_line_that_is_all_noise_is_a_clear_error(client: Client) -> None:
    client.timeout_s = 0.3
    client._serial = Noise(client._serial, read=lambda n, data: data[:5] + b"#" + data[6:])
    with pytest.raises(LinkError, match="no answer after 5 tries"):
        client.ask("reset")


def test_refused_command(client: Client) -> None:
    with pytest.raises(Refused, match=r"refused `walk` \(command: unknown\)"):
        client.ask("walk")
    assert client.ask("reset") == []


def test_another_model_is_not_used(client: Client, port: Port, tmp_path: Path) -> None:
    other = serving.write_tiny(tmp_path, bias=16)
    with pytest.raises(BoardError, match=r"another tiny.urnn is there .* `tinyrnn deploy .*tiny.urnn --port"):
        client.load_same(str(other))
    absent = serving.write_tiny(tmp_path, "absent.urnn")
    with pytest.raises(BoardError, match=r"no model to use there .* expected absent.urnn: `tinyrnn deploy"):
        client.load_same(str(absent))
    with pytest.raises(BoardError, match=r"no kernels 'fast'; expected one of .*plain"):
        client.load_same(str(other), "fast")


def test_a_board_without_urnn_says_so(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SERVE", "from no_urnn_here import serve; serve.serve()")
    with Link(port.path) as link, pytest.raises(BoardError, match=r"line protocol is not there .* `tinyrnn deploy MODEL"):
        Client(link)


def test_a_board_that_is_gone_says_so(make_port: Callable[..., Port], tmp_path: Path) -> None:
    port = make_port("unix-x64")
    serving.put_model(port, serving.write_tiny(tmp_path))
    with Link(port.path) as link:
        client = Client(link)
        port.kill()
        with pytest.raises(LinkError, match="the board went away"):
            client.ask("hello")
        with pytest.raises(LinkError, match="the board went away"):
            client.check_line()


def test_frames() -> None:
    assert frame("0001 reset") == b"0001 reset " + b"%08x\n" % zlib.crc32(b"0001 reset")
    assert unframe(frame("0001 ok 1 2")[:-1]) == ["0001", "ok", "1", "2"]
    assert unframe(b"") is None
    assert unframe(b"0001 ok 00000000") is None
    assert pack_samples(np.array([1, -32768])).startswith("h ")
    assert pack_samples(np.array([1, -32769])).startswith("i ")
    assert unpack(pack_samples(np.array([[1, 2], [3, -40000]])).split()[1], "<i4").tolist() == [1, 2, 3, -40000]
