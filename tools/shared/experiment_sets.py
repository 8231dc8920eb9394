# SPDX-License-Identifier: MIT
"""The data sets of tools/experiments.py: classifications and forecasts that pip packages carry, nothing to download.

A classification keeps its official split. A forecast is split by time: its test targets are the latest quarter of the
series. `load()` gives the training part uncut; the tool keeps the validation part from it, so that it can also run
trainers that know no validation.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from tinyrnn.data.bundled import SETS as BUNDLED
from tinyrnn.data.bundled import read_ts
from tinyrnn.data.recording import Recording, Sequences, sort_labels
from tinyrnn.errors import TinyrnnError

TEST_FRACTION = 0.25  # latest part of a series whose values are the targets of the test
PIP_NAMES = {"sklearn": "scikit-learn"}  # package -> its name for pip, if that differs
VALIDATION_FRACTION = 0.15  # of the training sequences: data.options.VALIDATION, which older versions have not


@dataclass(frozen=True)
class Classification:
    """A folder of .ts files with an official split."""

    package: str
    folder: str  # in the package's datasets/data, and the start of its files' names
    about: str
    channels: tuple[str, ...] = ("value",)
    mean_of: int = 1  # consecutive steps that are replaced by their mean, to keep the sequences short

    @property
    def task(self) -> str:
        return "classification"


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 8x8 images of digits, a row of pixels at each step; the second half of the file is the test."""

    about: str
    package: str = "sklearn"

    @property
    def task(self) -> str:
        return "classification"


@dataclass(frozen=True)
class Forecast:
    """The value of one column `horizon` rows later, from the `window` rows up to now."""

    package: str
    file: str
    column: str
    about: str
    horizon: int
    window: int
    season: int = 0  # rows after which the series resembles itself; 0: none
    inputs: tuple[str, ...] = ()  # columns; default: only the one to predict
    when: str = "last"  # "last": a window for each row; "every": consecutive windows with an output at each row
    read: Callable[[Path, tuple[str, ...]], list[np.ndarray]] | None = None  # default: one series, the file's columns

    @property
    def task(self) -> str:
        return "regression"


def _interpolated(path: Path, columns: tuple[str, ...]) -> list[np.ndarray]:
    """Gaps are filled along a straight line."""
    import pandas as pd

    return [pd.read_csv(path)[list(columns)].interpolate().to_numpy(np.float64)]


def _months(path: Path, columns: tuple[str, ...]) -> list[np.ndarray]:
    """A row for each year and a column for each month become one series."""
    import pandas as pd

    return [pd.read_csv(path).iloc[:, 1:].to_numpy(np.float64).reshape(-1, 1)]


def _countries(path: Path, columns: tuple[str, ...]) -> list[np.ndarray]:
    """A row for each country becomes a series from the first to the last year known; countries with gaps are left out."""
    import pandas as pd

    years = pd.read_csv(path).iloc[:, 4:]
    series = [row[~np.isnan(row)][:, None] for row in years.to_numpy(np.float64)]
    whole = [np.diff(np.flatnonzero(~np.isnan(row))).max(initial=1) == 1 for row in years.to_numpy(np.float64)]
    return [values for values, complete in zip(series, whole, strict=True) if complete and len(values) >= 40]


_MACRO = ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "tbilrate", "unemp", "infl", "realint")
_USCHANGE = ("Consumption", "Income", "Production", "Savings", "Unemployment")

