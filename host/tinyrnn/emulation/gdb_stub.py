# SPDX-License-Identifier: MIT
"""A client of QEMU's gdb stub on a unix socket: it sets registers, memory and breakpoints, and continues."""

from __future__ import annotations

import socket
import subprocess
import time

from tinyrnn.emulation.memory import MachineFault

START_S = 30.0
PIECE = 1024  # bytes of memory per packet


class Stub:
    """The gdb stub of a QEMU that was started with -g PATH. Raises MachineFault when QEMU ends or refuses a packet."""

    def __init__(self, path: str, process: subprocess.Popen[bytes]) -> None:
        self._left = b""
        end = time.monotonic() + START_S
        while True:
            self._socket = socket.socket(socket.AF_UNIX)
            try:
                self._socket.connect(path)
                return
            except OSError as error:
                self._socket.close()
                if process.poll() is not None or time.monotonic() > end:
                    raise MachineFault(f"QEMU does not start ({error}): python3 tools/runtimes.py xtensa") from None
                time.sleep(0.02)

    def close(self) -> None:
        self._socket.close()

    def ask(self, packet: str) -> bytes:
        """Send a packet and return the answer."""
        data = packet.encode()
        self._socket.sendall(b"$" + data + b"#%02x" % (sum(data) & 255))
        while b"#" not in self._left or len(self._left) < self._left.index(b"#") + 3:
            more = self._socket.recv(1 << 16)
            if not more:
                raise MachineFault("QEMU has ended: expected an answer")
            self._left += more
        end = self._left.index(b"#")
        answer = self._left[self._left.index(b"$") + 1 : end]
        self._left = self._left[end + 3 :]
        self._socket.sendall(b"+")
        return answer

    def do(self, packet: str) -> None:
        """Send a packet. Raises MachineFault unless the answer is OK."""
        answer = self.ask(packet)
        if answer != b"OK":
            raise MachineFault(f"QEMU answers {answer[:40]!r} to {packet[:40]}: expected OK")

    def read(self, address: int, size: int) -> bytes:
        found = b""
        while len(found) < size:
            n = min(size - len(found), PIECE)
            answer = self.ask(f"m{address + len(found):x},{n:x}")
            if answer[:1] == b"E":
                raise MachineFault(f"no memory at {address + len(found):#x}: expected {size} bytes from {address:#x}")
            found += bytes.fromhex(answer.decode())
        return found

    def write(self, address: int, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            self.do(f"M{address + at:x},{len(piece):x}:{piece.hex()}")
