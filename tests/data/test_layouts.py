# SPDX-License-Identifier: MIT
"""Files as people lay them out: persons in folders or names, answers in each row, test files, and each refusal's line."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.recordings import complaint, save
from tinyrnn import data
from tinyrnn.cli import recording_options
from tinyrnn.data import persons
from tinyrnn.data.recording import Recording

PEOPLE = ("anna", "ben", "cal", "dora", "eve")


def table(path: Path, rows: int = 12, first: int = 0, answers: str = "", header: str = "") -> Path:
    """A CSV file of ax (rising), ay, and, with answers, a class "is" of one letter in each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header or ("ax,ay,is" if answers else "ax,ay")]
    for row in range(rows):
        # Both go up and down, so that neither looks like a counter
        cells = [str(first + row // 2 * 2 - row % 2), str(-row % 5)] + ([answers[row % len(answers)]] if answers else [])
        lines.append(",".join(cells))
    path.write_text("\n".join(lines) + "\n")
    return path


def people(root: Path, name: str, persons: tuple[str, ...] = PEOPLE, labels: tuple[str, ...] = ("run", "walk")) -> Path:
    """Files of each person and label; name says where, such as "{label}/{person}_{i}.csv"."""
    for a, person in enumerate(persons):
        for b, label in enumerate(labels):
            for i in range(3):
                table(root / name.format(person=person, label=label, i=i), first=1000 * a + 100 * b + 10 * i)
    return root


def groups(r: Recording) -> list[set[str]]:
    assert r.validation
    return [set(part.groups) for part in (r.train, r.validation, r.test)]


def assert_apart(r: Recording, expected: tuple[str, ...] = PEOPLE) -> None:
    found = groups(r)
    assert set().union(*found) == set(expected)
    assert sum(map(len, found)) == len(expected)
    for part in (r.train, r.validation, r.test):
        assert part
        for name, group, y in zip(part.names, part.groups, part.all_y(), strict=True):
            assert group in name
            assert r.labels[y] in name


# ---- persons


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("{person}/{label}/{i}.csv", "group:PERSON/LABEL"),
        ("{label}/{person}/{i}.csv", "group:LABEL/PERSON"),
        ("{label}/{person}_{i}.csv", "group"),
        ("{label}/{person}-{label}-{i}.csv", "group"),
        ("{label}/{label}_{person}_{i}.csv", "group"),
        ("{label}/{person}_{i}.csv", "group:PERSON_*"),
        ("{label}/{person}_{i}.csv", "group:LABEL/PERSON_*"),
        ("{label}/take {i} of {person}.csv", "group:* of PERSON"),
        ("{label}/take {i} of {person}.csv", "group:of (\\w+)$"),
        ("{label}/{i}{person}.csv", "group:[a-z]+$"),
        ("{person}-{label}-{i}.csv", "group:PERSON-LABEL-*"),
        ("day/{person}.{label}.{i}.csv", "group:*/PERSON.LABEL.*"),
    ],
)
def test_persons_are_never_in_two_parts(tmp_path: Path, name: str, split: str) -> None:
    r = data.load(str(people(tmp_path / "moves", name)), split=split)
    assert (r.labels, r.channels) == (("run", "walk"), ("ax", "ay"))
    assert_apart(r)
    assert r.split == "20 % of the groups drawn for the test, seed 0; 15 % of the other groups drawn for validation"


@pytest.mark.parametrize("name", ["{person}/{label}/{i}.csv", "{label}/{person}/{i}.csv"])
@pytest.mark.parametrize(
    "persons", [("user01", "user02", "user03", "user04"), ("1", "2", "3", "10"), ("S1", "S2", "S3", "S4b")]
)
def test_folders_that_count_persons_are_understood(tmp_path: Path, name: str, persons: tuple[str, ...]) -> None:
    r = data.load(str(people(tmp_path, name, persons)))
    assert_apart(r, persons)
    assert data.load(str(tmp_path), split="random").labels == ("run", "walk")


