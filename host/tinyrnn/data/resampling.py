# SPDX-License-Identifier: MIT
"""Resampling: rows with times of their own -> rows at an even rate, which a network needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tinyrnn.data import clocks
from tinyrnn.data.csv_table import Table
from tinyrnn.data.recording import listed
from tinyrnn.data.source import Series
from tinyrnn.data.table_text import is_number
from tinyrnn.errors import DataError
from tinyrnn.text import counted

LATE = 3  # an interval of more than so many usual ones is a gap, which is reported
CUT = 10  # a longer one is not bridged: the recording is cut there
MOST_REMARKS = 5
MOST_ROWS = 20_000_000  # of the result; a period far too short would fill the memory
_PERIOD = re.compile(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([a-zA-Zµμ]+)\s*")
_ISO = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)\s*(Z|UTC|[+-]\d{2}:?\d{2})?")
_EPOCHS = ((1e8, 1e10, 1.0), (1e11, 1e13, 1e-3), (1e14, 1e16, 1e-6), (1e17, 1e19, 1e-9))  # since 1970; in 1973 to 2286


@dataclass(frozen=True)
class Piece:
    """A stretch of a recording at an even rate."""

    x: np.ndarray  # (T, C) float64
    y: np.ndarray  # (T,) class indices or (T, O) float64
    rows: np.ndarray  # (T,) the row of the original recording at the same time or before


def parse_period(text: str) -> float:
    """The period in seconds of "20ms", "0.5 s", "50Hz" or "1kHz". Raises DataError."""
    match = _PERIOD.fullmatch(text)
    if match:
        word = match[2].casefold()
        factor = {"hz": 1.0, "khz": 1e3}.get(word)
        try:
            number = float(match[1])
        except ValueError:
            number = 0.0
        period = 0.0
        if 0 < number < float("inf"):
            period = 1 / (number * factor) if factor else number * clocks.SECONDS.get(word, 0.0)
        if 0 < period < float("inf"):
            return period
    raise DataError(f"{text!r} is no period or rate; expected a number with its unit, such as 20ms, 0.5s or 50Hz")


def times(table: Table, column: int) -> np.ndarray:
    """The times of a table's column in seconds, (M,). Raises DataError as seconds() does, or for a bad number."""
    cells = [row[column] for row in table.rows]
    values = table.numbers([column])[:, 0] if is_number(cells[0]) else None
    return seconds(cells, values, table.names[column], table.where)


def time_column(table: Table, asked: str | None, but: Collection[int]) -> int:
    """The column of times that is asked for, or the first that is named like a clock and holds times. Raises DataError.

    but: columns with another use.
    """
    if asked is not None:
        return table.column(asked, "--time")
    for column, name in enumerate(table.names):
        if column not in but and clocks.is_clock(name):
            try:
                times(table, column)
            except DataError:  # a counter, without a unit
                continue
            return column
    raise DataError(
        f"{table.path}: none of the columns {listed(table.names)} holds times with a unit; expected one for --resample:"
        " rename it, such as 'time (ms)', and name it with --time"
    )


def evenly(series: Sequence[Series], period: float, name: str) -> tuple[list[Series], list[str]]:
    """The series, cut at long gaps, with rows every ``period`` seconds, and remarks on their gaps.

    The last column of each x holds the times, in seconds; it is removed. name: of the time column. Raises DataError if
    times do not rise, or if nothing is left.
    """
    found: list[Series] = []
    remarks: list[str] = []
    for one in series:
        x, own = one.x[:, :-1], one.x[:, -1]
        check_times(own, name, one.place)
        remarks += gaps(own, period, one.place)
        every = one.y.ndim > 0
        pieces = resample(own, x, one.y if every else np.zeros(len(x), np.int64), period)
        for piece in pieces:
            lines = None if one.lines is None else one.lines[piece.rows]
            title = one.name if len(pieces) == 1 or lines is None else f"{one.name}, from line {lines[0]}"
            found.append(replace(one, x=piece.x, y=piece.y if every else one.y, name=title, lines=lines))
    if not found:
        raise DataError(
            f"{series[0].place(0)}: no two rows lie within a period of {period:g} s; expected a shorter --resample"
        )
    if len(remarks) > MOST_REMARKS:
        remarks = [*remarks[:MOST_REMARKS], f"gaps in {len(remarks) - MOST_REMARKS} more recordings"]
    return found, remarks


def seconds(cells: Sequence[str], values: np.ndarray | None, name: str, where: Callable[[int], str]) -> np.ndarray:
    """The times of a column in seconds (M,), the first of them 0: exact differences of dates, epochs and counters.

    cells: (M,) as in the file. values: (M,) the same as numbers, None if they are dates and times of ISO 8601, which have
    no other unit. The unit of numbers is in the column's name; numbers of the size of a Unix time tell it themselves.
    where: the place of a row, for messages. Raises DataError for a bad date, or a column without a unit.
    """
    if values is None:
        nanoseconds = np.array([_iso(cell, row, name, where) for row, cell in enumerate(cells)], np.int64)
        return (nanoseconds - nanoseconds[0]) * 1e-9
    factor = clocks.unit(name)
    if factor is None:
        factor = next((factor for low, high, factor in _EPOCHS if low <= values.min() and values.max() < high), None)
    if factor is None:
        raise DataError(
            f"{where(0)}: time column {name!r} names no unit; expected one: rename it, for example {name + ' (ms)'!r} or"
            f" {name + ' (s)'!r}"
        )
    return (values - values[0]) * factor


