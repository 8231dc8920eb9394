# SPDX-License-Identifier: MIT
"""tinyrnn.data: small real files in a temporary folder, and the file, line and cure in each error."""

from __future__ import annotations

import argparse
import csv
import io
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recordings import complaint, save, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tinyrnn import data
from tinyrnn.cli import recording_options
from tinyrnn.data import bundled, clocks, split
from tinyrnn.data.csv_table import read_table
from tinyrnn.data.recording import Recording, Sequences, sort_labels
from tinyrnn.data.table_text import COMMENTS, is_number
from tinyrnn.errors import DataError


def has(message: str, *parts: object) -> None:
    for part in parts:
        assert str(part) in message, f"{part!s} not in: {message}"


def gestures(root: Path, labels: tuple[str, ...] = ("shake", "still"), files: int = 5, rows: int = 4) -> Path:
    """FOLDER/LABEL/i.csv, where each cell is a number that tells its place."""
    for a, label in enumerate(labels):
        for b in range(files):
            lines = [f"{1000 * a + 100 * b + t},{-t},{a}" for t in range(rows)]
            write(root / label / f"{b}.csv", "ax,ay,az\n" + "\n".join(lines) + "\n")
    return root


# ---- the sets that come with sktime


def test_basic_motions() -> None:
    r = data.load("basic-motions")
    assert (r.name, r.task, r.when) == ("basic-motions", "classification", "last")
    assert r.split == "official; 15 % of the other sequences of each class drawn for validation"
    assert r.labels == ("Badminton", "Running", "Standing", "Walking")
    assert r.channels == ("accel x", "accel y", "accel z", "gyro x", "gyro y", "gyro z")
    assert r.validation
    for part, count in ((r.train, 8), (r.validation, 2), (r.test, 10)):
        x, lengths = part.padded()
        assert x.shape == (count * 4, 100, 6)
        assert x.dtype == np.float64
        assert set(lengths) == {100}
        assert np.bincount(part.padded_y()).tolist() == [count] * 4
    r = data.load("basic-motions", validation=0)
    assert (len(r.train), r.validation, len(r.test), r.split) == (40, None, 40, "official; no validation")
    assert r.train.x[0][:3, 0].tolist() == [0.079106, 0.079106, -0.903497]  # first numbers of the file
    assert r.labels[r.train.padded_y()[0]] == "Standing"
    assert not r.integer


def test_japanese_vowels() -> None:
    r = data.load("japanese-vowels", validation=0)
    assert (len(r.train), len(r.test), len(r.channels)) == (270, 370, 12)
    assert r.labels == tuple("123456789")
    lengths = np.concatenate([r.train.lengths, r.test.lengths])
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert np.bincount(r.train.all_y()).tolist() == [30] * 9
    assert r.train.x[0][0, :2].tolist() == [1.860936, -0.207383]


def test_bundled_without_sktime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    has(complaint("basic-motions"), "sktime", "pip install tinyrnn[train]")


def test_bundled_with_a_damaged_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no_such.ts: cannot be read .*pip install"):
        bundled.read_ts(tmp_path / "no_such.ts", 2)
    for line in ("1,2:3:a", "1,2:a", "1,x:3,4:a"):
        path = write(tmp_path / "bad.ts", f"@name x\n@data\n1,2:3,4:b\n\n{line}\n")
        with pytest.raises(DataError, match=r"bad.ts:5: .*expected 2 channels of equal length"):
            bundled.read_ts(path, 2)


