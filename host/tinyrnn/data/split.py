# SPDX-License-Identifier: MIT
"""The split: which rows of which series train the weights, choose the best of them, and test them.

The test part is drawn first, so that it is the same whatever is kept for validation. Each draw depends only on the order
of the sequences, the share and the seed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyrnn.data.options import VALIDATION as SHARE
from tinyrnn.data.options import Shares
from tinyrnn.data.source import Source
from tinyrnn.data.windows import LEFT_OUT, TEST, TRAIN, VALIDATION, WINDOW, windows
from tinyrnn.errors import DataError
from tinyrnn.text import counted

NUMBERS = {"": TRAIN, "train": TRAIN, "validation": VALIDATION, "test": TEST}

# Fewer than these are all needed for training, unless a share for validation is asked for
LEAST_SEQUENCES = 10  # with an output at the last step
LEAST_SERIES = 5  # with an output at each step
LEAST_GROUPS = 3
LEAST_ROWS = 50
LEAST_OF_CLASS = 3

DRAWS = 100  # of groups, to find one that leaves each class in both parts
NO_VALIDATION = "no validation part: {}; record more, or give --validation FILE"


@dataclass
class Division:
    """The part of each series: one number if it is kept whole, otherwise (T,) int8, one for each row."""

    parts: list[int | np.ndarray]
    words: list[str] = field(default_factory=list)  # how it was done
    remarks: list[str] = field(default_factory=list)

    def rows(self, number: int, part: int, length: int) -> np.ndarray:
        """The rows of a series in one part, ascending."""
        parts = self.parts[number]
        if isinstance(parts, np.ndarray):
            return np.flatnonzero(parts == part)
        return np.arange(length if parts == part else 0)

    def assign(self, number: int, rows: np.ndarray | None, part: int, length: int) -> None:
        """Put rows of a series, or all of it, into a part."""
        if rows is None:
            self.parts[number] = part
            return
        parts = self.parts[number]
        if not isinstance(parts, np.ndarray):
            parts = np.full(length, parts, np.int8)
            self.parts[number] = parts
        parts[rows] = part

    def copy(self) -> Division:
        parts = [part.copy() if isinstance(part, np.ndarray) else part for part in self.parts]
        return Division(parts, list(self.words), list(self.remarks))


@dataclass(frozen=True)
class Unit:
    """What a draw takes whole: series, or rows of one."""

    numbers: tuple[int, ...]
    rows: np.ndarray | None = None
    name: str = ""


def divide(source: Source, shares: Shares, method: str | None) -> Division:
    """Assign every row of the source. Raises DataError if it cannot be split in the way that is asked for."""
    method = method_of(source, method)
    division = given(source)
    if source.own:
        division.words.append(source.own)
    if method != "time":
        if not source.own:
            _draw_test(source, division, shares, method)
        return with_validation(source, division, shares, method)

    def by_time(by_class: bool) -> Division:
        whole = division.copy()
        if not source.own:
            _time_test(source, whole, shares, by_class)
        return with_validation(source, whole, shares, method, by_class)

    return with_most_classes(source, by_time)


def given(source: Source) -> Division:
    """What the user's own files say; the rest is training."""
    return Division([NUMBERS[series.part] for series in source.series])


def method_of(source: Source, asked: str | None) -> str:
    """time, random or group: what is asked for, or what suits the source."""
    if asked == "group" and not source.grouped:
        raise DataError(
            f"{source.where}: split by group, but no group is known; expected --split group:COLUMN, with the column that"
            " tells persons or sessions apart"
        )
    if asked:
        return asked
    training = [series for series in source.series if NUMBERS[series.part] == TRAIN]
    if any(series.group for series in training):
        return "group"
    return "time" if len(training) == 1 and source.when == "every" else "random"


def describe(fraction: float, seed: int, unit: str) -> str:
    """The text for Recording.split."""
    return f"{fraction * 100:g} % of the {unit} drawn for the test, seed {seed}"


# ---- whole units: sequences, groups, windows


def units(source: Source, division: Division, method: str) -> tuple[list[Unit], str]:
    """What is drawn from the training part, and the word for it."""
    training = [n for n, part in enumerate(division.parts) if not (isinstance(part, int) and part != TRAIN)]
    if method == "group":
        of: dict[str, list[int]] = {}
        for number in training:
            series = source.series[number]
            of.setdefault(series.group or series.name, []).append(number)
        return [Unit(tuple(numbers), name=name) for name, numbers in of.items()], "groups"
    if source.when == "every" and len(training) == 1:
        number, window = training[0], source.window or WINDOW
        length = len(source.series[number].x)
        free = np.zeros(length, bool)
        free[division.rows(number, TRAIN, length)] = True
        pieces = [piece for piece in windows(length, window, tail=True) if free[piece].all()]
        return [Unit((number,), np.arange(piece.start, piece.stop)) for piece in pieces], f"windows of {window} steps"
    return [Unit((number,)) for number in training], source.unit


