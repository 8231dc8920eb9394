"""One CSV file, read by the standard library's csv module, so that complaints name file, line and column."""

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

SEPARATORS = "\t;,"  # tried in this order: a comma in a file with semicolons is a decimal comma
# Names of columns that count time or rows, with or without a unit: t, time_ms, Timestamp [us].
CLOCK = re.compile(
    r"(time|timestamp|time"
    r" stamp|datetime|date|t|ms|us|ns|s|secs?|seconds|millis|micros|ticks|elapsed|index|unnamed\W.*)"
    r"([ _-]?(ms|us|ns|s|secs?|seconds|millis|micros))?(\s*[\[(].*[\])])?"
)


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file: at least one row, all of the same width."""

    path: Path
    header: tuple[str, ...] | None  # (W,) as written in the file; None when it has no header row
    names: tuple[str, ...]  # (W,) the header, or "1", "2", ... without one
    rows: list[list[str]]  # of W cells
    lines: list[int]  # the line in the file on which each row ends, from 1
    separator: str

    def column(self, name: str, option: str) -> int:
        """The index of a column. Raises DataError that lists the columns there are."""
        try:
            return self.names.index(name)
        except ValueError:
            kind = "" if self.header else " (no header row, columns are called by their number)"
            raise DataError(
                f"{self.path}: no column {name!r} for {option}; expected one of {listed(self.names)}{kind}"
            ) from None

    def features(self, drop: Sequence[str], keep: Sequence[str], taken: Sequence[int] = ()) -> list[int]:
        """Indices of the input columns: all but those dropped or taken for something else.

        A clock is never an input by accident: it tells the network when, not what, and no board repeats it.
        """
        dropped = {self.column(name, "--drop") for name in drop}
        kept = {self.column(name, "--keep") for name in keep}
        both = sorted((dropped & kept) | (dropped | kept) & set(taken))
        if both:
            name = self.names[both[0]]
            raise DataError(
                f"{self.path}: column {name!r} is asked for in two ways; expected one of --drop, --keep,"
                " --label, --target, --group"
            )
        used = dropped.union(taken)
        found = [i for i in range(len(self.names)) if i not in used]
        for i in found:
            name = self.names[i]
            if i not in kept and CLOCK.fullmatch(name.casefold()):
                raise DataError(
                    f"{self.path}: column {name!r} looks like a clock or a row count, which is seldom an"
                    " input; "
                    f'expected a decision: --drop "{name}" to leave it out or --keep "{name}" to use it'
                )
        if not found:
            raise DataError(f"{self.path}: no column is left as input of {listed(self.names)}; expected at least one")
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
        """The cells of one column, none empty."""
        cells = [row[column] for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if not cell:
                raise DataError(
                    f"{self.path}:{line}: column {self.names[column]!r} is empty; expected {what}, fill it in"
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
            return DataError(f"{where} is empty; expected a number, fill it in or delete the line{drop}")
        shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
        if parse_number(cell, self.separator) is not None:
            return DataError(
                f"{where} is {shown}; expected a finite number up to {LARGEST:g}, mend or delete the line{drop}"
            )
        pieces = cell.split()
        if len(pieces) > 1 and all(parse_number(piece, self.separator) is not None for piece in pieces):
            return DataError(f"{where} is {shown}; expected one number, separate the columns with commas instead of spaces")
        return DataError(f"{where} is {shown}; expected a number, mend or delete the line{drop}")


def read_table(path: Path) -> Table:
    """Read UTF-8 (or UTF-16 with its mark) with commas, semicolons or tabs.

    The first row is a header when no cell of it is a number.
    Blank lines are skipped; spaces around a cell and rows of empty cells at the end do not count.
    Raises DataError for a file that cannot be read, is empty, or whose rows differ in width.
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
            f"{path}:{reader.line_num}: not a CSV file ({error}); expected rows of numbers, look for a stray quote"
        ) from None
    while rows and not any(rows[-1]):
        rows.pop()
        lines.pop()
    if not rows:
        raise DataError(f"{path}: empty; expected rows of numbers, record again or delete the file")
    width = len(rows[0])
    for row, line in zip(rows, lines, strict=True):
        if len(row) != width:
            raise DataError(
                f"{path}:{line}: {_columns(len(row))}, expected {width} as on line {lines[0]}; mend or delete the line"
            )
    header = None
    names = tuple(str(number + 1) for number in range(width))
    if all(parse_number(cell, separator) is None for cell in rows[0]):
        header = tuple(rows.pop(0))
        line = lines.pop(0)
        names = tuple(cell or f"unnamed {number + 1}" for number, cell in enumerate(header))
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}:{line}: column {name!r} is named twice; expected different names, rename one")
        if not rows:
            raise DataError(
                f"{path}:{line}: a header but no row of numbers; expected at least one, record again or delete the file"
            )
    return Table(path, header, names, rows, lines, separator)


def same_columns(first: Table, other: Table) -> None:
    """Raises DataError unless both files have the same header, or both none and the same width."""
    if len(first.names) != len(other.names):
        raise DataError(
            f"{other.path}:{other.lines[0]}: {_columns(len(other.names))}, expected {len(first.names)} as in"
            f" {first.path}; record all files alike"
        )
    if first.header != other.header:
        seen, wanted = (f"header {listed(table.header, ',')!r}" if table.header else "no header" for table in (other, first))
        raise DataError(f"{other.path}:1: {seen}, expected {wanted} as in {first.path}; give all files the same header row")


def parse_number(cell: str, separator: str) -> float | None:
    """The number in a cell, NaN and infinities too, or None. With semicolons a comma is a decimal point."""
    if separator == ";" and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        # float() also reads 1_000 and the digits of every script, which no sensor writes
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
        text = raw.decode(encoding).removeprefix("\ufeff")  # Excel's mark in front of UTF-8
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not {encoding}; expected text in UTF-8, save the file as that"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}:{line}: a zero byte; expected a CSV file of text in UTF-8, record again or delete the line")
    return text


def _separator(text: str) -> str:
    """The first of SEPARATORS that cuts the first ten lines into equally many cells, more than one."""
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:10]
    widths = {mark: [len(row) for row in csv.reader(lines, delimiter=mark)] for mark in SEPARATORS}
    for mark, found in widths.items():
        if found and found[0] > 1 and len(set(found)) == 1:
            return mark
    return max(reversed(SEPARATORS), key=lambda mark: widths[mark][:1])
