# SPDX-License-Identifier: MIT
"""Resampling to an even rate: the values, the classes, and what is said of gaps and times that do not rise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tinyrnn.data import resampling
from tinyrnn.data.resampling import parse_period
from tinyrnn.errors import DataError


def place(row: int) -> str:
    return f"d.csv:{row + 2}"


@pytest.mark.parametrize(
    ("text", "period"),
    [("20ms", 0.02), ("0.5 s", 0.5), ("50Hz", 0.02), ("50 hz", 0.02), ("1kHz", 0.001), ("100us", 1e-4), ("15min", 900)],
)
def test_periods(text: str, period: float) -> None:
    assert parse_period(text) == pytest.approx(period, rel=1e-12)


@pytest.mark.parametrize("text", ["", "20", "ms", "0Hz", "-5ms", "1e999s", "20 parsecs", "nanms", "1.2.3s"])
def test_what_is_no_period(text: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_period(text)
    assert str(caught.value) == f"{text!r} is no period or rate; expected a number with its unit, such as 20ms, 0.5s or 50Hz"


def test_even_rows_stay_as_they_are() -> None:
    times = np.arange(50) * 0.1  # 0.30000000000000004 and the like must not lose a row
    x = np.random.default_rng(0).normal(size=(50, 2))
    (piece,) = resampling.resample(times, x, np.arange(50), 0.1)
    assert np.allclose(piece.x, x, atol=1e-12)
    assert piece.y.tolist() == list(range(50))


def test_numbers_are_interpolated_and_classes_are_those_before() -> None:
    times = np.array([0.0, 1.0, 1.5, 3.0])
    x, y = np.array([[0.0], [10.0], [20.0], [5.0]]), np.array([0, 1, 2, 0])
    (piece,) = resampling.resample(times, x, y, 0.5)
    assert piece.x[:, 0].tolist() == [0, 5, 10, 20, 15, 10, 5]
    assert piece.y.tolist() == [0, 0, 1, 2, 2, 2, 0]
    (piece,) = resampling.resample(times, x, x / 2, 1.0)
    assert piece.y[:, 0].tolist() == [0, 5, 7.5, 2.5]


def test_a_long_gap_cuts_and_a_short_one_is_bridged_and_both_are_said() -> None:
    times = np.concatenate([np.arange(10) * 0.02, [0.28], 0.28 + np.arange(1, 10) * 0.02, 5 + np.arange(5) * 0.02])
    x = times[:, None] * 2
    pieces = resampling.resample(times, x, np.zeros(len(x), int), 0.02)
    assert [(len(piece.x), piece.rows[0]) for piece in pieces] == [(24, 0), (5, 20)]
    assert np.allclose(pieces[0].x[:, 0], np.arange(24) * 0.04)
    assert resampling.gaps(times, 0.02, place) == [
        "d.csv:21: 2 gaps, the longest of 4.54 s after this row; the recording is cut at 1 of them"
    ]
    assert resampling.gaps(times[:20], 0.02, place) == [
        "d.csv:11: a gap of 0.1 s after this row; values between are interpolated"
    ]
    assert resampling.gaps(times[:10], 0.02, place) == []


def test_a_longer_period_makes_fewer_gaps() -> None:
    times = np.concatenate([np.arange(10) * 0.02, 1 + np.arange(10) * 0.02])
    x = np.zeros((20, 1))
    assert len(resampling.resample(times, x, x, 0.02)) == 2
    assert len(resampling.resample(times, x, x, 0.1)) == 1


@pytest.mark.parametrize(
    ("times", "line"),
    [
        ([0, 1, 1, 2], "d.csv:4: time 't' repeats the row before"),
        ([0, 2, 1.5, 3], "d.csv:4: time 't' lies 0.5 s before the row before"),
    ],
)
def test_times_must_rise(times: list[float], line: str) -> None:
    with pytest.raises(DataError) as caught:
        resampling.check_times(np.array(times, float), "t", place)
    assert str(caught.value) == (
        f"{line}; expected times that rise: sort the rows, or delete this one, or name the recordings in the"
        " file with --group"
    )


def test_seconds_of_units_epochs_and_dates() -> None:
    def read(values: list[float] | None, name: str, cells: list[str] | None = None) -> list[float]:
        array = None if values is None else np.array(values)
        return [round(v, 9) for v in resampling.seconds(cells or ["", ""], array, name, place).tolist()]

    assert read([100, 120], "time_ms") == [0, 0.02]
    assert read([1_700_000_000_000, 1_700_000_000_020], "timestamp") == [0, 0.02]
    assert read([1_700_000_000, 1_700_000_001], "time") == [0, 1]
    assert read(None, "time", ["2024-05-31 14:02:00.25", "2024-05-31T14:02:01,5"]) == [0, 1.25]
    assert read(None, "time", ["2024-05-31T23:59:59.999999999Z", "2024-06-01T02:00:00+02:00"]) == [0, 1e-9]
    with pytest.raises(DataError) as caught:
        read([5, 6], "t")
    assert str(caught.value) == (
        "d.csv:2: time column 't' names no unit; expected one: rename it, for example 't (ms)' or 't (s)'"
    )
    with pytest.raises(
        DataError, match=r"d.csv:3: time 'time' is '31.5.24'; expected a number, or a date and time as 2024-"
    ):
        read(None, "time", ["2024-05-31 14:02:00", "31.5.24"])
    with pytest.raises(DataError, match=r"d.csv:2: time 'time' is '2024-02-31 14:02:00'"):
        read(None, "time", ["2024-02-31 14:02:00", "2024-02-31 14:02:01"])


def test_a_period_far_too_short_is_refused_before_memory_is_filled() -> None:
    with pytest.raises(DataError, match=r"3600 s in steps of 1e-06 s make 3.6e\+09 rows; expected at most 20000000"):
        resampling.resample(np.arange(3601.0), np.zeros((3601, 1)), np.zeros((3601, 1)), 1e-6)


@settings(deadline=None)
@given(
    steps=st.lists(st.floats(0.01, 0.2), min_size=2, max_size=60),
    period=st.floats(0.02, 0.3),
    slope=st.floats(-5, 5),
)
def test_a_straight_line_stays_one(steps: list[float], period: float, slope: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(steps)])
    for piece in resampling.resample(times, slope * times[:, None], times[:, None], period):
        assert np.allclose(piece.x[:, 0], slope * piece.y[:, 0], atol=1e-9)
        assert np.allclose(np.diff(piece.y[:, 0]), period, atol=1e-6 * period + 1e-9)
        assert piece.y[-1, 0] <= times[-1] + 1e-9
