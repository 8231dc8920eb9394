# SPDX-License-Identifier: MIT
"""What the tests of the line protocol share: a tiny model, and a server's lines by a pipe or by a serial port."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from tinyrnn.board.deploy import deploy
from tinyrnn.board.link import Link
from tinyrnn.board.protocol import SERVE
from tinyrnn.board.sizing import read_model
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Channels, Network, pack
from tinyrnn.runtimes import Runtime, verification

TIMEOUT_S = 300.0  # guards against a hang
_deployed: WeakKeyDictionary[Port, dict[str, bytes]] = WeakKeyDictionary()


def tiny_network(bias: int = 0) -> Network:
    """2 inputs, 2 units, 3 classes, made by hand, for the frames of docs/protocol.md. bias: of the head's first row."""

    def matrix(weight: list[list[int]], bias: list[int], shift: int) -> Matrix:
        return Matrix(np.array(weight, np.int8), np.array(bias, np.int32), np.full(len(weight), shift, np.uint8))

    def ints(*values: int) -> np.ndarray:
        return np.array(values, np.int32)

    w = [[10, 20], [-30, 40], [50, -60], [70, 80], [-90, 100], [110, -120]]
    return Network(
        task="classification",
        when="every",
        input=Channels(ints(-1000, -1000), ints(1000, 1000), ints(0, 0), ints(64, 64), ints(2, 2)),
        cells=(GRU(matrix(w, [0] * 6, 7), matrix([row[::-1] for row in w], [100] * 6, 7)),),
        head=matrix([[100, -100], [-50, 50], [30, 30]], [bias, 0, 1000], 4),
        exponents=np.full(3, -16, np.int8),
        labels=("left", "right", "still"),
        channels=("x", "y"),
        input_exponents=np.array([0, 2], np.int8),
    )


def write_tiny(folder: Path, name: str = "tiny.urnn", bias: int = 0) -> Path:
    path = folder / name
    path.write_bytes(pack(tiny_network(bias)))
    return path


def put_model(port: Port, path: Path) -> None:
    """Deploy the model unless this session has already put the same file on this board."""
    data = path.read_bytes()
    there = _deployed.setdefault(port, {})
    if there.get(path.name) != data:
        deploy(port.path, read_model(path), lambda line: None)
        there[path.name] = data


class PipeLine:
    """A server behind stdin and stdout."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        script = folder / "main_serve.py"
        script.write_text(SERVE + "\n")
        path = str(verification.DEVICE)
        environment = {**os.environ, "MICROPYPATH": f"{path}:.frozen", "PYTHONPATH": path}
        self.process = subprocess.Popen(
            [*runtime.command, str(script)], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._buffer = b""

    def send(self, data: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def line(self, timeout_s: float = TIMEOUT_S) -> bytes | None:
        """The next line without its end; None when none comes or the server has ended."""
        assert self.process.stdout
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def ended(self) -> bool:
        """Whether the server has returned to its caller."""
        return self.process.wait(TIMEOUT_S) == 0

    def end_input(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream and not stream.closed:
                stream.close()


class SerialLine:
    """A server on a board."""

    def __init__(self, port: Port) -> None:
        self._link = Link(port.path)
        self._link.start(SERVE)
        self._serial: Any = self._link.serial

    def send(self, data: bytes) -> None:
        self._serial.write(data)

    def line(self, timeout_s: float = TIMEOUT_S) -> bytes | None:
        self._serial.timeout = timeout_s
        data = self._serial.read_until(b"\n")
        return bytes(data).rstrip(b"\r\n") if data.endswith(b"\n") else None

    def ended(self) -> bool:
        self._serial.timeout = TIMEOUT_S
        return bool(self._serial.read_until(b"\x04\x04>").endswith(b"\x04\x04>"))

    def close(self) -> None:
        self._link.close()
