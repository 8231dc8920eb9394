"""Lines of numbers as they come, from a file, a pipe or a terminal, and the raw samples in them."""

from __future__ import annotations

import os
import queue
import re
import threading
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.errors import DataError

if TYPE_CHECKING:
    from tinyrnn.network import Network

SEPARATORS = re.compile(r"[,;\s]+")
LIMIT = 1 << 30
READ_BYTES = 1 << 16
QUEUED_LINES = 256


class Lines:
    """The lines of a file descriptor, read in a thread of its own: asking for one never waits longer than wanted.

    A thread, as select() knows no pipes on Windows; os.read(), as a thread that is left in sys.stdin's lock cannot be ended.
    """

    def __init__(self, fd: int) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue(QUEUED_LINES)
        self._ahead: list[str | None] = []
        threading.Thread(target=self._read, args=(fd,), daemon=True).start()

    def ready(self, wait_s: float = 0.0) -> bool:
        """Whether there is a line, or the end, within that time."""
        if not self._ahead:
            try:
                self._ahead.append(self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait())
            except queue.Empty:
                return False
        return True

    def next(self) -> str | None:
        """The next line without its end; None after the last. Waits for it."""
        return self._ahead.pop() if self._ahead else self._queue.get()

    def _read(self, fd: int) -> None:
        rest = b""
        while True:
            try:
                data = os.read(fd, READ_BYTES)
            except OSError:  # the terminal is gone
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._queue.put(line.decode("utf-8", "replace").rstrip("\r"))
        if rest:
            self._queue.put(rest.decode("utf-8", "replace"))
        self._queue.put(None)


def numbers(line: str) -> list[float] | None:
    """The numbers of a line, separated by commas, semicolons or blanks; None when anything else is in it."""
    words = [word for word in SEPARATORS.split(line.strip().strip(",;")) if word]
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def sample(network: Network, line: str, number: int, raw: bool) -> np.ndarray:
    """One raw sample, int32 (C,), from line ``number``; raw: the values are the sensor's integers already.

    Raises DataError that names the line.
    """
    values = numbers(line)
    if values is None:
        raise DataError(f"line {number}: {line.strip()[:40]!r} is not numbers; expected {network.inputs} values")
    if len(values) != network.inputs:
        raise DataError(f"line {number}: {len(values)} values; expected {network.inputs}{_names(network)}")
    array = np.array(values)
    if not np.isfinite(array).all():
        raise DataError(f"line {number}: a value is not finite; expected {network.inputs} numbers")
    if not raw:
        return network.raw(array)
    if (array != np.floor(array)).any() or (array < -LIMIT).any() or (array >= LIMIT).any():
        raise DataError(f"line {number}: --raw takes integers in -2^30 .. 2^30 - 1: leave --raw out for the user's unit")
    return array.astype(np.int32)


def _names(network: Network) -> str:
    names = network.channels
    return f": {', '.join(names)}" if names and len(names) == network.inputs <= 12 else ""
