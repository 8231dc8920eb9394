# SPDX-License-Identifier: MIT
"""A folder of tables: a sub-folder for each label, or an answer in each row of every file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyrnn.data import csv_file, persons
from tinyrnn.data.csv_file import Item
from tinyrnn.data.csv_table import Table, read_table, same_columns
from tinyrnn.data.options import Reading
from tinyrnn.data.recording import sort_labels
from tinyrnn.data.source import Series, Source, check_channels
from tinyrnn.errors import DataError
from tinyrnn.files import title

LAYOUT = "expected FOLDER/LABEL/*.csv, or FOLDER/train/LABEL/*.csv and FOLDER/test/LABEL/*.csv"
STEPS = "expected FOLDER/*.csv or FOLDER/PERSON/*.csv, or these in FOLDER/train and FOLDER/test"
PARTS = {"train": "train", "test": "test", "validation": "validation", "valid": "validation", "val": "validation"}
SUFFIXES = (".csv", ".tsv")
MORE_SUFFIXES = (".txt", ".dat")  # read only if the folder holds none of SUFFIXES: notes end in .txt too
NOTES = {"readme", "read_me", "license", "licence", "notes", "note", "info", "about", "changelog", "citation"}


def read(path: Path, reading: Reading, like: Source | None = None) -> Source:
    """Read a folder of labels, a classification at the last step: each file is one series. Raises DataError.

    With a label or target column, each row of a file has an answer, and a sub-folder is a person or session.
    like: the source to which this folder gives the validation or the test part.
    """
    tree = _Tree(path)
    steps = bool(reading.label or reading.target)
    parts = _own_parts(tree, steps)
    own = _listed(parts)
    if steps:
        items = [item for part, folder in parts.items() for item in _step_files(tree, folder, part)]
        return csv_file.read_all(path, items, reading, like, own)
    return _read_labels(path, tree, parts, own, reading, like)


class _Tree:
    """The entries of a folder, without hidden files and what is no table."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.suffixes: tuple[str, ...] = SUFFIXES
        if not self._any(root, 4):
            self.suffixes = MORE_SUFFIXES

    def _any(self, path: Path, depth: int) -> bool:
        return bool(self.tables(path)) or (depth > 0 and any(self._any(folder, depth - 1) for folder in self.folders(path)))

    def folders(self, path: Path) -> list[Path]:
        return [item for item in _visible(path) if item.is_dir()]

    def tables(self, path: Path) -> list[Path]:
        found = [item for item in _visible(path) if item.suffix.lower() in self.suffixes and not item.is_dir()]
        if self.suffixes is MORE_SUFFIXES:
            found = [item for item in found if item.stem.casefold() not in NOTES]
        for item in found:
            if not item.is_file():
                raise DataError(f"{item}: is not a file, or links to none; expected a CSV file: remove it")
        return found


def _own_parts(tree: _Tree, steps: bool) -> dict[str, Path]:
    """The folders train, test and validation by their part, or the root as "" without a split of its own."""
    folders = tree.folders(tree.root)
    parts: dict[str, Path] = {}
    for folder in folders:
        part = PARTS.get(folder.name.casefold())
        if part in parts:
            raise DataError(f"{folder}: a second folder for the {part} part, beside {parts[part]}; expected one: merge them")
        if part:
            parts[part] = folder
    if not {"train", "test"} <= set(parts) or (not steps and any(tree.tables(parts[part]) for part in ("train", "test"))):
        return {"": tree.root}
    odd = [folder for folder in folders if folder not in parts.values()] or tree.tables(tree.root)
    if odd:
        what = "folder" if odd[0].is_dir() else "file"
        raise DataError(f"{odd[0]}: a {what} beside train and test; {STEPS if steps else LAYOUT}: move it away")
    return parts


def _listed(parts: dict[str, Path]) -> str:
    names = [parts[part].name.casefold() for part in ("train", "validation", "test") if part in parts]
    return f"folders {', '.join(names[:-1])} and {names[-1]}" if names else ""


# ---- labels by folder


