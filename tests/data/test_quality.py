# SPDX-License-Identifier: MIT
"""Glitches, constant channels, large integers and classes that look alike: limited, said, refused, or left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tinyrnn.data import quality
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import DataError

RNG = np.random.default_rng(7)


def beyond(values: np.ndarray) -> int:
    """How many values are taken for glitches."""
    low, high = quality.limits(values[:, None])
    return int(((values < low) | (values > high)).sum())


def ecg(rows: int = 5000) -> np.ndarray:
    """A flat line with noise and a spike of eight samples every 250."""
    signal = RNG.normal(0, 0.02, rows)
    for start in range(100, rows - 8, 250):
        signal[start : start + 8] += np.array([0.1, 0.4, 1.1, 2.0, 1.2, -0.3, -0.5, 0.1]) * RNG.uniform(0.9, 1.1)
    return signal


SIGNALS = {
    "normal": RNG.normal(0, 1, 2000),
    "log-normal": RNG.lognormal(0, 1.5, 2000),
    "exponential": RNG.exponential(1, 2000),
    "Student, 3 degrees of freedom": RNG.standard_t(3, 2000),
    "two levels": np.where(RNG.random(2000) < 0.3, 20.0, -3.0) + RNG.normal(0, 0.1, 2000),
    "a button pressed once": np.r_[np.zeros(900), 1.0, np.zeros(99)],
    "a button pressed rarely": (RNG.random(5000) < 0.004).astype(float),
    "sparse counts": RNG.poisson(0.01, 5000).astype(float),
    "counts with an idle half": np.r_[np.zeros(2500), RNG.poisson(40, 2500)].astype(float),
    "ECG": ecg(),
    "a single movement in a still recording": np.r_[
        RNG.normal(0, 0.01, 5000), 3 * np.sin(np.linspace(0, 6, 60)), RNG.normal(0, 0.01, 940)
    ],
    "constant": np.full(500, 3.0),
    "a ramp": np.arange(3000.0),
    "a step in temperature": np.r_[np.full(1000, 20.0), np.full(1000, 90.0)] + RNG.normal(0, 0.05, 2000),
}


@pytest.mark.parametrize("signal", SIGNALS)
def test_signals_that_stay_as_they_are(signal: str) -> None:
    assert beyond(SIGNALS[signal]) == 0
    assert beyond(-SIGNALS[signal]) == 0


@pytest.mark.parametrize("signal", ["normal", "log-normal", "two levels", "counts with an idle half", "ECG", "a ramp"])
@pytest.mark.parametrize("glitch", [1e9, -1e9, 1e5])
def test_a_glitch_is_found_in_any_of_them(signal: str, glitch: float) -> None:
    values = SIGNALS[signal].copy()
    clean_low, clean_high = quality.limits(values[:, None])
    values[len(values) // 3] = glitch
    assert beyond(values) == 1
    low, high = quality.limits(values[:, None])
    assert clean_low - (clean_high - clean_low) * 1.1 <= low <= clean_low + 1e-9 or abs(low - clean_low) < 1
    assert high <= clean_high + (clean_high - clean_low) * 1.1


def test_glitches_on_both_sides_and_in_one_channel_only() -> None:
    values = RNG.normal(0, 1, (800, 3))
    values[5, 1], values[700, 1] = 1e9, -65535
    low, high = quality.limits(values)
    assert ((values < low) | (values > high)).sum(axis=0).tolist() == [0, 2, 0]
    assert (low[[0, 2]] == values.min(axis=0)[[0, 2]]).all()
    assert -15 < low[1] < 0 < high[1] < 15


@pytest.mark.parametrize(("rows", "glitches"), [(800, 3), (200, 2), (50, 1), (5000, 10)])
def test_several_glitches(rows: int, glitches: int) -> None:
    values = RNG.normal(0, 1, rows)
    values[:: rows // glitches + 1] = RNG.uniform(1e5, 1e9, glitches)
    assert beyond(values) == glitches
    values[1] = 1e9  # one more is no rarity
    assert beyond(values) == 0


def test_few_rows_have_no_glitch() -> None:
    assert beyond(np.r_[np.arange(18.0), 1e9]) == 0
    assert beyond(np.r_[np.arange(19.0), 1e9]) == 1


def make(x: np.ndarray, **change: Any) -> Recording:
    parts = np.array_split(x, 8)
    sequences = Sequences(parts, np.arange(8) % 2)
    fields: dict[str, Any] = {"labels": ("a", "b"), "task": "classification", "when": "last"}
    return Recording(
        "r", channels=tuple(f"c{i}" for i in range(x.shape[1])), train=sequences, test=sequences, **{**fields, **change}
    )


def test_normalisation_and_calibration_are_robust() -> None:
    x = RNG.normal(5, 2, (800, 2))
    clean = make(x)
    spoiled = x.copy()
    spoiled[123, 0] = 1e9
    r = make(spoiled)
    assert np.allclose(r.mean, clean.mean, atol=0.05)
    assert np.allclose(r.std, clean.std, rtol=0.1)
    assert (r.maximum < 40).all()
    assert r.maximum[1] == clean.maximum[1]
    assert clean.mean.tolist() == x.mean(axis=0).tolist()  # without a glitch nothing changes
    assert clean.std.tolist() == x.std(axis=0).tolist()


def test_a_glitch_in_a_target() -> None:
    x = RNG.normal(0, 1, (800, 1))
    y = [part[:, :1] * 3 + 1 for part in np.array_split(x, 8)]
    y[2][7] = 1e9
    sequences = Sequences(np.array_split(x, 8), y)
    r = Recording("r", "regression", "every", ("x",), ("y",), sequences, sequences)
    assert abs(r.target_mean[0] - 1) < 0.5
    assert 2 < r.target_std[0] < 4


def test_integers_stay_integers() -> None:
    x = RNG.integers(-2000, 2000, (800, 1)).astype(float)
    x[3] = 1 << 30
    r = make(x)
    assert r.integer
    assert r.maximum[0] == np.rint(r.maximum[0]) < 10_000


def test_remarks_name_channel_place_and_value() -> None:
    x = np.column_stack([np.sin(np.arange(100.0)), np.full(100, 5.0), np.cos(np.arange(100.0))])
    x[70, 0] = 1e9
    found = quality.remarks(
        ("ax", "az", "ok"), [x[:60], x[60:]], lambda i, t: f"{'ab'[i]}.csv:{t + 2}", drop=lambda name: f'--drop "{name}"'
    )
    assert found == [
        "channel 'az' is 5 at every step, which tells the network nothing; leave it out with --drop \"az\"",
        "b.csv:12: channel 'ax' is 1e+09; all others lie in -0.99999 to 0.999912; in training it counts as 2.99981",
    ]
    assert quality.remarks(("ok",), [x[:, 2:]], lambda i, t: "") == []


def test_integers_beyond_the_integer_model_are_refused_before_training() -> None:
    x = RNG.integers(0, 1 << 26, (800, 1)).astype(float)
    x[0] = (1 << 26) - 1
    with pytest.raises(DataError) as caught:
        make(x)
    assert str(caught.value) == (
        "r: channel 'c0' reaches 67108863 and all values are whole numbers, which a board feeds as they are;"
        " expected less than"
        " 2^24 = 16777216: subtract an offset, or divide by 4, in the recording and on the board"
    )
    make(np.floor(x / 4))  # the cure
    make(x + 0.5)  # numbers that are no integers are scaled
    with pytest.raises(DataError, match=r"channel 'c0' reaches \d+\.\d+; expected less than 2\^40 = 1.1e\+12: give it in"):
        make(x * 1e6 / 7)


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (
            ["walk", "Walk", "walk", "run"],
            "classes 'Walk' (1 time) and 'walk' (2 times) differ only in case, spaces or the form of a letter; expected one"
            " spelling: rename one",
        ),
        (
            ["walk ", "walk"],
            "classes 'walk' (1 time) and 'walk ' (1 time) differ only in case, spaces or the form of a letter; expected one"
            " spelling: rename one",
        ),
        (
            ["lie  down", "lie down"],
            "classes 'lie  down' (1 time) and 'lie down' (1 time) differ only in case, spaces or the form of a letter;"
            " expected one spelling: rename one",
        ),
        (
            ["Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"],
            "classes 'Gru\u0308\u00dfe' (1 time) and 'Gr\u00fc\u00dfe' (1 time) differ only in case, spaces or the form of a"
            " letter; expected one spelling: rename one",
        ),
        (["nan", "a"], "class 'nan' (1 time) is a missing value; expected the name of a class: rename one"),
        (["NaN", "NaN", "a"], "class 'NaN' (2 times) is a missing value; expected the name of a class: rename one"),
    ],
)
def test_classes_that_are_missing_or_look_alike(names: list[str], line: str) -> None:
    with pytest.raises(DataError) as caught:
        quality.check_classes("d.csv", names, "rename one")
    assert str(caught.value) == f"d.csv: {line}"


def test_classes_that_differ() -> None:
    quality.check_classes("d.csv", ["a", "A", "none", "null", "walk", "walk up", "walk_up", "1", "01"], "rename one")
