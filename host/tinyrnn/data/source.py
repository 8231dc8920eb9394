# SPDX-License-Identifier: MIT
"""Source: what a reader found in the files, before it is split and cut.

A reader returns series as they were recorded. split.py assigns their rows to training, validation and test, and windows.py
cuts windows after that. So no window, and no target of a forecast, lies in two parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tinyrnn.data.recording import listed
from tinyrnn.errors import DataError
from tinyrnn.text import counted


@dataclass(frozen=True, eq=False)
class Series:
    """One recording, uncut."""

    x: np.ndarray  # (T, C) float64
    y: np.ndarray  # "every": (T,) class indices or (T, O) float64; "last": () or (O,)
    name: str  # where it comes from, such as "walk/3.csv"
    group: str = ""  # whom or which session it was recorded from; "": unknown
    part: str = ""  # "train", "validation" or "test" if the user's own files say so; "": to be assigned


@dataclass(frozen=True, eq=False)
class Source:
    """All that is needed to make a recording of it."""

    name: str
    where: str  # the file or folder, for messages
    task: str
    when: str
    channels: tuple[str, ...]
    labels: tuple[str, ...]
    series: list[Series]
    unit: str = "sequences"  # what the draw takes whole, in words
    own: str = ""  # how the files give a test part of their own, in words; "": they do not
    strict: bool = False  # whether no group may lie in two parts, not even in training and validation
    window: int | None = None  # steps
    stride: int | None = None  # steps from one training window to the next; None: the window
    horizon: int = 0  # steps from row t to the value in y[t]
    symbols: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    codes: Mapping[str, int] = field(default_factory=dict)  # class indices by what an .npz file holds in y

    def __post_init__(self) -> None:
        if self.stride is not None:
            if self.window is None:
                raise DataError(
                    f"{self.where}: stride is {counted(self.stride, 'step')} without a window; expected --window N too"
                )
            if self.stride > self.window:
                raise DataError(
                    f"{self.where}: stride is {self.stride}, longer than the window of {counted(self.window, 'step')};"
                    f" expected 1 to {self.window}"
                )

    @property
    def grouped(self) -> bool:
        return any(series.group for series in self.series)


def joined(source: Source, other: Source, part: str) -> Source:
    """The source with another one's series, which are the validation or the test part. Raises DataError."""
    if part == "test" and source.own:
        raise DataError(
            f"{source.where}: has a test part of its own ({source.own}); expected that or --test {other.where}, not both"
        )
    if any(series.part == part for series in source.series):
        raise DataError(f"{source.where}: has a {part} part of its own; expected that or --{part} {other.where}, not both")
    if other.own:
        raise DataError(f"{other.where}: holds {other.own}; expected only sequences for --{part}: name one of the two")
    added = [replace(series, part=part) for series in other.series]
    remarks = other.remarks
    both = {series.group for series in added if series.group} & {series.group for series in source.series}
    if both:
        remarks += (f"{counted(len(both), 'group')} of {other.where}, such as {min(both)!r}, occur in {source.where} too",)
    own = f"{source.where} and {other.where}" if part == "test" else source.own
    return replace(source, series=source.series + added, own=own, remarks=source.remarks + remarks)


def check_channels(where: str | Path, channels: tuple[str, ...], like: Source | None) -> None:
    """Raise DataError unless a file has the inputs of the source that it is to be joined to."""
    if like is not None and channels != like.channels:
        raise DataError(
            f"{where}: the inputs are {listed(channels)}; expected {listed(like.channels)} as in {like.where}: record all"
            " files alike"
        )


def forecast(series: Series, horizon: int) -> Series | None:
    """The series with each answer taken `horizon` rows later. The last rows have none; None if no row has one."""
    rows = len(series.x) - horizon
    if not horizon:
        return series
    return replace(series, x=series.x[:rows], y=series.y[horizon:]) if rows > 0 else None
