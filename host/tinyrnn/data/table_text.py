# SPDX-License-Identifier: MIT
"""The text of a table: its encoding, its comment lines, the mark between the cells and the decimal mark."""

from __future__ import annotations

import csv
import errno
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyrnn import files
from tinyrnn.errors import DataError

SEPARATORS = "\t;,| "  # of marks that divide the lines equally well, the first is taken
COMMENTS = ("#", "%", "//")  # gnuplot and NumPy, MATLAB and ROS, and microcontrollers' own logs
EXCEL = re.compile(r'"?sep=(.|\\t)"?\s*', re.IGNORECASE)  # Excel's line that names the separator
SAMPLE_LINES = 30  # from these the separator is detected
SAMPLE_CHARACTERS = 100_000
_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
_THREE = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,234 is a number in thousands as well as one with three decimals
_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "pipes", " ": "spaces"}


@dataclass(slots=True)
class Row:
    """The cells of a row, and the line of the file on which it ends, from 1."""

    cells: list[str]
    line: int


class TableText:
    """The rows of a file, without comments and blank lines.

    separator: one of SEPARATORS; for a space, any run of spaces and tabs divides. heading: the comment line just before
    the first row, without its mark; None if there is none. first: the text of the first row.
    Iterate over it once; heading and first are then known. Raises DataError, with the line, for text that is no table.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._lines = text
        declared = EXCEL.fullmatch(text[: text.find("\n") + 1 or len(text)][:20])
        self._skip = 1 if declared else 0
        sample = _sample(text)[self._skip :]
        # WISDM and others end each line with a semicolon, although commas divide it
        rows = sample[1:] or sample
        self._end = ";" if rows and all(line.endswith(";") for line in rows) else ""
        if declared:
            self.separator = "\t" if declared[1] == "\\t" else declared[1]
            self._end = ""
        else:
            self.separator = _separator([line.removesuffix(self._end) for line in sample])
            if self.separator == ";":
                self._end = ""
        self.heading: Row | None = None
        self.first = ""
        self._line = 0
        self._between = True  # the next line starts a row
        self._started = False

    def __iter__(self) -> Iterator[Row]:
        reader = self._reader(self._physical())
        while True:
            self._between = True
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(
                    f"{self.path}:{self._line}: not a CSV file ({error}); expected rows of numbers: look for a stray quote"
                ) from None
            cells = [cell.strip() for cell in cells]
            if cells and cells != [""]:
                self._started = True
                yield Row(cells, self._line)

    @property
    def commas(self) -> bool:
        """Whether a cell may hold a comma."""
        return ("," if self.separator != "," else '"') in self._lines

    def cells(self, line: str) -> list[str]:
        """The cells of one line of text."""
        found = next(self._reader(iter([self._clean(line)])), [])
        return [cell.strip() for cell in found]

    def _reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self.separator, skipinitialspace=True, strict=True)

    def _physical(self) -> Iterator[str]:
        """The lines of the file, ready for csv.reader. Inside a quoted cell, nothing is a comment."""
        for number, line in enumerate(io.StringIO(self._lines, newline=""), 1):
            self._line = number
            if number <= self._skip:
                continue
            if self._between:
                text = line.strip(" \r\n")
                if not text:
                    continue
                if text.lstrip().startswith(COMMENTS):
                    mark = next(mark for mark in COMMENTS if text.lstrip().startswith(mark))
                    if not self._is_row(text, mark):
                        if not self._started:
                            self.heading = self._heading(text.lstrip().removeprefix(mark), number)
                        continue
                if not self.first:
                    self.first = text
            self._between = False
            yield self._clean(line)

    def _is_row(self, text: str, mark: str) -> bool:
        """Whether a line that starts with a comment mark is a row: below the first row, a cell may hold the mark alone."""
        return self._started and self.separator != " " and text != mark and self.cells(text)[0] == mark

    def _heading(self, text: str, line: int) -> Row | None:
        try:
            return Row(self.cells(text), line)
        except csv.Error:  # a comment with a stray quote
            return None

    def _clean(self, line: str) -> str:
        if not self._end and self.separator != " ":
            return line
        if self._end and line.rstrip().endswith(self._end):
            line = line.rstrip().removesuffix(self._end)
        return line.replace("\t", " ").strip() if self.separator == " " else line


def read_text(path: Path, what: str = "CSV file") -> str:
    """The text of a file in UTF-8, or UTF-16 with a byte order mark. Raises DataError, with the line of a bad byte.

    what: the kind of file that is expected, for the message.
    """
    try:
        raw = files.read(path, files.LARGEST_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            cure = "save it as .npz" if what == "CSV file" else "keep a part of it"
            raise DataError(f"{path}: {error.strerror}; expected a smaller {what}: {cure}") from None
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a {what}, check its permissions") from None
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
        raise DataError(f"{path}:{line}: a zero byte; expected a {what} in UTF-8: record again or delete the line")
    return text


def parse_number(cell: str, decimal: str = ".") -> float | None:
    """The number in a cell, which may be NaN or infinite, or None. decimal: "." or ",", the only mark that is taken."""
    if decimal == ",":
        if "." in cell or cell.endswith(","):  # a comma at the end is a separator
            return None
        cell = cell.replace(",", ".", 1)
    try:
        # float() also accepts 1_000 and the digits of every script, which no sensor writes
        return float(cell) if cell.isascii() and "_" not in cell else None
    except ValueError:
        return None


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with either decimal mark."""
    return parse_number(cell) is not None or parse_number(cell, ",") is not None