def test_two_levels_of_folders_that_could_mean_either_are_asked_for(tmp_path: Path) -> None:
    people(tmp_path, "{person}/{label}/{i}.csv")
    for split in (None, "group", "random"):
        assert complaint(tmp_path, split=split) == (
            f"{tmp_path}: two levels of folders, such as anna/run, of which one is the label and one the person; expected to"
            " know which: --split group:LABEL/PERSON or --split group:PERSON/LABEL"
        )


def test_persons_in_train_and_test_folders(tmp_path: Path) -> None:
    people(tmp_path / "train", "{person}/{label}/{i}.csv", ("p1", "p2", "p3", "p4"))
    people(tmp_path / "test", "{person}/{label}/{i}.csv", ("p5", "p6"))
    r = data.load(str(tmp_path))
    assert groups(r)[2] == {"p5", "p6"}
    assert_apart(r, ("p1", "p2", "p3", "p4", "p5", "p6"))
    assert r.split == "folders train and test; 15 % of the other groups drawn for validation"


def test_leave_one_person_out(tmp_path: Path) -> None:
    people(tmp_path, "{label}/{person}_{i}.csv")
    found = dict(data.load_folds(str(tmp_path), "group", split="group"))
    assert tuple(found) == PEOPLE
    for person, r in found.items():
        assert set(r.test.groups) == {person}
        assert_apart(r)
        assert r.split.startswith(f"tested on group {person!r}; ")
    assert tuple(dict(data.load_folds(str(tmp_path), "group"))) == PEOPLE


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ("group:PERSON-*", "'run/anna_0' does not match 'PERSON-*', which is to tell persons apart; expected it to"),
        ("group:[", "'[' is neither a column nor a regular expression (unterminated character set"),
        ("group:PERSON_PERSON", "split is 'group:PERSON_PERSON', with PERSON twice; expected it once"),
        ("groups", "split is 'groups'; expected time, random, group or group:COLUMN"),
        ("time:x", "split is 'time:x'; expected time, random, group or group:COLUMN"),
        ("group:", "split is 'group:'; expected time, random, group or group:COLUMN"),
    ],
)
def test_patterns_refused(tmp_path: Path, split: str, text: str) -> None:
    assert text in complaint(people(tmp_path, "{label}/{person}_{i}.csv"), split=split)


@pytest.mark.parametrize("name", ["{label}/{person}{i}.csv", "{label}/{label}_{i}{person}.csv"])
def test_names_that_do_not_tell_persons_apart(tmp_path: Path, name: str) -> None:
    message = complaint(people(tmp_path, name), split="group")
    assert "do not tell persons apart; expected names such as anna_03.csv" in message
    assert "--split 'group:PERSON_*'" in message


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ({"user1", "user2"}, {"walk", "run"}, True),
        ({"walk", "run"}, {"user1", "user2"}, False),
        ({"S01", "s02"}, {"1", "2"}, True),
        ({"0", "1"}, {"subject_1", "subject_2"}, False),
        ({"3", "4"}, {"walk", "run"}, True),
        ({"anna", "ben"}, {"walk", "run"}, None),
        ({"1", "2"}, {"3", "4"}, None),
        ({"user1", "anna"}, {"walk", "run"}, None),
    ],
)
def test_which_level_is_the_person(outer: set[str], inner: set[str], expected: bool | None) -> None:
    assert persons.outer_is_person(outer, inner) is expected


# ---- an answer in each row of every file of a folder


