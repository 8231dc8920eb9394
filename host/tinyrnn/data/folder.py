# SPDX-License-Identifier: MIT
"""A folder with one sub-folder of CSV files for each label: a classification at the last step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyrnn.data import split
from tinyrnn.data.csv_table import Table, read_table, same_columns
from tinyrnn.data.recording import Recording, Sequences, sort_labels
from tinyrnn.errors import DataError
from tinyrnn.files import title

LAYOUT = "expected FOLDER/LABEL/*.csv, or FOLDER/train/LABEL/*.csv and FOLDER/test/LABEL/*.csv"


def read(
    path: Path,
    *,
    window: int | None = None,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Recording:
    """Read the folder. Each file is one sequence, or several of `window` rows. A file is in one half of the split only.

    Raises DataError for an unknown layout, or for an error in a file.
    """
    parts = {folder.name.casefold(): folder for folder in _folders(path)}
    own_split = {"train", "test"} <= set(parts) and not any(_tables(parts[name]) for name in ("train", "test"))
    reader = _Reader(drop, keep, window)
    if own_split:
        if len(_folders(path)) > 2:
            odd = next(folder for folder in _folders(path) if folder.name.casefold() not in ("train", "test"))
            raise DataError(f"{odd}: a folder beside train and test; {LAYOUT}: move it away")
        train = _label_files(parts["train"])
        test = _label_files(parts["test"])
        for label in test:
            if label not in train:
                raise DataError(
                    f"{parts['test'] / label}: label {label!r} is not in {parts['train']}; expected the same"
                    " labels: record it there too"
                )
        how = "folders train and test"
    else:
        files = _label_files(path)
        strata = [label for label, paths in files.items() for _ in paths]
        flat = [(label, file) for label, paths in files.items() for file in paths]
        train_at, test_at = split.stratified(strata, test_fraction, seed, str(path))
        train, test = _grouped([flat[i] for i in train_at]), _grouped([flat[i] for i in test_at])
        how = split.describe(test_fraction, seed, "files of each label")
    labels = sort_labels(train)
    train_sequences = reader.sequences(train, labels)
    test_sequences = reader.sequences(test, labels)
    return Recording(
        name=title(path.resolve().name) or "recording",
        task="classification",
        when="last",
        channels=reader.channels,
        labels=labels,
        train=train_sequences,
        test=test_sequences,
        split=how,
    )


class _Reader:
    """Reads the files and requires the columns of the first in all of them."""

    def __init__(self, drop: Sequence[str], keep: Sequence[str], window: int | None) -> None:
        self.drop, self.keep, self.window = drop, keep, window
        self.first: Table | None = None
        self.columns: list[int] = []

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(self.first.names[i] for i in self.columns) if self.first else ()

    def sequences(self, files: dict[str, list[Path]], labels: tuple[str, ...]) -> Sequences:
        x: list[np.ndarray] = []
        y: list[int] = []
        for label, paths in files.items():
            for path in paths:
                table = read_table(path)
                if self.first is None:
                    self.first = table
                    self.columns = table.features(self.drop, self.keep)
                same_columns(self.first, table)
                values = table.numbers(self.columns)
                pieces = [values[piece] for piece in split.windows(len(values), self.window, tail=False)]
                x += pieces
                y += [labels.index(label)] * len(pieces)
        return Sequences(x, np.array(y, np.int64))


def _grouped(pairs: list[tuple[str, Path]]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for label, path in pairs:
        files.setdefault(label, []).append(path)
    return files


def _label_files(path: Path) -> dict[str, list[Path]]:
    """The CSV files of each label under a folder, sorted. Raises DataError for a wrong layout."""
    stray = _tables(path)
    folders = _folders(path)
    if stray:
        raise DataError(f"{stray[0]}: a file outside the labels' folders; {LAYOUT}: move it into the folder of its label")
    if not folders:
        raise DataError(f"{path}: contains no folder of a label; {LAYOUT}")
    files = {}
    for folder in folders:
        inner = _folders(folder)
        if inner:
            raise DataError(f"{inner[0]}: a folder inside a label's folder; {LAYOUT}: move its files one level up")
        files[folder.name] = _tables(folder)
        if not files[folder.name]:
            raise DataError(f"{folder}: no CSV file of label {folder.name!r}; {LAYOUT}: record some or delete the folder")
    if len(files) < 2:
        raise DataError(f"{path}: 1 label ({folders[0].name}); expected at least 2: add a folder for another")
    return files


def _visible(path: Path) -> list[Path]:
    """The entries of a folder, sorted by name, without hidden files and the remains of macOS archives."""
    try:
        found = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a folder, check its permissions") from None
    return [item for item in found if not item.name.startswith(".") and item.name != "__MACOSX"]


def _folders(path: Path) -> list[Path]:
    return [item for item in _visible(path) if item.is_dir()]


def _tables(path: Path) -> list[Path]:
    found = [item for item in _visible(path) if item.suffix.lower() in (".csv", ".tsv") and not item.is_dir()]
    for item in found:
        if not item.is_file():
            raise DataError(f"{item}: is not a file, or links to none; expected a CSV file: remove it")
    return found