def stratified(
    strata: Sequence[str], fraction: float, seed: int | list[int], where: str, *, strict: bool = True, least: int = 2
) -> tuple[list[int], list[int]]:
    """Indices of the training and of the test sequences, both in ascending order.

    strata: (N,) the stratum of each sequence, its label. Each stratum gives the same share of its sequences to the test:
    at least one, but never all. A stratum of fewer than `least` raises DataError; with strict=False all of it is used
    for training. The draw depends only on the order of the sequences, the fraction and the seed.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    train: list[int] = []
    test: list[int] = []
    of: dict[str, list[int]] = {}
    for number, name in enumerate(strata):
        of.setdefault(name, []).append(number)
    for stratum, members in sorted(of.items()):
        if len(members) < least:
            if strict:
                raise DataError(
                    f"{where}: label {stratum!r} has 1 sequence; expected at least 2, for training and for the test:"
                    " record more, or give train/ and test/ folders"
                )
            train += members
            continue
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        order = rng.permutation(len(members))
        test += [members[i] for i in order[:count]]
        train += [members[i] for i in order[count:]]
    return sorted(train), sorted(test)


def strata(source: Source, drawn: list[Unit]) -> list[str]:
    """(N,) the most frequent class of each unit; "" for a regression."""
    if source.task != "classification":
        return [""] * len(drawn)
    if source.when == "last" and all(len(unit.numbers) == 1 for unit in drawn):
        return [source.labels[int(source.series[unit.numbers[0]].y)] for unit in drawn]
    return [source.labels[_answers(source, unit).most_common(1)[0][0]] for unit in drawn]


def _answers(source: Source, unit: Unit) -> Counter[int]:
    found: Counter[int] = Counter()
    for number in unit.numbers:
        y = source.series[number].y
        found.update(np.atleast_1d(y if unit.rows is None else y[unit.rows]).tolist())
    return found


def _draw(
    source: Source, drawn: list[Unit], fraction: float, seed: int | list[int], strict: bool, least: int = 2
) -> list[Unit]:
    """The units of the test, or of the validation part."""
    if source.task == "classification" and (source.when == "every" or any(len(unit.numbers) > 1 for unit in drawn)):
        classes = [set(_answers(source, unit)) for unit in drawn]
        if any(unit.rows is None and len(found) > 1 for unit, found in zip(drawn, classes, strict=True)):
            return [drawn[i] for i in _draw_mixed(classes, fraction, seed)]
    chosen = stratified(strata(source, drawn), fraction, seed, source.where, strict=strict, least=least)[1]
    return [drawn[i] for i in chosen]


def _draw_mixed(classes: list[set[int]], fraction: float, seed: int | list[int]) -> list[int]:
    """Draw units that hold several classes each: of several draws the one that leaves most classes in both parts."""
    rng = np.random.Generator(np.random.PCG64(seed))
    total = len(classes)
    if total < 2:
        return []
    count = min(max(round(total * fraction), 1), total - 1)
    best: tuple[int, int] = (-1, -1)
    chosen: list[int] = []
    everything = len(set().union(*classes))
    for _ in range(max(1, min(DRAWS, 1_000_000 // total))):
        order = rng.permutation(total).tolist()
        trained, tested = (len(set().union(*(classes[i] for i in part))) for part in (order[count:], order[:count]))
        if (trained, tested) > best:
            best, chosen = (trained, tested), sorted(order[:count])
        if best == (everything, everything):
            break
    return chosen


def _draw_test(source: Source, division: Division, shares: Shares, method: str) -> None:
    drawn, unit = units(source, division, method)
    if len(drawn) < 2:
        raise DataError(f"{source.where}: {_too_few(source, drawn, unit)}")
    single = source.when == "last" and method != "group"  # each sequence has one class, and is drawn by itself
    tested = _draw(source, drawn, shares.test, shares.seed, strict=single)
    if not tested:
        raise DataError(
            f"{source.where}: {len(drawn)} {unit}, each mostly of a different class, leave none for the test: no class has 2"
            f" {unit}; expected at least 2 of a class: {_cure(unit)}"
        )
    _take(source, division, tested, TEST)
    division.words.append(describe(shares.test, shares.seed, unit))


def _too_few(source: Source, drawn: list[Unit], unit: str) -> str:
    if source.when == "every":
        rows = sum(len(source.series[number].x) for unit in drawn for number in unit.numbers)
        cure = f"{_cure(unit)}, or use --split time" if unit == "groups" else _cure(unit)
        return f"{counted(rows, 'row')} make 1 sequence; expected at least 2 ({unit}): {cure}"
    if unit == "groups":
        return f"1 group ({drawn[0].name}); expected at least 2 groups: {_cure(unit)}"
    return f"1 sequence; expected at least 2, or x as (rows, channels) to be cut into windows: {_cure(unit)}"


def _cure(unit: str) -> str:
    if unit.startswith("windows"):
        return "use a smaller --window or a longer recording"
    if unit == "groups":
        return "record more groups, or give a test set with --test"
    return "record more, or give a test set"


def _take(source: Source, division: Division, chosen: list[Unit], part: int) -> None:
    for unit in chosen:
        for number in unit.numbers:
            division.assign(number, unit.rows, part, len(source.series[number].x))


# ---- by time


def gap(source: Source, rows: int) -> int:
    """Rows left out between two parts of a series of `rows` rows.

    A row's target lies `horizon` rows later, so fewer would let a target lie in the next part. One window more makes
    neighbours less alike, but at most a twentieth of the series is spent on that.
    """
    if source.when == "last":  # windows are cut whole
        return 0
    return max(source.horizon, min(source.window or WINDOW, rows // 20))


def last_rows(source: Source, division: Division, share: float, part: int, by_class: bool) -> int:
    """Move the last rows of each training series into a part, with a gap before them. Returns the number moved."""
    moved = 0
    for number, series in enumerate(source.series):
        rows = division.rows(number, TRAIN, len(series.x))
        if not len(rows):
            continue
        pieces = [rows]
        if by_class:
            answers = series.y[rows]
            pieces = [rows[answers == answer] for answer in np.unique(answers).tolist()]
        for piece in pieces:
            between = gap(source, len(rows))
            step = (source.window or 1) if source.when == "last" else 1
            steps = len(piece) // step
            count = round(steps * share) or (1 if steps >= 2 else 0)
            start = (steps - count) * step
            if by_class:  # a change of the class is boundary enough
                between = min(between, start // 10) if 0 < start < len(piece) and piece[start] == piece[start - 1] + 1 else 0
            if count < 1 or start - between < 1:
                continue
            division.assign(number, piece[start : len(piece)], part, len(series.x))
            division.assign(number, piece[start - between : start], LEFT_OUT, len(series.x))
            moved += len(piece) - start
    return moved


def last_sequences(source: Source, division: Division, share: float, part: int) -> int:
    """Move the last sequences of each class, in the order of their names, into a part. Returns the number moved."""
    of: dict[str, list[int]] = {}
    for number, series in enumerate(source.series):
        if len(division.rows(number, TRAIN, len(series.x))):
            stratum = source.labels[int(series.y)] if source.task == "classification" else ""
            of.setdefault(stratum, []).append(number)
    moved = 0
    for members in of.values():
        ordered = sorted(members, key=lambda number: _natural(source.series[number].name))
        count = min(max(round(len(members) * share), 1), len(members) - 1)
        for number in ordered[len(members) - count :]:
            division.assign(number, None, part, 0)
        moved += count
    return moved


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key with which "9.csv" comes before "10.csv"."""
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"(\d+)", name) if piece]


