# SPDX-License-Identifier: MIT
"""tools/experiments.py: its sets leak nothing from the test into the training, and its tables count what they say."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the trainer needs torch: pip install 'tinyrnn[train]'")

import experiments
from shared import experiment_sets, experiment_tables, records
from shared.experiment_sets import SETS, Forecast
from shared.experiment_tables import BASE, CLASSES, DEFAULT, NUMBERS, OLD, RIVAL
from tinyrnn.data import options

SERIES = Forecast("none", "none.csv", "value", "a test", horizon=3, window=8, season=4)


def loaded(name: str) -> experiment_sets.Loaded:
    package = SETS[name].package
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed: pip install --no-deps {package}")
    return experiment_sets.load(name)


@pytest.mark.parametrize("when", ["last", "every"])
@pytest.mark.parametrize("rows", [60, 61, 100])
def test_no_window_has_targets_of_the_training_and_of_the_test(when: str, rows: int) -> None:
    series = Forecast("none", "none.csv", "value", "a test", horizon=3, window=8, when=when)
    first_test = rows - rows // 4
    targets = []
    for window in experiment_sets.windows(rows, first_test, series):
        assert (np.diff(window) == 1).all()
        counting = window + 3 if when == "every" else window[-1:] + 3
        assert (counting < first_test).all() or (counting >= first_test).all()
        targets += counting.tolist()
    assert max(targets) >= rows - 8 // 2  # a shorter rest is dropped
    assert len(set(targets)) == len(targets)


def test_a_forecast_is_made_of_its_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """The series counts its rows, so inputs and targets show where they come from."""

    def read(path: object, columns: tuple[str, ...]) -> list[np.ndarray]:
        return [np.arange(80.0)[:, None]]

    monkeypatch.setitem(SETS, "count", Forecast(**{**vars(SERIES), "package": "sktime", "read": read}))
    found = loaded("count")
    recording = found.recording
    assert found.last_value is not None
    assert found.seasonal is not None
    for part in (recording.train, recording.test):
        last = np.array([x[-1] for x in part.x])
        assert (part.all_y() - last == 3).all()
        assert all(len(x) == 8 for x in part.x)
    assert recording.train.all_y().max() == 59
    assert recording.test.all_y().min() == 60
    assert (recording.test.all_y() - found.last_value == 3).all()
    assert (recording.test.all_y() - found.seasonal == 4).all()
    kept = experiment_sets.keep_validation(recording)
    assert kept.validation is not None
    assert kept.validation.all_y().min() > kept.train.all_y().max()
    assert len(kept.validation) + len(kept.train) == len(recording.train)


@pytest.mark.parametrize("name", SETS)
def test_every_set_can_be_read_and_keeps_a_validation_part(name: str) -> None:
    recording = loaded(name).recording
    train, held = experiment_sets.validation_split(recording)
    assert sorted(train + held) == list(range(len(recording.train)))
    if recording.task == "classification":
        y = np.asarray(recording.train.y)
        assert set(y[train]) == set(y[held]) == set(range(len(recording.labels)))
    else:
        assert max(train) < min(held)


def test_the_validation_share_is_that_of_train() -> None:
    assert experiment_sets.VALIDATION_FRACTION == options.VALIDATION


def rows_of(settings: str, name: str, figure: str, values: list[float], **fields: Any) -> list[records.Record]:
    empty: records.Record = dict.fromkeys(records.FIELDS["experiments"])
    return [
        {**empty, "settings": settings, "set": name, "seed": seed, "figure": figure, "value": value, **fields}
        for seed, value in enumerate(values)
    ]


def test_comparison_counts_sets_by_their_means() -> None:
    rows = [
        *rows_of("last value", "nile +1", NUMBERS, [100.0]),
        *rows_of("last value", "lynx +1", NUMBERS, [100.0]),
        *rows_of(RIVAL, "nile +1", NUMBERS, [80.0, 90.0]),
        *rows_of(RIVAL, "lynx +1", NUMBERS, [80.0, 90.0]),
        *rows_of(OLD, "nile +1", NUMBERS, [120.0, 160.0, 1.0]),
        *rows_of(DEFAULT, "nile +1", NUMBERS, [70.0, 70.0], int_value=71.0),
        *rows_of(OLD, "lynx +1", NUMBERS, [90.0, 90.0]),
        *rows_of(DEFAULT, "lynx +1", NUMBERS, [90.0, 126.0]),
    ]
    found = experiment_tables.compare(rows, NUMBERS)
    assert found.lines == [
        ("lynx +1", "2", "90.0 ± 0.0", "108 ± 25", "-20.00", "-", "85.0 ± 7.1", "100", "-"),
        ("nile +1", "2", "140 ± 28", "70.0 ± 0.0", "+50.00", "71.0 ± 0.0", "85.0 ± 7.1", "100", "-"),
    ]
    assert found.sentences == [
        "The mean of `default` is better than that of `old` on 1 sets, equal on 0 and worse on 1; "
        "the gain is +15.00 % of the RMSE on average.",
        "`old` beats the last value on 1 of 2 sets, `default` on 1.",
        "The tuned torch GRU beats it on 2, and `default` on 1 of these. It does not on lynx +1.",
    ]


def test_ablation_compares_equal_seeds() -> None:
    rows = [
        *rows_of(BASE, "digits", CLASSES, [90.0, 92.0, 10.0], validation=95.0),
        *rows_of("no noise", "digits", CLASSES, [93.0, 93.0], validation=94.0),
        *rows_of(BASE, "acsf1", CLASSES, [50.0], validation=None),
        *rows_of("no noise", "acsf1", CLASSES, [49.0], validation=None),
        *rows_of("no noise", "nile +1", NUMBERS, [1.0]),
    ]
    (effect,) = experiment_tables.effects(rows, CLASSES)
    assert (effect.settings, effect.sets, effect.better, effect.worse) == ("no noise", 2, 1, 1)
    assert effect.test == pytest.approx(0.5)
    assert effect.validation == pytest.approx(-1.0)
    assert experiment_tables.effects(rows, NUMBERS) == []


@pytest.mark.slow
def test_a_model_is_measured_in_floats_and_integers() -> None:
    loaded("chinatown")
    record = experiments.measure(DEFAULT, DEFAULT, "chinatown", 0, 4)
    assert tuple(record) == records.FIELDS["experiments"]
    assert record["value"] > 60  # the most frequent class has 54.5 %
    assert abs(record["value"] - record["int_value"]) <= 5
    assert experiments.makes_a_difference("no noise", "chinatown")
    assert not experiments.makes_a_difference("rotation 15 degrees", "chinatown")
    rival = experiments.measure(RIVAL, RIVAL, "nile +1", 0, 4) if importlib.util.find_spec("statsmodels") else None
    assert rival is None or rival["value"] < 300
