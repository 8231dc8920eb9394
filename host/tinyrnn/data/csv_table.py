# SPDX-License-Identifier: MIT
"""A CSV file as a table. It is read with the csv module, so that errors name file, line and column."""

from __future__ import annotations

import csv
import errno
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data.recording import LARGEST, MOST_CHANNELS, listed
from tinyrnn.errors import DataError

SEPARATORS = "\t;,"  # tried in this order: in a file with semicolons, a comma is a decimal comma
# Names of columns that count time or rows, with or without a unit: t, time_ms, Timestamp [us]
CLOCK = re.compile(
    r"(time|timestamp|time"
    r" stamp|datetime|date|t|ms|us|ns|s|secs?|seconds|millis|micros|ticks|elapsed|index|unnamed\W.*)"
    r"([ _-]?(ms|us|ns|s|secs?|seconds|millis|micros))?(\s*[\[(].*[\])])?"
)


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file: at least one row, all of the same width W."""

    path: Path
    header: tuple[str, ...] | None  # (W,) as written in the file; None if it has no header row
    names: tuple[str, ...]  # (W,) the header, or "1", "2", ... without one
    rows: list[list[str]]  # W cells each
    lines: list[int]  # the line of the file on which each row ends, from 1
    separator: str

    def column(self, name: str, option: str) -> int:
        """The index of a column. Raises DataError, with a list of the columns, if there is none of that name."""
        try:
            return self.names.index(name)
        except ValueError:
            kind = "" if self.header else " (there is no header row, so columns are numbered)"
            raise DataError(
                f"{self.path}: no column {name!r} for {option}; expected one of {listed(self.names)}{kind}"
            ) from None

    def features(self, drop: Sequence[str], keep: Sequence[str], taken: Sequence[int] = ()) -> list[int]:
        """Indices of the input columns: all except those dropped or taken as answer or group.

        A clock never becomes an input by accident: it tells the network when a sample was recorded, not what it was,
        and its values never occur again. Raises DataError for such a column unless it is dropped or kept.
        """
        dropped = {self.column(name, "--drop") for name in drop}
        kept = {self.column(name, "--keep") for name in keep}
        both = sorted((dropped & kept) | (dropped | kept) & set(taken))
        if both:
            name = self.names[both[0]]
            raise DataError(
                f"{self.path}: column {name!r} is named in two options; expected one of --drop, --keep,"
                " --label, --target, --group"
            )
        used = dropped.union(taken)
        found = [i for i in range(len(self.names)) if i not in used]
        for i in found:
            name = self.names[i]
            if i not in kept and CLOCK.fullmatch(name.casefold()):
                raise DataError(
                    f"{self.path}: column {name!r} looks like a clock or a row number, which is rarely a useful input; "
                    f'expected a decision: --drop "{name}" to leave it out or --keep "{name}" to use it'
                )
        if not found:
            raise DataError(
                f"{self.path}: of the columns {listed(self.names)}, none is left as input; expected at least one"
            )
        return found

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """(rows, len(columns)) float64. Raises DataError with the line and column of a bad cell."""
        out = np.empty((len(self.rows), len(columns)))
        for number, row in enumerate(self.rows):
            for place, column in enumerate(columns):
                value = parse_number(row[column], self.separator)
                if value is None or not abs(value) <= LARGEST:
                    raise self._bad_number(number, column)
                out[number, place] = value
        return out

    def texts(self, column: int, what: str) -> list[str]:
        """The cells of one column. Raises DataError for an empty one; ``what`` says what it should hold."""
        cells = [row[column] for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if not cell:
                raise DataError(
                    f"{self.path}:{line}: column {self.names[column]!r} is empty; expected {what}: fill it in"
                    " or delete the line"
                )
        return cells

    def _bad_number(self, number: int, column: int) -> DataError:
        cell = self.rows[number][column]
        where = f"{self.path}:{self.lines[number]}: column {column + 1}"
        name = self.names[column]
        if self.header:
            where += f" ({name})"
        drop = f', or leave the column out with --drop "{name}"'
        if not cell:
            return DataError(f"{where} is empty; expected a number: fill it in or delete the line{drop}")
        shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
        if parse_number(cell, self.separator) is not None:
            return DataError(
                f"{where} is {shown}; expected a finite number up to {LARGEST:g}: correct or delete the line{drop}"
            )
        pieces = cell.split()
        if len(pieces) > 1 and all(parse_number(piece, self.separator) is not None for piece in pieces):
            return DataError(f"{where} is {shown}; expected one number: separate the columns with commas instead of spaces")
        return DataError(f"{where} is {shown}; expected a number: correct or delete the line{drop}")


def read_table(path: Path) -> Table:
    """Read a file in UTF-8, or UTF-16 with a byte order mark, with commas, semicolons or tabs between the cells.

    The first row is a header if none of its cells is a number. Blank lines, spaces around a cell, and rows of empty cells
    at the end are ignored. Raises DataError if the file cannot be read, is empty, or has rows of different width.
    """
    text = _decode(path)
    separator = _separator(text)
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for raw in reader:
            row = [cell.strip() for cell in raw]
            if row and row != [""]:
                rows.append(row)
                lines.append(reader.line_num)
                if len(row) > MOST_CHANNELS:
                    seen = f"{len(row)} columns; expected at most {MOST_CHANNELS}, one for each value of a sensor"
                    raise DataError(f"{path}:{lines[-1]}: {seen}")
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: not a CSV file ({error}); expected rows of numbers: look for a stray quote"
        ) from None
    while rows and not any(rows[-1]):
        rows.pop()
        lines.pop()
    if not rows:
        raise DataError(f"{path}: is empty; expected rows of numbers: record again or delete the file")
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise DataError(
                f"{path}:{line}: {_columns(len(row))}, expected {width} as on line {lines[0]}; correct or delete the line"
            )
    header = None
    names = tuple(str(number + 1) for number in range(width))
    if all(parse_number(cell, separator) is None for cell in rows[0]):
        header = tuple(rows.pop(0))
        line = lines.pop(0)
        names = tuple(cell or f"unnamed {number + 1}" for number, cell in enumerate(header))
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}:{line}: two columns are named {name!r}; expected different names: rename one")
        if not rows:
            raise DataError(
                f"{path}:{line}: a header but no row of numbers; expected at least one: record again or delete the file"
            )
    return Table(path, header, names, rows, lines, separator)


def same_columns(first: Table, other: Table) -> None:
    """Raise DataError unless both files have the same header, or both have no header and the same width."""
    if len(first.names) != len(other.names):
        raise DataError(
            f"{other.path}:{other.lines[0]}: {_columns(len(other.names))}, expected {len(first.names)} as in"
            f" {first.path}; record all files alike"
        )
    if first.header != other.header:
        seen, wanted = (f"header {listed(table.header, ',')!r}" if table.header else "no header" for table in (other, first))
        raise DataError(f"{other.path}:1: {seen}, expected {wanted} as in {first.path}; give all files the same header row")


def parse_number(cell: str, separator: str) -> float | None:
    """The number in a cell, which may be NaN or infinite, or None. With semicolons, a comma is a decimal point."""
    if separator == ";" and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        # float() also accepts 1_000 and the digits of every script, which no sensor writes
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def _decode(path: Path) -> str:
    try:
        raw = files.read(path, files.LARGEST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DataError(f"{path}: {error.strerror}; expected a smaller CSV file: save it as .npz") from None
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a CSV file, check its permissions") from None
    encoding = "UTF-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "UTF-8"
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")  # the byte order mark that Excel writes
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not {encoding}; expected text in UTF-8: save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}:{line}: a zero byte; expected a CSV file of text in UTF-8: record again or delete the line")
    return text


def _separator(text: str) -> str:
    """The first of SEPARATORS that divides each of the first ten lines into the same number of cells, at least two."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:10]
    widths = {mark: [len(row) for row in csv.reader(lines, delimiter=mark)] for mark in SEPARATORS}
    for mark, found in widths.items():
        if found and found[0] > 1 and len(set(found)) == 1:
            return mark
    return max(reversed(SEPARATORS), key=lambda mark: widths[mark][:1])