def _whole_only(source: Source) -> bool:
    """Whether each series is one sequence, so that time means the order of the sequences."""
    longest = max(len(series.x) for series in source.series if NUMBERS[series.part] == TRAIN)
    return source.when == "last" and (source.window is None or longest < 2 * source.window)


def _time_test(source: Source, division: Division, shares: Shares, by_class: bool) -> None:
    percent = f"{shares.test * 100:g} %"
    if _whole_only(source):
        moved = last_sequences(source, division, shares.test, TEST)
        words = f"by time, the last {percent} of the sequences{' of each class' * (source.task == 'classification')}"
    else:
        moved = last_rows(source, division, shares.test, TEST, by_class)
        words = f"by time, the last {percent} of the rows{' of each class' * by_class}"
        between = 0 if by_class else gap(source, max(len(series.x) for series in source.series))
        if between:
            words += f", after {counted(between, 'row')} left out,"
    if not moved:
        rows = max(len(series.x) for series in source.series)
        seen = f"{counted(rows, 'row')} are too few to split by time"
        if source.horizon:
            seen += f" with a horizon of {counted(source.horizon, 'step')}"
        raise DataError(f"{source.where}: {seen}; expected more: record longer, or give a test set with --test FILE")
    division.words.append(f"{words} for the test")


