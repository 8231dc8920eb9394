# SPDX-License-Identifier: MIT
"""The data sets in the pip package sktime, with their official splits.

The files are read directly from the package's folder: importing sktime (and pandas) would take seconds.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrnn.data.recording import sort_labels
from tinyrnn.data.source import Series, Source
from tinyrnn.errors import DataError

CURE = "pip install tinyrnn[train]"


@dataclass(frozen=True)
class Bundled:
    """A bundled data set: facts that its .ts files do not hold."""

    folder: str  # under sktime/datasets/data, and the start of its files' names
    channels: tuple[str, ...]


SETS = {
    # A smart watch, 10 Hz for 10 s, four students; the accelerometer's axes come first (heading in the files).
    "basic-motions": Bundled("BasicMotions", ("accel x", "accel y", "accel z", "gyro x", "gyro y", "gyro z")),
    # 12 cepstral coefficients for each frame of two vowels, nine speakers (UCI; Kudo, Toyama, Shimbo 1999).
    "japanese-vowels": Bundled("JapaneseVowels", tuple(f"cepstrum {i}" for i in range(1, 13))),
}


def read(name: str) -> Source:
    """Read one of SETS, a classification at the last step. Raises DataError if sktime or its file is missing."""
    bundled = SETS[name]
    spec = importlib.util.find_spec("sktime")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{name}: the pip package sktime, which contains it, is not installed; expected sktime, {CURE}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "datasets" / "data" / bundled.folder
    halves = {
        part: read_ts(folder / f"{bundled.folder}_{part.upper()}.ts", len(bundled.channels)) for part in ("train", "test")
    }
    labels = sort_labels(halves["train"][1])
    series = [
        Series(x, np.array(labels.index(label)), f"{bundled.folder}_{part.upper()}.ts, sequence {number}", part=part)
        for part, (xs, found) in halves.items()
        for number, (x, label) in enumerate(zip(xs, found, strict=True))
    ]
    return Source(
        name=name,
        where=name,
        task="classification",
        when="last",
        channels=bundled.channels,
        labels=labels,
        series=series,
        unit="sequences of each class",
        own="official",
    )


def read_ts(path: Path, channels: int) -> tuple[list[np.ndarray], list[str]]:
    """Read a .ts file without time stamps: after @data, one sequence a line, with colons between channels and class.

    Returns x, a list of arrays (T_i, C), and the class names. Raises DataError with file and line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); expected the file from sktime, {CURE} --force-reinstall"
        ) from None
    x: list[np.ndarray] = []
    names: list[str] = []
    started = False
    for number, line in enumerate(lines, 1):
        if not started or not line.strip():
            started = started or line.strip().lower() == "@data"
            continue
        *parts, name = line.split(":")
        try:
            columns = [np.array(part.split(","), np.float64) for part in parts]
            if len(columns) != channels or any(len(column) != len(columns[0]) for column in columns):
                raise ValueError(f"{len(columns)} channels of lengths {sorted({len(c) for c in columns})}")
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: {error}; expected {channels} channels of equal length, {CURE} --force-reinstall"
            ) from None
        x.append(np.stack(columns, axis=1))
        names.append(name.strip())
    return x, names