def test_answers_in_each_row_of_a_folder(tmp_path: Path) -> None:
    for i in range(10):
        table(tmp_path / f"{i}.csv", rows=10 + i, answers="uud")
    r = data.load(str(tmp_path), label="is")
    assert (r.task, r.when, r.labels, r.channels) == ("classification", "every", ("d", "u"), ("ax", "ay"))
    assert r.validation
    assert (len(r.train), len(r.validation), len(r.test)) == (7, 1, 2)
    names = [*r.train.names, *r.validation.names, *r.test.names]
    assert sorted(names) == [f"{i}.csv" for i in range(10)]  # each file is one sequence
    for name, x, y in zip(r.train.names, r.train.x, r.train.y, strict=True):
        assert len(x) == len(y) == 10 + int(name[0])
        assert y.tolist() == [[1, 1, 0][row % 3] for row in range(len(y))]
    assert r.split == "20 % of the files drawn for the test, seed 0; 15 % of the other files drawn for validation"
    numbers = data.load(str(tmp_path), target="ay", drop="is")
    assert (numbers.task, numbers.labels, numbers.channels) == ("regression", ("ay",), ("ax",))


def test_answers_in_each_row_with_folders_train_and_test(tmp_path: Path) -> None:
    for i in range(6):
        table(tmp_path / "train" / f"{i}.csv", answers="ud")
    table(tmp_path / "test" / "0.csv", answers="ud")
    table(tmp_path / "val" / "0.csv", answers="ud")
    r = data.load(str(tmp_path), label="is")
    assert r.validation
    assert (len(r.train), r.validation.names, r.test.names) == (6, ("val/0.csv",), ("test/0.csv",))
    assert r.split == "folders train, val and test"
    odd = table(tmp_path / "test" / "1.csv", answers="uddx")
    assert complaint(tmp_path, label="is") == (
        f"{odd}:5: column 'is' is 'x', a class that does not occur in the training files; expected one of d, u: record it"
        " there too"
    )
    stray = table(tmp_path / "stray.csv", answers="ud")
    assert f"{stray}: a file beside train and test" in complaint(tmp_path, label="is")


def test_folders_of_files_with_an_answer_in_each_row_are_groups(tmp_path: Path) -> None:
    for person in PEOPLE:
        for i in range(2):
            table(tmp_path / person / f"{i}.csv", answers="ud")
    found = groups(data.load(str(tmp_path), label="is"))
    assert sum(map(len, found)) == 5
    stray = table(tmp_path / "stray.csv", answers="ud")
    assert f"{stray.parent / 'anna'}: a folder beside files; expected FOLDER/*.csv or FOLDER/PERSON/*.csv" in complaint(
        tmp_path, label="is"
    )


def test_a_column_or_the_name_tells_the_group_of_a_folder_of_files(tmp_path: Path) -> None:
    for person in PEOPLE:
        for i in range(2):
            table(tmp_path / f"{person}_{i}.csv", answers=person[0])
    assert sum(map(len, groups(data.load(str(tmp_path), target="ay", drop="is", split="group")))) == 5
    r = data.load(str(tmp_path), target="ay", split="group:is")
    assert (r.channels, sorted(set().union(*groups(r)))) == (("ax",), ["a", "b", "c", "d", "e"])
    assert "does not match 'nosuch'" in complaint(tmp_path, target="ay", split="group:nosuch")


def test_tables_that_end_in_txt(tmp_path: Path) -> None:
    for label in ("run", "walk"):
        for i in range(5):
            table(tmp_path / label / f"{i}.txt")
    (tmp_path / "README.txt").write_text("Recorded on Monday.")
    r = data.load(str(tmp_path))
    assert (len(r.train) + len(r.test), r.channels) == (10, ("ax", "ay"))
    table(tmp_path / "run" / "a.csv")  # now the text files may be notes
    assert "no CSV file of label 'walk'" in complaint(tmp_path)
    one = table(tmp_path / "day.txt", rows=200, answers="ud")
    assert data.load(str(one), label="is").labels == ("d", "u")


# ---- one file


