# SPDX-License-Identifier: MIT
"""load() on data as people have it: what the readers, the clock guard, resampling and the look at the values do together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recordings import complaint, save
from tinyrnn import data


def walking(rows: int = 200, seed: int = 0) -> np.ndarray:
    """(rows, 2): noise, and noise that is larger in every second block of 20 rows."""
    rng = np.random.default_rng(seed)
    loud = np.arange(rows) // 20 % 2
    return np.round(np.column_stack([rng.normal(size=rows), rng.normal(size=rows) * (1 + 3 * loud)]), 3)


def day(path: Path, change: Any = None, header: str = "ax,ay,is", mark: str = ",", decimal: str = ".") -> Path:
    lines = [header]
    for row, (ax, ay) in enumerate(walking()):
        cells = [f"{ax:.3f}".replace(".", decimal), f"{ay:.3f}".replace(".", decimal), "up" if row // 20 % 2 else "lie down"]
        lines.append(mark.join(change(row, cells) if change else cells))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def same(one: Any, other: Any) -> None:
    assert one.channels == other.channels
    for part in ("train", "test", "validation"):
        a, b = getattr(one, part), getattr(other, part)
        assert all(np.allclose(x, y, atol=1e-9) for x, y in zip(a.x, b.x, strict=True))
        assert all((x == y).all() for x, y in zip(a.y, b.y, strict=True))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".dat", ".TXT"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_every_suffix_takes_every_separator(tmp_path: Path, suffix: str, mark: str) -> None:
    wanted = data.load(str(day(tmp_path / "a.csv")), label="is")
    for decimal in ".," if mark != "," else ".":
        path = day(tmp_path / f"b{suffix}", header=mark.join(["ax", "ay", "is"]), mark=mark, decimal=decimal)
        same(data.load(str(path), label="is"), wanted)


def test_a_folder_of_text_files(tmp_path: Path) -> None:
    for label in ("shake", "still"):
        for number in range(6):
            values = walking(30, number)
            (tmp_path / label).mkdir(exist_ok=True)
            np.savetxt(tmp_path / label / f"{number}.txt", values, fmt="%.3f", header="ax ay")
    r = data.load(str(tmp_path))
    assert r.channels == ("ax", "ay")
    assert len(r.train) + len(r.test) + (len(r.validation) if r.validation else 0) == 12


def test_a_counter_under_any_name_is_refused(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [str(1000 + 7 * row), *cells], header="mystery,ax,ay,is")
    assert complaint(path, label="is") == (
        f"{path}: column 'mystery' rises in every row from 1000 to 2393, like a clock or a counter, which is rarely a"
        ' useful input; expected a decision: --drop "mystery" to leave it out or --keep "mystery" to use it'
    )
    assert data.load(str(path), label="is", drop="mystery").channels == ("ax", "ay")
    assert data.load(str(path), label="is", keep="mystery").channels == ("mystery", "ax", "ay")


def test_a_counter_in_every_file_of_a_folder(tmp_path: Path) -> None:
    for label in "ab":
        for number in range(4):
            values = np.column_stack([np.arange(20) + 100 * number, walking(20, number)])
            (tmp_path / label).mkdir(exist_ok=True)
            np.savetxt(tmp_path / label / f"{number}.csv", values, delimiter=",", header="k,ax,ay", comments="")
    assert complaint(tmp_path).startswith(f"{tmp_path}: column 'k' rises in every row of all 8 files or groups")
    values[5, 0] = 0  # in one file it does not rise
    np.savetxt(tmp_path / "b" / "3.csv", values, delimiter=",", header="k,ax,ay", comments="")
    assert data.load(str(tmp_path)).channels == ("k", "ax", "ay")


def test_a_counter_that_starts_again_in_each_group(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [str(row % 20), f"g{row // 20}", *cells], header="k,who,ax,ay,is")
    assert "column 'k' rises in every row of all 10 files or groups" in complaint(path, label="is", group="who")
    assert data.load(str(path), label="is", drop="who").channels == ("k", "ax", "ay")


def test_what_is_forecast_may_rise(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [str(row**1.1), *cells[:2]], header="energy,ax,ay")
    assert data.load(str(path), target="energy", horizon=3).channels == ("energy", "ax", "ay")


def test_classes_with_two_spellings(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [*cells[:2], "Up" if row == 25 else cells[2]])
    assert complaint(path, label="is") == (
        f"{path}: column 'is': classes 'Up' (1 time) and 'up' (99 times) differ only in case, spaces or the"
        " form of a letter;"
        " expected one spelling: rename one in the file"
    )
    for label in ("walk", "Walk", "run"):
        for number in range(2):
            day(tmp_path / "moves" / label / f"{number}.csv", lambda row, cells: cells[:2], header="ax,ay")
    assert complaint(tmp_path / "moves") == (
        f"{tmp_path / 'moves'}: classes 'Walk' (2 times) and 'walk' (2 times) differ only in case, spaces or the form of a"
        " letter; expected one spelling: rename the folder"
    )


def test_a_missing_class(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [*cells[:2], "nan" if row == 25 else cells[2]])
    assert complaint(path, label="is") == (
        f"{path}:27: column 'is' is 'nan', a missing value; expected the name of a class: fill it in or delete the line"
    )
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 3, 1)), y=np.array(["a", "nan", "a", "b", "b", "nan"]))
    assert complaint(tmp_path / "a.npz") == (
        f"{tmp_path / 'a.npz'}: class 'nan' (2 times) is a missing value; expected the name of a class: rename one"
    )
    np.savez(tmp_path / "a.npz", x=np.zeros((6, 3, 1)), y=np.array(["a", "A ", "a ", "b", "b", "b"]))
    assert "classes 'a' (1 time) and 'a ' (1 time) differ only in case" in complaint(tmp_path / "a.npz")


def test_a_comma_in_a_name(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", header='"acc, x",ay,is')
    assert data.load(str(path), label="is").channels == ("acc, x", "ay")
    assert data.load(str(path), label="is", drop='"acc, x"').channels == ("ay",)
    assert data.load(str(path), target='"acc, x"', drop="is").labels == ("acc, x",)
    path = day(tmp_path / "b.csv", lambda row, cells: [cells[2], *cells[1:]], header='"acc, x",ay,is')
    message = complaint(path, label="is")
    assert message.endswith("""leave the column out with --drop '"acc, x"'""")


def test_a_glitch_and_a_constant_channel_are_said_with_their_line(tmp_path: Path) -> None:
    path = day(
        tmp_path / "a.csv",
        lambda row, cells: ["1e9" if row == 30 else cells[0], cells[1], "7", cells[2]],
        header="ax,ay,az,is",
    )
    r = data.load(str(path), label="is")
    clean = data.load(str(day(tmp_path / "b.csv")), label="is")
    constant, glitch = r.remarks
    assert constant == "channel 'az' is 7 at every step, which tells the network nothing; leave it out with --drop \"az\""
    assert glitch.startswith(
        f"{path}:32: channel 'ax' is 1e+09; all others lie in -2.398 to 2.002; in training it counts as 6.40"
    )
    assert r.std[0] == pytest.approx(clean.std[0], rel=0.2)
    assert r.maximum[0] < 8
    assert clean.remarks == ()


def test_large_integers_are_refused_when_read(tmp_path: Path) -> None:
    path = day(
        tmp_path / "a.csv", lambda row, cells: [str(20_000_000 + row % 7), str(row % 5), cells[2]], header="lux,ay,is"
    )
    assert complaint(path, label="is") == (
        "a: channel 'lux' reaches 20000006 and all values are whole numbers, which a board feeds as they are; expected less"
        " than 2^24 = 16777216: subtract an offset, or divide by 2, in the recording and on the board"
    )


def test_row_names_are_said(tmp_path: Path) -> None:
    path = day(tmp_path / "a.csv", lambda row, cells: [f'"{row + 1}"', *cells], header='"ax","ay","is"')
    r = data.load(str(path), label="is")
    assert r.channels == ("ax", "ay")
    assert r.remarks == ("a.csv: the first column holds row names, which are no input",)


# ---- resampling


def timed(path: Path, times: list[str], header: str = "time_ms,ax,is") -> Path:
    lines = [
        f"{time},{row % 9},{'up' if row // (20 if len(times) > 20 else 1) % 2 else 'down'}" for row, time in enumerate(times)
    ]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_resampling_by_the_clock_of_the_file(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.csv", [str(20 * row) for row in range(200)])
    even = data.load(str(path), label="is", resample="20ms")
    same(even, data.load(str(path), label="is", drop="time_ms"))
    assert even.remarks == ()
    half = data.load(str(path), label="is", resample="25Hz")
    assert sum(sum(p.lengths) for p in (half.train, half.test, half.validation) if p) in range(90, 101)  # and gaps between
    dates = [f"2024-05-31 10:00:{row * 0.02:06.3f}" for row in range(200)]
    same(data.load(str(timed(tmp_path / "b.csv", dates, "when,ax,is")), label="is", resample="50Hz", time="when"), even)


def test_resampling_reports_and_cuts_gaps(tmp_path: Path) -> None:
    path = timed(tmp_path / "a.csv", [str(20 * row + (5000 if row >= 120 else 0)) for row in range(200)])
    r = data.load(str(path), label="is", resample="20ms", window=10)
    assert r.remarks == (f"{path}:121: a gap of 5.02 s after this row; the recording is cut there",)
    everything = [*r.train.x, *r.test.x, *(r.validation.x if r.validation else [])]
    assert sum(len(x) for x in everything) <= 200
    assert all(np.allclose(np.diff(x[:, 0]) % 9, 1) for x in everything)  # no window bridges the gap
    assert r.split.startswith("by time")  # it is still one recording


def test_resampling_a_folder(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(4):
            (tmp_path / label).mkdir(exist_ok=True)
            times = np.cumsum(np.random.default_rng(number).uniform(0.008, 0.012, 50))
            values = np.column_stack([times, np.sin(40 * times)])
            np.savetxt(tmp_path / label / f"{number}.csv", values, delimiter=",", header="t (s),ax", comments="")
    r = data.load(str(tmp_path), resample="100Hz")
    assert r.channels == ("ax",)
    assert {len(x) for x in r.train.x} <= set(range(45, 53))
    assert max(np.abs(np.diff(x[:, 0])).max() for x in r.train.x) < 0.41


@pytest.mark.parametrize(
    ("times", "header", "options", "line"),
    [
        (
            ["0", "20", "20", "40"],
            "time_ms,ax,is",
            {},
            "{path}:4: time 'time_ms' repeats the row before; expected times that rise: sort the rows, or delete"
            " this one, or"
            " name the recordings in the file with --group",
        ),
        (
            ["0", "20", "10", "40"],
            "time_ms,ax,is",
            {},
            "{path}:4: time 'time_ms' lies 0.01 s before the row before; expected times that rise: sort the"
            " rows, or delete this"
            " one, or name the recordings in the file with --group",
        ),
        (
            ["0", "20", "30", "40"],
            "k,ax,is",
            {},
            "{path}: none of the columns k, ax, is holds times with a unit; expected one for --resample: rename it, such as"
            " 'time (ms)', and name it with --time",
        ),
        (
            ["0", "20", "30", "40"],
            "t,ax,is",
            {"time": "t"},
            "{path}:2: time column 't' names no unit; expected one: rename it, for example 't (ms)' or 't (s)'",
        ),
        (["0", "20", "30", "40"], "t,ax,is", {"time": "T"}, "{path}: no column 'T' for --time; expected one of t, ax, is"),
        (
            ["0", "20", "x", "40"],
            "time_ms,ax,is",
            {"time": "time_ms"},
            "{path}:4: column 1 (time_ms) is 'x'; expected a number: correct or delete the line, or leave the"
            " column out with"
            ' --drop "time_ms"',
        ),
        (
            ["0", "20", "30", "40"],
            "time_ms,ax,is",
            {"resample": "20"},
            "'20' is no period or rate; expected a number with its unit, such as 20ms, 0.5s or 50Hz",
        ),
        (
            ["0", "20", "30", "40"],
            "time_ms,ax,is",
            {"resample": None, "time": "time_ms"},
            "time column 'time_ms' without a period; expected --resample PERIOD too, such as 20ms",
        ),
    ],
)
def test_resampling_that_is_refused(
    tmp_path: Path, times: list[str], header: str, options: dict[str, Any], line: str
) -> None:
    path = timed(tmp_path / "a.csv", times, header)
    assert complaint(path, **{"label": "is", "resample": "20ms", **options}) == line.replace("{path}", str(path))


# ---- .npz


X = np.random.default_rng(0).normal(size=(40, 5, 2))
K = np.arange(40) % 4
ONE_HOT = np.eye(4)[K]


@pytest.mark.parametrize("kind", [float, int, bool, np.uint8, np.float32])
def test_one_hot_answers_are_classes(tmp_path: Path, kind: type) -> None:
    wanted = data.load(str(save(tmp_path / "a.npz", x=X, y=K)))
    r = data.load(str(save(tmp_path / "a.npz", x=X, y=ONE_HOT.astype(kind))))
    assert (r.task, r.when, r.labels) == ("classification", "last", ("0", "1", "2", "3"))
    same_last(r, wanted)
    assert r.remarks == ("y of shape (40, 4) holds a single 1 in each row: read as 4 classes",)
    named = data.load(str(save(tmp_path / "a.npz", x=X, y=ONE_HOT.astype(kind), labels=["w", "x", "y", "z"])))
    assert named.labels == ("w", "x", "y", "z")


def same_last(one: Any, other: Any) -> None:
    for part in ("train", "test", "validation"):
        assert (getattr(one, part).y == getattr(other, part).y).all()


def test_a_column_of_classes(tmp_path: Path) -> None:
    wanted = data.load(str(save(tmp_path / "a.npz", x=X, y=K)))
    r = data.load(str(save(tmp_path / "a.npz", x=X, y=K[:, None])))
    same_last(r, wanted)
    assert r.remarks == ("y of shape (40, 1) is read as one class for each row",)
    text = data.load(str(save(tmp_path / "a.npz", x=X, y=np.array(list("abcd"))[K][:, None])))
    assert text.labels == ("a", "b", "c", "d")
    steps = np.repeat(K[:, None], 5, axis=1)
    every = data.load(str(save(tmp_path / "a.npz", x=X, y=steps[..., None])))
    assert (every.when, every.task) == ("every", "classification")
    one_target = data.load(str(save(tmp_path / "a.npz", x=X, y=X[:, 0, :1])))
    assert one_target.task == "regression"


def test_one_hot_at_each_step_with_padding_and_a_test_set(tmp_path: Path) -> None:
    y = np.eye(3)[np.arange(200).reshape(40, 5) % 3]
    lengths = np.full(40, 4)
    y[:, 4] = 0  # padding
    r = data.load(
        str(save(tmp_path / "a.npz", x=X, y=y, lengths=lengths, x_test=X[:5], y_test=y[:5], lengths_test=lengths[:5]))
    )
    assert (r.when, r.labels, len(r.test)) == ("every", ("0", "1", "2"), 5)
    assert r.test.y[0].tolist() == [0, 1, 2, 0]
    y_test = y[:5].copy()
    y_test[2, 1] = 1
    assert complaint(
        save(tmp_path / "a.npz", x=X, y=y, lengths=lengths, x_test=X[:5], y_test=y_test, lengths_test=lengths[:5])
    ).endswith("a.npz: y_test is not one-hot, but y is; expected a single 1 in each row of both")


def test_one_long_recording_with_one_hot_rows(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    k = np.arange(400) // 10 % 3
    r = data.load(str(save(tmp_path / "a.npz", x=x, y=np.eye(3)[k])), window=20)
    assert (r.task, r.when, r.labels) == ("classification", "every", ("0", "1", "2"))
    assert data.load(str(save(tmp_path / "a.npz", x=x, y=k[:, None])), window=20).labels == ("0", "1", "2")


def test_one_hot_or_a_class_at_each_step(tmp_path: Path) -> None:
    x = X[:, :4]
    path = save(tmp_path / "a.npz", x=x, y=ONE_HOT.astype(int))
    assert complaint(path) == (
        f"{path}: y of shape (40, 4) with a single 1 in each row could be a class at each of 4 steps, or one"
        " of 4 classes for"
        " each sequence; expected an entry when='every' for the first, or when='last' for the second"
    )
    every = data.load(str(save(tmp_path / "a.npz", x=x, y=ONE_HOT.astype(int), when="every")))
    assert (every.when, every.labels) == ("every", ("0", "1"))
    last = data.load(str(save(tmp_path / "a.npz", x=x, y=ONE_HOT.astype(int), when="last")))
    assert (last.when, last.labels) == ("last", ("0", "1", "2", "3"))
    spoiled = ONE_HOT.astype(int)
    spoiled[3] = 1  # not one-hot: a class at each step, as before
    assert data.load(str(save(tmp_path / "a.npz", x=x, y=spoiled))).when == "every"


def test_targets_that_are_not_one_hot_stay_targets(tmp_path: Path) -> None:
    y = ONE_HOT.copy()
    y[5] = 0.25
    assert data.load(str(save(tmp_path / "a.npz", x=X, y=y))).task == "regression"
    r = data.load(str(save(tmp_path / "a.npz", x=X, y=K.astype(float))))
    assert r.task == "regression"
    assert r.remarks == ("y holds the whole numbers 0 to 3 as floats, which are targets; for classes save them as integers",)


def test_a_counter_among_the_channels_of_an_npz_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 20, 2))
    x[..., 1] = np.arange(20) * 0.1
    assert data.load(str(save(tmp_path / "a.npz", x=x, y=K))).remarks == (
        "channel '2' rises at every step of every sequence, like a clock or a counter",
    )
