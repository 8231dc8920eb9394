# SPDX-License-Identifier: MIT
"""The options that choose a recording, shared by several commands. Must not import numpy."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tinyrnn.data import BUNDLED, load

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording


def add_arguments(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Add the positional DATA, or the option --data, and the options that describe it. from_args() reads them."""
    options = parser.add_argument_group("the recording")
    options.add_argument(
        "--data" if optional else "data",
        metavar="DATA",
        help="a folder with one sub-folder of CSV files for each label; a .csv file; an .npz file; or a "
        f"bundled set: {', '.join(BUNDLED)}",
    )
    options.add_argument("--label", metavar="COLUMN", help="in a single CSV file: the class of each row")
    options.add_argument(
        "--target", metavar="COLUMN[,COLUMN]", help="in a single CSV file: the numbers to predict at each row"
    )
    options.add_argument(
        "--group", metavar="COLUMN", help="in a single CSV file: the id of the sequence that a row belongs to"
    )
    options.add_argument("--window", metavar="N", type=positive, help="cut the recording into sequences of N rows")
    options.add_argument(
        "--drop",
        metavar="COLUMN[,COLUMN]",
        action="append",
        default=[],
        help="leave out columns, such as a time stamp",
    )
    options.add_argument(
        "--keep",
        metavar="COLUMN[,COLUMN]",
        action="append",
        default=[],
        help="use columns whose names suggest a clock, which is otherwise an error",
    )
    options.add_argument(
        "--test-fraction",
        metavar="F",
        type=_fraction,
        default=0.2,
        help="share of the sequences drawn as test set, if DATA has no split of its own (default: 0.2)",
    )
    options.add_argument("--split-seed", metavar="N", type=natural, default=0, help="seed of that draw (default: 0)")


def from_args(args: argparse.Namespace) -> Recording:
    """The recording that the options describe. Raises DataError."""
    return load(
        args.data,
        label=args.label,
        target=args.target,
        group=args.group,
        window=args.window,
        drop=",".join(args.drop),
        keep=",".join(args.keep),
        test_fraction=args.test_fraction,
        seed=args.split_seed,
    )


def given(args: argparse.Namespace) -> list[str]:
    """The given options that describe a recording, as they are typed."""
    names = ("label", "target", "group", "window", "drop", "keep")
    return [f"--{name}" for name in names if getattr(args, name)]


def positive(text: str) -> int:
    """An argument that counts something: 1 or more."""
    return _whole(text, 1)


def natural(text: str) -> int:
    """An argument such as a seed: 0 or more."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number, {least} or more")
    return value


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number between 0 and 1, such as 0.2")
    return value