def test_imports_stay_light() -> None:
    code = (
        "import sys; from tinyrnn.cli import recording_options\n"
        "assert not {'numpy', 'csv', 'sktime', 'pandas'} & set(sys.modules)\n"
        "from tinyrnn import data; data.load('basic-motions')\n"
        "assert not {'sktime', 'pandas', 'torch', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- a folder of labels


def test_folder(tmp_path: Path) -> None:
    r = data.load(str(gestures(tmp_path / "moves", files=10)), seed=3, validation="0")
    assert (r.name, r.task, r.when) == ("moves", "classification", "last")
    assert r.channels == ("ax", "ay", "az")
    assert r.labels == ("shake", "still")
    assert r.integer
    assert (len(r.train), len(r.test)) == (16, 4)
    assert np.bincount(r.test.all_y()).tolist() == [2, 2]
    for part in (r.train, r.test):
        for x, y in zip(part.x, part.y, strict=True):
            assert x[:, 2].tolist() == [y] * 4  # az is the label's number
            assert x[:, 1].tolist() == [0, -1, -2, -3]
    firsts = sorted(x[0, 0] for x in r.train.x + r.test.x)
    assert firsts == [1000 * a + 100 * b for a in range(2) for b in range(10)]  # every file once
    assert r.split == "20 % of the files of each label drawn for the test, seed 3; no validation"
    assert r.train.names[0].startswith("shake/")


def test_folder_split_is_repeatable_and_seeded(tmp_path: Path) -> None:
    gestures(tmp_path, files=10)

    def tests(seed: int) -> list[float]:
        return [float(x[0, 0]) for x in data.load(str(tmp_path), seed=seed).test.x]

    assert tests(0) == tests(0)
    assert len({tuple(tests(seed)) for seed in range(8)}) > 1


def test_folder_with_its_own_split(tmp_path: Path) -> None:
    gestures(tmp_path / "Train", labels=("a", "b", "c"), files=3)
    gestures(tmp_path / "test", labels=("a", "b"), files=1)
    r = data.load(str(tmp_path))
    assert (len(r.train), len(r.test), r.labels) == (9, 2, ("a", "b", "c"))
    assert r.split == "folders train and test"
    gestures(tmp_path / "test", labels=("d",), files=1)
    has(complaint(tmp_path), tmp_path / "test" / "d", "label 'd'", "record it there too")
    (tmp_path / "notes").mkdir()
    has(complaint(tmp_path), tmp_path / "notes", "beside train and test", "move it away")


def test_folder_labels_may_be_called_train_and_test(tmp_path: Path) -> None:
    assert data.load(str(gestures(tmp_path, labels=("test", "train")))).labels == ("test", "train")


def test_folder_names_with_spaces_and_unicode_and_hidden_files(tmp_path: Path) -> None:
    gestures(tmp_path, labels=("hand up", "grüße 👋"))
    write(tmp_path / ".git" / "x.csv", "not,a\nnumber")
    write(tmp_path / "__MACOSX" / "x.csv", "no")
    write(tmp_path / ".DS_Store", b"\0")
    write(tmp_path / "hand up" / "._0.csv", b"\0\1")
    write(tmp_path / "hand up" / "readme.txt", "not data")
    write(tmp_path / "README.md", "not data")
    r = data.load(str(tmp_path))
    assert r.labels == ("grüße 👋", "hand up")
    assert len(r.train) + len(r.test) == 10


def test_folder_numeric_labels_in_numeric_order(tmp_path: Path) -> None:
    assert data.load(str(gestures(tmp_path, labels=("10", "9", "1")))).labels == ("1", "9", "10")


def test_folder_lengths_differ_and_one_row_is_a_sequence(tmp_path: Path) -> None:
    for label in "ab":
        for n in (1, 3):
            write(tmp_path / label / f"{n}.CSV", "1,2\n" * n)
    r = data.load(str(tmp_path))
    assert r.channels == ("1", "2")
    x, lengths = r.train.padded()
    assert x.shape == (2, lengths.max(), 2)
    assert {*lengths, *r.test.lengths} <= {1, 3}


def test_folder_window(tmp_path: Path) -> None:
    gestures(tmp_path, files=2, rows=10)
    r = data.load(str(tmp_path), window=4, keep="ax")  # 4 + 4, and a tail of 2 that is too short to be a gesture
    assert r.train.lengths.tolist() == [4] * 4
    assert r.train.x[1][0, 1] == -4
    assert data.load(str(tmp_path), window=50, keep="ax").train.lengths.tolist() == [10] * 2
    files = {x[0, 0] // 100 for x in r.train.x}
    assert not files & {x[0, 0] // 100 for x in r.test.x}


def test_folder_layout_complaints(tmp_path: Path) -> None:
    has(complaint(tmp_path), tmp_path, "no folder of a label", "FOLDER/LABEL/*.csv")
    gestures(tmp_path, labels=("a",))
    has(complaint(tmp_path), tmp_path, "1 label (a)", "expected at least 2", "add a folder")
    (tmp_path / "b").mkdir()
    has(complaint(tmp_path), tmp_path / "b", "no CSV file of label 'b'", "delete the folder")
    one = write(tmp_path / "b" / "only.csv", "ax,ay,az\n1,2,3\n")
    has(complaint(tmp_path), tmp_path, "label 'b' has 1 sequence", "expected at least 2", "record more")
    inner = write(tmp_path / "b" / "monday" / "x.csv", "1").parent
    has(complaint(tmp_path), inner, "inside a label's folder", "one level up")
    (inner / "x.csv").unlink()
    inner.rmdir()
    one.rename(tmp_path / "only.csv")
    has(complaint(tmp_path), tmp_path / "only.csv", "outside the labels' folders", "move it")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX; run it on Linux or macOS")
@pytest.mark.parametrize("target", ["/dev/zero", "nowhere"])
def test_folder_with_a_table_that_is_no_file(tmp_path: Path, target: str) -> None:
    """Such a table is neither read for ever nor left out silently."""
    root = gestures(tmp_path / "moves")
    (root / "still" / "9.csv").symlink_to(target)
    has(complaint(root), root / "still" / "9.csv", "is not a file, or links to none", "remove it")


def test_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may list every folder, so that chmod would not do
    has(complaint(tmp_path), tmp_path, "cannot be read (Permission denied)", "check its permissions")


def test_folder_files_must_agree(tmp_path: Path) -> None:
    gestures(tmp_path)
    odd = tmp_path / "still" / "0.csv"
    write(odd, "ax,ay\n1,2\n")
    has(complaint(tmp_path), f"{odd}:2:", "2 columns, expected 3", ".csv", "record all files alike")
    write(odd, "ax,az,ay\n1,2,3\n")
    has(complaint(tmp_path), f"{odd}:1:", "'ax,az,ay'", "'ax,ay,az'", "same header")
    write(odd, "1,2,3\n")
    has(complaint(tmp_path), f"{odd}:1:", "no header", "'ax,ay,az'", "same header")


def test_folder_options(tmp_path: Path) -> None:
    gestures(tmp_path)
    assert data.load(str(tmp_path), drop="ay, az").channels == ("ax",)
    has(complaint(tmp_path, drop="gx"), "no column 'gx' for --drop", "ax, ay, az")
    has(complaint(tmp_path, drop="ax,ay,az"), "none is left as input", "expected at least one")
    has(complaint(tmp_path, drop="ax", keep="ax"), "'ax'", "two options")
    has(
        complaint(tmp_path, group="ax"),
        "--group does not apply",
        "--window, --stride, --drop, --keep, --resample, --time, --split",
    )


@pytest.mark.parametrize("option", ["label", "target", "group", "window", "drop", "keep"])
def test_bundled_takes_no_option(option: str) -> None:
    has(complaint("basic-motions", **{option: 3 if option == "window" else "x"}), f"--{option} does not apply")


# ---- clocks


@pytest.mark.parametrize(
    "name",
    [
        "time",
        "Time",
        "timestamp",
        "t",
        "ms",
        "time_ms",
        "Timestamp [us]",
        "t (s)",
        "index",
        "unnamed 1",
        "Unnamed: 0",
        "ticks_ms",
    ],
)
def test_a_clock_is_not_silently_an_input(tmp_path: Path, name: str) -> None:
    for label in "ab":
        for n in range(2):
            write(tmp_path / label / f"{n}.csv", f"{name},ax\n1,5\n2,6\n")
    has(complaint(tmp_path), repr(name), "looks like a clock", f'--drop "{name}"', f'--keep "{name}"')
    assert data.load(str(tmp_path), drop=(name,)).channels == ("ax",)
    assert data.load(str(tmp_path), keep=(name,)).channels == (name, "ax")


def test_sensor_names_are_no_clocks() -> None:
    for name in ("ax", "temp", "temperature", "gyro x", "tx", "sample_rate", "x", "timer current", "usage"):
        assert not clocks.is_clock(name), name


def test_a_column_without_a_name_that_does_not_count_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", ",ax,on\n0,5,a\n2,6,b\n")
    has(complaint(path, label="on"), "'unnamed 1'", '--drop "unnamed 1"')


# ---- the cells of a CSV file


@pytest.mark.parametrize(
    "text",
    [
        b"ax,ay\n1,2.5\n-3,4e2\n",
        b"\xef\xbb\xbfax,ay\r\n1,2.5\r\n-3,4e2\r\n\r\n\r\n",
        b"ax;ay\n1;2.5\n-3;4e2",
        b"ax;ay\n1;2,5\n-3;400,0\n",
        b"ax\tay\n1\t2.5\n-3\t4e2\n",
        b"ax,ay\r1,2.5\r-3,4e2\r",
        b' "ax", ay\n 1 , 2.5 \n\n-3,  4e2\n,\n,\n',
        "ax,ay\n1,2.5\n-3,4e2\n".encode("utf-16"),
    ],
    ids=["plain", "excel-bom-crlf", "semicolons", "decimal-comma", "tabs", "cr", "spaces-blanks", "utf-16"],
)
def test_dialects(tmp_path: Path, text: bytes) -> None:
    table = read_table(write(tmp_path / "d.csv", text))
    assert table.header == ("ax", "ay")
    assert table.numbers([0, 1]).tolist() == [[1, 2.5], [-3, 400]]


def test_no_header_and_one_column(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "d.csv", "1\n2\n3\n"))
    assert (table.header, table.names, table.lines) == (None, ("1",), [1, 2, 3])
    assert table.numbers([0]).tolist() == [[1], [2], [3]]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ax,ay\n1,2\n3,nan\n", (":3: column 2 (ay) is 'nan'", "finite", "delete the line", '--drop "ay"')),
        ("ax,ay\n1,2\n-inf,4\n", (":3: column 1 (ax) is '-inf'", "finite")),
        ("ax,ay\n1,2\n1e31,4\n", (":3: column 1 (ax) is '1e31'", "up to 1e+30")),
        ("ax,ay\n\n1,2\n\n3,oops\n", (":5: column 2 (ay) is 'oops'", "expected a number", "correct")),
        ("1,2\n3,oops\n", (":2: column 2 is 'oops'", "expected a number", '--drop "2"')),
        ("ax,ay\n1,\n3,4\n", (":2: column 2 (ay) is empty", "fill it in")),
        ("ax,ay\n1,2\n3,1_0\n", (":3: column 2 (ay) is '1_0'", "expected a number")),
        ("ax,ay\n1,2\n3,\u0663\n", (":3: column 2 (ay)", "expected a number")),
        ("ax,ay\n1,2\n3," + "z" * 99 + "\n", (":3: column 2 (ay)", "z...'")),
        ("1 2 3\n4 5 x\n", (":2: column 3 is 'x'", "expected a number")),
        ("2024-01-01,1\n2024-01-02,2\n", (":1: column 1 is '2024-01-01'", '--drop "1"')),
        ("ax,ay\n1,2\n3\n", (":3: 1 column, expected 2 as on line 1", "correct or delete the line")),
        ("ax,ay\n1,2\n3,4,5\n", (":3: 3 columns, expected 2 as on line 1",)),
        ("", (": is empty", "record again or delete")),
        ("\r\n \r\n,,\n", (": is empty",)),
        ("ax,ay\n", (":1: a header but no row", "record again or delete")),
        ("ax,ax\n1,2\n", (":1: two columns are named 'ax'", "rename one")),
        ('ax,ay\n1,"2\n3,4\n', (": not a CSV file", "stray quote")),
        (b"ax,ay\n1,2\n\xb5,4\n", (":3: byte 0xb5 is not UTF-8", "save it as UTF-8")),
        (b"\xff\xfea\x00\n", (": byte 0x", "is not UTF-16")),
        (b"ax,ay\n1,2\n\x00\x00\n", (":3: a zero byte", "delete the line")),
    ],
)
def test_what_is_wrong_in_a_file(tmp_path: Path, text: str | bytes, parts: tuple[str, ...]) -> None:
    gestures(tmp_path)
    for old in (tmp_path / "shake").iterdir():
        old.unlink()
    for name in ("0.csv", "1.csv"):
        write(tmp_path / "shake" / name, text)
    has(complaint(tmp_path), tmp_path / "shake", *parts)


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x.csv: cannot be read .*No such file.*check"):
        read_table(tmp_path / "x.csv")