SETS: dict[str, Classification | Digits | Forecast] = {
    "basic-motions": Classification(
        "sktime", "BasicMotions", "smart watch, four activities", BUNDLED["basic-motions"].channels
    ),
    "japanese-vowels": Classification(
        "sktime", "JapaneseVowels", "two vowels, nine speakers", BUNDLED["japanese-vowels"].channels
    ),
    "gun-point": Classification("sktime", "GunPoint", "hand with or without a gun"),
    "italy-power": Classification("sktime", "ItalyPowerDemand", "a day's power demand, summer or winter"),
    "chinatown": Classification("sktime", "UnitTest", "pedestrians in a day, weekday or weekend"),
    "arrow-head": Classification("sktime", "ArrowHead", "outlines of arrow heads, mean of 2 steps", mean_of=2),
    "osu-leaf": Classification("sktime", "OSULeaf", "outlines of leaves, mean of 4 steps", mean_of=4),
    "plaid": Classification("sktime", "PLAID", "current of 11 appliances, mean of 5 steps", mean_of=5),
    "acsf1": Classification("sktime", "ACSF1", "power of 10 appliances, mean of 10 steps", mean_of=10),
    "pickup-gesture": Classification(
        "aeon", "PickupGestureWiimoteZ", "one axis of a controller, 10 gestures, mean of 2 steps", mean_of=2
    ),
    "digits": Digits("8x8 images of digits, a row of pixels a step"),
    "airline +1": Forecast("sktime", "Airline/Airline.csv", "Passengers", "passengers by month", 1, 24, 12),
    "airline +12": Forecast("sktime", "Airline/Airline.csv", "Passengers", "passengers by month", 12, 24, 12),
    "lynx +1": Forecast("sktime", "Lynx/Lynx.csv", "0", "lynx trapped by year", 1, 20, 10),
    "seatbelts +1": Forecast("sktime", "seatbelts/seatbelts.csv", "KSI", "killed or injured drivers by month", 1, 24, 12),
    "seatbelts +12": Forecast("sktime", "seatbelts/seatbelts.csv", "KSI", "killed or injured drivers by month", 12, 24, 12),
    "solar +1": Forecast("sktime", "solar/solar.csv", "solar_gen", "solar power by half hour", 1, 48, 48),
    "solar +48": Forecast("sktime", "solar/solar.csv", "solar_gen", "solar power by half hour", 48, 48, 48),
    "yahoo +1": Forecast("sktime", "yahoo/yahoo.csv", "data", "load of a server by hour", 1, 48, 24),
    "yahoo +24": Forecast("sktime", "yahoo/yahoo.csv", "data", "load of a server by hour", 24, 48, 24),
    "uschange +1": Forecast(
        *("sktime", "Uschange/Uschange.csv", "Consumption", "change of consumption by quarter", 1, 12, 4), inputs=_USCHANGE
    ),
    "ecg +1": Forecast("sktime", "mitdb/mitdb.csv", "data", "an electrocardiogram", 1, 100, when="every"),
    "ecg +5": Forecast("sktime", "mitdb/mitdb.csv", "data", "an electrocardiogram", 5, 100, when="every"),
    "pressure +10": Forecast(
        *("aeon", "KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv", "value", "arterial blood pressure", 10, 100),
        when="every",
    ),
    "co2 +1": Forecast("statsmodels", "co2/co2.csv", "co2", "CO2 by week, gaps filled", 1, 52, 52, read=_interpolated),
    "co2 +52": Forecast("statsmodels", "co2/co2.csv", "co2", "CO2 by week, gaps filled", 52, 52, 52, read=_interpolated),
    "elnino +1": Forecast(
        "statsmodels", "elnino/elnino.csv", "SST", "temperature of the sea by month", 1, 24, 12, read=_months
    ),
    "elnino +6": Forecast(
        "statsmodels", "elnino/elnino.csv", "SST", "temperature of the sea by month", 6, 24, 12, read=_months
    ),
    "sunspots +1": Forecast("statsmodels", "sunspots/sunspots.csv", "SUNACTIVITY", "sunspots by year", 1, 33, 11),
    "sunspots +11": Forecast("statsmodels", "sunspots/sunspots.csv", "SUNACTIVITY", "sunspots by year", 11, 33, 11),
    "nile +1": Forecast("statsmodels", "nile/nile.csv", "volume", "flow of the Nile by year", 1, 10),
    "machines +1": Forecast(
        "statsmodels",
        "elec_equip/elec_equip.csv",
        "STS.M.I7.W.TOVT.NS0016.4.000",
        "electrical equipment by month",
        1,
        24,
        12,
    ),
    "machines +12": Forecast(
        "statsmodels",
        "elec_equip/elec_equip.csv",
        "STS.M.I7.W.TOVT.NS0016.4.000",
        "electrical equipment by month",
        12,
        24,
        12,
    ),
    "unemployment +1": Forecast(
        "statsmodels", "macrodata/macrodata.csv", "unemp", "unemployment by quarter", 1, 16, inputs=_MACRO
    ),
    "unemployment +4": Forecast(
        "statsmodels", "macrodata/macrodata.csv", "unemp", "unemployment by quarter", 4, 16, inputs=_MACRO
    ),
    "interest +1": Forecast(
        "statsmodels", "interest_inflation/E6.csv", "R", "interest and inflation by quarter", 1, 12, 4, inputs=("R", "Dp")
    ),
    "fertility +5": Forecast(
        "statsmodels", "fertility/fertility.csv", "rate", "births a woman by year, by country", 5, 10, read=_countries
    ),
}