def check_times(times: np.ndarray, name: str, where: Callable[[int], str]) -> None:
    """Raise DataError, with file and line, if times (M,) in seconds run backwards or repeat."""
    steps = np.diff(times)
    if (steps <= 0).any():
        row = int((steps <= 0).argmax()) + 1
        seen = "repeats the row before" if steps[row - 1] == 0 else f"lies {-steps[row - 1]:g} s before the row before"
        raise DataError(
            f"{where(row)}: time {name!r} {seen}; expected times that rise: sort the rows, or delete this one, or name the"
            " recordings in the file with --group"
        )


def resample(times: np.ndarray, x: np.ndarray, y: np.ndarray, period: float) -> list[Piece]:
    """Rows every ``period`` seconds from the first one, in pieces that are cut at long gaps.

    times: (M,) seconds, rising. x: (M, C) float64. y: (M,) class indices or (M, O) float64 targets.
    Numbers are interpolated linearly; a class is that of the row at the same time or before. An interval of more than CUT
    usual ones is not bridged, where the usual one is the median interval or the period, whichever is longer. Pieces of one
    row are left out. Raises DataError if the result has more than MOST_ROWS rows.
    """
    limit = CUT * _usual(times, period)
    cuts = [0, *(np.flatnonzero(np.diff(times) > limit) + 1).tolist(), len(times)]
    spans = [times[stop - 1] - times[start] for start, stop in pairwise(cuts)]
    rows = sum(spans) / period
    if rows > MOST_ROWS:
        raise DataError(
            f"{sum(spans):g} s in steps of {period:g} s make {rows:.3g} rows; expected at most {MOST_ROWS}: choose a longer"
            " --resample, or check the unit of the time"
        )
    pieces = []
    for start, stop in pairwise(cuts):
        own = times[start:stop]
        # Rounding must lose neither the last row nor a row that lies exactly on the grid
        slack = 1e-6 * period
        count = int((own[-1] - own[0] + slack) / period) + 1
        if count < 2:
            continue
        grid = own[0] + period * np.arange(count)
        before = np.maximum(np.searchsorted(own, grid + slack, side="right") - 1, 0)
        pieces.append(
            Piece(
                _interpolated(grid, own, x[start:stop]),
                _interpolated(grid, own, y[start:stop]) if y.dtype.kind == "f" else y[start:stop][before],
                start + before,
            )
        )
    return pieces


def gaps(times: np.ndarray, period: float, where: Callable[[int], str]) -> list[str]:
    """A sentence for the gaps in times (M,), with the place and length of the longest; [] if there is none."""
    steps = np.diff(times)
    usual = _usual(times, period)
    found = int((steps > LATE * usual).sum())
    if not found:
        return []
    longest = int(steps.argmax())
    cut = int((steps > CUT * usual).sum())
    done = f"the recording is cut at {cut} of them" if cut else "values between are interpolated"
    if found == 1:
        done = "the recording is cut there" if cut else "values between are interpolated"
        return [f"{where(longest)}: a gap of {steps[longest]:g} s after this row; {done}"]
    return [
        f"{where(longest)}: {counted(found, 'gap')}, the longest of {steps[longest]:g} s after this row; {done}",
    ]


def _usual(times: np.ndarray, period: float) -> float:
    """The interval that is expected between two rows, in seconds."""
    return max(period, float(np.median(np.diff(times)))) if len(times) > 1 else period


def _interpolated(grid: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    columns = values.reshape(len(values), -1)
    out = np.empty((len(grid), columns.shape[1]))
    for column in range(columns.shape[1]):
        out[:, column] = np.interp(grid, times, columns[:, column])
    return out.reshape(len(grid), *values.shape[1:])


def _iso(cell: str, row: int, name: str, where: Callable[[int], str]) -> int:
    """Nanoseconds since 1970 of a date and time."""
    match = _ISO.fullmatch(cell.strip())
    if match:
        try:
            moment = np.datetime64(f"{match[1]}T{match[2].replace(',', '.')}", "ns").astype(np.int64)
        except ValueError:  # the 31st of February
            match = None
    if not match:
        raise DataError(
            f"{where(row)}: time {name!r} is {cell[:40]!r}; expected a number, or a date and time as 2024-05-31 14:02:00.25"
        )
    zone = match[3] or "Z"
    offset = 0
    if zone[0] in "+-":
        offset = (int(zone[1:3]) * 60 + int(zone[-2:])) * (1 if zone[0] == "+" else -1)
    return int(moment) - offset * 60_000_000_000
