# SPDX-License-Identifier: MIT
"""Text files: symbols, their names, the split by position, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recordings import write
from tinyrnn import data
from tinyrnn.data import text_file
from tinyrnn.data.recording import Recording
from tinyrnn.errors import DataError

POEM = "The cat sat on the mat.\r\n\tA dog (brown) ran by; the cat did not stir: it slept, dreaming of \\ and mice.\r\n"


def load(path: Path, **options: Any) -> Recording:
    return data.load(str(path), **{"test_fraction": 0.1, "validation": 0.1, **options})


def test_the_next_character(tmp_path: Path) -> None:
    text = (POEM * 20).replace("\r\n", "\n")
    r = load(write(tmp_path / "poem.txt", POEM * 20), window=50)
    assert (r.name, r.task, r.when, r.channels) == ("poem", "classification", "every", ("character",))
    assert r.labels == r.symbols == tuple(text_file.name(symbol) for symbol in sorted(set(text)))
    assert {"\\n", "\\t", "\\s", "\\\\", "a"} <= set(r.labels)
    assert r.validation is not None
    symbols = sorted(set(text))
    end = round(len(text) * 0.9)
    for part, start, stop in (
        (r.train, 0, round(end * 0.9)),
        (r.validation, round(end * 0.9), end),
        (r.test, end, len(text)),
    ):
        inputs = "".join(symbols[int(i)] for x in part.x for i in x[:, 0])
        answers = "".join(symbols[i] for y in part.y for i in y)
        assert inputs == text[start : start + len(inputs)]
        assert answers == text[start + 1 : start + 1 + len(answers)]
        assert start + 1 + len(answers) == stop  # no character is lost, and none of another part is seen
        assert set(part.lengths[:-1]) == {50}
    assert r.integer
    assert r.split == "the last 10 % of the text for the test; the last 10 % of the others for validation"
    assert r.train.names[1].startswith("poem.txt, characters 1 to ")
    assert not r.remarks


def test_a_symbol_that_training_lacks(tmp_path: Path) -> None:
    text = "abcab" * 400
    r = load(write(tmp_path / "a.txt", text[:-10] + "z" + text[-9:]))
    assert r.labels == ("a", "b", "c")
    assert r.remarks == ("a.txt: the test text is cut at 1 symbol that the training part lacks, such as 'z'",)
    assert sum(r.test.lengths) == 200 - 3  # the symbol, its answer, and the answer that it would be
    first = load(write(tmp_path / "a.txt", "Z" + text))
    assert first.labels == ("a", "b", "c")  # the first character is no answer
    assert first.train.names[0] == "a.txt, characters 2 to 1621, rows 1 to 100"


def test_files_of_their_own(tmp_path: Path) -> None:
    path, other = write(tmp_path / "a.txt", "abcab" * 400), write(tmp_path / "b.txt", "cabba" * 30 + "x" + "abc" * 10)
    r = load(path, test=str(other), validation=None)
    assert sum(r.train.lengths) + sum(r.validation.lengths if r.validation else []) == 2000 - 2
    assert sum(r.test.lengths) == 149 + 29
    assert r.split.startswith(f"{path} and {other}")
    assert "b.txt: the given text is cut at 1 symbol that the training part lacks, such as 'x'" in r.remarks
    table = write(tmp_path / "t.csv", "ax,is\n1,a\n")
    with pytest.raises(DataError, match=r"neither --label nor --target"):
        load(path, test=str(table))


def test_options_of_tables_do_not_apply(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "abcab" * 400)
    with pytest.raises(DataError, match=r"--drop does not apply to this kind of data; it takes --window, --stride"):
        load(path, drop="a")


def test_rare_symbols_share_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = "".join(chr(0x4E00 + int(i)) for i in rng.integers(0, 200, 20_000))
    rare = "".join(chr(0x5E00 + i) for i in range(100))
    r = load(write(tmp_path / "a.txt", common[:5000] + rare + common[5000:]))
    assert len(r.labels) == 256
    assert r.labels[-1] == "\\?"
    assert r.remarks == ("a.txt: 300 symbols; the 45 rarest, 0.28 % of the text, share one, named \\?",)
    assert max(int(x.max()) for x in r.train.x) == 255


def test_names_of_symbols_are_printable_and_differ() -> None:
    symbols = [chr(code) for code in range(0x3100)] + ["👋", "\U000e0001"]
    names = [text_file.name(symbol) for symbol in symbols]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and name.strip() == name and len(name.splitlines()) == 1 for name in names)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "ax ay\n" + "1 2\n3 4\n" * 50,
            "looks like a table of numbers, but is read as text to learn the next character; expected --label"
            " COLUMN or --target"
            " COLUMN for a table",
        ),
        ("", "0 characters of text; expected at least 400: a longer text"),
        ("short", "5 characters of text; expected at least 400: a longer text"),
        ("ab c" * 50, "200 characters of text; expected at least 400: a longer text or a smaller --window"),
        ("a" * 1000, "1 symbol in the text; expected at least 2"),
    ],
)
def test_texts_that_are_refused(tmp_path: Path, text: str, line: str) -> None:
    path = write(tmp_path / "a.txt", text)
    with pytest.raises(DataError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {line}"


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"bl\xe9\n" * 100)
    with pytest.raises(DataError, match=r"a.txt:1: byte 0xe9 is not UTF-8; expected text in UTF-8: save it as UTF-8"):
        load(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"a\nb\0c" * 100)
    with pytest.raises(DataError, match=r"a.txt:2: a zero byte; expected a text file in UTF-8"):
        load(tmp_path / "a.txt")
