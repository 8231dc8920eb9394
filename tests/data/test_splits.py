# SPDX-License-Identifier: MIT
"""Splits and windows: no row is known to two parts, each class and group is where it should be, and no draw changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tinyrnn.data import folds, split, windows
from tinyrnn.data.options import Shares
from tinyrnn.data.recording import Sequences
from tinyrnn.data.source import Series, Source, forecast
from tinyrnn.errors import DataError

T = TypeVar("T")
EVERY_ROW = ("time", "random", "group", None)


def numbered(lengths: list[int], groups: list[str] | None = None, horizon: int = 0, **change: object) -> Source:
    """A regression at every step. Each row's input is its own number, its target the number of the row to predict."""
    series: list[Series] = []
    for number, length in enumerate(lengths):
        ids = np.arange(length, dtype=float)[:, None] + 10_000 * number
        whole = forecast(Series(ids, ids, f"{number}.csv", groups[number] if groups else ""), horizon)
        if whole:
            series.append(whole)
    fields: dict[str, object] = {"window": 10, "horizon": horizon, "unit": "files", "strict": bool(groups), **change}
    return Source("n", "n.csv", "regression", "every", ("id",), ("id",), series, **fields)  # type: ignore[arg-type]


def classes(runs: str, each: int = 1, **change: object) -> Source:
    """One long recording with a class for each row, named by one letter."""
    labels = tuple(sorted(set(runs)))
    y = np.repeat([labels.index(letter) for letter in runs], each)
    x = np.arange(len(y), dtype=float)[:, None]
    fields: dict[str, object] = {"window": 10, **change}
    return Source(
        "c",
        "c.csv",
        "classification",
        "every",
        ("id",),
        labels,
        [Series(x, y, "c.csv")],
        **fields,  # type: ignore[arg-type]
    )


def parts(source: Source, method: str | None = None, **shares: object) -> tuple[Sequences, Sequences, Sequences]:
    division = split.divide(source, Shares(**shares), method)  # type: ignore[arg-type]
    return cut(source, division)


def cut(source: Source, division: split.Division) -> tuple[Sequences, Sequences, Sequences]:
    train, validation, test = (windows.cut(source, division.parts, part) for part in (0, 1, 2))
    return train, validation, test


def unless_refused(make: Callable[[], T]) -> T | None:
    """What make() returns; None if it raises a DataError, whose message says what was expected."""
    try:
        return make()
    except DataError as error:
        message = str(error)
    assert "; expected" in message
    return None


def known(sequences: Sequences) -> set[float]:
    """The rows that a part knows: those it reads and those it is to predict."""
    return {float(v) for array in [*sequences.x, *sequences.y] for v in np.ravel(array)}


def rows(sequences: Sequences) -> list[float]:
    return [float(v) for x in sequences.x for v in x[:, 0]]


def assert_no_leak(source: Source, found: tuple[Sequences, Sequences, Sequences]) -> None:
    train, validation, test = found
    assert not known(train) & known(test)
    assert not known(train) & known(validation)
    assert not known(validation) & known(test)
    for part in (validation, test):
        assert len(rows(part)) == len(set(rows(part)))  # no answer counts twice
    for part in found:
        for x, y in zip(part.x, part.y, strict=True):
            assert (np.diff(x[:, 0]) == 1).all()  # no window bridges a gap
            assert (y[:, 0] - x[:, 0] == source.horizon).all()
    if source.strict:
        assert not set(train.groups) & set(test.groups)
        assert not set(train.groups) & set(validation.groups)
        assert not set(validation.groups) & set(test.groups)


