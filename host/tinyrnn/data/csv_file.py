# SPDX-License-Identifier: MIT
"""A single CSV file with an answer in each row: a class column or target columns, at every step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data import windows
from tinyrnn.data.csv_table import read_table
from tinyrnn.data.recording import Recording, listed, sort_labels
from tinyrnn.errors import DataError


def read(
    path: Path,
    *,
    label: str | None = None,
    target: Sequence[str] = (),
    group: str | None = None,
    window: int | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Recording:
    """Read the file: with label as a classification, with target as a regression. Exactly one of them is given.

    group: the column with the sequence id. Without it the file is cut into consecutive windows of `window` rows, by
    default 100. Raises DataError.
    """
    table = read_table(path)
    if bool(label) == bool(target):
        seen = "both --label and --target" if label else "neither --label nor --target"
        raise DataError(
            f"{path}: {seen}; expected one: --label COLUMN for classes, --target COLUMN for numbers, "
            f"of the columns {listed(table.names)}"
        )
    answers = [table.column(label, "--label")] if label else [table.column(name, "--target") for name in target]
    taken = answers + ([table.column(group, "--group")] if group else [])
    if len(set(taken)) != len(taken):
        twice = next(table.names[i] for i in taken if taken.count(i) > 1)
        raise DataError(f"{path}: column {twice!r} is named in two options; expected one of --label, --target, --group")
    columns = table.features(drop, keep, taken)
    x = table.numbers(columns)
    if label:
        cells = table.texts(answers[0], "the name of a class")
        labels = sort_labels(cells)
        index = {name: number for number, name in enumerate(labels)}
        y = np.array([index[cell] for cell in cells])
    else:
        labels = tuple(table.names[i] for i in answers)
        y = table.numbers(answers)
    if label and len(labels) < 2:
        raise DataError(f"{path}: column {label!r} holds 1 class ({labels[0]}); expected at least 2, record another")
    return windows.cut(
        files.title(path.stem),
        "classification" if label else "regression",
        tuple(table.names[i] for i in columns),
        labels,
        x,
        y,
        table.texts(taken[-1], "the id of a sequence") if group else None,
        window=window,
        test_fraction=test_fraction,
        seed=seed,
    )
