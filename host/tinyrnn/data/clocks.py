# SPDX-License-Identifier: MIT
"""Columns that tell when a sample was recorded, or count the rows: found by name or by value, and read as seconds."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from tinyrnn.errors import DataError

ROWS_ENOUGH = 8  # in fewer rows, a signal rises throughout by chance: once in 5,040 in seven
# Each word of a clock's name is one of WORDS or MORE, and at least one is of WORDS: "Timestamp [us]", "loggingSample(N)"
WORDS = re.compile(
    "time|timestamps?|datetime|date|clock|epoch|elapsed|uptime|t|ms|us|ns|s|secs?|seconds?|millis|micros|milliseconds?|"
    "microseconds?|nanoseconds?|minutes|ticks?|index|idx|id|no|nr|samples?|row|rownum|frame|packet|counter|seq|sequence|#|№|"
    "zeit|zeitstempel|datum|uhrzeit|sekunden|tiempo|fecha|heure|tijd|yyyy|hh"
)
MORE = re.compile(
    "stamp|unix|utc|gmt|local|system|device|sensor|host|logging|recording|record|recorded|since|start|boot|from|in|of|the|at|"
    "num|number|count|fine|coarse|relative|absolute|abs|rel|total|running|seit|n|txt|mo|mm|dd|mi|ss|sss"
)
SECONDS = {  # the units of a time column, in seconds
    "ns": 1e-9,
    "nanos": 1e-9,
    "nanosecond": 1e-9,
    "nanoseconds": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "micros": 1e-6,
    "microsecond": 1e-6,
    "microseconds": 1e-6,
    "ms": 1e-3,
    "millis": 1e-3,
    "msec": 1e-3,
    "millisecond": 1e-3,
    "milliseconds": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "sekunden": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}


def is_clock(name: str) -> bool:
    """Whether a column is named like a clock or a row count, with or without a unit: t, time_ms, Zeit, epoch (ms), No."""
    bare = re.sub(r"\s*[\[(][^\[\]()]*[\])]", "", name)  # a unit or a remark in brackets
    words = _words(bare)
    if words[:1] == ["unnamed"]:  # "Unnamed: 0", as pandas names a column without a name
        return True
    brackets = re.findall(r"[\[(]([^\[\]()]*)[\])]", name)
    if words in (["t"], ["s"]) and brackets and brackets[0].strip().casefold() not in SECONDS:
        return False  # T (°C) is a temperature
    core = [word for word in words if WORDS.fullmatch(word)]
    return bool(core) and all(word in core or MORE.fullmatch(word) for word in words)


def rising(sequences: Sequence[np.ndarray]) -> list[int]:
    """The columns that rise at every step of every sequence (T, C): they count, whatever their name.

    Nothing is found if no sequence has ROWS_ENOUGH rows. The sequences are whole files or groups, not windows of them.
    """
    if not sequences or max(len(x) for x in sequences) < ROWS_ENOUGH:
        return []
    rises = np.ones(sequences[0].shape[1], bool)
    for x in sequences:
        rises &= (np.diff(x, axis=0) > 0).all(axis=0)
    return [int(i) for i in np.flatnonzero(rises)]


def check_rising(names: Sequence[str], sequences: Sequence[np.ndarray], keep: Collection[str], where: object) -> None:
    """Raise DataError for a channel that rises at every step of every sequence (T, C), unless it is in ``keep``.

    names: (C,) of the channels. where: the file or folder, for the message.
    """
    for column in rising(sequences):
        name = names[column]
        if name not in keep:
            low, high = sequences[0][0, column], sequences[0][-1, column]
            places = "" if len(sequences) == 1 else f" of all {len(sequences)} files or groups, in the first"
            raise DataError(
                f"{where}: column {name!r} rises in every row{places} from {low:g} to {high:g}, like a clock or a counter,"
                f" which is rarely a useful input; expected a decision: {decision(name)}"
            )


def decision(name: str) -> str:
    """The two options of which a user chooses one for a clock."""
    return f"--drop {quoted(name)} to leave it out or --keep {quoted(name)} to use it"


def quoted(name: str) -> str:
    """A column's name as the value of an option in a shell; a comma or a quote in it is protected as in CSV."""
    if "," in name or '"' in name:
        doubled = name.replace('"', '""')
        return "'" + f'"{doubled}"'.replace("'", "'\\''") + "'"
    return f'"{name}"'


def unit(name: str) -> float | None:
    """The unit of a time column in seconds, from its name: 0.001 for time_ms or Time (ms). None if it names none."""
    for word in reversed(_words(name)):
        if word in SECONDS and (word not in ("d", "h", "min", "day", "hour") or re.search(r"[\[(]", name)):
            return SECONDS[word]
    return None


def _words(name: str) -> list[str]:
    """The words of a name in lower case: loggingTime(txt) -> logging, time, txt."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()
    return [word for word in re.split(r"[\s_.:;,%()\[\]/-]+", apart) if word]
