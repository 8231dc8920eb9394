# SPDX-License-Identifier: MIT
"""Text files: symbols, their names, the split by position, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tinyrnn.data import text_file
from tinyrnn.errors import DataError

POEM = "The cat sat on the mat.\r\n\tA dog (brown) ran by; the cat did not stir: it slept, dreaming of \\ and mice.\r\n"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_the_next_character(tmp_path: Path) -> None:
    text = (POEM * 20).replace("\r\n", "\n")
    r = text_file.read(write(tmp_path / "poem.txt", POEM * 20), window=50)
    assert (r.name, r.task, r.when, r.channels) == ("poem", "classification", "every", ("character",))
    assert r.labels == r.symbols == tuple(text_file.name(symbol) for symbol in sorted(set(text)))
    assert {"\\n", "\\t", "\\s", "\\\\", "a"} <= set(r.labels)
    assert r.validation is not None
    symbols = sorted(set(text))
    end = round(len(text) * 0.9)
    for part, start, stop in ((r.train, 0, round(end * 0.9)), (r.validation, round(end * 0.9), end), (r.test, end, len(text))):
        inputs = "".join(symbols[int(i)] for x in part.x for i in x[:, 0])
        answers = "".join(symbols[i] for y in part.y for i in y)
        assert inputs == text[start : start + len(inputs)]
        assert answers == text[start + 1 : start + 1 + len(answers)]
        assert start + 1 + len(answers) == stop  # no character is lost, and none of another part is seen
        assert set(part.lengths[:-1]) == {50}
    assert r.integer
    assert r.split == "the last 10 % of the text for the test"
    assert r.train.names[1] == "poem.txt, characters 51 to 101"
    assert not r.remarks


def test_a_symbol_that_training_lacks(tmp_path: Path) -> None:
    text = "abcab" * 400
    r = text_file.read(write(tmp_path / "a.txt", text[:-10] + "z" + text[-9:]))
    assert r.labels == ("a", "b", "c")
    assert r.remarks == (
        "a.txt: 1 test sequence left out, with 1 symbol that the training part lacks, such as 'z'",
    )
    first = text_file.read(write(tmp_path / "a.txt", "Z" + text))
    assert first.labels == ("a", "b", "c")  # the first character is no answer
    assert len(first.train.x[0]) == 99


def test_rare_symbols_share_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = "".join(chr(0x4E00 + int(i)) for i in rng.integers(0, 200, 20_000))
    rare = "".join(chr(0x5E00 + i) for i in range(100))
    r = text_file.read(write(tmp_path / "a.txt", common[:5000] + rare + common[5000:]))
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
            "looks like a table of numbers, but is read as text to learn the next character; expected --label COLUMN or --target"
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
        text_file.read(path)
    assert str(caught.value) == f"{path}: {line}"


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\n" * 100)
    with pytest.raises(DataError, match=r"a.txt:1: byte 0xe9 is not UTF-8; expected text in UTF-8: save it as UTF-8"):
        text_file.read(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"a\nb\0c" * 100)
    with pytest.raises(DataError, match=r"a.txt:2: a zero byte; expected a text file in UTF-8"):
        text_file.read(tmp_path / "a.txt")