def _read_labels(path: Path, tree: _Tree, parts: dict[str, Path], own: str, reading: Reading, like: Source | None) -> Source:
    pattern = reading.by if reading.method == "group" else None
    complete = bool(pattern and persons.PERSON in pattern and persons.LABEL in pattern)  # whatever the layout is
    found = {
        part: _all_files(tree, folder) if complete else _label_files(tree, folder, least=1 if like else 2)
        for part, folder in parts.items()
    }
    deep = [file for files in found.values() for file in files if file.inner]
    if deep:
        shallow = next((file for files in found.values() for file in files if not file.inner), None)
        if shallow:
            inner = deep[0].path.parent
            raise DataError(f"{inner}: a folder inside a label's folder; {LAYOUT}: move its files one level up")
        outer = None
        if not pattern:
            outer = persons.outer_is_person({file.outer for file in deep}, {file.inner for file in deep})
        if outer is None and not complete:
            where = f"{deep[0].outer}/{deep[0].inner}"
            raise DataError(
                f"{path}: two levels of folders, such as {where}, of which one is the label and one the person; expected to"
                " know which: --split group:LABEL/PERSON or --split group:PERSON/LABEL"
            )
    else:
        outer = False

    series: list[Series] = []
    answers: list[tuple[Path, str, str, str]] = []  # file, label, person, part
    for part, files in found.items():
        for place, (person, label) in zip(files, _told(parts[part], files, pattern, outer, reading.method), strict=True):
            answers.append((place.path, label, person, part))
    taught = sort_labels({label for _, label, _, part in answers if part in ("", "train")})
    labels = like.labels if like else taught
    for file, label, _, part in answers:
        if label not in labels:
            there = like.where if like else parts["train"]
            raise DataError(
                f"{(parts[part] / label) if (parts[part] / label).is_dir() else file}: label {label!r} is not in {there};"
                " expected the same labels: record it there too"
            )
    if not answers:
        raise DataError(f"{path}: contains no CSV file; {LAYOUT}")
    if len(labels) < 2:
        raise DataError(f"{path}: 1 label ({labels[0]}); expected at least 2: add a folder for another")
    first: Table | None = None
    columns: list[int] = []
    prefix = f"{path.name}/" if like else ""
    index = {label: np.array(number) for number, label in enumerate(labels)}
    for file, label, person, part in answers:
        table = read_table(file)
        if first is None:
            first, columns = table, table.features(reading.drop, reading.keep)
            check_channels(file, tuple(table.names[i] for i in columns), like)
        same_columns(first, table)
        name = f"{prefix}{file.relative_to(path).as_posix()}"
        series.append(Series(table.numbers(columns), index[label], name, person, part))
    return Source(
        name=title(path.resolve().name) or "recording",
        where=str(path),
        task="classification",
        when="last",
        channels=tuple(first.names[i] for i in columns) if first else (),
        labels=labels,
        series=series,
        unit="files of each label",
        own=own,
        strict=True,
        window=reading.window,
        stride=None if like else reading.stride,
    )


class _Place:
    """A file and the names of the folders that it lies in."""

    def __init__(self, path: Path, outer: str, inner: str = "") -> None:
        self.path, self.outer, self.inner = path, outer, inner


def _told(
    root: Path, files: list[_Place], pattern: str | None, outer: bool | None, method: str | None
) -> list[tuple[str, str]]:
    """(person, label) of each file; the person is "" if it is not known, or not asked for."""
    if pattern:
        matches = persons.by_pattern(root, [file.path for file in files], pattern)
        return [(person, label or file.outer) for file, (person, label) in zip(files, matches, strict=True)]
    if files and files[0].inner:
        return [(file.outer, file.inner) if outer else (file.inner, file.outer) for file in files]
    if method == "group":
        found = persons.by_names(root, [(file.path, file.outer) for file in files])
        return [(person, file.outer) for file, person in zip(files, found, strict=True)]
    return [("", file.outer) for file in files]


def _all_files(tree: _Tree, path: Path) -> list[_Place]:
    return [_Place(file, "") for file in tree.tables(path)] + [
        place for folder in tree.folders(path) for place in _all_files(tree, folder)
    ]


def _label_files(tree: _Tree, path: Path, least: int) -> list[_Place]:
    """The files under the labels' folders, or under two levels of folders, sorted. Raises DataError for a wrong layout."""
    stray = tree.tables(path)
    folders = tree.folders(path)
    if stray:
        raise DataError(
            f"{stray[0]}: a file outside the labels' folders; {LAYOUT}: move it into the folder of its label, or give"
            " --label COLUMN if each row has its own"
        )
    if not folders:
        raise DataError(f"{path}: contains no folder of a label; {LAYOUT}")
    files: list[_Place] = []
    for folder in folders:
        inner = tree.folders(folder)
        direct = tree.tables(folder)
        for below in inner:
            deeper = tree.folders(below)
            if direct or deeper:
                odd = deeper[0] if deeper and not direct else below
                raise DataError(f"{odd}: a folder inside a label's folder; {LAYOUT}: move its files one level up")
            found = tree.tables(below)
            if not found:
                raise DataError(f"{below}: no CSV file; {LAYOUT}: record some or delete the folder")
            files += [_Place(file, folder.name, below.name) for file in found]
        files += [_Place(file, folder.name) for file in direct]
        if not inner and not direct:
            raise DataError(f"{folder}: no CSV file of label {folder.name!r}; {LAYOUT}: record some or delete the folder")
    if len(folders) < least and not files[0].inner:
        raise DataError(f"{path}: 1 label ({folders[0].name}); expected at least 2: add a folder for another")
    return files


# ---- an answer in each row


def _step_files(tree: _Tree, path: Path, part: str) -> list[Item]:
    """The files of a folder, and those of its sub-folders, each of which is a group."""
    items = [Item(file, file.relative_to(tree.root).as_posix(), "", part) for file in tree.tables(path)]
    for folder in tree.folders(path):
        found = tree.tables(folder)
        deeper = tree.folders(folder)
        if items and not items[0].group and (found or deeper):
            raise DataError(f"{folder}: a folder beside files; {STEPS}: move the files into folders, or out of them")
        if deeper:
            raise DataError(f"{deeper[0]}: a folder inside {folder.name}; {STEPS}: move its files one level up")
        if not found:
            raise DataError(f"{folder}: no CSV file; {STEPS}: record some or delete the folder")
        items += [Item(file, file.relative_to(tree.root).as_posix(), folder.name, part) for file in found]
    if not items:
        raise DataError(f"{path}: contains no CSV file; {STEPS}")
    return items


def _visible(path: Path) -> list[Path]:
    """The entries of a folder, sorted by name, without hidden files and the remains of macOS archives."""
    try:
        found = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a folder, check its permissions") from None
    return [item for item in found if not item.name.startswith(".") and item.name != "__MACOSX"]
