# SPDX-License-Identifier: MIT
"""Tables with an answer in each row: a single file, or a folder of them. A class column or target columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data import persons
from tinyrnn.data.csv_table import Table, read_table, same_columns
from tinyrnn.data.options import Reading
from tinyrnn.data.recording import listed, sort_labels
from tinyrnn.data.source import Series, Source, check_channels, forecast
from tinyrnn.data.windows import WINDOW
from tinyrnn.errors import DataError
from tinyrnn.text import counted


@dataclass(frozen=True)
class Item:
    """A table to read, and what its place in a folder tells."""

    path: Path
    name: str
    group: str = ""
    part: str = ""


def read(path: Path, reading: Reading, like: Source | None = None) -> Source:
    """Read one file. Without groups it is one long series, later cut into windows of 100 rows by default.

    like: the source to which this file gives the validation or the test part. Raises DataError.
    """
    return read_all(path, [Item(path, path.name)], reading, like)


def read_all(where: Path, items: Sequence[Item], reading: Reading, like: Source | None = None, own: str = "") -> Source:
    """Read files of the same columns; rows of one group in one file are one series. Raises DataError."""
    tables: list[Table] = []
    for item in items:
        tables.append(read_table(item.path))
        same_columns(tables[0], tables[-1])
    first = tables[0]
    if bool(reading.label) == bool(reading.target):
        seen = "both --label and --target" if reading.label else "neither --label nor --target"
        raise DataError(
            f"{where}: {seen}; expected one: --label COLUMN for classes, --target COLUMN for numbers, "
            f"of the columns {listed(first.names)}"
        )
    asked = [(reading.label, "--label")] if reading.label else [(name, "--target") for name in reading.target]
    answers = [first.column(str(name), option) for name, option in asked]
    by = reading.by if reading.by in first.names or not where.is_dir() else None
    if reading.method == "group" and not by and where.is_dir():  # the files' names tell
        if reading.by:
            groups = [person for person, _ in persons.by_pattern(where, [item.path for item in items], reading.by)]
        elif any(item.group for item in items):
            groups = [item.group for item in items]
        else:
            groups = persons.by_names(where, [(item.path, "") for item in items])
        items = [replace(item, group=group) for item, group in zip(items, groups, strict=True)]
    keys = [first.column(name, option) for name, option in ((by, "--split group"), (reading.group, "--group")) if name]
    keys = list(dict.fromkeys(keys))
    taken = answers + keys
    if len(set(taken)) != len(taken):
        twice = next(first.names[i] for i in taken if taken.count(i) > 1)
        raise DataError(
            f"{where}: column {twice!r} is named in two options; expected one of --label, --target, --group, --split group"
        )
    # What is forecast is also what is known of it so far
    columns = first.features(reading.drop, reading.keep, keys if reading.horizon else taken)
    channels = tuple(first.names[i] for i in columns)
    check_channels(items[0].path, channels, like)
    taught = [table for item, table in zip(items, tables, strict=True) if item.part in ("", "train")]
    labels = _labels(taught, reading, answers, like)

    series: list[Series] = []
    for item, table in zip(items, tables, strict=True):
        x = table.numbers(columns)
        y = table.numbers(answers) if reading.target else _classes(table, answers[0], labels, like)
        series += _by_key(item, table, keys, x, y, by, reading.group)
    found = [forecast(one, reading.horizon) for one in series]
    left = [one for one in found if one is not None]
    remarks: tuple[str, ...] = ()
    if not left:
        longest = max(len(one.x) for one in series)
        raise DataError(
            f"{where}: horizon is {counted(reading.horizon, 'row')}, but a sequence has at most {longest}; expected fewer:"
            " use a smaller --horizon or record longer"
        )
    if len(left) < len(found):
        remarks = (
            f"{len(found) - len(left)} of {counted(len(found), 'sequence')} have no row {reading.horizon} rows before their"
            " last and are left out",
        )
    grouped = any(one.group for one in left)
    return Source(
        name=files.title(where.resolve().name if where.is_dir() else where.stem) or "recording",
        where=str(where),
        task="regression" if reading.target else "classification",
        when="every",
        channels=channels,
        labels=labels,
        series=left,
        unit="groups" if grouped else "files",
        own=own,
        strict=bool(by or reading.method == "group" or any(item.group for item in items)),
        window=reading.window or (None if grouped or len(items) > 1 or like else WINDOW),
        stride=None if like else reading.stride,
        horizon=reading.horizon,
        remarks=remarks,
    )


def _labels(tables: list[Table], reading: Reading, answers: list[int], like: Source | None) -> tuple[str, ...]:
    """The sorted classes in the training files, or the names of the targets."""
    if like is not None:
        return like.labels
    if reading.target:
        return tuple(tables[0].names[i] for i in answers)
    labels = sort_labels({cell for table in tables for cell in table.texts(answers[0], "the name of a class")})
    if len(labels) < 2:
        path, column = tables[0].path if len(tables) == 1 else tables[0].path.parent, reading.label
        raise DataError(f"{path}: column {column!r} holds 1 class ({labels[0]}); expected at least 2, record another")
    return labels


def _classes(table: Table, column: int, labels: tuple[str, ...], like: Source | None) -> np.ndarray:
    index = {name: number for number, name in enumerate(labels)}
    cells = table.texts(column, "the name of a class")
    for line, cell in zip(table.lines, cells, strict=True):
        if cell not in index:
            raise DataError(
                f"{table.path}:{line}: column {table.names[column]!r} is {cell!r}, a class that does not occur in"
                f" {like.where if like else 'the training files'}; expected one of {listed(labels)}: record it there too"
            )
    return np.array([index[cell] for cell in cells])


def _by_key(
    item: Item, table: Table, keys: list[int], x: np.ndarray, y: np.ndarray, by: str | None, group: str | None
) -> list[Series]:
    """The rows of each group as a series, in the order of the file. Without keys, the file is one series."""
    if not keys:
        return [Series(x, y, item.name, item.group, item.part)]
    texts = [table.texts(key, "the id of a sequence") for key in keys]
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, key in enumerate(zip(*texts, strict=True)):
        rows.setdefault(key, []).append(row)
    return [
        Series(x[members], y[members], f"{item.name}, {' '.join(key)}", item.group or key[0], item.part)
        for key, members in rows.items()
    ]
