# SPDX-License-Identifier: MIT
"""How a recording is read and split: the options of load(), checked. Must not import numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyrnn.errors import DataError

METHODS = ("time", "random", "group")  # how sequences or rows are assigned to training, validation and test
TEST_FRACTION = 0.2  # of the whole recording
VALIDATION = 0.15  # of the training part, if no share is asked for


@dataclass(frozen=True)
class Reading:
    """What to read of the files, and how to cut it. Empty or None: not given."""

    label: str | None = None
    target: tuple[str, ...] = ()
    group: str | None = None
    window: int | None = None  # steps
    stride: int | None = None  # steps from one training window to the next
    horizon: int = 0  # steps from an output to the value that it predicts
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    method: str | None = None  # one of METHODS
    by: str | None = None  # the column or pattern of group:...

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("stride", self.stride)):
            if value is not None and value < 1:
                raise DataError(f"{name} is {value} steps; expected 1 or more")
        if self.horizon < 0:
            raise DataError(f"horizon is {self.horizon} steps; expected 1 or more")
        if self.horizon and not self.target:
            raise DataError(
                f"horizon is {self.horizon} steps without a target; expected --target COLUMN, the column to forecast"
            )


@dataclass(frozen=True)
class Shares:
    """How much goes into the test and the validation part, and the seed of the draws."""

    test: float = TEST_FRACTION
    validation: float | None = None  # of the training part; 0: none; None: VALIDATION if there is enough
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.test < 1:
            raise DataError(f"test fraction is {self.test}; expected a number between 0 and 1, such as 0.2")
        if self.validation is not None and not 0 <= self.validation < 1:
            raise DataError(
                f"validation is {self.validation}; expected a share of the training part below 1, such as 0.15, 0 for none,"
                " or a file"
            )
        if self.seed < 0:
            raise DataError(f"the split's seed is {self.seed}; expected 0 or more")


def names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Column names from an option: a sequence of names, or a line of CSV such as 'ax, "acc, y"'. Raises DataError."""
    if value is None:
        return ()
    if isinstance(value, str):
        import csv

        try:
            value = next(csv.reader([value], skipinitialspace=True, strict=True), [])
        except csv.Error:
            raise DataError(
                f"columns {value!r}; expected names with commas between them, and quotes around a name with a comma:"
                " 'ax, \"acc, y\"'"
            ) from None
    return tuple(part.strip() for part in value if part.strip())


def method(value: str | None) -> tuple[str | None, str | None]:
    """The method and the column or pattern in the option `split`. Raises DataError."""
    if value is None:
        return None, None
    name, colon, by = value.partition(":")
    if name not in METHODS or (colon and (name != "group" or not by)):
        raise DataError(f"split is {value!r}; expected time, random, group or group:COLUMN")
    return name, by or None


def share(value: str | float | None) -> float | str | None:
    """The share in the option `validation`, or the text of a path. A number is always a share."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):  # TypeError for a pathlib.Path
        return str(value)
