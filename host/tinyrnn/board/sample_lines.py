# SPDX-License-Identifier: MIT
"""Read lines of numbers from a file, a pipe or a terminal, as they arrive, and turn them into raw samples."""

from __future__ import annotations

import codecs
import io
import os
import queue
import re
import threading
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.data.table_text import parse_number
from tinyrnn.errors import DataError
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.integer_model.network import Network

READ_BYTES = 1 << 16
QUEUED_LINES = 256
LONGEST = 1 << 22  # characters of a line; even the largest number of channels needs fewer
LIKE_A_NUMBER = re.compile(r"[+-]?[.,]?\d")


class Lines:
    """The lines of a file descriptor. A thread reads them, so that ready() never waits longer than asked.

    The text is UTF-8, or UTF-16 with a byte order mark; the first line comes without the mark. Lines end with LF, CR LF or
    CR. select() would not do, because on Windows it does not work for pipes. The thread uses os.read(), because Python
    cannot exit while a thread holds the lock of sys.stdin.
    """

    def __init__(self, fd: int) -> None:
        self._queue: queue.Queue[str | DataError | None] = queue.Queue(QUEUED_LINES)
        self._ahead: list[str | DataError | None] = []
        threading.Thread(target=self._read, args=(fd,), daemon=True).start()

    def ready(self, wait_s: float = 0.0) -> bool:
        """Whether a line, or the end, is there within that time in seconds."""
        if not self._ahead:
            try:
                self._ahead.append(self._queue.get(timeout=wait_s) if wait_s else self._queue.get_nowait())
            except queue.Empty:
                return False
        return True

    def next(self) -> str | None:
        """Wait for the next line; returns it without its line end, or None at the end. Raises DataError if too long."""
        line = self._ahead.pop() if self._ahead else self._queue.get()
        if isinstance(line, DataError):
            raise line
        return line

    def _read(self, fd: int) -> None:
        first = _bytes(fd)
        while first in (b"\xff", b"\xfe") and (more := _bytes(fd)):  # half a byte order mark
            first += more
        wide = first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")("replace")
        text = io.IncrementalNewlineDecoder(decoder, translate=True)
        data, rest, number = first, "", 0
        while True:
            *lines, rest = (rest + text.decode(data, final=not data)).split("\n")
            for line in lines:
                self._queue.put(line)
            number += len(lines)
            if len(rest) > LONGEST:
                seen = f"line {number + 1}: no end within {LONGEST} characters"
                self._queue.put(DataError(f"{seen}; expected lines of numbers"))
                break
            if not data:
                break
            data = _bytes(fd)
        if rest:
            self._queue.put(rest)
        self._queue.put(None)


def _bytes(fd: int) -> bytes:
    try:
        return os.read(fd, READ_BYTES)
    except OSError:  # the terminal is gone
        return b""


def fields(line: str) -> tuple[list[str], str]:
    """The fields of a line, without quotes around them, and their separator.

    The separator is the first of `;`, tab, `|` and `,` that the line contains, otherwise blanks. One at the end is ignored.
    """
    separator = next((mark for mark in ";\t|," if mark in line.strip()), " ")
    cells = line.split() if separator == " " else [cell.strip() for cell in line.split(separator)]
    if len(cells) > 1 and not cells[-1]:
        cells.pop()
    return [cell[1:-1].strip() if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell for cell in cells], separator


def _number(cell: str, separator: str) -> float | None:
    """The number in a field. Only one line is known, so the decimal mark cannot depend on the whole file."""
    return parse_number(cell, "," if separator in ";\t|" and "," in cell else ".")


def is_heading(line: str) -> bool:
    """Whether a first line names the columns: it is text, and no field is a number or starts like one."""
    cells, separator = fields(line)
    if any(_number(cell, separator) is not None or LIKE_A_NUMBER.match(cell) for cell in cells):
        return False
    return "".join(line.split()).isprintable() and "\ufffd" not in line


def sample(network: Network, line: str, number: int, raw: bool) -> np.ndarray:
    """The raw sample, int32 (C,), in a line. raw: the values already are the sensor's integers.

    If semicolons, tabs or pipes separate the values, a comma is a decimal point. Raises DataError, which names the
    line ``number``.
    """
    wanted = network.inputs
    if "\0" in line or "\ufffd" in line:
        raise DataError(f"line {number}: not text in UTF-8; expected {counted(wanted, 'value')}: save it as UTF-8")
    cells, separator = fields(line)
    if "" in cells and any(cells):
        raise DataError(f"line {number}: value {cells.index('') + 1} is empty; expected {counted(wanted, 'value')}")
    read = [_number(cell, separator) for cell in cells]
    values = [value for value in read if value is not None]
    if len(values) < len(read):
        raise DataError(f"line {number}: {line.strip()[:40]!r} is not numbers; expected {counted(wanted, 'value')}")
    if len(values) != wanted:
        raise DataError(f"line {number}: {counted(len(values), 'value')}; expected {wanted}{_names(network)}")
    array = np.array(values)
    if not np.isfinite(array).all():
        raise DataError(f"line {number}: a value is not finite; expected {wanted} numbers")
    if raw:
        if (array != np.floor(array)).any() or (array < -LIMIT).any() or (array >= LIMIT).any():
            raise DataError(f"line {number}: --raw takes integers in -2^30 .. 2^30 - 1: leave --raw out for the user's unit")
        return array.astype(np.int32)
    scale = 2.0 ** network.input_exponents.astype(np.float64)
    integers = np.floor(array * scale + 0.5)
    beyond = (integers < -LIMIT) | (integers >= LIMIT)
    if beyond.any():
        channel = int(beyond.argmax())
        largest = LIMIT / float(np.broadcast_to(scale, array.shape)[channel])
        raise DataError(
            f"line {number}: value {channel + 1} is {cells[channel]}; expected one below {largest:g}, as step() takes "
            "integers in -2^30 .. 2^30 - 1: mend or delete the line"
        )
    return network.raw(array)


def outside(network: Network, samples: np.ndarray) -> np.ndarray:
    """Which values of raw samples (N, C) lie outside the model's input range, bool (N, C). step() clips them to it."""
    return (samples < network.input.low) | (samples > network.input.high)


def _names(network: Network) -> str:
    names = network.channels
    return f": {', '.join(names)}" if names and len(names) == network.inputs <= 12 else ""
