# SPDX-License-Identifier: MIT
"""Cross-validation: several splits of the same source, so that each sequence is tested once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinyrnn.data import split
from tinyrnn.data.options import Shares
from tinyrnn.data.source import Source
from tinyrnn.data.split import Division, Unit
from tinyrnn.data.windows import LEFT_OUT, TEST, TRAIN
from tinyrnn.errors import DataError
from tinyrnn.text import counted


def divisions(source: Source, folds: int | str, shares: Shares, method: str | None) -> Iterator[tuple[str, Division]]:
    """The name of each fold and its split. The parts that the source has of its own are pooled first.

    folds: K, for K tests of a K-th each, stratified by class, or of K consecutive blocks of one long recording;
    "group", for one test of each group. Each fold keeps its own validation part. Raises DataError.
    """
    method = split.method_of(source, "group" if folds == "group" else method)
    start = Division([TRAIN] * len(source.series))
    if method == "time" and source.when == "every":
        yield from _blocks(source, start, int(folds), shares)
        return
    drawn, unit = split.units(source, start, method)
    if len(drawn) < (2 if folds == "group" else int(folds)):
        raise DataError(
            f"{source.where}: {len(drawn)} {unit} for {folds} folds; expected at least one for each: record more"
        )
    if folds == "group":
        tests = [(unit.name, [unit]) for unit in sorted(drawn, key=lambda unit: unit.name)]
    else:
        tests = _dealt(source, drawn, int(folds), shares.seed)
    for name, tested in tests:
        division = start.copy()
        for piece in tested:
            for number in piece.numbers:
                division.assign(number, piece.rows, TEST, len(source.series[number].x))
        if alone := _untrained(source, division):
            raise DataError(
                f"{source.where}: class {alone!r} occurs in {name} only, so nothing is left to train it; expected it in at"
                " least 2: record more of it, or use fewer folds"
            )
        what = f"group {name!r}" if folds == "group" else f"{name} of {folds}, {unit}, seed {shares.seed}"
        division.words.append(f"tested on {what}")
        yield name, split.with_validation(source, division, shares, method)


def _untrained(source: Source, division: Division) -> str:
    """A class that occurs in no training series; "" if there is none."""
    if source.task != "classification" or source.symbols:
        return ""
    trained: set[int] = set()
    for number, series in enumerate(source.series):
        rows = division.rows(number, TRAIN, len(series.x))
        if len(rows):
            trained.update(np.unique(series.y if source.when == "last" else series.y[rows]).tolist())
    return next((label for number, label in enumerate(source.labels) if number not in trained), "")


def _dealt(source: Source, drawn: list[Unit], folds: int, seed: int) -> list[tuple[str, list[Unit]]]:
    """Deal the units of each class to the folds in turn, in a drawn order."""
    rng = np.random.Generator(np.random.PCG64(seed))
    of: dict[str, list[Unit]] = {}
    for unit, stratum in zip(drawn, split.strata(source, drawn), strict=True):
        of.setdefault(stratum, []).append(unit)
    dealt: list[list[Unit]] = [[] for _ in range(folds)]
    place = 0
    for stratum, members in sorted(of.items()):
        if source.when == "last" and len(members) == 1:
            raise DataError(
                f"{source.where}: label {stratum!r} has 1 sequence; expected at least 2, for training and for the test:"
                " record more"
            )
        for i in rng.permutation(len(members)).tolist():
            dealt[place % folds].append(members[i])
            place += 1
    return [(f"fold {number + 1}", members) for number, members in enumerate(dealt)]


def _blocks(source: Source, start: Division, folds: int, shares: Shares) -> Iterator[tuple[str, Division]]:
    """Consecutive blocks of each series in time, with a gap on both sides of the tested one."""
    shortest = min(len(series.x) for series in source.series)
    between = max(split.gap(source, len(series.x)) for series in source.series)
    around = f" with {counted(between, 'row')} left out on both sides of each test" if between else ""
    if shortest < folds * (1 + 2 * between):
        raise DataError(
            f"{source.where}: {counted(shortest, 'row')} are too few for {folds} folds{around}; expected more:"
            " record longer, or use fewer folds"
        )
    for fold in range(folds):

        def make(by_class: bool, fold: int = fold) -> Division:
            division = start.copy()
            for number in range(len(source.series)):
                _assign_block(source, division, number, fold, folds, by_class)
            division.words.append(f"tested on block {fold + 1} of {folds} in time{' of each class' * by_class}")
            return split.with_validation(source, division, shares, "time", by_class)

        yield f"fold {fold + 1}", split.with_most_classes(source, make)


def _assign_block(source: Source, division: Division, number: int, fold: int, folds: int, by_class: bool) -> None:
    series = source.series[number]
    length = len(series.x)
    if by_class:
        for answer in np.unique(series.y).tolist():
            rows = np.flatnonzero(series.y == answer)
            division.assign(number, rows[len(rows) * fold // folds : len(rows) * (fold + 1) // folds], TEST, length)
        return
    first, end, between = length * fold // folds, length * (fold + 1) // folds, split.gap(source, length)
    division.assign(number, np.arange(max(first - between, 0), min(end + between, length)), LEFT_OUT, length)
    division.assign(number, np.arange(first, end), TEST, length)
