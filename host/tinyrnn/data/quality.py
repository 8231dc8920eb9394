# SPDX-License-Identifier: MIT
"""What is odd in a recording: glitches, constant channels, numbers too large for the integer model, twins among classes.

A glitch is a value, or one of very few, so far beyond all others that it alone would set the scale of its channel.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tinyrnn.errors import DataError
from tinyrnn.text import counted

ROWS_ENOUGH = 20  # with fewer, nobody can tell a glitch from a signal
RARE = 500  # of so many values, one on each side may be a glitch
FEW = 3  # glitches on each side that a shorter recording may have, one in each hundred values, and one in fewer
FAR = 10.0  # a glitch lies beyond the others by this many times their range
RAW_BITS = 24  # the integer model takes raw integers below 2^24
LARGEST_SCALED = 2.0**40  # and numbers that are scaled to such integers by at most 2^-16
MOST_REMARKS = 10
MISSING = {"", "nan", "<na>", "#n/a"}


def limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The range of the values (M, C) of each channel that count, (C,) and (C,): all of them if there is no glitch.

    From the core of a channel, the range grows to the next larger or smaller value, unless that lies farther away than FAR
    times the range so far. So a heavy tail, a spike of many samples and the pulses of an otherwise silent channel stay as
    they are. Glitches are limited to the range of the other values, widened by its own width on each side, where they
    are still extreme but no longer set the scale. At most one value in RARE, or FEW, on each side, is a glitch.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    rows = len(values)
    if rows < ROWS_ENOUGH:
        return low, high
    most = max(1, min(FEW, rows // 100), rows // RARE)
    places = [*range(most + 1), *range(rows - most - 1, rows)]
    if 2 * len(places) > rows:
        ordered = np.sort(values, axis=0)
    else:
        ordered = np.partition(values, places, axis=0)
    bottom, top = ordered[most].copy(), ordered[rows - 1 - most].copy()
    below, above = np.zeros(len(low), bool), np.zeros(len(low), bool)  # whether the rest on that side are glitches
    silent = top == bottom  # the core is constant: it says nothing about the size of a signal
    for step in range(most):
        for side, value in ((below, ordered[most - 1 - step]), (above, ordered[rows - most + step])):
            span = top - bottom
            distance = bottom - value if side is below else value - top
            side |= ~silent & (distance > FAR * span)
            if side is below:
                bottom = np.where(side, bottom, value)
            else:
                top = np.where(side, top, value)
    span = top - bottom
    return np.where(below, np.maximum(low, bottom - span), low), np.where(above, np.minimum(high, top + span), high)


def remarks(
    names: Sequence[str],
    sequences: Sequence[np.ndarray],
    place: Callable[[int, int], str],
    kind: str = "channel",
    drop: Callable[[str], str] | None = None,
) -> list[str]:
    """A sentence for each constant channel and each channel with glitches.

    names: (C,) of the channels. sequences: (T_i, C) each. place(i, t): where step t of sequence i comes from, such as
    "walk.csv:7". kind: "channel" or "target". drop(name): how the user leaves a channel out.
    """
    if not sequences:
        return []
    values = np.concatenate(sequences)
    low, high = limits(values)
    least, most = values.min(axis=0), values.max(axis=0)
    ends = np.cumsum([len(x) for x in sequences])
    found = []
    constant = [i for i in range(len(names)) if least[i] == most[i]]
    if len(constant) == 1 or (constant and kind == "target"):
        for column in constant:
            cure = f"; leave it out with {drop(names[column])}" if drop else ""
            found.append(
                f"{kind} {names[column]!r} is {least[column]:g} at every step, which tells the network nothing{cure}"
            )
    elif constant:
        some = ", ".join(repr(names[i]) for i in constant[:MOST_REMARKS]) + ", ..." * (len(constant) > MOST_REMARKS)
        found.append(f"{len(constant)} {kind}s are the same at every step, which tells the network nothing: {some}")
    for column, name in enumerate(names):
        beyond = np.flatnonzero((values[:, column] < low[column]) | (values[:, column] > high[column]))
        if len(beyond):
            first = int(beyond[0])
            number = int(np.searchsorted(ends, first, side="right"))
            step = first - int(ends[number]) + len(sequences[number])
            others = np.delete(values[:, column], beyond)
            many = f", the first of {counted(len(beyond), 'such value')}" if len(beyond) > 1 else ""
            found.append(
                f"{place(number, step)}: {kind} {name!r} is {values[first, column]:g}{many}; all others lie in"
                f" {others.min():g} to {others.max():g}; in training it counts as"
                f" {high[column] if values[first, column] > high[column] else low[column]:g}"
            )
            if len(found) == MOST_REMARKS:
                break
    return found


def check_size(name: str, channels: Sequence[str], minimum: np.ndarray, maximum: np.ndarray, integer: bool) -> None:
    """Raise DataError for a channel whose values (C,) the integer model cannot take, before a training and not after it."""
    largest = np.maximum(np.abs(minimum), np.abs(maximum))
    limit = 2.0**RAW_BITS if integer else LARGEST_SCALED
    if (largest >= limit).any():
        column = int(largest.argmax())
        seen = f"{name}: channel {channels[column]!r} reaches {largest[column]:.15g}"
        if integer:
            shift = int(np.floor(np.log2(largest[column]))) - RAW_BITS + 1
            raise DataError(
                f"{seen} and all values are whole numbers, which a board feeds as they are; expected less than 2^24 ="
                f" {1 << RAW_BITS}: subtract an offset, or divide by {2**shift}, in the recording and on the board"
            )
        raise DataError(f"{seen}; expected less than 2^40 = {limit:.4g}: give it in a larger unit")


def check_classes(where: object, names: Iterable[object], cure: str) -> None:
    """Raise DataError if a class is a missing value, or if two differ only in case, spaces or the form of a letter.

    names: the class of each row or sequence. where, cure: for the message. Single letters may differ in case, as in a
    recording of handwriting.
    """
    count = Counter(str(name) for name in names)
    seen: dict[str, str] = {}

    def named(name: str) -> str:
        return f"{name!r} ({counted(count[name], 'time')})"

    for name in sorted(count):
        if name.strip().casefold() in MISSING:
            raise DataError(f"{where}: class {named(name)} is a missing value; expected the name of a class: {cure}")
        plain = " ".join(unicodedata.normalize("NFKC", name).split())
        plain = plain.casefold() if len(plain) > 1 else plain
        if plain in seen:
            raise DataError(
                f"{where}: classes {named(seen[plain])} and {named(name)} differ only in case,"
                f" spaces or the form of a letter; expected one spelling: {cure}"
            )
        seen[plain] = name