# What else the four packages carry as sequences, and why it is not in SETS
LEFT_OUT = {
    "Tecator, Covid3Month, CardanoSentiment": "one number for a whole sequence: neither a class nor a forecast",
    "Covid3Month_disc": "the same counts, with the number made into classes",
    "PBS_dataset": "counts by month that are 0 in almost all of the latest quarter",
    "Longley, ShampooSales, copper, danish_data": "16 to 55 rows: a test of at most 14 values",
    "m1_yearly_dataset": "series of different units, 15 to 58 values each: each would need a scale of its own",
    "Daphnet_S06R02E0": "its label is the same in all rows",
    "segmentation (ElectricDevices, GunPoint)": "one series whose classes occur once each: training or test, not both",
    "mitdb, yahoo, seatbelts, KDD-TSAD_135 (labels)": "marks of single changes or faults; their values are forecast above",
    "the UnitTest files of aeon": "parts of sets above, for tests of readers",
    "the other sets of scikit-learn and statsmodels": "tables without an order in time",
}


@dataclass(frozen=True)
class Loaded:
    """A data set and what a forecast without a model reaches on its test."""

    recording: Recording  # without validation
    last_value: np.ndarray | None = None  # (M, 1) forecast for each test target: the last value
    seasonal: np.ndarray | None = None  # (M, 1) the value one or more seasons before


def load(name: str) -> Loaded:
    """Read one of SETS. Raises TinyrnnError that names the package to install."""
    chosen = SETS[name]
    if isinstance(chosen, Forecast):
        return _forecast(name, chosen)
    return Loaded(_digits(name, chosen) if isinstance(chosen, Digits) else _classification(name, chosen))


def keep_validation(recording: Recording) -> Recording:
    """The recording with VALIDATION_FRACTION of the training sequences kept for validation.

    The latest ones of a forecast, a share of each class of a classification, drawn with seed 0. A version of tinyrnn that
    knows no validation gets the recording unchanged: it trains on all sequences.
    """
    if "validation" not in {field.name for field in fields(Recording)}:
        return recording
    train, validation = validation_split(recording)
    return with_parts(recording, train=chosen_of(recording.train, train), validation=chosen_of(recording.train, validation))


def validation_split(recording: Recording) -> tuple[list[int], list[int]]:
    """Numbers of the sequences to train on, and of those kept for validation."""
    train = recording.train
    if recording.task == "regression":
        # Sequences of a forecast are in the order of time; those of several series were merged in that order
        first = len(train) - max(1, round(len(train) * VALIDATION_FRACTION))
        return list(range(first)), list(range(first, len(train)))
    rng = np.random.default_rng(0)
    kept: set[int] = set()
    for label in range(len(recording.labels)):
        members = np.flatnonzero(np.asarray(train.y) == label)
        count = min(max(1, round(len(members) * VALIDATION_FRACTION)), len(members) - 1)
        kept.update(int(number) for number in rng.permutation(members)[:count])
    return [number for number in range(len(train)) if number not in kept], sorted(kept)


def chosen_of(sequences: Sequences, numbers: list[int]) -> Sequences:
    y = sequences.y
    return Sequences(
        [sequences.x[number] for number in numbers],
        y[numbers] if isinstance(y, np.ndarray) else [y[number] for number in numbers],
    )


def with_parts(recording: Recording, **changes: Any) -> Recording:
    """The recording with other parts, and nothing of what the old one has computed."""
    return replace(recording, **changes)


def uneven(sequences: int = 60, shortest: int = 100, longest: int = 9000) -> Recording:
    """A generated classification with lengths spread evenly on a logarithmic scale, like events that last very differently.

    3 channels: noise, and in two of three classes a slow wave in one channel. Each part has `sequences` sequences.
    """
    rng = np.random.default_rng(0)

    def part() -> Sequences:
        lengths = np.exp(np.linspace(np.log(shortest), np.log(longest), sequences)).round().astype(int)
        labels = np.arange(sequences) % 3
        order = rng.permutation(sequences)
        x = []
        for steps, label in zip(lengths, labels, strict=True):
            values = rng.normal(size=(steps, 3))
            if label:
                values[:, label] += np.sin(np.arange(steps) / 8)
            x.append(values)
        return Sequences([x[number] for number in order], labels[order])

    return Recording(
        name="uneven",
        task="classification",
        when="last",
        channels=("noise", "first", "second"),
        labels=("none", "first", "second"),
        train=part(),
        test=part(),
        split="generated",
    )


