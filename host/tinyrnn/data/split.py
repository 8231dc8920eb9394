# SPDX-License-Identifier: MIT
"""The split into training and test sequences for a source that has none: whole sequences, drawn with a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyrnn.errors import DataError


def stratified(
    strata: Sequence[str], fraction: float, seed: int, where: str, *, strict: bool = True
) -> tuple[list[int], list[int]]:
    """Indices of the training and of the test sequences, both in ascending order.

    strata: (N,) the stratum of each sequence, its label. Each stratum gives the same share of its sequences to the test:
    at least one, but never all. A stratum of a single sequence raises DataError; with strict=False the sequence is used
    for training. The draw depends only on the order of the sequences, the fraction and the seed.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    train: list[int] = []
    test: list[int] = []
    of: dict[str, list[int]] = {}
    for number, name in enumerate(strata):
        of.setdefault(name, []).append(number)
    for stratum, members in sorted(of.items()):
        if len(members) < 2:
            if strict:
                raise DataError(
                    f"{where}: label {stratum!r} has 1 sequence; expected at least 2, for training and for the test:"
                    " record more, or give train/ and test/ folders"
                )
            train += members
            continue
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        order = rng.permutation(len(members))
        test += [members[i] for i in order[:count]]
        train += [members[i] for i in order[count:]]
    return sorted(train), sorted(test)


def describe(fraction: float, seed: int, unit: str) -> str:
    """The text for Recording.split."""
    return f"{fraction * 100:g} % of the {unit} drawn for the test, seed {seed}"


def windows(rows: int, window: int | None, *, tail: bool) -> list[slice]:
    """Consecutive slices of `window` steps from a sequence of `rows` steps; one slice of all steps if window is None.

    tail: keep the shorter rest at the end. Without it, a rest is dropped unless it is the whole sequence.
    """
    if window is None or rows <= window:
        return [slice(0, rows)]
    end = rows if tail else rows - rows % window
    return [slice(start, min(start + window, rows)) for start in range(0, end, window)]
