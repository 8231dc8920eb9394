# SPDX-License-Identifier: MIT
"""A text file as a sequence of symbols: the network learns the next character."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.data.table_text import looks_numeric, read_text
from tinyrnn.errors import DataError
from tinyrnn.text import counted

WINDOW = 100  # characters of a sequence
MOST_SYMBOLS = 256  # a row of the embedding and an output for each; the rarest beyond share one
OTHER = "\\?"  # their name
LEAST = 100  # characters of a usable text
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\\": "\\\\", " ": "\\s", "\r": "\\r"}


def read(
    path: Path, *, window: int | None = None, test_fraction: float = 0.1, validation: float | None = None
) -> Recording:
    """The text as a classification at every step: x holds the number of a symbol, y that of the next one.

    The end of the text is the test, the part before it the validation, and the rest the training part. They are cut into
    sequences of ``window`` characters, 100 by default; no window lies in two parts.
    test_fraction: share of the text for the test. validation: share of what is left; None: 0.1.
    Symbols are sorted by code point. A sequence of the test or validation with a symbol that the training part lacks is
    left out, with a remark. Raises DataError for a file that is no text in UTF-8, or a table of numbers.
    """
    text = read_text(path, "text file").replace("\r\n", "\n").replace("\r", "\n")
    if looks_numeric(text):
        raise DataError(
            f"{path}: looks like a table of numbers, but is read as text to learn the next character; expected --label COLUMN"
            " or --target COLUMN for a table"
        )
    window = window or WINDOW
    least = max(LEAST, 4 * window)
    if len(text) < least:
        raise DataError(
            f"{path}: {counted(len(text), 'character')} of text; expected at least {least}: a longer text"
            + (" or a smaller --window" if len(text) >= LEAST else "")
        )
    share = 0.1 if validation is None else validation
    test_from = round(len(text) * (1 - test_fraction))
    kept_from = round(test_from * (1 - share))
    if min(kept_from, len(text) - test_from) < 2:
        raise DataError(f"{path}: the shares of the text leave a part empty; expected a smaller --test-fraction")
    # Each symbol must be an answer in the training part: the first character never is, unless it occurs again
    count = Counter(text[1:kept_from])
    common = {symbol for symbol, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))[: MOST_SYMBOLS - 1]}
    remarks: list[str] = []
    symbols = sorted(count if len(count) <= MOST_SYMBOLS else common)
    names = [name(symbol) for symbol in symbols]
    index = {symbol: number for number, symbol in enumerate(symbols)}
    if len(count) > MOST_SYMBOLS:
        rare = len(count) - len(common)
        share_pct = 100 * sum(count[symbol] for symbol in count if symbol not in common) / (kept_from - 1)
        names.append(OTHER)
        index.update({symbol: len(symbols) for symbol in count if symbol not in common})
        remarks.append(
            f"{path.name}: {len(count)} symbols; the {rare} rarest, {share_pct:.2g} % of the text, share one, named {OTHER}"
        )
    if len(names) < 2:
        raise DataError(f"{path}: {counted(len(names), 'symbol')} in the text; expected at least 2")
    numbers = np.array([index.get(symbol, -1) for symbol in text])

    def sequences(start: int, stop: int) -> tuple[Sequences, int]:
        x, y, where, lacking = [], [], [], 0
        for first in range(start, stop - 1, window):
            part = numbers[first : min(first + window + 1, stop)]
            if (part < 0).any():
                if start == 0 and first == 0:  # only the first character can be unknown in training
                    part = part[1:]
                else:
                    lacking += 1
                    continue
            x.append(part[:-1, None].astype(np.float64))
            y.append(part[1:])
            where.append(f"{path.name}, characters {first + 1} to {first + len(part)}")
        return Sequences(x, y, tuple(where)), lacking

    found = {}
    for part, start, stop in (
        ("training", 0, kept_from),
        ("validation", kept_from, test_from),
        ("test", test_from, len(text)),
    ):
        found[part], lacking = sequences(start, stop)
        if lacking:
            unseen = sorted(set(text[start:stop]) - set(count))
            remarks.append(
                f"{path.name}: {counted(lacking, f'{part} sequence')} left out, with"
                f" {counted(len(unseen), 'symbol')} that the training part lacks, such as {name(unseen[0])!r}"
            )
    if not len(found["test"]):
        raise DataError(f"{path}: each test sequence has a symbol that the training part lacks; expected a longer text")
    return Recording(
        files.title(path.stem),
        "classification",
        "every",
        ("character",),
        tuple(names),
        found["training"],
        found["test"],
        f"the last {100 * test_fraction:g} % of the text for the test",
        found["validation"] if len(found["validation"]) else None,
        symbols=tuple(names),
        remarks=tuple(remarks),
    )


def name(symbol: str) -> str:
    r"""How a symbol is written: itself, or \n, \t, \s (space), \\ or its code such as \u00a0, as no name may hold a line end."""
    if symbol in _ESCAPES:
        return _ESCAPES[symbol]
    if symbol.isprintable() and not symbol.isspace():
        return symbol
    code = ord(symbol)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
