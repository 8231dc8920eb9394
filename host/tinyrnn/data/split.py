"""Telling training and test sequences apart where a source does not: drawn, seeded, whole sequences only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyrnn.errors import DataError


def stratified(
    strata: Sequence[str], fraction: float, seed: int, where: str, *, strict: bool = True
) -> tuple[list[int], list[int]]:
    """Indices of the training and of the test sequences, each in rising order.

    strata: (N,) what each sequence counts as (its label); every stratum gives the same share, at least one
    and never all of its sequences. A single sequence is a DataError, or with strict=False trained on.
    The draw depends on nothing but the order of the sequences, the fraction and the seed.
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
                    f"{where}: label {stratum!r} has 1 sequence; expected at least 2, one to train on and one"
                    " to test on: record more, or give train/ and test/ folders"
                )
            train += members
            continue
        count = min(max(round(len(members) * fraction), 1), len(members) - 1)
        order = rng.permutation(len(members))
        test += [members[i] for i in order[:count]]
        train += [members[i] for i in order[count:]]
    return sorted(train), sorted(test)


def describe(fraction: float, seed: int, unit: str) -> str:
    """The words for Recording.split."""
    return f"{fraction * 100:g} % of the {unit} drawn for the test, seed {seed}"


def windows(rows: int, window: int | None, *, tail: bool) -> list[slice]:
    """Consecutive slices of `window` steps of a sequence of `rows` steps; the whole when window is None.

    tail: keep what remains at the end, shorter than a window. Without it, only if it is all there is.
    """
    if window is None or rows <= window:
        return [slice(0, rows)]
    end = rows if tail else rows - rows % window
    return [slice(start, min(start + window, rows)) for start in range(0, end, window)]