sizes = st.lists(st.integers(1, 300), min_size=1, max_size=6)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=sizes,
    horizon=st.sampled_from([0, 0, 1, 3, 24, 120]),
    window=st.integers(1, 50),
    stride=st.integers(1, 50),
    names=st.none() | st.lists(st.sampled_from(["ann", "ben", "cal", "dan"]), min_size=6, max_size=6),
    method=st.sampled_from(EVERY_ROW),
    test=st.sampled_from([0.05, 0.2, 0.5]),
    validation=st.sampled_from([None, 0.0, 0.3]),
    seed=st.integers(0, 5),
)
def test_no_row_is_known_to_two_parts(
    lengths: list[int],
    horizon: int,
    window: int,
    stride: int,
    names: list[str] | None,
    method: str | None,
    test: float,
    validation: float | None,
    seed: int,
) -> None:
    source = numbered(lengths, names, horizon, window=window, stride=min(stride, window))
    if not source.series:
        return
    if names and method in ("time", "random"):
        source = numbered(lengths, names, horizon, window=window, stride=min(stride, window), strict=False)
    found = unless_refused(lambda: parts(source, method, test=test, validation=validation, seed=seed))
    if found is None:
        return
    assert_no_leak(source, found)
    if horizon == 0 and method in ("random", "group") and validation == 0:  # nothing is lost
        every = [row for part in found for row in rows(part)]
        assert set(every) == {float(v) for series in source.series for v in series.x[:, 0]}


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    length=st.integers(2, 400),
    count=st.integers(2, 6),
    horizon=st.sampled_from([0, 1, 12]),
    window=st.integers(1, 40),
    method=st.sampled_from(["time", "random", None]),
)
def test_folds_of_one_long_recording(length: int, count: int, horizon: int, window: int, method: str | None) -> None:
    source = numbered([length], horizon=horizon, window=window)
    if not source.series:
        return
    tested: list[float] = []
    divisions = unless_refused(lambda: [one for _, one in folds.divisions(source, count, Shares(), method)])
    if divisions is None:
        return
    for division in divisions:
        found = cut(source, division)
        assert_no_leak(source, found)
        tested += rows(found[2])
    assert len(tested) == len(set(tested))
    if not (horizon and method == "random"):  # rows whose target lies in another part are left out there
        assert len(tested) == length - horizon


def test_time_is_the_default_of_one_long_recording_and_the_test_is_the_latest() -> None:
    source = numbered([1000], window=20)
    train, validation, test = parts(source)
    assert rows(train) == list(range(643))
    assert rows(validation) == list(range(663, 780))
    assert rows(test) == list(range(800, 1000))
    assert (train.names[0], test.names[0]) == ("0.csv, rows 1 to 20", "0.csv, rows 801 to 820")
    words = split.divide(source, Shares(), None).words
    assert words == [
        "by time, the last 20 % of the rows, after 20 rows left out, for the test",
        "the last 15 % of the others for validation",
    ]


def test_a_horizon_keeps_its_distance() -> None:
    train, validation, test = parts(numbered([1000], horizon=48, window=20))
    assert max(known(train)) < min(rows(validation)) <= max(known(validation)) < min(rows(test))
    assert max(known(test)) == 999
    assert max(rows(test)) == 951


def test_what_is_kept_for_validation_does_not_change_the_test() -> None:
    for source in (numbered([400]), numbered([50] * 8), numbered([50] * 8, list("aabbccdd")), classes("abab", 100)):
        for method in EVERY_ROW:
            if method == "group" and not source.grouped:
                continue
            tests = [rows(parts(source, method, validation=share, seed=3)[2]) for share in (0.0, None, 0.3)]
            assert tests[0] == tests[1] == tests[2]
    changed = {tuple(rows(parts(numbered([50] * 8), "random", seed=seed)[2])) for seed in range(6)}
    assert len(changed) > 1


def test_training_windows_overlap_and_test_windows_do_not() -> None:
    train, validation, test = parts(numbered([1000], window=100, stride=25))
    starts = [x[0, 0] for x in train.x]
    assert starts[:4] == [0, 25, 50, 75]
    assert set(train.lengths.tolist()) == {100}  # the last one ends with the last row
    assert train.x[-1][-1, 0] == max(rows(train))
    assert [x[0, 0] for x in test.x] == [800, 900]
    assert len(rows(validation)) == len(set(rows(validation)))


