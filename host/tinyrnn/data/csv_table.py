# SPDX-License-Identifier: MIT
"""A text file as a table. It is read with the csv module, so that errors name file, line and column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrnn.data import clocks
from tinyrnn.data.recording import LARGEST, MOST_CHANNELS, listed
from tinyrnn.data.table_text import Row, TableText, decimal_mark, doubt, is_number, parse_number, read_text
from tinyrnn.errors import DataError
from tinyrnn.text import counted

MISSING = {"nan", "<na>", "#n/a"}  # how pandas and Excel write a missing value; "none" and "null" are classes of some sets


@dataclass(frozen=True)
class Table:
    """The cells of a table: at least one row, all of the same width W."""

    path: Path
    header: tuple[str, ...] | None  # (W,) as written in the file; None if it has no header row
    names: tuple[str, ...]  # (W,) the header, or "1", "2", ... without one
    rows: list[list[str]]  # W cells each
    lines: list[int]  # the line of the file on which each row ends, from 1
    separator: str
    decimal: str = "."  # the decimal mark of the whole file
    row_names: int | None = None  # the column of row names, which is no input unless it is kept
    remarks: tuple[str, ...] = ()  # what was left out, a sentence each

    def column(self, name: str, option: str) -> int:
        """The index of a column. Raises DataError, with a list of the columns, if there is none of that name."""
        try:
            return self.names.index(name)
        except ValueError:
            kind = "" if self.header else " (there is no header row, so columns are numbered)"
            raise DataError(
                f"{self.path}: no column {name!r} for {option}; expected one of {listed(self.names)}{kind}"
            ) from None

    def index(self, name: str) -> int:
        """The index of a column that an option drops. Raises DataError."""
        return self.column(name, "--drop")

    def features(self, drop: Sequence[str], keep: Sequence[str], taken: Sequence[int] = ()) -> list[int]:
        """Indices of the input columns: all except those dropped or taken as answer or group, and row names.

        A clock never becomes an input by accident: it tells the network when a sample was recorded, not what it was,
        and its values never occur again. Raises DataError for such a column unless it is dropped or kept. Columns that
        count without such a name are found by clocks.check_rising().
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
        if self.row_names is not None and self.row_names not in kept:
            used.add(self.row_names)
        found = [i for i in range(len(self.names)) if i not in used]
        for i in found:
            name = self.names[i]
            if i not in kept and clocks.is_clock(name):
                raise DataError(
                    f"{self.path}: column {name!r} looks like a clock or a row number, which is rarely a useful input; "
                    f"expected a decision: {clocks.decision(name)}"
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
                value = parse_number(row[column], self.decimal)
                if value is None or not abs(value) <= LARGEST:
                    raise self._bad_number(number, column)
                out[number, place] = value
        return out

    def texts(self, column: int, what: str) -> list[str]:
        """The cells of one column. Raises DataError for one that is empty or NaN; ``what`` says what it should hold."""
        cells = [_one_line(row[column]) for row in self.rows]
        for line, cell in zip(self.lines, cells, strict=True):
            if not cell or cell.casefold() in MISSING:
                seen = f"is {cell!r}, a missing value" if cell else "is empty"
                raise DataError(
                    f"{self.path}:{line}: column {self.names[column]!r} {seen}; expected {what}: fill it in"
                    " or delete the line"
                )
        return cells

    def where(self, number: int) -> str:
        """The place of a row in the file, such as "walk.csv:7"."""
        return f"{self.path}:{self.lines[number]}"

    def _bad_number(self, number: int, column: int) -> DataError:
        cell = self.rows[number][column]
        where = f"{self.where(number)}: column {column + 1}"
        name = self.names[column]
        if self.header:
            where += f" ({name})"
        drop = f", or leave the column out with --drop {clocks.quoted(name)}"
        if not cell:
            return DataError(f"{where} is empty; expected a number: fill it in or delete the line{drop}")
        shown = repr(cell if len(cell) <= 40 else cell[:37] + "...")
        if parse_number(cell, self.decimal) is not None:
            return DataError(
                f"{where} is {shown}; expected a finite number up to {LARGEST:g}: correct or delete the line{drop}"
            )
        doubtful = doubt(cell, self.decimal)
        if doubtful:
            return DataError(f"{where} is {shown}, which {doubtful}{drop}")
        return DataError(f"{where} is {shown}; expected a number: correct or delete the line{drop}")


def read_table(path: Path) -> Table:
    """Read a file in UTF-8, or UTF-16 with a byte order mark.

    Commas, semicolons, tabs, pipes or runs of spaces divide the cells. The first row is a header if none of its cells is a
    number; without one, a comment just before the first row is, if it has as many cells. Comments, blank lines, spaces
    around a cell, separators at the end of a line, and rows of empty cells at the end are ignored. Raises DataError if the
    file cannot be read, is empty, or has rows of different width.
    """
    text = TableText(path, read_text(path))
    found: list[Row] = []
    for row in text:
        found.append(row)
        if len(row.cells) > MOST_CHANNELS:
            seen = f"{len(row.cells)} columns; expected at most {MOST_CHANNELS}, one for each value of a sensor"
            raise DataError(f"{path}:{row.line}: {seen}")
    while found and not any(found[-1].cells):
        found.pop()
    if not found:
        raise DataError(f"{path}: is empty; expected rows of numbers: record again or delete the file")
    header = found.pop(0) if not any(is_number(cell) for cell in found[0].cells) else None
    if header and not found:
        raise DataError(
            f"{path}:{header.line}: a header but no row of numbers; expected at least one: record again or delete the file"
        )
    if header and text.separator == " ":
        header = _unquoted(header, text.first, found)
    _trim(header, found)
    width = _width(found)
    if header is None:
        header = _heading(text.heading, width)
    # R writes a name less than there are columns; so does who puts a title of one word above a header
    title = len(found) > 1 and not any(is_number(cell) for cell in found[0].cells)
    named_rows = header is not None and len(header.cells) == width - 1 and not title
    if header and named_rows:
        header = Row(["", *header.cells], header.line)
    _check_widths(path, header, found)
    names = tuple(str(number + 1) for number in range(width))
    row_names = None
    remarks: tuple[str, ...] = ()
    rows = [row.cells for row in found]
    if header:
        header.cells[:] = [_one_line(cell) for cell in header.cells]
        names = tuple(cell or f"unnamed {number + 1}" for number, cell in enumerate(header.cells))
        name, count = Counter(names).most_common(1)[0]
        if count > 1:
            raise DataError(f"{path}:{header.line}: two columns are named {name!r}; expected different names: rename one")
        if width > 1 and (named_rows or (not header.cells[0] and _counts([row[0] for row in rows]))):
            row_names = 0
            remarks = (f"{path.name}: the first column holds row names, which are no input",)
    return Table(
        path,
        tuple(header.cells) if header else None,
        names,
        rows,
        [row.line for row in found],
        text.separator,
        decimal_mark(rows, text.separator) if text.commas else ".",
        row_names,
        remarks,
    )


def same_columns(first: Table, other: Table) -> None:
    """Raise DataError unless both files have the same header, or both have no header and the same width."""
    if len(first.names) != len(other.names):
        raise DataError(
            f"{other.path}:{other.lines[0]}: {counted(len(other.names), 'column')}, expected {len(first.names)} as in"
            f" {first.path}; record all files alike"
        )
    if first.header != other.header:
        seen, wanted = (f"header {listed(table.header, ',')!r}" if table.header else "no header" for table in (other, first))
        raise DataError(f"{other.path}:1: {seen}, expected {wanted} as in {first.path}; give all files the same header row")


def _one_line(cell: str) -> str:
    """A cell as one line: spreadsheets break long names, as in "acc x", line end, "(m/s)"."""
    return cell if cell.isprintable() else " ".join(cell.split())


def _trim(header: Row | None, found: list[Row]) -> None:
    """Remove the empty cells that separators at the ends of lines make. The rows change in place."""
    width = _width(found)
    everything = [header, *found] if header else found
    while width > 1 and all(len(row.cells) < width or not row.cells[width - 1] for row in everything):
        for row in everything:
            del row.cells[width - 1 :]
        width -= 1
    for row in everything:
        while len(row.cells) > width and not row.cells[-1]:
            row.cells.pop()


def _width(found: list[Row]) -> int:
    """The number of cells that most rows have."""
    return Counter(len(row.cells) for row in found).most_common(1)[0][0]


def _unquoted(header: Row, text: str, found: list[Row]) -> Row:
    """A header between spaces whose names hold single spaces: it is divided at two or more, if that fits the rows."""
    width = _width(found)
    if len(header.cells) not in (width, width - 1):
        cells = re.split(r"\s{2,}|\t", text.strip())
        if len(cells) in (width, width - 1):
            return Row(cells, header.line)
    return header


def _heading(comment: Row | None, width: int) -> Row | None:
    """A comment as header, as numpy.savetxt() and ROS write it: a name for each of at least two columns."""
    if comment is None or len(comment.cells) != width or width < 2:
        return None
    if not all(comment.cells[1:]) or any(is_number(cell) for cell in comment.cells):
        return None
    return comment


def _counts(cells: list[str]) -> bool:
    """Whether the cells are 0, 1, 2, ... or 1, 2, 3, ..."""
    first = cells[0]
    return first in ("0", "1") and all(cell == str(number) for number, cell in enumerate(cells, int(first)))


def _check_widths(path: Path, header: Row | None, found: list[Row]) -> None:
    width = _width(found)
    everything = [header, *found] if header else found
    good = next(row.line for row in everything if len(row.cells) == width)
    for row in everything:
        if len(row.cells) != width:
            comment = ", or begin it with # if it is no row" if row.line < good else ""
            raise DataError(
                f"{path}:{row.line}: {counted(len(row.cells), 'column')}, expected {width} as on line {good};"
                f" correct or delete the line{comment}"
            )