numbers = st.floats(-1e30, 1e30) | st.integers(-(2**31), 2**31).map(float)
tables = st.integers(1, 5).flatmap(lambda w: st.lists(st.lists(numbers, min_size=w, max_size=w), min_size=1, max_size=12))
names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).filter(
    lambda name: not is_number(name) and not name.startswith(COMMENTS)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no test depends on the machine's load
@given(
    rows=tables,
    mark=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    pool=st.data(),
)
def test_csv_round_trip(tmp_path_factory: Any, rows: Any, mark: str, end: str, bom: bool, pool: Any) -> None:
    width = len(rows[0])
    header = pool.draw(
        st.none() | st.lists(names.filter(lambda n: not set(n) & set(",;\t")), min_size=width, max_size=width, unique=True)
    )
    text = io.StringIO()
    writer = csv.writer(text, delimiter=mark, lineterminator=end)
    writer.writerows(([header] if header else []) + [[repr(v) for v in row] for row in rows])
    path = tmp_path_factory.getbasetemp() / "round.csv"
    path.write_bytes(text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    table = read_table(path)
    assert table.header == (tuple(header) if header else None)
    assert table.numbers(range(width)).tolist() == rows


# ---- a single CSV


def steps_csv(path: Path, rows: int = 60) -> Path:
    """Columns t, ax, ay, who, is, force. 'is' changes every 5 rows, 'who' every 15."""
    lines = ["t,ax,ay,who,is,force"]
    for i in range(rows):
        lines.append(f"{i * 10},{i},{-i},p{i // 15},{'up' if i // 5 % 2 else 'lie down'},{i / 4}")
    return write(path, "\n".join(lines) + "\n")


def test_csv_classes_by_window(tmp_path: Path) -> None:
    path = steps_csv(tmp_path / "day.csv")
    r = data.load(
        str(path), label="is", drop=("t", "who", "force"), keep="ax", window=7, seed=1, split="random", validation=0
    )
    assert (r.name, r.task, r.when, r.labels) == ("day", "classification", "every", ("lie down", "up"))
    assert r.channels == ("ax", "ay")
    assert sorted([*r.train.lengths, *r.test.lengths]) == [4] + [7] * 8  # the tail is kept
    assert r.split == "20 % of the windows of 7 steps drawn for the test, seed 1; no validation"
    rows = []
    for part in (r.train, r.test):
        for x, y in zip(part.x, part.y, strict=True):
            assert np.diff(x[:, 0]).tolist() == [1] * (len(x) - 1)
            assert y.tolist() == [int(i) // 5 % 2 for i in x[:, 0]]
            rows += x[:, 0].tolist()
    assert sorted(rows) == list(range(60))
    assert r.train.padded_y().shape == r.train.padded()[0].shape[:2]


def test_csv_targets_by_group(tmp_path: Path) -> None:
    path = steps_csv(tmp_path / "day.csv")
    r = data.load(str(path), target="force,ay", group="who", drop="t,is", keep="ax", validation=0)
    assert (r.task, r.when, r.labels, r.channels) == ("regression", "every", ("force", "ay"), ("ax",))
    assert (r.train.lengths.tolist(), r.test.lengths.tolist()) == ([15] * 3, [15])
    assert r.train.y[0].shape == (15, 2)
    assert (r.train.y[0] == r.train.x[0] * [0.25, -1]).all()
    assert r.target_mean.shape == r.target_std.shape == (2,)
    assert np.allclose(r.target_mean, r.mean * [0.25, -1])
    cut = data.load(str(path), target="force", group="who", drop="t,is", keep="ax", window=10, validation=0)
    assert sorted(cut.train.lengths) == [5] * 3 + [10] * 3
    assert not {x[0, 0] // 15 for x in cut.train.x} & {x[0, 0] // 15 for x in cut.test.x}  # groups stay whole


def test_csv_default_window_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "a,b\n" + "1,2\n" * 250)
    r = data.load(str(path), target="b", split="random", validation=0)
    assert sorted([*r.train.lengths, *r.test.lengths]) == [50, 100, 100]
    assert "windows of 100 steps" in r.split
    assert r.std.tolist() == r.target_std.tolist() == [1.0]  # constant: nothing is divided by zero


def test_csv_without_header(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "".join(f"{i},{i * 2},{'ab'[i % 2]}\n" for i in range(20)))
    r = data.load(str(path), label="3", window=4, keep="1,2")
    assert (r.channels, r.labels) == (("1", "2"), ("a", "b"))
    has(complaint(path, label="class"), "no column 'class' for --label", "1, 2, 3", "no header row")


def test_csv_complaints(tmp_path: Path) -> None:
    path = steps_csv(tmp_path / "day.csv")
    some = {"drop": "t,who,force", "keep": "ax"}
    has(complaint(path), path, "neither --label nor --target", "--label COLUMN", "t, ax, ay, who, is, force")
    has(complaint(path, label="is", target="ax"), "both --label and --target", "expected one")
    has(
        complaint(path, label="IS"),
        path,
        "no column 'IS' for --label",
        "expected one of t, ax, ay, who, is, force",
    )
    has(complaint(path, target="force,x"), "no column 'x' for --target")
    has(complaint(path, label="is", group="x"), "no column 'x' for --group")
    has(complaint(path, label="is", group="is"), "'is'", "two options")
    has(complaint(path, label="is", drop="is"), "'is'", "two options")
    has(complaint(path, label="is", drop="t,force"), f"{path}:2: column 4 (who) is 'p0'", '--drop "who"')
    has(
        complaint(path, target="is", drop="t,who"),
        f"{path}:2: column 5 (is) is 'lie down'",
        "expected a number",
    )
    has(complaint(path, label="is"), "'t' looks like a clock")
    has(complaint(path, label="is", window=60, split="random", **some), "60 rows make 1 sequence", "smaller --window")
    has(complaint(path, target="ax", group="g"), "no column 'g'")
    one = write(tmp_path / "one.csv", "a,is,who\n" + "1,up,me\n" * 9)
    has(complaint(one, label="is", drop="who"), "'is' holds 1 class (up)", "record another")
    has(complaint(one, target="a", drop="is,who"), "none is left as input")
    two = write(tmp_path / "two.csv", "a,is,who\n1,up,x\n2,down,y\n")
    has(complaint(two, label="is", group="who"), "leave none for the test", "record more groups")
    alone = write(tmp_path / "alone.csv", "a,is,who\n1,up,x\n2,down,x\n")
    has(complaint(alone, label="is", group="who"), "make 1 sequence", "record more groups")
    gap = write(tmp_path / "gap.csv", "a,is\n1,up\n2,\n")
    has(complaint(gap, label="is"), f"{gap}:3: column 'is' is empty", "name of a class", "delete the line")
    odd = write(tmp_path / "odd.csv", "a,is\n" + "1,up\n" * 5 + "1,down\n" * 5)
    has(complaint(odd, label="is", window=5, split="random"), "leave none for the test", "smaller --window")
    rare = write(tmp_path / "rare.csv", "a,is\n" + ("1,up\n" * 9 + "1,rare\n") + "1,up\n" * 10)
    seen = [_outcome(rare, seed) for seed in range(8)]
    assert {"class 'rare' does not occur in the training sequences", "read"} == set(seen)


def _outcome(path: Path, seed: int) -> str:
    """What load() says of a split with this seed, without the file's name and the cure; "read" if nothing."""
    try:
        data.load(str(path), label="is", window=10, seed=seed, split="random")
    except DataError as error:
        message = str(error)
    else:
        return "read"
    has(message, "--split-seed")
    return message.split(": ", 1)[1].split(";")[0]


# ---- .npz


X = np.arange(10 * 4 * 2).reshape(10, 4, 2)


def test_npz_classes_at_the_last_step(tmp_path: Path) -> None:
    y = np.arange(10) % 2
    r = data.load(str(save(tmp_path / "a.npz", x=X, y=y * 5)))
    assert (r.name, r.task, r.when, r.labels, r.channels) == (
        "a",
        "classification",
        "last",
        ("0", "5"),
        ("1", "2"),
    )
    assert (len(r.train), len(r.test), r.integer) == (8, 2, True)
    assert all(int(x[0, 0]) // 8 % 2 == c for x, c in zip(r.train.x, r.train.y, strict=True))
    text = data.load(str(save(tmp_path / "a.npz", x=X, y=np.array(["on", "off"])[y], channels=["u", "v"])))
    assert (text.labels, text.channels) == (("off", "on"), ("u", "v"))
    given = data.load(str(save(tmp_path / "a.npz", x=X, y=y, labels=["1", "0"])))
    assert given.labels == ("1", "0")
    # integers are indices into labels
    assert all(int(x[0, 0]) // 8 % 2 == c for x, c in zip(given.train.x, given.train.y, strict=True))


def test_npz_with_lengths_and_a_test_set(tmp_path: Path) -> None:
    x = X.astype(float)
    x[0, 3:] = np.nan  # padding may hold anything
    y = np.tile([0, 1, 1, 9], (10, 1))
    lengths = np.full(10, 3)
    r = data.load(
        str(
            save(
                tmp_path / "a.npz",
                x=x,
                y=y,
                lengths=lengths,
                x_test=X[:2, :3],
                y_test=y[:2, :3],
                lengths_test=[1, 2],
            )
        )
    )
    assert (r.when, r.labels) == ("every", ("0", "1"))
    assert r.split == "x and x_test; 15 % of the other sequences drawn for validation"
    assert r.validation
    assert (r.train.lengths.tolist(), r.validation.lengths.tolist(), r.test.lengths.tolist()) == ([3] * 8, [3] * 2, [1, 2])
    assert r.test.y[1].tolist() == [0, 1]
    drawn = data.load(str(save(tmp_path / "b.npz", x=x, y=y, lengths=lengths)), validation=0)
    assert (len(drawn.train), len(drawn.test)) == (8, 2)


def test_npz_regressions(tmp_path: Path) -> None:
    y = X[:, 0, :] / 2
    r = data.load(str(save(tmp_path / "a.npz", x=X, y=y, labels=["p", "q"])))
    assert (r.task, r.when, r.labels) == ("regression", "last", ("p", "q"))
    assert (r.train.all_y() == np.stack([x[0] / 2 for x in r.train.x])).all()
    assert data.load(str(save(tmp_path / "a.npz", x=X, y=y[:, 0]))).labels == ("target 1",)
    every = data.load(str(save(tmp_path / "a.npz", x=X, y=X / 2)))
    assert (every.when, every.train.y[0].shape) == ("every", (4, 2))
    square = np.zeros((10, 4))
    has(
        complaint(save(tmp_path / "a.npz", x=X, y=square)),
        "one target at each of 4 steps, or 4 targets",
        "when='last'",
    )
    assert len(data.load(str(save(tmp_path / "a.npz", x=X, y=square, when="last"))).labels) == 4


def test_npz_one_long_recording(tmp_path: Path) -> None:
    x = np.arange(40).reshape(20, 2)
    r = data.load(str(save(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)), window=5, split="random")
    assert (r.when, sorted([*r.train.lengths, *r.test.lengths])) == ("every", [5] * 4)
    r = data.load(str(save(tmp_path / "a.npz", x=x, y=x[:, 0] / 2)), window=5)
    assert (r.train.x[0][0, 0], r.test.x[0][0, 0]) == (0, 32)  # by time
    assert (r.task, r.train.y[0].shape) == ("regression", (5, 1))


BAD = X.astype(float).copy()
BAD[2, 3, 1] = np.nan
CLASS = np.arange(10) % 2


@pytest.mark.parametrize(
    ("entries", "parts"),
    [
        ({"x": X}, ("no entry 'y'", "expected x and y")),
        ({"x": X, "y": CLASS, "Y": 1}, ("unknown entry 'Y'", "rename it")),
        ({"x": X[0, 0], "y": CLASS}, ("x has shape (2,)", "(sequences, steps, channels)")),
        ({"x": X[:0], "y": CLASS[:0]}, ("x has shape (0, 4, 2)",)),
        ({"x": X.astype(str), "y": CLASS}, ("x is of <U", "expected integers or floats")),
        ({"x": X, "y": CLASS + 0j}, ("y is of complex128",)),
        ({"x": X, "y": 3}, ("y is a single value",)),
        ({"x": BAD, "y": CLASS}, ("x[2, 3, 1] is nan", "finite", "correct")),
        ({"x": X, "y": CLASS[:9]}, ("y has shape (9,)", "expected (10,)")),
        ({"x": X, "y": np.zeros((10, 3), int)}, ("y has shape (10, 3)", "expected (10, 4)")),
        ({"x": X, "y": np.zeros((10, 4, 2), int)}, ("expected 1 axes (last step) or 2 axes",)),
        ({"x": X, "y": np.full(10, np.inf)}, ("y[0, 0] is inf", "finite")),
        ({"x": X, "y": np.full((10, 4, 1), np.inf)}, ("y[0, 0, 0] is inf",)),
        ({"x": X, "y": np.zeros((10, 0))}, ("no target",)),
        ({"x": X, "y": CLASS * 0}, ("1 class (0)", "expected at least 2")),
        ({"x": X, "y": CLASS, "when": "every"}, ("when is 'every'", "means 'last'", "reshape y")),
        ({"x": X, "y": CLASS, "labels": ["a"]}, ("y holds '1' at 1", "expected one of the classes 0")),
        ({"x": X, "y": CLASS, "labels": ["a", "a"]}, ("two labels are named 'a'",)),
        ({"x": X, "y": CLASS, "labels": ["a", "b", "c"]}, ("class 'c' does not occur in the training",)),
        ({"x": X, "y": CLASS, "labels": [1, 2]}, ("labels has shape (2,) of int64", "a list of text")),
        ({"x": X, "y": CLASS, "channels": ["a"]}, ("channels has shape (1,)", "expected 2 names")),
        ({"x": X, "y": CLASS, "lengths": [4] * 9}, ("lengths has shape (9,)", "expected (10,)")),
        ({"x": X, "y": CLASS, "lengths": [4.0] * 10}, ("lengths has shape (10,) of float64", "integers")),
        ({"x": X, "y": CLASS, "lengths": [0] + [4] * 9}, ("lengths run from 0 to 4", "expected 1 to 4")),
        ({"x": X, "y": CLASS, "lengths": [5] + [4] * 9}, ("lengths run from 4 to 5",)),
        ({"x": X, "y": CLASS, "x_test": X}, ("only one of x_test and y_test",)),
        ({"x": X, "y": CLASS, "x_test": X[..., :1], "y_test": CLASS}, ("x_test has shape (10, 4, 1)",)),
        ({"x": X, "y": CLASS, "x_test": X, "y_test": CLASS + 1}, ("y_test holds '2' at 1",)),
        ({"x": X, "y": CLASS, "x_test": X, "y_test": CLASS / 2}, ("y_test is of float64",)),
        ({"x": X[:1], "y": CLASS[:1] / 2}, ("1 sequence", "expected at least 2")),
        ({"x": X[:3], "y": [0, 1, 1]}, ("label '0' has 1 sequence",)),
        ({"x": X[:2], "y": [[0] * 4, [1] * 4]}, ("no class has 2 sequences",)),
        ({"x": X[0], "y": CLASS}, ("y has shape (10,)", "each of the 4 rows")),
        ({"x": X[0], "y": CLASS[:4], "lengths": [4]}, ("lengths beside an x of shape (4, 2)",)),
        ({"x": BAD[2], "y": CLASS[:4]}, ("x[3, 1] is nan",)),
        ({"x": np.array([[1], [1, 2]], object), "y": CLASS}, ("pickled objects", "pad sequences", "lengths")),
    ],
)
def test_npz_complaints(tmp_path: Path, entries: dict[str, Any], parts: tuple[str, ...]) -> None:
    path = save(tmp_path / "a.npz", **entries)
    has(complaint(path), path.stem, *parts)


def test_npz_window_of_sequences(tmp_path: Path) -> None:
    has(complaint(save(tmp_path / "a.npz", x=X, y=CLASS), window=3), "already cut", "no --window")
    has(complaint(tmp_path / "a.npz", drop="1"), "--drop does not apply", "--window")


def test_what_is_not_an_npz_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "array.npz")
    has(complaint(tmp_path / "array.npz"), "array.npz", "numpy.savez")
    for name, raw in (
        ("empty.npz", b""),
        ("text.npz", b"x,y\n1,2\n"),
        ("zip.npz", b"PK\x03\x04 and no more"),
    ):
        has(complaint(write(tmp_path / name, raw)), name, "expected")


def _spoiled(raw: bytes, rng: random.Random, values: Any, end: int | None = None) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        out[rng.randrange(end or len(raw))] = rng.choice(values)
    return bytes(out)


def test_npz_with_damaged_headers_gives_dataerror_or_a_recording(tmp_path: Path) -> None:
    """The archive's own checksum is right, so that numpy reads the damaged header of the array."""
    path = tmp_path / "a.npz"
    rng = random.Random(2)
    messages = []
    for _ in range(400):
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in (("x", X[:4]), ("y", CLASS[:4])):
                stream = io.BytesIO()
                np.save(stream, value)
                archive.writestr(f"{name}.npy", _spoiled(stream.getvalue(), rng, b"0123456789'(),<>ifOUS\0{}: \xff", 100))
        try:
            data.load(str(path))
        except DataError as error:
            messages.append(str(error))
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > 200


def test_npz_damaged_gives_dataerror_or_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X[:4], y=CLASS[:4])
    whole = path.read_bytes()
    rng = random.Random(1)
    messages = []
    for _ in range(400):
        raw = _spoiled(whole, rng, range(256))
        path.write_bytes(raw[: rng.randrange(len(raw))] if rng.random() < 0.2 else raw)
        try:
            data.load(str(path))
        except DataError as error:
            messages.append(str(error))
    assert not [message for message in messages if "\n" in message]
    assert len(messages) > 200


# ---- load() itself, Recording, the split


def test_load_complaints(tmp_path: Path) -> None:
    for source in (str(tmp_path / "nowhere"), "basic_motions", "a" * 5000, "zero\0byte"):
        has(
            complaint(source),
            "no such data set, folder or file",
            "basic-motions",
            "a folder of labels",
            ".npz",
        )
    path = write(tmp_path / "x.wav", "RIFF")
    has(complaint(path), path, "unknown kind", ".csv")
    for fraction in (0, 1, -0.1, float("nan")):
        has(complaint("basic-motions", test_fraction=fraction), "test fraction is", "between 0 and 1")
    has(complaint("basic-motions", seed=-1), "seed is -1", "0 or more")
    has(complaint(path, window=0), "window is 0", "1 or more")


def part(n: int = 2, channels: int = 2, every: bool = False) -> Sequences:
    x = [np.full((3, channels), float(i)) for i in range(n)]
    return Sequences(x, [np.array([0, 1, 1])] * n if every else np.arange(n) % 2)


SHORT = Sequences(part(1).x, [np.zeros(2, int)])  # 3 steps, 2 labels


def recording(**change: Any) -> Recording:
    fields: dict[str, Any] = {
        "name": "r",
        "task": "classification",
        "when": "last",
        "channels": ("a", "b"),
        "labels": ("u", "v"),
        "train": part(),
        "test": part(1),
    }
    return Recording(**{**fields, **change})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"task": "guess"}, "task 'guess'"),
        ({"when": "never"}, "when 'never'"),
        ({"channels": ("a", "a")}, "two channels are named 'a'"),
        ({"channels": ("a", "b", "c")}, "training sequences have 2 channels, expected 3"),
        ({"labels": ("u",)}, "1 class"),
        ({"labels": ()}, "no class"),
        ({"labels": (), "task": "regression"}, "no target"),
        ({"labels": ("u", "v", "w")}, "class 'w' does not occur in the training sequences"),
        ({"train": part(0)}, "no training sequence"),
        ({"test": part(0)}, "no test sequence"),
        ({"test": part(1, channels=3)}, "test sequences have 3 channels, expected 2"),
        ({"test": part(1, every=True)}, "do not match when='last'"),
        ({"when": "every"}, "do not match when='every'"),
        ({"when": "every", "train": part(every=True), "test": SHORT}, r"shape \(2,\)"),
        ({"test": Sequences(part(1).x, np.array([2]))}, "from 2 to 2; expected 0 to 1"),
        ({"test": Sequences(part(1).x, np.array([-1]))}, "from -1 to -1"),
        ({"test": Sequences(part(1).x, np.array([0.5]))}, "class indices, integers"),
        ({"task": "regression"}, r"shape \(2,\); expected \(2, 2\)"),
        ({"task": "regression", "train": Sequences(part().x, np.full((2, 2), np.nan))}, "holds nan at"),
    ],
)
def test_recording_complaints(change: dict[str, Any], text: str) -> None:
    recording()
    with pytest.raises(DataError, match=text):
        recording(**change)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ([np.zeros(3)], r"sequence 0 has shape \(3,\)"),
        ([np.zeros((0, 2))], r"sequence 0 has shape \(0, 2\)"),
        ([np.zeros((1, 2)), np.zeros((1, 3))], "sequence 1 has 3 channels, sequence 0 has 2"),
        ([np.array([[1.0], [np.inf]])], "sequence 0 holds inf at step 1, column 1"),
        ([np.zeros((1, 1))] * 3, "3 sequences but 2 labels"),
    ],
)
def test_sequences_complaints(x: list[np.ndarray], text: str) -> None:
    with pytest.raises(DataError, match=text):
        Sequences(x, np.zeros(2 if len(x) == 3 else len(x), int))