@pytest.mark.parametrize(
    ("rows", "window", "stride", "tail", "expected"),
    [
        (10, None, None, True, [(0, 10)]),
        (10, 20, 5, False, [(0, 10)]),
        (10, 4, None, True, [(0, 4), (4, 8), (8, 10)]),
        (10, 4, None, False, [(0, 4), (4, 8)]),
        (10, 4, 2, True, [(0, 4), (2, 6), (4, 8), (6, 10)]),
        (11, 4, 3, True, [(0, 4), (3, 7), (6, 10), (7, 11)]),
        (11, 4, 3, False, [(0, 4), (3, 7), (6, 10)]),
        (8, 4, 4, True, [(0, 4), (4, 8)]),
    ],
)
def test_windows(rows: int, window: int | None, stride: int | None, tail: bool, expected: list[tuple[int, int]]) -> None:
    assert [(w.start, w.stop) for w in windows.windows(rows, window, stride, tail=tail)] == expected


# ---- classes


def held(source: Source, sequences: Sequences) -> set[str]:
    return {source.labels[i] for i in np.unique(sequences.all_y()).tolist()} if len(sequences) else set()


def test_by_time_where_each_class_occurs_throughout() -> None:
    source = classes("abc" * 20, 10)
    train, validation, test = parts(source)
    assert max(rows(train)) < min(rows(validation)) < min(rows(test))
    assert held(source, train) == held(source, validation) == held(source, test) == {"a", "b", "c"}


def test_activities_one_after_another_are_split_within_each_class() -> None:
    source = classes("abc", 500)
    found = parts(source)
    for part in found:
        assert held(source, part) == {"a", "b", "c"}
    train, validation, test = found
    for first in (0, 500, 1000):  # the end of each activity is the test
        assert [row for row in rows(test) if first <= row < first + 500] == list(range(first + 400, first + 500))
    assert not set(rows(train)) & set(rows(test))
    assert not set(rows(train)) & set(rows(validation))
    words = split.divide(source, Shares(), None).words
    assert words[0] == "by time, the last 20 % of the rows of each class for the test"


def test_a_class_that_occurs_once_stays_in_training() -> None:
    source = classes("ab" * 40 + "c" + "ab" * 10, 10)
    assert "c" in held(source, parts(source)[0])


def test_a_test_file_keeps_the_latest_rows_of_each_class_for_validation() -> None:
    source = classes("abc", 500)
    apart = Series(np.zeros((5, 1)) - 1, np.array([0, 1, 2, 0, 1]), "t.csv", part="test")
    joined = Source("c", "c.csv", "classification", "every", ("id",), source.labels, [*source.series, apart], own="files")
    train, validation, test = parts(joined)
    assert held(source, train) == held(source, validation) == {"a", "b", "c"}
    assert (len(test), len(rows(train)) + len(rows(validation)) > 1200) == (1, True)


def sequences_of(labels: str, groups: list[str] | None = None) -> Source:
    """One sequence of a step for each letter, its class."""
    names = tuple(sorted(set(labels)))
    series = [
        Series(np.array([[float(i)]]), np.array(names.index(letter)), f"{i}.csv", groups[i] if groups else "")
        for i, letter in enumerate(labels)
    ]
    return Source("s", "s", "classification", "last", ("id",), names, series, unit="files of each label", strict=True)


def test_validation_is_stratified() -> None:
    train, validation, test = parts(sequences_of("a" * 50 + "b" * 50))
    assert np.bincount(test.y).tolist() == [10, 10]
    assert np.bincount(validation.y).tolist() == [6, 6]
    assert np.bincount(train.y).tolist() == [34, 34]


@pytest.mark.parametrize("labels", ["aaabbb", "a" * 40 + "bb", "a" * 4 + "b" * 4])
def test_too_few_for_validation_is_a_remark(labels: str) -> None:
    source = sequences_of(labels)
    division = split.divide(source, Shares(), None)
    assert not len(cut(source, division)[1])
    (remark,) = division.remarks
    assert remark.startswith("no validation part: ")
    assert remark.endswith("; record more, or give --validation FILE")


def test_a_share_that_cannot_be_kept_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^s: validation is 0.5, but 2 training sequences hold too few of each class; expected"
    ):
        split.divide(sequences_of("aabb"), Shares(validation=0.5), None)
    with pytest.raises(
        DataError, match=r"validation is 0.5, but 1 training group is too few; expected more, or --validation"
    ):
        split.divide(sequences_of("abab", list("xxyy")), Shares(validation=0.5), None)


