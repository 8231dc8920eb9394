# SPDX-License-Identifier: MIT
"""A text file as a sequence of symbols: the network learns the next character."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data.options import Reading
from tinyrnn.data.source import Series, Source
from tinyrnn.data.table_text import looks_numeric, read_text
from tinyrnn.errors import DataError
from tinyrnn.text import counted

WINDOW = 100  # characters of a sequence
MOST_SYMBOLS = 256  # a row of the embedding and an output for each; the rarest beyond share one
OTHER = "\\?"  # their name
LEAST = 100  # characters of a usable text
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", " ": "\\s", "\r": "\\r"}


def read(path: Path, reading: Reading, like: Source | None, test: float, validation: float) -> Source:
    """The text as a classification at every step: x holds the number of a symbol, y that of the next one.

    test: share of the text, at its end, for the test. validation: share of what is left, again at its end. Symbols are
    sorted by code point. One that the training part lacks cannot be learnt: the test and validation parts are cut there,
    with a remark. like: the source to which this file gives the validation or the test part. Raises DataError for a file
    that is no text in UTF-8, or a table of numbers.
    """
    text = read_text(path, "text file").replace("\r\n", "\n").replace("\r", "\n")
    if looks_numeric(text):
        raise DataError(
            f"{path}: looks like a table of numbers, but is read as text to learn the next character; expected --label"
            " COLUMN or --target COLUMN for a table"
        )
    window = reading.window or WINDOW
    least = 2 if like else max(LEAST, 4 * window)
    if len(text) < least:
        cure = "a longer text" + (" or a smaller --window" if len(text) >= LEAST else "")
        raise DataError(f"{path}: {counted(len(text), 'character')} of text; expected at least {least}: {cure}")
    test_from = round(len(text) * (1 - test))
    kept_from = round(test_from * (1 - validation))
    remarks: list[str] = []
    if like is None:
        names, codes = _alphabet(path, text[:kept_from], remarks)
        parts = [("train" if test or validation else "", 0, kept_from)]
        parts += [("validation", kept_from, test_from)] * (kept_from < test_from)
        parts += [("test", test_from, len(text))] * (test_from < len(text))
    else:
        names, codes = like.symbols, dict(like.codes)
        parts = [("", 0, len(text))]
    if not names:
        raise DataError(f"{path}: a text, but {like.where if like else path} is none; expected the same kind of file")
    numbers = np.array([codes.get(symbol, -1) for symbol in text])
    series: list[Series] = []
    for part, start, stop in parts:
        runs = _known(numbers, start, stop)
        series += [
            Series(numbers[a : b - 1, None].astype(np.float64), numbers[a + 1 : b], _place(path, a, b), part=part)
            for a, b in runs
        ]
        lacking = sorted(set(text[start:stop]) - set(codes))
        if lacking and part != "train":
            remarks.append(
                f"{path.name}: the {part or 'given'} text is cut at {counted(len(lacking), 'symbol')} that the training part"
                f" lacks, such as {name(lacking[0])!r}"
            )
        if not runs:
            raise DataError(
                f"{path}: no two symbols of the {part or 'given'} text occur in training; expected a longer text"
            )
    return Source(
        name=files.title(path.stem),
        where=str(path),
        task="classification",
        when="every",
        channels=("character",),
        labels=names,
        series=series,
        unit="texts",
        own=_own(test, validation) if test and not like else "",
        window=window,
        stride=None if like else reading.stride,
        symbols=names,
        remarks=tuple(remarks),
        codes=codes,
    )


def _own(test: float, validation: float) -> str:
    words = f"the last {100 * test:g} % of the text for the test"
    return f"{words}; the last {100 * validation:g} % of the others for validation" if validation else words


def _alphabet(path: Path, text: str, remarks: list[str]) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of the symbols of the training text, and the number of each symbol. Adds a remark on rare ones."""
    count = Counter(text[1:])  # each symbol must be an answer: the first character never is, unless it occurs again
    common = sorted(count, key=lambda symbol: (-count[symbol], symbol))
    if len(common) > MOST_SYMBOLS:
        common = common[: MOST_SYMBOLS - 1]
    common.sort()
    names = [name(symbol) for symbol in common]
    codes = {symbol: number for number, symbol in enumerate(common)}
    if len(common) < len(count):
        rare = [symbol for symbol in count if symbol not in codes]
        share_pct = 100 * sum(count[symbol] for symbol in rare) / (len(text) - 1)
        names.append(OTHER)
        codes.update({symbol: len(common) for symbol in rare})
        remarks.append(
            f"{path.name}: {len(count)} symbols; the {len(rare)} rarest, {share_pct:.2g} % of the text, share one, named"
            f" {OTHER}"
        )
    if len(names) < 2:
        raise DataError(f"{path}: {counted(len(names), 'symbol')} in the text; expected at least 2")
    return tuple(names), codes


def _known(numbers: np.ndarray, start: int, stop: int) -> list[tuple[int, int]]:
    """The runs of at least two known symbols between two places."""
    known = np.concatenate([[False], numbers[start:stop] >= 0, [False]])
    edges = np.flatnonzero(np.diff(known.astype(np.int8))) + start
    return [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if b - a > 1]


def _place(path: Path, start: int, stop: int) -> str:
    return f"{path.name}, characters {start + 1} to {stop}"


def name(symbol: str) -> str:
    r"""How a symbol is written: itself, or \n, \t, \s (space), \\ or its code such as \u00a0. No name holds a line end."""
    if symbol in _ESCAPES:
        return _ESCAPES[symbol]
    if symbol.isprintable() and not symbol.isspace():
        return symbol
    code = ord(symbol)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
