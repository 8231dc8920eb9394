# SPDX-License-Identifier: MIT
"""The one place that talks to a port: programs and files for a board, checked on their way and back."""

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
PATIENCE_S = 10.0  # for one answer, unless VARIABLE says otherwise
VARIABLE = "TINYRNN_TIMEOUT_S"
CHUNK_BYTES = 2304  # of a file, in one exec: a small block for the board's heap, few round trips


def patience_s(default_s: float = PATIENCE_S) -> float:
    """How long to wait for one answer of a board, in seconds. Raises LinkError when VARIABLE is not a number of them."""
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
    """A file of host/tinyrnn/scripts, stripped for the line."""
    return strip((Path(SCRIPTS) / name).read_text(encoding="utf-8"))


class Link(RawRepl):
    """A board at its raw REPL, from entering the ``with`` block to leaving it.

    A running program is interrupted, and at the end the board is at its friendly REPL.
    Raises LinkError (port, line, no answer) and BoardError (the board's exception).
    """

    def __init__(self, port: str, timeout_s: float | None = None) -> None:
        self._first = script("watchdog.py").encode() + b"\x04"  # which would reset the board before the next exchange
        self._guarded = False  # scripts/transfer_check.py is on the board
        self._sent = ""  # name of the script that the board has
        self._identity: Identity | None = None
        super().__init__(port, patience_s() if timeout_s is None else timeout_s)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def identity(self) -> Identity:
        """What the board says of itself; asked once. Raises LinkError, BoardError."""
        if self._identity is None:
            self._identity = self.ask_identity()
        return self._identity

    def ask_identity(self, wanted_bytes: int = 1 << 20) -> Identity:
        """What the board says of itself now: heap and flash change.

        wanted_bytes: the largest block of the heap is not looked for above it.
        """
        from tinyrnn.board.identity import parse

        self._identity = parse(self.port, self.run_script("identify.py", wanted_bytes))
        return self._identity

    def exec(self, code: str, timeout_s: float | None = None) -> str:
        """Run code on the board and return what it printed; for one-liners, as nothing checks what arrives."""
        with self._line():
            self._send(code)
            out, err = self._follow(self.timeout_s if timeout_s is None else timeout_s)
        if err:
            raise BoardError(f"{self.port}: {last_line(err)}")
        return out.decode("utf-8", "replace").replace("\r\n", "\n")

    def run_script(self, name: str, *args: object, timeout_s: float | None = None) -> str:
        """Call main(*args) of a file of host/tinyrnn/scripts on the board; return the str it gives.

        Script, arguments and answer are checked by CRC-32 on the way. Raises BoardError with the last line of its traceback.
        """
        if not self._guarded:
            self._guard()
        return self._run(name, "" if name == self._sent else script(name), args, timeout_s)

    def put(self, path: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
        """Write a file: under a temporary name, then renamed over what was there. See write()."""
        temporary = path + "~"
        self.write(temporary, data, progress)
        self.run_script("files.py", "rename", (temporary, path))

    def write(self, path: str, data: bytes, progress: Callable[[int], None] | None = None) -> None:
        """Write a file where nothing of value stands, each piece checked.

        progress: called with the number of bytes after each piece. Raises LinkError, BoardError (no room, no folder), and
        removes what it began when the board says no.
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
            # Damage on the way shows as any exception; what the file system says is an OSError
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
        """Send scripts/transfer_check.py, and see that it does its work before it is trusted."""
        with self._line():
            self._send(script("transfer_check.py"))
            if self._follow(self.timeout_s) != (b"", b""):
                raise self._noise()
        if self._run("transfer_check.py", "main = str\n", ("ready",), None) != "ready":
            raise self._noise()
        self._guarded = True

    def _run(self, name: str, source: str, args: tuple[object, ...], timeout_s: float | None) -> str:
        """One call of main(*args) of the script; source: "" when the board has it already."""
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
        """Best effort: the next deploy removes it too."""
        try:
            self.exec("_tinyrnn.close()")
        except BoardError:
            pass
        try:
            self.exec(f"import os; os.remove({path!r})")
        except BoardError:
            pass