def test_each_class_is_in_each_part_although_groups_are_kept_whole() -> None:
    people = [person for person in "abcdefghij" for _ in range(2)]
    # Only i and j do "y", so one of them must be in the test
    source = sequences_of("xz" * 8 + "xy" * 2, people)
    for seed in range(10):
        train, validation, test = parts(source, seed=seed)
        assert held(source, train) == held(source, test) == {"x", "y", "z"}
        assert len(set(test.groups)) == 2
        assert not (set(train.groups) | set(validation.groups)) & set(test.groups)


def test_split_by_group_needs_groups() -> None:
    with pytest.raises(DataError, match=r"^n.csv: split by group, but no group is known; expected --split group:COLUMN"):
        parts(numbered([100]), "group")


def test_time_for_sequences_that_are_cut_already() -> None:
    source = sequences_of("ab" * 20)
    train, validation, test = parts(source, "time")
    assert rows(test) == [32, 33, 34, 35, 36, 37, 38, 39]
    assert max(rows(train)) < min(rows(validation)) < max(rows(validation)) < 32


# ---- folds


def test_leave_one_group_out() -> None:
    source = sequences_of("ab" * 10, [f"p{i // 4}" for i in range(20)])
    found = [(name, cut(source, division)) for name, division in folds.divisions(source, "group", Shares(), None)]
    assert [name for name, _ in found] == ["p0", "p1", "p2", "p3", "p4"]
    for name, (train, validation, test) in found:
        assert set(test.groups) == {name}
        assert len(set(validation.groups)) == 1
        assert not set(test.groups) & (set(train.groups) | set(validation.groups))
        assert not set(validation.groups) & set(train.groups)
    assert sorted(row for _, part in found for row in rows(part[2])) == list(range(20))


def test_folds_are_stratified_and_test_each_sequence_once() -> None:
    source = sequences_of("a" * 20 + "b" * 10)
    found = [cut(source, division) for _, division in folds.divisions(source, 5, Shares(seed=2), None)]
    assert [np.bincount(test.y).tolist() for _, _, test in found] == [[4, 2]] * 5
    assert sorted(row for part in found for row in rows(part[2])) == list(range(30))
    for train, validation, test in found:
        assert not set(rows(train)) & (set(rows(test)) | set(rows(validation)))
        assert held(source, validation) == {"a", "b"}


def test_folds_keep_groups_whole() -> None:
    source = sequences_of("ab" * 12, [f"p{i // 4}" for i in range(24)])
    for _, division in folds.divisions(source, 3, Shares(), None):
        train, validation, test = cut(source, division)
        assert len(set(test.groups)) == 2
        assert not set(test.groups) & set(train.groups) | set(test.groups) & set(validation.groups)


def test_folds_of_activities_one_after_another() -> None:
    source = classes("abc", 300)
    for _, division in folds.divisions(source, 4, Shares(), None):
        train, validation, test = cut(source, division)
        assert held(source, train) == held(source, validation) == held(source, test) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("source", "count", "text"),
    [
        (sequences_of("aabb"), 5, "s: 4 files of each label for 5 folds; expected at least one for each: record more"),
        (sequences_of("aaab"), 2, "s: label 'b' has 1 sequence; expected at least 2, for training and for the test"),
        (
            sequences_of("abac", list("xxyz")),
            "group",
            "s: class 'b' occurs in x only, so nothing is left to train it; expected",
        ),
        (numbered([4]), 5, "n.csv: 4 rows are too few for 5 folds; expected more: record longer, or use fewer folds"),
        (numbered([99], horizon=9), 5, "90 rows are too few for 5 folds with 9 rows left out on both sides of each test;"),
    ],
    ids=["few", "one", "alone", "short", "horizon"],
)
def test_folds_refused(source: Source, count: int | str, text: str) -> None:
    with pytest.raises(DataError) as caught:
        list(folds.divisions(source, count, Shares(), None))
    assert text in str(caught.value)
