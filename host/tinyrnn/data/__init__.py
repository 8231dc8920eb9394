# SPDX-License-Identifier: MIT
"""Recordings, on which a network is trained, quantized and verified: ``load()`` reads one (docs/data.md).

Imports only files, text and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrnn.errors import DataError

if TYPE_CHECKING:
    from tinyrnn.data.options import Reading, Shares
    from tinyrnn.data.recording import Recording
    from tinyrnn.data.source import Source
    from tinyrnn.data.split import Division

TASKS = ("classification", "regression")
WHEN = ("last", "every")  # the steps of a sequence whose output counts
BUNDLED = ("basic-motions", "japanese-vowels")  # the data sets that tinyrnn.data.bundled reads
TABLES = (".csv", ".tsv")
MORE_TABLES = (".txt", ".dat")  # tables if an option names a column


def load(
    source: str,
    *,
    label: str | None = None,
    target: str | Sequence[str] | None = None,
    group: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    horizon: int = 0,
    drop: str | Sequence[str] = (),
    keep: str | Sequence[str] = (),
    split: str | None = None,
    validation: str | float | None = None,
    test: str | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Recording:
    """Read a recording and its split into training, validation and test sequences.

    source: "basic-motions" or "japanese-vowels"; a folder with one sub-folder of CSV files for each label; a
    .csv or .tsv file, or a folder of them, with an answer in each row; an .npz file.
    label: the column with each row's class. target: the column or columns to predict; a string is a line of CSV.
    group: the column with the id of the sequence. These three are for tables with an answer in each row.
    window: steps (rows) in one sequence; docs/data.md describes its use for each source. stride: steps from the start of
    a training window to the next, at most `window`, which is the default.
    horizon: predict the target this many rows later; the target stays an input.
    drop: columns to leave out. keep: columns to use although their names suggest a clock.
    split: "time", "random", "group", or "group:COLUMN"; for a folder also "group:PATTERN" (tinyrnn.data.persons).
    validation: share of the training part that is kept to choose the best weights, 0 for none; or a file or folder.
    None keeps a share if there is enough. test: a file or folder with the test set.
    test_fraction: share of the sequences or rows in the test set, 0 < f < 1. seed: seed of the draw. Both are used only
    if the source has no split of its own, and no `test` is given.

    Raises DataError if the source cannot be used, or if an option does not apply to it.
    """
    from tinyrnn.data import options

    shares, path = _shares(validation, test_fraction, seed)
    method, by = options.method(split)
    reading = options.Reading(
        label, options.names(target), group, window, stride, horizon, options.names(drop), options.names(keep), method, by
    )
    whole = _with_files(source, reading, path, test)
    from tinyrnn.data.split import divide

    return _recording(whole, divide(whole, shares, method))


def load_folds(source: str, folds: int | str, **given: Any) -> list[tuple[str, Recording]]:
    """The name of each fold and its recording, for a cross-validation.

    folds: a number K of 2 or more: each fold tests a K-th of the sequences, groups or windows, or one of K consecutive
    blocks of one long recording. "group": each fold tests one group. given: the options of load(), except `test` and
    `test_fraction`. A split that the source has of its own is not used: its parts are pooled.

    Raises DataError as load() does, and if there is too little for the folds.
    """
    from tinyrnn.data import options

    if not (folds == "group" or (isinstance(folds, int) and folds >= 2)):
        raise DataError(f"folds is {folds!r}; expected 2 or more, or group")
    if given.pop("test", None):
        raise DataError("both folds and a test file; expected one: folds test all sequences in turn")
    method, by = options.method(given.pop("split", None))
    if folds == "group":
        method = "group"
    shares, path = _shares(given.pop("validation", None), given.pop("test_fraction", 0.2), given.pop("seed", 0))
    if path:
        raise DataError(f"validation is {path!r}; expected a share such as 0.15: each fold keeps its own")
    for name in ("target", "drop", "keep"):
        given[name] = options.names(given.get(name))
    whole = _source(source, options.Reading(**given, method=method, by=by), None)
    from tinyrnn.data.folds import divisions

    return [(name, _recording(whole, division)) for name, division in divisions(whole, folds, shares, method)]


def _shares(validation: str | float | None, test_fraction: float, seed: int) -> tuple[Shares, str | None]:
    """The shares of the parts, and the path of a validation file."""
    from tinyrnn.data import options

    share = options.share(validation)
    path = share if isinstance(share, str) else None
    return options.Shares(test_fraction, None if isinstance(share, str) else share, seed), path


def _with_files(source: str, reading: Reading, validation: str | None, test: str | None) -> Source:
    """The source, with the user's own validation and test files. Raises DataError."""
    whole = _source(source, reading, None)
    from tinyrnn.data.source import joined

    first = whole
    seen = {"DATA": source}
    for part, path in (("validation", validation), ("test", test)):
        if path is None:
            continue
        if source in BUNDLED:
            raise DataError(f"{source}: --{part} {path} does not apply to a bundled set; expected no such option")
        for what, other in seen.items():
            if _same(path, other):
                raise DataError(f"{path}: is both {what} and --{part}; expected another file: its answers would be known")
        seen[f"--{part}"] = path
        whole = joined(whole, _source(path, reading, first), part)
    return whole