def test_a_column_tells_persons_apart(tmp_path: Path) -> None:
    lines = ["ax,is,session,who"]
    for row in range(400):
        lines.append(f"{row % 7},{'ud'[row % 2]},{row // 20},{PEOPLE[row // 40 % 5]}")
    path = tmp_path / "day.csv"
    path.write_text("\n".join(lines) + "\n")
    r = data.load(str(path), label="is", group="session", split="group:who")
    assert (r.channels, set(r.train.lengths.tolist())) == (("ax",), {20})  # sessions are the sequences
    found = groups(r)
    assert sum(map(len, found)) == 5
    alone = data.load(str(path), label="is", drop="session", split="group:who")
    assert set(alone.train.lengths.tolist()) == {80}
    assert sum(map(len, groups(alone))) == 5
    assert data.load(str(path), label="is", group="who", split="group:who", drop="session").channels == ("ax",)
    assert "no column 'nosuch' for --split group" in complaint(path, label="is", split="group:nosuch")
    assert "column 'is' is named in two options" in complaint(path, label="is", split="group:is")
    assert [name for name, _ in data.load_folds(str(path), "group", label="is", drop="session", split="group:who")] == list(
        PEOPLE
    )


def test_forecast(tmp_path: Path) -> None:
    path = table(tmp_path / "pump.csv", rows=500)
    r = data.load(str(path), target="ay", horizon=3, window=20)
    assert (r.channels, r.labels, r.horizon, r.when) == (("ax", "ay"), ("ay",), 3, "every")
    assert r.validation
    for part in (r.train, r.validation, r.test):
        for x, y in zip(part.x, part.y, strict=True):
            assert (y[:-3, 0] == x[3:, 1]).all()  # ay at row t + 3
    assert r.test.names[-1].endswith(" to 497")  # the last three rows have no answer
    assert data.load(str(path), target="ay", horizon=3, drop="ay").channels == ("ax",)