def test_statistics_are_of_the_training_steps() -> None:
    train = Sequences([np.array([[1.0, 5.0]]), np.array([[2.0, 5.0], [6.0, 5.0]])], np.array([0, 1]))
    r = recording(train=train, test=Sequences([np.array([[100.0, -100.0]])], np.array([0])))
    assert (r.mean.tolist(), r.minimum.tolist(), r.maximum.tolist()) == ([3, 5], [1, 5], [6, 5])
    assert np.allclose(r.std, [np.sqrt(14 / 3), 1])
    assert r.integer
    assert (r.target_mean.tolist(), r.target_std.tolist()) == ([0, 0], [1, 1])
    x, lengths = r.train.padded()
    assert x.tolist() == [[[1, 5], [0, 0]], [[2, 5], [6, 5]]]
    assert lengths.tolist() == [1, 2]
    assert not recording(test=Sequences([np.array([[0.5, 0.0]])], np.array([0]))).integer


@given(
    strata=st.lists(st.sampled_from("abc"), min_size=1, max_size=60),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_stratified_split(strata: list[str], fraction: float, seed: int) -> None:
    train, test = split.stratified(strata, fraction, seed, "x", strict=False)
    assert sorted(train + test) == list(range(len(strata)))
    for stratum in set(strata):
        count = strata.count(stratum)
        drawn = sum(strata[i] == stratum for i in test)
        assert drawn == (0 if count == 1 else min(max(round(count * fraction), 1), count - 1))
    assert (train, test) == split.stratified(strata, fraction, seed, "x", strict=False)


def test_sort_labels() -> None:
    assert sort_labels(["10", "9", "01", "1", "9"]) == ("01", "1", "9", "10")
    assert sort_labels(["b", "10", "9"]) == ("10", "9", "b")


# ---- sizes: refused before anything is unpacked


def packed(path: Path, **entries: Any) -> Path:
    np.savez_compressed(path, **entries)
    return path


@pytest.mark.parametrize(
    ("x", "parts"),
    [
        (np.zeros((10_000, 100, 120), np.int8), ("unpack to 960", "as float64", "numpy.savez, without compression")),
        (np.zeros((2_000_000, 16), np.int8), ("unpack to 27", "numpy.savez, without compression")),
        (np.zeros((1_100_000, 1, 1), np.int8), ("x holds 1100000 sequences", "expected at most 1000000")),
        (np.zeros((40, 2, 11_000), np.int8), ("x has shape (40, 2, 11000)", "expected at most 10000 channels")),
        (np.zeros((4, 11_000), np.int8), ("x has shape (4, 11000)", "expected at most 10000 channels")),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
def test_npz_bombs(tmp_path: Path, x: np.ndarray, parts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.npz", x=x, y=np.arange(len(x)) % 2)
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("unpacked"))
    has(complaint(path), path, *parts)


def test_npz_that_compresses_well_is_read(tmp_path: Path) -> None:
    """Events are mostly zeros: 1.5 million numbers in 3 kB, and 16 million numbers without compression."""
    x = np.zeros((1000, 100, 15), np.int8)
    x[:, ::50] = 1
    path = packed(tmp_path / "a.npz", x=x, y=np.arange(1000) % 2)
    assert path.stat().st_size * 1000 < 8 * x.size
    r = data.load(str(path))
    assert r.validation
    assert (len(r.train), len(r.validation), len(r.test)) == (680, 120, 200)
    narrow = packed(tmp_path / "b.npz", x=np.zeros((200, 100, 900), np.int8), y=np.arange(200) % 2)
    has(complaint(narrow), "without compression")
    whole = save(tmp_path / "b.npz", x=np.zeros((200, 100, 900), np.int8), y=np.arange(200) % 2)
    assert len(data.load(str(whole)).test) == 40


def test_npz_whose_headers_lie(tmp_path: Path) -> None:
    import io
    import zipfile

    for shape in ((1 << 40, 1, 1), (-1, 4, 2), (5, 4, 2), (1 << 62, 1 << 62, 4)):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in (("x", X), ("y", np.arange(10) % 2)):
                stream = io.BytesIO()
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape if name == "x" else array.shape}
                np.lib.format.write_array_header_1_0(stream, header)
                archive.writestr(f"{name}.npy", stream.getvalue() + array.tobytes())
        has(complaint(tmp_path / "a.npz"), "damaged (x says", "expected an .npz file: save it again")


def test_npz_with_an_entry_twice_or_in_another_format(tmp_path: Path) -> None:
    import zipfile

    path = save(tmp_path / "a.npz", x=X, y=np.arange(10) % 2)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x.npy", b"again")
    has(complaint(path), "is damaged (an entry occurs twice")
    path = save(tmp_path / "b.npz", x=X, y=np.array([object()] * 10))
    has(complaint(path), "y holds pickled objects", "give lengths")


def test_csv_with_too_many_columns_is_refused_at_its_first_row(tmp_path: Path) -> None:
    row = ",".join(map(str, range(66_000)))
    path = write(tmp_path / "a.csv", f"{row}\n" * 50)
    has(complaint(path, label="1"), f"{path}:1: 66000 columns; expected at most 10000")


def test_csv_with_many_columns_is_read_and_named_briefly(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(9_999)]
    rows = [",".join(str((i * t) % 7) for i in range(10_000)) for t in range(40)]
    path = write(tmp_path / "a.csv", ",".join([*names, "y"]) + "\n" + "\n".join(rows))
    message = complaint(path, label="nosuch")
    has(message, "expected one of c0, c1,", "c19, ... (10000 in all)")
    assert len(message) < 600
    r = data.load(str(path), target="y", window=10)
    assert len(r.channels) == 9_999
    path = write(tmp_path / "b.csv", ",".join(["c"] * 9_999) + "\n" + ",".join(["1"] * 9_999))
    has(complaint(path, target="y"), "two columns are named 'c'")


def test_many_classes_take_no_longer_than_few(tmp_path: Path) -> None:
    """Each class takes one draw, not a search of all sequences."""
    path = save(tmp_path / "a.npz", x=np.zeros((60_000, 1, 1)), y=np.arange(60_000) // 2)
    assert len(data.load(str(path)).labels) == 30_000


@pytest.mark.parametrize("value", [5e-324, 1e-200, 1e-31])
def test_a_channel_that_hardly_varies_is_refused(value: float) -> None:
    x = [np.array([[0.0, 1.0], [value, 2.0]])] * 4
    y = np.array([0, 1, 0, 1])
    try:
        r = Recording("r", "classification", "last", ("a", "b"), ("p", "q"), Sequences(x, y), Sequences(x, y))
    except DataError as error:
        has(str(error), "channel 'a' varies by", "expected 1e-30 or more: record it in a smaller unit")
    else:  # so little that the variance is 0: a constant
        assert r.std[0] == 1


# ---- the options


def test_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    recording_options.add_arguments(parser)
    path = steps_csv(tmp_path / "day.csv")
    line = [
        str(path),
        "--target",
        "force",
        "--group",
        "who",
        "--drop",
        "t",
        "--drop",
        "is",
        "--keep",
        "ax",
        "--window",
        "4",
        "--test-fraction",
        "0.5",
        "--split-seed",
        "2",
    ]
    r = recording_options.from_args(parser.parse_args(line))
    assert (r.channels, r.labels) == (("ax", "ay"), ("force",))
    assert r.split == "50 % of the groups drawn for the test, seed 2"
    assert r.remarks == ("no validation part: 30 training rows are too few; record more, or give --validation FILE",)
    assert max(r.train.lengths) == 4
    assert len(recording_options.from_args(parser.parse_args(["basic-motions"])).train) == 32
    assert recording_options.given(parser.parse_args(["basic-motions"])) == []
    for option, value, expected in (
        ("--window", "0", "1 or more"),
        ("--window", "x", "1 or more"),
        ("--split-seed", "-1", "0 or more"),
        ("--test-fraction", "1", "between 0 and 1"),
        ("--test-fraction", "x", "between 0 and 1"),
    ):
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(["basic-motions", f"{option}={value}"])
        assert caught.value.code == 2
        has(capsys.readouterr().err, option, value, expected)
