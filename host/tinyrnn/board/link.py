# SPDX-License-Identifier: MIT
"""The only module that talks to a port. It sends programs and files to a board and checks both directions."""

from __future__ import annotations

import base64
import binascii
import math
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.board.raw_repl import RawRepl, last_line
from tinyrnn.board.source_stripping import strip
from tinyrnn.errors import BoardError, LinkError
from tinyrnn.runtimes import SCRIPTS

if TYPE_CHECKING:
    from tinyrnn.board.identity import Identity

ANSWER = re.compile(rb"^=([0-9a-f]{8}) (\d+) ([AEN])\n", re.MULTILINE)
PATIENCE_S = 10.0  # longest wait for one answer, unless VARIABLE is set
VARIABLE = "TINYRNN_TIMEOUT_S"
CHUNK_BYTES = 2304  # of a file in one exec: small enough for the board's heap, large enough for few round trips


def patience_s(default_s: float = PATIENCE_S) -> float:
    """The longest wait for one answer of a board, in seconds. Raises LinkError when VARIABLE is not a positive number."""
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text) if text else default_s
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise LinkError(f"{VARIABLE} is {text!r}; expected seconds to wait for an answer of the board, such as 60")
    return seconds


@cache
def script(name: str) -> str:
    """The source of a file in runtimes/scripts, without comments and docstrings."""
    return strip((Path(SCRIPTS) / name).read_text(encoding="utf-8"))


class Link(RawRepl):
    """A board at its raw REPL, for the length of a ``with`` block.

    Entering the block interrupts a running program. Leaving it returns the board to its friendly REPL.
    Raises LinkError for a fault of the port or the line, or no answer. Raises BoardError for an exception on the board.
    """

    def __init__(self, port: str, timeout_s: float | None = None) -> None:
        self._first = script("watchdog.py").encode() + b"\x04"  # the watchdog would reset the board before the next exchange
        self._guarded = False  # scripts/transfer_check.py is on the board
        self._sent = ""  # name of the last script sent, which the board still has
        self._identity: Identity | None = None
        super().__init__(port, patience_s() if timeout_s is None else timeout_s)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def identity(self) -> Identity:
        """The board's identity, asked for once. Raises LinkError, BoardError."""
        if self._identity is None:
            self._identity = self.ask_identity()
        return self._identity

    def ask_identity(self, wanted_bytes: int = 1 << 20) -> Identity:
        """Ask the board for its identity again, because heap and flash change. Raises LinkError, BoardError.

        wanted_bytes: the board searches for the largest free block of its heap only up to this size.
        """
        from tinyrnn.board.identity import parse

        self._identity = parse(self.port, self.run_script("identify.py", wanted_bytes))
        return self._identity

    def exec(self, code: str, timeout_s: float | None = None) -> str:
        """Run code on the board and return what it printed. For short code only, because nothing checks what arrives."""
        with self._line():
            self._send(code)
            out, err = self._follow(self.timeout_s if timeout_s is None else timeout_s)
        if err:
            raise BoardError(f"{self.port}: {last_line(err)}")
        return out.decode("utf-8", "replace").replace("\r\n", "\n")

    def run_script(self, name: str, *args: object, timeout_s: float | None = None) -> str:
        """Call main(*args) of a file in runtimes/scripts on the board; return the str that main() returns.

        A CRC-32 protects the script, the arguments and the answer. Raises LinkError for damage on the line, BoardError
        with the last line of the traceback for an exception on the board.
        """
        if not self._guarded:
            self._guard()
        return self._run(name, "" if name == self._sent else script(name), args, timeout_s)

    def put(self, path: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
        """Write a file under a temporary name, then rename it over the existing one. See write()."""
        temporary = path + "~"
        self.write(temporary, data, progress)
        self.run_script("files.py", "rename", (temporary, path))

    def write(self, path: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
        """Write a file in pieces, each of them checked. An existing file of that name is lost, even on failure.

        progress: called after each piece with its number of bytes. Raises LinkError for damage on the line. Raises
        BoardError when the board cannot write (no room, no folder); the partial file is then removed.
        """
        if not self._guarded:
            self._guard()
        try:
            for at in range(0, len(data) or 1, CHUNK_BYTES):
                piece = data[at : at + CHUNK_BYTES]
                begins, last = "" if at else path, at + CHUNK_BYTES >= len(data)
                text = base64.b64encode(piece)
                crc = binascii.crc32(begins.encode(), binascii.crc32(text))
                said = self.exec(f"_tinyrnn.write({text!r},{begins!r},{last},{crc})").strip()
                if said != f"={crc:08x}":
                    raise self._noise()
                if progress:
                    progress(len(piece))
        except BoardError as error:
            # Damaged code can raise any exception on the board; the file system raises OSError
            if "OSError" not in str(error) and "MemoryError" not in str(error):
                raise self._noise() from None
            self._forget(path)
            raise

    def soft_reset(self) -> None:
        """A fresh interpreter with an empty heap; boot.py runs, main.py does not."""
        self._guarded = False
        self._sent = ""
        super().soft_reset()

    def _hello(self, wait_s: float | None = None) -> None:
        super()._hello(wait_s)
        if self._platform == "rp2":
            self._send(script("watchdog.py"))
            self._follow(self.timeout_s)
            self._running = False

    def _leave(self) -> None:
        if self._guarded:
            self._send("_tinyrnn.close();del _tinyrnn")
            self._follow(1.0)

    def _guard(self) -> None:
        """Send scripts/transfer_check.py and test that it works before relying on it."""
        with self._line():
            self._send(script("transfer_check.py"))
            if self._follow(self.timeout_s) != (b"", b""):
                raise self._noise()
        if self._run("transfer_check.py", "main = str\n", ("ready",), None) != "ready":
            raise self._noise()
        self._guarded = True

    def _run(self, name: str, source: str, args: tuple[object, ...], timeout_s: float | None) -> str:
        """Call main(*args) of the script once. source: "" when the board already has the script."""
        parts = [part.encode() for part in (name, source, repr(args))]
        crc = 0
        for part in parts:
            crc = binascii.crc32(part, crc)
        self._sent = ""
        with self._line():
            self._send(f"_tinyrnn.run({parts[0]!r},{parts[1]!r},{parts[2]!r},{crc})")
            out, err = self._follow(self.timeout_s if timeout_s is None else timeout_s)
        if b"MemoryError" in err:
            raise BoardError(f"{self.port}: the heap has no room for {name}: reset the board, or free what runs first")
        out = out.replace(b"\r\n", b"\n")
        head = ANSWER.search(out)
        if err or not head:
            raise self._noise()
        text = out[head.end() : head.end() + int(head[2])]
        if binascii.crc32(text) != int(head[1], 16) or head[3] == b"N":
            raise self._noise()
        if head[3] == b"E":
            raise BoardError(f"{self.port}: {last_line(text)}")
        self._sent = name
        return text.decode()

    def _forget(self, path: str) -> None:
        """Try to remove a partial file. If this fails, the next deploy removes it."""
        try:
            self.exec("_tinyrnn.close()")
        except BoardError:
            pass
        try:
            self.exec(f"import os; os.remove({path!r})")
        except BoardError:
            pass