def decimal_mark(rows: Sequence[Sequence[str]], separator: str) -> str:
    """The decimal mark of a whole table, "." or ",": the one that more of its cells have.

    1,234 may be a number of thousands. It counts as a decimal comma only beside semicolons, which exist because the comma
    is taken, or beside cells that leave no doubt, such as 0,5.
    """
    points = commas = doubtful = 0
    for row in rows:
        for cell in row:
            if "," in cell:
                if _COMMA.fullmatch(cell):
                    if _THREE.fullmatch(cell):
                        doubtful += 1
                    else:
                        commas += 1
            elif "." in cell and _POINT.fullmatch(cell):
                points += 1
    if commas or (doubtful and not points and separator == ";"):
        commas += doubtful
        return "," if commas > points or (commas == points and separator != ",") else "."
    return "."


def doubt(cell: str, decimal: str) -> str:
    """What is doubtful in a cell with commas and points, and what was expected; "" if it is no number in any notation."""
    bare = cell.lstrip("+-")
    if not bare[:1].isdigit() or not set(bare) <= set("0123456789.,'"):
        return ""
    if len(set(",.'") & set(bare)) > 1 or bare.count(",") > 1 or bare.count(".") > 1 or "'" in bare:
        return f"has a mark of thousands; expected digits with one decimal mark: write it as 1234{decimal}5"
    if decimal == "," and "." in bare:
        return "has a decimal point, but most numbers of the file a decimal comma; expected the same in all: write a comma"
    if _THREE.fullmatch(cell):
        plain = cell.replace(",", "")
        either = f"{cell.replace(',', '.')} or {plain}"
        return f"may be {either}; expected a decimal point and no mark of thousands: write one of them"
    if "," in bare:
        return "has a decimal comma, but most numbers of the file a decimal point; expected the same in all: write a point"
    return ""


def separator_name(separator: str) -> str:
    """The separator in words, in the plural."""
    return _NAMES.get(separator, f"{separator!r}")


def looks_numeric(text: str) -> bool:
    """Whether most cells in the first lines of a text are numbers, if it is read as a table."""
    sample = _sample(text)
    return max((_score(sample, mark)[1] for mark in SEPARATORS), default=0) > 0.5


def _sample(text: str) -> list[str]:
    """The first lines without comments and blank lines, stripped of spaces but not of tabs."""
    head = text[:SAMPLE_CHARACTERS]
    lines = [line.strip(" \r\n") for line in io.StringIO(head, newline="")]
    if len(head) < len(text) and len(lines) > 1:
        lines.pop()  # it may be cut
    found = [line for line in lines if line.strip() and not line.lstrip().startswith(COMMENTS)]
    return found[:SAMPLE_LINES]


def _separator(lines: list[str]) -> str:
    """The mark that divides the lines into the most cells that are numbers, a comma if none divides them."""
    best = max(SEPARATORS, key=lambda mark: _score(lines, mark))
    return best if _score(lines, best)[0] else ","


def _score(lines: list[str], mark: str) -> tuple[bool, float, bool]:
    """How well a mark divides lines: whether at all, the share of numbers among the cells, whether into equally many."""
    if mark == " ":
        lines = [line.replace("\t", " ").strip() for line in lines]
    try:
        rows = list(csv.reader(lines, delimiter=mark, skipinitialspace=True))
    except csv.Error:  # a cell of more than 131072 characters
        return False, 0.0, False
    rows = [[cell.strip() for cell in row] for row in rows if any(row)]
    for row in rows:
        while len(row) > 1 and not row[-1]:
            row.pop()
    body = rows[1:] or rows
    cells = [cell for row in body for cell in row]
    if not cells:
        return False, 0.0, False
    widths = {len(row) for row in body}
    return max(widths) > 1, sum(map(is_number, cells)) / len(cells), len(widths) == 1