def with_most_classes(source: Source, make: Callable[[bool], Division]) -> Division:
    """Split by time; within each class if that leaves more classes in training and in the test."""
    plain = make(False)
    if source.task != "classification" or source.symbols or _whole_only(source) or source.when == "last":
        return plain
    found = covered(source, plain)
    parts = 3 if any((np.asarray(part) == VALIDATION).any() for part in plain.parts) else 2
    if sum(found) == parts * len(source.labels):
        return plain
    other = make(True)
    return other if sum(covered(source, other)) > sum(found) else plain


def covered(source: Source, division: Division) -> tuple[int, int, int]:
    """The number of classes that occur in training, validation and test."""
    classes: list[set[int]] = [set(), set(), set()]
    for number, series in enumerate(source.series):
        for part, found in enumerate(classes):
            rows = division.rows(number, part, len(series.x))
            if len(rows):
                found.update(np.unique(series.y if series.y.ndim == 0 else series.y[rows]).tolist())
    return len(classes[0]), len(classes[1]), len(classes[2])


# ---- validation


def with_validation(source: Source, division: Division, shares: Shares, method: str, by_class: bool = False) -> Division:
    """Keep a part of the training part for validation, unless there is one or none is wanted. Raises DataError."""
    if any(series.part == "validation" for series in source.series):
        return division
    if shares.validation == 0:
        division.words.append("no validation")
        return division
    share = SHARE if shares.validation is None else shares.validation
    asked = shares.validation is not None
    problem, words = _keep(source, division, share, [shares.seed, 1], method, by_class, asked)
    if not problem:
        division.words.append(f"{words} for validation")
    elif asked:
        raise DataError(f"{source.where}: validation is {share:g}, but {problem}; expected more, or --validation FILE")
    else:
        division.remarks.append(NO_VALIDATION.format(problem))
    return division


def _keep(
    source: Source, division: Division, share: float, seed: list[int], method: str, by_class: bool, asked: bool
) -> tuple[str, str]:
    """Assign the validation part. Returns what is in the way, or "", and how it was done."""
    percent = f"{share * 100:g} %"
    every = source.when == "every"
    if method == "time" and not _whole_only(source):
        return _keep_last_rows(source, division, share, by_class, asked)
    if method == "time":
        if not asked and division.parts.count(TRAIN) < LEAST_SEQUENCES:
            return f"{counted(division.parts.count(TRAIN), 'training sequence')} are too few", ""
        moved = last_sequences(source, division, share, VALIDATION)
        return ("" if moved else "each class has 1 training sequence"), f"the last {percent} of the others"
    drawn, unit = units(source, division, method)
    least = 2 if asked else LEAST_GROUPS if method == "group" else LEAST_SERIES if every else LEAST_SEQUENCES
    if len(drawn) < least:
        if every and not (method == "group" and source.strict):
            return _keep_last_rows(source, division, share, False, asked)
        noun = "training group" if method == "group" else "training sequence"
        return f"{counted(len(drawn), noun)} {'is' if len(drawn) == 1 else 'are'} too few", ""
    kept = _draw(source, drawn, share, seed, strict=False, least=2 if asked else LEAST_OF_CLASS if not every else 2)
    if source.task == "classification" and not every and len(set().union(*(_answers(source, u) for u in kept))) < 2:
        return f"{counted(len(drawn), 'training sequence')} hold too few of each class", ""
    if not kept:
        return f"{counted(len(drawn), 'training sequence')} hold too few of each class", ""
    _take(source, division, kept, VALIDATION)
    return "", f"{percent} of the other {unit.removesuffix(' of each label')} drawn"


def _keep_last_rows(source: Source, division: Division, share: float, by_class: bool, asked: bool) -> tuple[str, str]:
    rows = sum(len(division.rows(number, TRAIN, len(series.x))) for number, series in enumerate(source.series))
    least = LEAST_SEQUENCES * (source.window or 1) if source.when == "last" else LEAST_ROWS
    problem = f"{counted(rows, 'training row')} {'is' if rows == 1 else 'are'} too few"
    if not asked and rows < least:
        return problem, ""
    moved = last_rows(source, division, share, VALIDATION, by_class)
    return ("" if moved else problem), f"the last {share * 100:g} % of the others{' of each class' * by_class}"