def test_forecast_within_each_group(tmp_path: Path) -> None:
    lines = ["ax,who"] + [f"{row},{'abcdef'[row // 20]}" for row in range(105)]
    path = tmp_path / "day.csv"
    path.write_text("\n".join(lines) + "\n")
    r = data.load(str(path), target="ax", group="who", horizon=8, keep="ax")
    for part in (r.train, r.test):
        for x, y, name in zip(part.x, part.y, part.names, strict=True):
            assert (y == x + 8).all()
            assert (len(x), int(x[0, 0]) % 20) == (12, 0), name
    assert r.remarks[0] == "1 of 6 sequences have no row 8 rows before their last and are left out"
    assert complaint(path, target="ax", group="who", horizon=20, keep="ax") == (
        f"{path}: horizon is 20 rows, but a sequence has at most 20; expected fewer: use a smaller --horizon or record"
        " longer"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"label": "is", "horizon": 3},
            "horizon is 3 steps without a target; expected --target COLUMN, the column to forecast",
        ),
        ({"label": "is", "stride": 0}, "stride is 0 steps; expected 1 or more"),
        ({"label": "is", "stride": 200}, "day.csv: stride is 200, longer than the window of 100 steps; expected 1 to 100"),
        (
            {"label": "is", "validation": 1.5},
            "validation is 1.5; expected a share of the training part below 1, such as 0.15",
        ),
        ({"label": "is", "validation": "nan"}, "validation is nan; expected a share"),
        ({"label": "is", "validation": "nowhere.csv"}, "nowhere.csv: there is no such data set, folder or file"),
        ({"label": "is", "split": "group"}, "day.csv: split by group, but no group is known; expected --split group:COLUMN"),
        ({"target": 'ax, "ay'}, "columns 'ax, \"ay'; expected names with commas between them, and quotes around a name"),
    ],
)
def test_options_refused(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    assert text in complaint(table(tmp_path / "day.csv", rows=300, answers="ud"), **options)


def test_a_column_whose_name_holds_a_comma(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", rows=200, answers="ud", header='"acc, x",ay,is')
    assert data.load(str(path), label="is", drop='"acc, x"').channels == ("ay",)
    assert data.load(str(path), target='ay, "acc, x"', horizon=1, drop="is").labels == ("ay", "acc, x")
    assert data.load(str(path), label="is", drop=["acc, x"]).channels == ("ay",)
    parser = argparse.ArgumentParser()
    recording_options.add_arguments(parser)
    args = parser.parse_args([str(path), "--label", "is", "--drop", '"acc, x"'])
    assert recording_options.from_args(args).channels == ("ay",)


# ---- files of their own for the test and for validation


def test_a_csv_file_has_its_own_test_and_validation_file(tmp_path: Path) -> None:
    day = table(tmp_path / "day.csv", rows=300, answers="ud")
    night = table(tmp_path / "night.csv", rows=250, first=5000, answers="ud")
    noon = table(tmp_path / "noon.csv", rows=50, first=9000, answers="u")  # one class is enough here
    r = data.load(str(day), label="is", test=str(night), validation=str(noon))
    assert r.validation
    assert [part.lengths.tolist() for part in (r.train, r.validation, r.test)] == [[100] * 3, [50], [100, 100, 50]]
    assert r.test.names[0] == "night.csv, rows 1 to 100"
    assert r.split == f"{day} and {night}"
    kept = data.load(str(day), label="is", test=str(night))
    assert kept.validation
    assert kept.split == f"{day} and {night}; the last 15 % of the others for validation"
    assert kept.test.names == r.test.names
    assert kept.validation.names == ("day.csv, rows 256 to 300",)
    paths = data.load(str(day), label="is", test=night, validation=noon)  # type: ignore[arg-type]
    assert (paths.split, paths.test.names) == (r.split, r.test.names)


def test_what_is_wrong_with_a_test_file(tmp_path: Path) -> None:
    day = table(tmp_path / "day.csv", rows=300, answers="ud")
    jump = table(tmp_path / "jump.csv", rows=30, answers="udj")
    assert complaint(day, label="is", test=str(jump)) == (
        f"{jump}:4: column 'is' is 'j', a class that does not occur in {day}; expected one of d, u: record it there too"
    )
    other = table(tmp_path / "other.csv", rows=30, answers="ud", header="gx,gy,is")
    assert complaint(day, label="is", test=str(other)) == (
        f"{other}: the inputs are gx, gy; expected ax, ay as in {day}: record all files alike"
    )
    assert complaint(day, label="is", test=str(day)) == (
        f"{day}: is both DATA and --test; expected another file: its answers would be known"
    )
    night = table(tmp_path / "night.csv", rows=30, answers="ud")
    assert f"{night}: is both --validation and --test" in complaint(day, label="is", test=str(night), validation=str(night))
    assert "basic-motions: --test x.csv does not apply to a bundled set" in complaint("basic-motions", test="x.csv")
    (tmp_path / "x.npz").write_bytes(b"")
    assert "--label does not apply" in complaint(day, label="is", test=str(tmp_path / "x.npz"))


def test_a_folder_has_its_own_test_and_validation_folder(tmp_path: Path) -> None:
    moves = people(tmp_path / "moves", "{label}/{person}_{i}.csv")
    more = people(tmp_path / "more", "{label}/{person}_{i}.csv", ("fay",), ("walk",))  # one label is enough here
    r = data.load(str(moves), test=str(more), split="group:PERSON_*")
    assert r.validation
    assert r.test.names == tuple(f"more/walk/fay_{i}.csv" for i in range(3))
    assert set(r.test.groups) == {"fay"}
    assert r.test.all_y().tolist() == [1, 1, 1]
    assert not set(r.train.groups) & set(r.validation.groups)
    again = people(tmp_path / "again", "{label}/{person}_{i}.csv", ("anna", "zoe"))
    told = data.load(str(moves), test=str(again), split="group")
    assert told.remarks[0] == f"1 group of {again}, such as 'anna', occur in {moves} too"
    swim = people(tmp_path / "swim", "{label}/{person}_{i}.csv", ("fay",), ("swim",))
    assert complaint(moves, test=str(swim)) == (
        f"{swim / 'swim'}: label 'swim' is not in {moves}; expected the same labels: record it there too"
    )
    split = people(tmp_path / "split" / "train", "{label}/{person}_{i}.csv").parent
    people(split / "test", "{label}/{person}_{i}.csv")
    assert complaint(split, test=str(more)) == (
        f"{split}: has a test part of its own (folders train and test); expected that or --test {more}, not both"
    )
    assert complaint(moves, test=str(split)) == (
        f"{split}: holds folders train and test; expected only sequences for --test: name one of the two"
    )


# ---- .npz


X = np.random.default_rng(0).integers(-99, 99, (40, 5, 2))


def test_npz_with_groups(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    path = save(tmp_path / "a.npz", x=X, y=y, groups=np.array(PEOPLE)[np.arange(40) // 8])
    found = groups(data.load(str(path)))
    assert sum(map(len, found)) == 5
    assert [name for name, _ in data.load_folds(str(path), "group")] == list(PEOPLE)
    rows = X.reshape(200, 2)
    long = save(tmp_path / "b.npz", x=rows, y=rows[:, 0] / 2, groups=np.arange(200) // 40)
    r = data.load(str(long), window=10)
    assert sum(map(len, groups(r))) == 5
    assert set(r.train.lengths.tolist()) == {10}
    bad = save(tmp_path / "c.npz", x=X, y=y, groups=[1, 2])
    assert f"{bad}: groups has shape (2,) of int64; expected (40,) of text or integers, the person" in complaint(bad)


def test_npz_with_a_test_file(tmp_path: Path) -> None:
    y = np.arange(40) % 2
    path = save(tmp_path / "a.npz", x=X, y=np.array(["off", "on"])[y])
    test = save(tmp_path / "b.npz", x=X[:3], y=["on", "on", "on"])
    r = data.load(str(path), test=str(test))
    assert (len(r.test), r.test.all_y().tolist()) == (3, [1, 1, 1])
    coded = save(tmp_path / "c.npz", x=X, y=y, labels=["up", "down"])
    same = save(tmp_path / "d.npz", x=X[:2], y=[1, 0])
    assert data.load(str(coded), test=str(same)).test.all_y().tolist() == [1, 0]
    turned = save(tmp_path / "e.npz", x=X[:2], y=[1, 0], labels=["down", "up"])
    assert data.load(str(coded), test=str(turned)).test.all_y().tolist() == [0, 1]
    odd = save(tmp_path / "f.npz", x=X[:2], y=["on", "half"])
    assert complaint(path, test=str(odd)) == f"{odd}: y holds 'half' at 1; expected one of the classes off, on"
    numbers = save(tmp_path / "g.npz", x=X[:2], y=[0.5, 1.5])
    assert f"{numbers}: a regression at last step" in complaint(path, test=str(numbers))


# ---- the same files give the same split


def test_the_order_on_the_disk_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people(tmp_path, "{label}/{person}_{i}.csv")
    before = data.load(str(tmp_path), seed=4)
    listed = Path.iterdir

    def shuffled(self: Path) -> Any:
        found = list(listed(self))
        random.Random(1).shuffle(found)
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", shuffled)
    after = data.load(str(tmp_path), seed=4)
    assert before.validation
    assert after.validation
    assert (before.train.names, before.validation.names, before.test.names) == (
        after.train.names,
        after.validation.names,
        after.test.names,
    )


def test_given_names_each_option(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    recording_options.add_arguments(parser, optional=True)
    assert recording_options.given(parser.parse_args([])) == []
    values = {"horizon": "3", "window": "3", "stride": "2", "split": "time", "test_fraction": "0.2", "split_seed": "0"}
    for name in recording_options.NAMES:
        option = f"--{name.replace('_', '-')}"
        args = parser.parse_args([option, values.get(name, "x")])
        assert recording_options.given(args) == [option]
    with pytest.raises(SystemExit):
        parser.parse_args(["--split", "never"])
