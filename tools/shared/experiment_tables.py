# SPDX-License-Identifier: MIT
"""The tables of tools/experiments.py, from its records: for the screen and for docs/training.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev

from shared.experiment_sets import SETS
from shared.records import Record

DEFAULT, OLD = "default", "old"
BASE = "not trained again"  # the default without the last training on all sequences
RIVAL = "tuned torch GRU"
PLAIN = "plain torch loop"
BASELINES = ("most frequent class", "last value", "season before")
CLASSES, NUMBERS = "accuracy_pct", "rmse"  # the figures of the records
TIE = 1e-9  # gains below are rounding
UNITS = {CLASSES: "points of accuracy", NUMBERS: "% of the RMSE"}


@dataclass(frozen=True)
class Comparison:
    """Two settings on the sets of one kind."""

    figure: str  # CLASSES or NUMBERS
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]]
    sentences: list[str]


def compare(rows: list[Record], figure: str, old: str = OLD, new: str = DEFAULT) -> Comparison:
    """A line for each set with the mean and the sample standard deviation over the seeds that both settings have."""
    without = BASELINES[:1] if figure == CLASSES else BASELINES[1:]
    columns = ("set", "seeds", old, new, "gain", f"{new}, integers", RIVAL, *without)
    lines = []
    gains: list[float] = []
    beats_old = beats_new = beats_rival = both = forecasts = 0
    missed = []
    for name in sets_of(rows, figure):
        first, second = of(rows, old, name), of(rows, new, name)
        seeds = sorted(set(first) & set(second))
        if not seeds:
            continue
        before, after = [first[seed] for seed in seeds], [second[seed] for seed in seeds]
        gains.append(gain(figure, mean(after), mean(before)))
        rival = list(of(rows, RIVAL, name).values())
        plain = [list(of(rows, label, name).values()) for label in without]
        ints = list(of(rows, new, name, "int_value").values())
        values = (spread(before), spread(after), f"{gains[-1]:+.2f}", spread(ints), spread(rival))
        lines.append((name, str(len(seeds)), *values, *(spread(value) for value in plain)))
        if figure == NUMBERS and plain[0]:
            last = plain[0][0]
            forecasts += 1
            beats_old += mean(before) < last
            beats_new += mean(after) < last
            if rival and mean(rival) < last:
                beats_rival += 1
                both += mean(after) < last
                missed += [name] * (mean(after) >= last)
    if not gains:
        return Comparison(figure, columns, lines, [])
    sentences = [
        f"The mean of `{new}` is better than that of `{old}` on {sum(g > TIE for g in gains)} sets, "
        f"equal on {sum(abs(g) <= TIE for g in gains)} and worse on {sum(g < -TIE for g in gains)}; "
        f"the gain is {mean(gains):+.2f} {UNITS[figure]} on average."
    ]
    if forecasts:
        sentences.append(f"`{old}` beats the last value on {beats_old} of {forecasts} sets, `{new}` on {beats_new}.")
    if beats_rival:
        where = f" It does not on {', '.join(missed)}." if missed else ""
        sentences.append(f"The {RIVAL} beats it on {beats_rival}, and `{new}` on {both} of these.{where}")
    return Comparison(figure, columns, lines, sentences)


@dataclass(frozen=True)
class Effect:
    """What a change of one setting does to the sets of one kind."""

    settings: str
    figure: str
    sets: int
    test: float  # mean gain over the default on the test
    validation: float | None  # the same on the validation sequences
    better: int  # sets whose mean on the test is better
    worse: int


def effects(rows: list[Record], figure: str, base: str = BASE) -> list[Effect]:
    """Each setting in the records beside `base`, over the sets and seeds that both have."""
    found = []
    others = dict.fromkeys(row["settings"] for row in rows)
    for settings in others:
        if settings in (base, OLD, RIVAL, *BASELINES):
            continue
        tests: list[float] = []
        validations: list[float] = []
        for name in sets_of(rows, figure):
            for field, gains in (("value", tests), ("validation", validations)):
                first, second = of(rows, base, name, field), of(rows, settings, name, field)
                seeds = set(first) & set(second)
                if seeds and mean(first[seed] for seed in seeds):
                    gains.append(gain(figure, mean(second[seed] for seed in seeds), mean(first[seed] for seed in seeds)))
        if tests:
            better, worse = sum(g > TIE for g in tests), sum(g < -TIE for g in tests)
            on_validation = mean(validations) if validations else None
            found.append(Effect(settings, figure, len(tests), mean(tests), on_validation, better, worse))
    return found


EFFECT_COLUMNS = ("setting", "sets", "gain on the test", "gain on validation", "better", "worse")


def effect_lines(found: Iterable[Effect]) -> list[tuple[str, ...]]:
    """The cells of EFFECT_COLUMNS."""
    return [
        (
            each.settings,
            str(each.sets),
            f"{each.test:+.2f}",
            "-" if each.validation is None else f"{each.validation:+.2f}",
            str(each.better),
            str(each.worse),
        )
        for each in found
    ]


def speeds(rows: list[Record]) -> list[tuple[str, ...]]:
    """The cells of SPEED_COLUMNS: a line for each set, with every loop of the records beside `default`."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        by = {row["loop"]: row for row in rows if row["set"] == name}
        if not {OLD, DEFAULT, PLAIN} <= set(by):
            continue
        new, old, plain = by[DEFAULT], by[OLD], by[PLAIN]
        seconds = (f"{row['cpu_s_epoch']:.3g}" for row in (old, new, plain))
        times = old["cpu_s_epoch"] / new["cpu_s_epoch"]
        rates = (f"{row['sequences_s']:.0f}" for row in (new, plain))
        lines.append((name, str(new["batch"]), f"{new['steps'] / new['sequences']:.0f}", *seconds, f"{times:.1f}", *rates))
    return lines


SPEED_COLUMNS = (
    *("set", "batch", "mean steps", f"{OLD}, s/epoch", f"{DEFAULT}, s/epoch", f"{PLAIN}, s/epoch"),
    *("times faster", f"{DEFAULT}, sequences/s", f"{PLAIN}, sequences/s"),
)


def sets_of(rows: Iterable[Record], figure: str) -> list[str]:
    """The sets of one kind that the records have, in the order of SETS."""
    have = {row["set"] for row in rows if row["figure"] == figure}
    return [name for name in SETS if name in have]


def of(rows: Iterable[Record], settings: str, name: str, field: str = "value") -> dict[int, float]:
    """seed -> figure, without those that are None."""
    found = {row["seed"]: row[field] for row in rows if (row["settings"], row["set"]) == (settings, name)}
    return {seed: value for seed, value in found.items() if value is not None}


def gain(figure: str, new: float, old: float) -> float:
    """Positive if new is better: points of accuracy, or percent of the old RMSE."""
    return new - old if figure == CLASSES else 100 * (old - new) / old


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation, with four digits of the mean."""
    if not values:
        return "-"
    average = mean(values)
    decimals = max(0, min(6, 3 - len(str(int(abs(average)))) + (average < 1) * 2)) if average else 0
    text = f"{average:.{decimals}f}"
    return text if len(values) < 2 else f"{text} ± {stdev(values):.{decimals}f}"
