# SPDX-License-Identifier: MIT
"""A look at all that was read, before it is split: counters among the inputs, glitches and constant channels."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from tinyrnn.data import clocks, quality
from tinyrnn.data.source import Source


def inspected(source: Source, keep: Collection[str]) -> Source:
    """The source, with remarks on what is odd in it.

    keep: channels that the user wants, whatever their values are. Raises DataError for any other channel of a table that
    rises at every step of every file or group.
    """
    if source.symbols:
        return source
    x = [series.x for series in source.series]
    table = all(series.lines is not None for series in source.series)
    remarks: list[str] = []
    if table:
        # What is to be forecast stays an input, even if it rises
        clocks.check_rising(source.channels, x, [*keep, *(source.labels if source.horizon else ())], source.where)
    else:
        remarks += [
            f"channel {source.channels[column]!r} rises at every step of every sequence, like a clock or a counter"
            for column in clocks.rising(x)
        ]

    def place(number: int, row: int) -> str:
        return source.series[number].place(row)

    def drop(name: str) -> str:
        return f"--drop {clocks.quoted(name)}"

    remarks += quality.remarks(source.channels, x, place, drop=drop if table else None)
    if source.task == "regression":
        y = [series.y if source.when == "every" else series.y[None] for series in source.series]
        remarks += quality.remarks(source.labels, [np.asarray(answers, np.float64) for answers in y], place, "target")
    return replace(source, remarks=source.remarks + tuple(remarks))
