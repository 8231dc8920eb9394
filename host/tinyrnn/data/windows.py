# SPDX-License-Identifier: MIT
"""Cut one long table with an answer in each row into sequences, by group or by window, and split them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from tinyrnn.data import split
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import DataError

WINDOW = 100  # steps, if neither a group nor a window is given


def cut(
    name: str,
    task: str,
    channels: tuple[str, ...],
    labels: tuple[str, ...],
    x: np.ndarray,
    y: np.ndarray,
    groups: list[str] | None,
    *,
    window: int | None,
    test_fraction: float,
    seed: int,
) -> Recording:
    """A recording with an output at every step.

    x: (M, C) float64. y: (M,) class indices or (M, O) float64 targets.
    groups: (M,) the sequence that each row belongs to, in order, or None to cut the rows into windows.
    Whole groups or windows are drawn for the test. For a classification, the draw is stratified by the most frequent
    class of each sequence. With groups and a window, the groups are cut after the draw. Raises DataError.
    """
    pieces: list[np.ndarray]
    if groups is None:
        window = window or WINDOW
        unit, rows = f"windows of {window} steps", np.arange(len(x))
        pieces = [rows[piece] for piece in split.windows(len(x), window, tail=True)]
        cure = "use a smaller --window or a longer recording"
    else:
        unit = "groups"
        by_name: dict[str, list[int]] = {}
        for row, group in enumerate(groups):
            by_name.setdefault(group, []).append(row)
        pieces = [np.array(members) for members in by_name.values()]
        cure = "record more groups, or use --window instead of --group"
    if len(pieces) < 2:
        raise DataError(f"{name}: {len(x)} rows make 1 sequence; expected at least 2 ({unit}): {cure}")
    if task == "classification":
        strata = [labels[Counter(y[piece].tolist()).most_common(1)[0][0]] for piece in pieces]
    else:
        strata = [""] * len(pieces)
    train, test = split.stratified(strata, test_fraction, seed, name, strict=False)
    if not test:
        raise DataError(
            f"{name}: {len(pieces)} sequences ({unit}), each mostly of a different class, leave none for the test; "
            f"expected at least 2 of a class: {cure}"
        )

    def sequences(members: list[int]) -> Sequences:
        parts = [
            pieces[member][piece] for member in members for piece in split.windows(len(pieces[member]), window, tail=True)
        ]
        return Sequences([x[part] for part in parts], [y[part] for part in parts])

    how = split.describe(test_fraction, seed, unit)
    return Recording(name, task, "every", channels, labels, sequences(train), sequences(test), how)
