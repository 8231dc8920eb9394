# SPDX-License-Identifier: MIT
"""An .npz file: x, y and, optionally, lengths, labels, channels, when, and a test set. Nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data.npz_arrays import check_finite, floats, read_entries, strings
from tinyrnn.data.options import Reading
from tinyrnn.data.recording import LARGEST, Sequences, listed, sort_labels
from tinyrnn.data.source import Series, Source, check_channels
from tinyrnn.data.windows import WINDOW
from tinyrnn.errors import DataError


def read(path: Path, reading: Reading, like: Source | None = None) -> Source:
    """Read x (N, T, C) with y as in docs/data.md, or one recording x (M, C) with an answer for each row.

    Integers or text in y are classes, floats are targets. like: the source to which this file gives the validation or
    the test part. Raises DataError, which names the entry.
    """
    entries = read_entries(path)
    x = floats(path, "x", entries["x"])
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise DataError(f"{path}: x has shape {x.shape}; expected (sequences, steps, channels) or (rows, channels)")
    channels = strings(path, "channels", entries, x.shape[-1]) or tuple(str(i + 1) for i in range(x.shape[-1]))
    check_channels(path, channels, like)
    if ("x_test" in entries) != ("y_test" in entries):
        raise DataError(f"{path}: only one of x_test and y_test; expected both or none")
    classes = entries["y"].dtype.kind != "f"
    labels = _labels(path, entries) if classes else ()
    # With an entry `labels`, integers in y are indices into it; otherwise the values of y are the names
    as_indices = "labels" in entries and entries["y"].dtype.kind != "U"
    index = {str(number) if as_indices else label: number for number, label in enumerate(labels)}
    if like is not None and classes:
        index = _index_like(path, entries, index, labels, like)
        labels = like.labels
    elif like is not None:
        labels = like.labels
    own = ""
    if x.ndim == 2:
        when, series, labels = _one_series(path, entries, x, index if classes else None, labels)
    else:
        if reading.window is not None:
            raise DataError(f"{path}: --window for an x of shape {x.shape}, which is already cut; expected no --window")
        when = _when(path, entries, x, classes)
        if not classes:
            labels = _target_names(path, entries, 1 if entries["y"].ndim == 1 else entries["y"].shape[-1])
        coded = index if classes else None
        series = _series(path, entries, "", _sequences(path, entries, "", when, coded, len(labels), len(channels)))
        if "x_test" in entries:
            own = "x and x_test"
            tests = _sequences(path, entries, "_test", when, coded, len(labels), len(channels))
            series += _series(path, entries, "_test", tests)
    task = "classification" if classes else "regression"
    if like is not None and (task, when, labels) != (like.task, like.when, like.labels):
        raise DataError(
            f"{path}: a {task} at {when} step, of {listed(labels)}; expected a {like.task} at {like.when} step, of"
            f" {listed(like.labels)}, as in {like.where}"
        )
    return Source(
        name=files.title(path.stem),
        where=str(path),
        task=task,
        when=when,
        channels=channels,
        labels=labels,
        series=series,
        own=own,
        strict=True,
        window=(reading.window or WINDOW) if x.ndim == 2 else None,
        stride=None if like else reading.stride,
        codes=index,
    )


def _index_like(
    path: Path, entries: dict[str, np.ndarray], index: dict[str, int], labels: tuple[str, ...], like: Source
) -> dict[str, int]:
    """The class index in another source of what this file holds in y. Raises DataError for a class unknown there."""
    if "labels" not in entries:
        return dict(like.codes) or {label: number for number, label in enumerate(like.labels)}
    for label in labels:
        if label not in like.labels:
            raise DataError(f"{path}: label {label!r} is not in {like.where}; expected some of {listed(like.labels)}")
    return {code: like.labels.index(labels[number]) for code, number in index.items()}


def _one_series(
    path: Path, entries: dict[str, np.ndarray], x: np.ndarray, index: dict[str, int] | None, labels: tuple[str, ...]
) -> tuple[str, list[Series], tuple[str, ...]]:
    """x (M, C) as one series, or one for each group: when, the series, and the labels."""
    for entry in ("lengths", "x_test", "when"):
        if entry in entries:
            raise DataError(f"{path}: {entry} beside an x of shape {x.shape}; expected x as (sequences, steps, channels)")
    y = entries["y"]
    if len(y) != len(x) or y.ndim > (1 if index is not None else 2):
        raise DataError(f"{path}: y has shape {y.shape}; expected an answer for each of the {len(x)} rows of x")
    check_finite(path, "x", x)
    if index is not None:
        answers = _indices(path, "y", y, index)
    else:
        answers = floats(path, "y", y).reshape(len(x), -1)
        check_finite(path, "y", answers)
        labels = _target_names(path, entries, answers.shape[1])
    groups = _groups(path, entries, "", len(x))
    if not groups:
        return "every", [Series(x, answers, path.name)], labels
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return "every", [Series(x[at], answers[at], f"{path.name}, {group}", group) for group, at in rows.items()], labels


def _series(path: Path, entries: dict[str, np.ndarray], suffix: str, found: Sequences) -> list[Series]:
    groups = _groups(path, entries, suffix, len(found)) or [""] * len(found)
    part = "test" if suffix else "train" if "x_test" in entries else ""
    return [
        Series(x, np.asarray(y), f"{path.name}, x{suffix}[{number}]", group, part)
        for number, (x, y, group) in enumerate(zip(found.x, found.y, groups, strict=True))
    ]


def _groups(path: Path, entries: dict[str, np.ndarray], suffix: str, count: int) -> list[str]:
    """The group of each sequence or row; [] without such an entry."""
    groups = entries.get(f"groups{suffix}")
    if groups is None:
        return []
    if groups.shape != (count,) or groups.dtype.kind not in "iuU":
        raise DataError(
            f"{path}: groups{suffix} has shape {groups.shape} of {groups.dtype}; expected ({count},) of text or integers,"
            " the person or session of each"
        )
    return [str(group) for group in groups.tolist()]


def _when(path: Path, entries: dict[str, np.ndarray], x: np.ndarray, classes: bool) -> str:
    """The steps whose output counts, from the number of axes of y. The entry `when` may confirm it."""
    y = entries["y"]
    last, every = ((1,), (2,)) if classes else ((1, 2), (3,))
    if y.ndim not in last + every:
        raise DataError(
            f"{path}: y has shape {y.shape}; expected {last[-1]} axes (last step) or {every[0]} axes (every step)"
        )
    when = "last" if y.ndim in last else "every"
    if "when" in entries:
        asked = str(entries["when"])
        if asked != when:
            raise DataError(
                f"{path}: when is {asked!r} but y has shape {y.shape}, which means {when!r}; expected them to"
                " agree: reshape y"
            )
    elif not classes and y.ndim == 2 and y.shape[1] > 1 and y.shape[1] == x.shape[1]:
        raise DataError(
            f"{path}: y of shape {y.shape} could be one target at each of {x.shape[1]} steps, or {x.shape[1]} targets;"
            " expected shape (sequences, steps, 1) for the first, or an entry when='last' for the second"
        )
    return when


def _sequences(
    path: Path,
    entries: dict[str, np.ndarray],
    suffix: str,
    when: str,
    index: dict[str, int] | None,
    outputs: int,
    channels: int,
) -> Sequences:
    """The sequences of x or x_test, without padding. index: the number of each class; None for a regression."""
    x = floats(path, f"x{suffix}", entries[f"x{suffix}"])
    y = entries[f"y{suffix}"]
    if x.ndim != 3 or 0 in x.shape or x.shape[2] != channels:
        raise DataError(f"{path}: x{suffix} has shape {x.shape}; expected (sequences, steps, {channels})")
    lengths = entries.get(f"lengths{suffix}", np.full(len(x), x.shape[1]))
    if lengths.shape != (len(x),) or lengths.dtype.kind not in "iu":
        raise DataError(
            f"{path}: lengths{suffix} has shape {lengths.shape} of {lengths.dtype}; expected ({len(x)},) of integers"
        )
    if lengths.min() < 1 or lengths.max() > x.shape[1]:
        raise DataError(f"{path}: lengths{suffix} run from {lengths.min()} to {lengths.max()}; expected 1 to {x.shape[1]}")
    if index is not None:
        shape: tuple[int, ...] = x.shape[:2] if when == "every" else x.shape[:1]
    else:
        y = floats(path, f"y{suffix}", y)
        y = y[:, None] if y.ndim == 1 else y
        shape = (*x.shape[:2], outputs) if when == "every" else (len(x), outputs)
    if y.shape != shape:
        raise DataError(f"{path}: y{suffix} has shape {y.shape}; expected {shape} beside x{suffix} of shape {x.shape}")
    parts = [x[i, :length] for i, length in enumerate(lengths)]
    if not (np.abs(x) <= LARGEST).all():  # bad values in the padding are allowed
        for number, part in enumerate(parts):
            check_finite(path, f"x{suffix}", part, number)
    if when == "last":
        if index is not None:
            return Sequences(parts, _indices(path, f"y{suffix}", y, index))
        check_finite(path, f"y{suffix}", y)
        return Sequences(parts, y)
    answers = [y[i, :length] for i, length in enumerate(lengths)]
    if index is not None:
        return Sequences(parts, [_indices(path, f"y{suffix}", answer, index) for answer in answers])
    for number, answer in enumerate(answers):
        check_finite(path, f"y{suffix}", answer, number)
    return Sequences(parts, answers)


def _labels(path: Path, entries: dict[str, np.ndarray]) -> tuple[str, ...]:
    """The class names: the entry `labels`, otherwise the sorted values of y, without padding."""
    given = strings(path, "labels", entries, None)
    if given:
        return given
    y = entries["y"]
    lengths = entries.get("lengths")
    if y.ndim == 2 and len(y) and lengths is not None and lengths.shape == (len(y),) and lengths.dtype.kind in "iu":
        y = np.concatenate([row[:length] for row, length in zip(y, lengths, strict=True)])
    if y.dtype.kind == "U":
        return sort_labels(str(item) for item in y.ravel())
    return tuple(str(int(item)) for item in np.unique(y))


def _indices(path: Path, entry: str, y: np.ndarray, index: dict[str, int]) -> np.ndarray:
    """Class indices (n,) int64 of the text or integers in y (n,). Raises DataError for an unknown class."""
    if y.dtype.kind not in "iubU":
        raise DataError(f"{path}: {entry} is of {y.dtype}; expected integers or text as in y")
    texts = [str(item) if y.dtype.kind == "U" else str(int(item)) for item in y]
    for number, text in enumerate(texts):
        if text not in index:
            raise DataError(f"{path}: {entry} holds {text!r} at {number}; expected one of the classes {listed(index)}")
    return np.array([index[text] for text in texts], np.int64)


def _target_names(path: Path, entries: dict[str, np.ndarray], outputs: int) -> tuple[str, ...]:
    return strings(path, "labels", entries, outputs) or tuple(f"target {i + 1}" for i in range(outputs))