def _data_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pip = PIP_NAMES.get(package, package)
        raise TinyrnnError(f"the package {pip}, which carries the data, is not installed: pip install --no-deps {pip}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "datasets"
    return folder if package == "statsmodels" else folder / "data"


def _classification(name: str, chosen: Classification) -> Recording:
    folder = _data_folder(chosen.package) / chosen.folder
    train_x, train_names = read_ts(folder / f"{chosen.folder}_TRAIN.ts", len(chosen.channels))
    test_x, test_names = read_ts(folder / f"{chosen.folder}_TEST.ts", len(chosen.channels))
    labels = sort_labels(train_names)
    index = {label: number for number, label in enumerate(labels)}
    return Recording(
        name=name,
        task="classification",
        when="last",
        channels=chosen.channels,
        labels=labels,
        train=Sequences([_mean_of(x, chosen.mean_of) for x in train_x], np.array([index[label] for label in train_names])),
        test=Sequences([_mean_of(x, chosen.mean_of) for x in test_x], np.array([index[label] for label in test_names])),
        split="official",
    )


def _mean_of(x: np.ndarray, steps: int) -> np.ndarray:
    """(T, C) -> (T // steps, C): the means of consecutive steps; the rest is dropped."""
    whole = len(x) - len(x) % steps
    return x[:whole].reshape(-1, steps, x.shape[1]).mean(axis=1)


def _digits(name: str, chosen: Digits) -> Recording:
    table = np.loadtxt(_data_folder(chosen.package) / "digits.csv.gz", delimiter=",")
    x, y = list(table[:, :64].reshape(-1, 8, 8)), table[:, 64].astype(np.int64)
    half = len(x) // 2
    return Recording(
        name=name,
        task="classification",
        when="last",
        channels=tuple(f"column {number}" for number in range(1, 9)),
        labels=tuple(str(digit) for digit in range(10)),
        train=Sequences(x[:half], y[:half]),
        test=Sequences(x[half:], y[half:]),
        split="the second half is the test",
    )


def _forecast(name: str, chosen: Forecast) -> Loaded:
    path = _data_folder(chosen.package) / chosen.file
    inputs = chosen.inputs or (chosen.column,)
    target = inputs.index(chosen.column)
    read = chosen.read or _interpolated
    train: list[tuple[int, np.ndarray, np.ndarray]] = []  # (row of its last target, x, y)
    test: list[tuple[int, np.ndarray, np.ndarray]] = []
    last: list[np.ndarray] = []
    seasonal: list[np.ndarray] = []
    for values in read(path, inputs):
        answers = values[:, target : target + 1]
        first_test = len(values) - round(len(values) * TEST_FRACTION)
        for rows in windows(len(values), first_test, chosen):
            answer = rows if chosen.when == "every" else rows[-1:]
            part = train if answer[-1] + chosen.horizon < first_test else test
            part.append((int(answer[-1]) - len(values), values[rows], answers[answer + chosen.horizon]))
            if part is test:
                last.append(answers[answer])
                back = -(-chosen.horizon // chosen.season) * chosen.season if chosen.season else 0
                seasonal.append(answers[answer + chosen.horizon - back])
    parts = []
    for part in (train, test):
        order = sorted(range(len(part)), key=lambda number: part[number][0])  # stable: the order of time
        y = [part[number][2] for number in order]
        parts.append(Sequences([part[number][1] for number in order], y if chosen.when == "every" else np.concatenate(y)))
        if part is test:
            last, seasonal = [last[number] for number in order], [seasonal[number] for number in order]
    options: dict[str, Any] = {"horizon": chosen.horizon} if "horizon" in {field.name for field in fields(Recording)} else {}
    recording = Recording(
        name=name,
        task="regression",
        when=chosen.when,
        channels=inputs,
        labels=(chosen.column,),
        train=parts[0],
        test=parts[1],
        split="by time: the latest quarter is the test",
        **options,
    )
    return Loaded(recording, np.concatenate(last), np.concatenate(seasonal) if chosen.season else None)


def windows(rows: int, first_test: int, chosen: Forecast) -> list[np.ndarray]:
    """The rows of each window. No window has targets on both sides of row `first_test`."""
    window, horizon = chosen.window, chosen.horizon
    if chosen.when == "last":
        return [np.arange(end - window, end) for end in range(window, rows - horizon + 1)]
    found = []
    for start, stop in ((0, first_test - horizon), (first_test - horizon, rows - horizon)):
        found += [np.arange(at, min(at + window, stop)) for at in range(start, stop, window) if stop - at >= window // 2]
    return found