def _same(one: str, other: str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def _recording(source: Source, division: Division) -> Recording:
    """Cut the parts of a split. Raises DataError if they do not make a recording."""
    from tinyrnn.data import windows
    from tinyrnn.data.recording import Recording

    train, validation, test = (
        windows.cut(source, division.parts, part) for part in (windows.TRAIN, windows.VALIDATION, windows.TEST)
    )
    return Recording(
        source.name,
        source.task,
        source.when,
        source.channels,
        source.labels,
        train,
        test,
        "; ".join(division.words),
        validation if len(validation) else None,
        source.horizon,
        source.symbols,
        source.remarks + tuple(division.remarks),
    )


def _source(source: str, reading: Reading, like: Source | None) -> Source:
    """Read one source with the reader for its kind. Raises DataError if an option does not apply to it."""

    def only(*allowed: str) -> None:
        for option in ("label", "target", "group", "window", "stride", "horizon", "drop", "keep", "split"):
            value = reading.method if option == "split" else getattr(reading, option)
            if value not in (None, (), 0) and option not in allowed:
                takes = ", ".join(f"--{name}" for name in allowed) or "no such option"
                raise DataError(f"{source}: --{option} does not apply to this kind of data; it takes {takes}")

    # Each reader is imported only when it is needed: importing numpy is slow, and so is the search for sktime
    path = Path(source)
    if source in BUNDLED and like is None:
        only()
        from tinyrnn.data import bundled

        return bundled.read(source)
    try:
        is_folder, is_file, is_there = path.is_dir(), path.is_file(), path.exists()
    except (OSError, ValueError):  # a name that is too long or holds a zero byte
        is_folder = is_file = is_there = False
    every = ("label", "target", "group", "window", "stride", "horizon", "drop", "keep", "split")
    columns = bool(reading.label or reading.target)
    if is_folder:
        only(*(every if columns else ("window", "stride", "drop", "keep", "split")))
        from tinyrnn.data import folder

        return folder.read(path, reading, like)
    sets = f"{', '.join(BUNDLED)}, " if like is None else ""
    expected = f"expected {sets}a folder of labels, a .csv, a .tsv or an .npz file"
    if is_there and not is_file:
        raise DataError(f"{source}: is a device, a FIFO or a socket; {expected}")
    if not is_file:
        raise DataError(f"{source}: there is no such data set, folder or file; {expected}")
    suffix = path.suffix.lower()
    if suffix in TABLES or (suffix in MORE_TABLES and columns):
        only(*every)
        from tinyrnn.data import csv_file

        return csv_file.read(path, reading, like)
    if suffix == ".npz":
        only("window", "stride", "split")
        from tinyrnn.data import npz_file

        return npz_file.read(path, reading, like)
    if suffix in MORE_TABLES:
        raise DataError(
            f"{source}: neither --label nor --target; expected one, which makes it a table: --label COLUMN for classes,"
            " --target COLUMN for numbers"
        )
    raise DataError(f"{source}: a file of unknown kind; {expected}")
