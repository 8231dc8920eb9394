# SPDX-License-Identifier: MIT
"""Recordings, on which a network is trained, quantized and verified: ``load()`` reads one (docs/data.md).

Imports only files, text and errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.errors import DataError

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

TASKS = ("classification", "regression")
WHEN = ("last", "every")  # the steps of a sequence whose output counts
BUNDLED = ("basic-motions", "japanese-vowels")  # the data sets that tinyrnn.data.bundled reads


def load(
    source: str,
    *,
    label: str | None = None,
    target: str | Sequence[str] | None = None,
    group: str | None = None,
    window: int | None = None,
    drop: str | Sequence[str] = (),
    keep: str | Sequence[str] = (),
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Recording:
    """Read a recording and its split into training and test sequences.

    source: "basic-motions" or "japanese-vowels"; a folder with one sub-folder of CSV files for each label; a
    .csv or .tsv file; an .npz file.
    label: the column with each row's class (single CSV). target: the column or columns to predict (single CSV); a
    string is split at its commas. group: the column with the id of the sequence (single CSV).
    window: steps (rows) in one sequence; docs/data.md describes its use for each source.
    drop: columns to leave out. keep: columns to use although their names suggest a clock.
    test_fraction: share of the sequences in the test set, 0 < f < 1. seed: seed of the draw. Both are used only if the
    source has no split of its own.

    Raises DataError if the source cannot be used, or if an option does not apply to it.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f"test fraction is {test_fraction}; expected a number between 0 and 1, such as 0.2")
    if seed < 0:
        raise DataError(f"the split's seed is {seed}; expected 0 or more")
    if window is not None and window < 1:
        raise DataError(f"window is {window} steps; expected 1 or more")
    targets, dropped, kept = _names(target), _names(drop), _names(keep)
    given = {
        "label": label,
        "target": targets,
        "group": group,
        "window": window,
        "drop": dropped,
        "keep": kept,
    }

    def only(*allowed: str) -> None:
        for option, value in given.items():
            if value not in (None, ()) and option not in allowed:
                takes = ", ".join(f"--{name}" for name in allowed) or "no such option"
                raise DataError(f"{source}: --{option} does not apply to this kind of data; it takes {takes}")

    # Each reader is imported only when it is needed: importing numpy is slow, and so is the search for sktime
    path = Path(source)
    if source in BUNDLED:
        only()
        from tinyrnn.data import bundled

        return bundled.read(source)
    try:
        is_folder, is_file, is_there = path.is_dir(), path.is_file(), path.exists()
    except (OSError, ValueError):  # a name that is too long or holds a zero byte
        is_folder = is_file = is_there = False
    if is_folder:
        only("window", "drop", "keep")
        from tinyrnn.data import folder

        return folder.read(path, window=window, drop=dropped, keep=kept, test_fraction=test_fraction, seed=seed)
    expected = f"expected {', '.join(BUNDLED)}, a folder of labels, a .csv, a .tsv or an .npz file"
    if is_there and not is_file:
        raise DataError(f"{source}: is a device, a FIFO or a socket; {expected}")
    if not is_file:
        raise DataError(f"{source}: there is no such data set, folder or file; {expected}")
    if path.suffix.lower() in (".csv", ".tsv"):
        only(*given)
        from tinyrnn.data import csv_file

        return csv_file.read(
            path,
            label=label,
            target=targets,
            group=group,
            window=window,
            drop=dropped,
            keep=kept,
            test_fraction=test_fraction,
            seed=seed,
        )
    if path.suffix.lower() == ".npz":
        only("window")
        from tinyrnn.data import npz_file

        return npz_file.read(path, window=window, test_fraction=test_fraction, seed=seed)
    raise DataError(f"{source}: a file of unknown kind; {expected}")


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Column names from an option: "ax, ay" or a sequence of names."""
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(part.strip() for part in parts if part.strip())
