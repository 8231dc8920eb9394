# SPDX-License-Identifier: MIT
"""The options that choose a recording, shared by several commands. Must not import numpy."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from tinyrnn.data import BUNDLED, load
from tinyrnn.data.options import TEST_FRACTION, VALIDATION, method
from tinyrnn.errors import DataError

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

# The options that describe a recording, besides DATA. None or an empty list: not given
NAMES = (
    "label",
    "target",
    "horizon",
    "group",
    "window",
    "stride",
    "drop",
    "keep",
    "resample",
    "time",
    "split",
    "test",
    "validation",
    "test_fraction",
    "split_seed",
)


def add_arguments(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Add the positional DATA, or the option --data, and the options that describe it. from_args() reads them."""
    options = parser.add_argument_group("the recording")
    options.add_argument(
        "--data" if optional else "data",
        metavar="DATA",
        help="a folder with one sub-folder of CSV files for each label; a .csv file, or a folder of them, with --label or "
        f"--target; an .npz file; a .txt file of text; or a bundled set: {', '.join(BUNDLED)}",
    )
    options.add_argument("--label", metavar="COLUMN", help="the class of each row of a CSV file")
    options.add_argument("--target", metavar="COLUMN[,COLUMN]", help="the numbers to predict at each row of a CSV file")
    options.add_argument(
        "--horizon", metavar="N", type=positive, help="forecast: predict the target N rows later; it stays an input"
    )
    options.add_argument("--group", metavar="COLUMN", help="in a CSV file: the id of the sequence that a row belongs to")
    options.add_argument("--window", metavar="N", type=positive, help="cut the recording into sequences of N rows")
    options.add_argument(
        "--stride",
        metavar="N",
        type=positive,
        help="rows from one training window to the next; fewer than the window make them overlap (default: the window)",
    )
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
        help="use columns that look like a clock or a counter, which is otherwise an error",
    )
    options.add_argument(
        "--resample",
        metavar="PERIOD",
        help="interpolate the rows to an even rate by their times, such as 20ms or 50Hz; gaps are reported",
    )
    options.add_argument(
        "--time", metavar="COLUMN", help="the column of times for --resample (default: the first column that holds some)"
    )
    split = parser.add_argument_group("the split into training, validation and test")
    split.add_argument(
        "--split",
        metavar="HOW",
        type=_method,
        help="time: the latest rows are the test; random: whole sequences are drawn; group: whole persons or sessions; "
        "group:COLUMN or, for a folder, group:PATTERN, such as group:PERSON_*, tells them apart (default: groups if there "
        "are any, time for one long recording, otherwise random)",
    )
    split.add_argument("--test", metavar="FILE", help="a file or folder with the test set; all of DATA is for training")
    split.add_argument(
        "--validation",
        metavar="F|FILE",
        help="share of the training part kept to choose the best weights, 0 for none; or a file or folder of its own "
        f"(default: {VALIDATION}, if there is enough)",
    )
    split.add_argument(
        "--test-fraction",
        metavar="F",
        type=_fraction,
        help=f"share of the sequences or rows in the test, if DATA has none of its own (default: {TEST_FRACTION})",
    )
    split.add_argument("--split-seed", metavar="N", type=natural, help="seed of the draws (default: 0)")


def from_args(args: argparse.Namespace) -> Recording:
    """The recording that the options describe. Raises DataError."""
    return load(args.data, **load_options(args))


def load_options(args: argparse.Namespace) -> dict[str, Any]:
    """The given options as load() and load_folds() take them."""
    options = {name: getattr(args, name) for name in NAMES if getattr(args, name) not in (None, [])}
    for name in ("drop", "keep"):
        if name in options:
            options[name] = ",".join(options[name])
    if "split_seed" in options:
        options["seed"] = options.pop("split_seed")
    return options


def given(args: argparse.Namespace) -> list[str]:
    """The given options that describe a recording, as they are typed."""
    return [f"--{name.replace('_', '-')}" for name in NAMES if getattr(args, name) not in (None, [])]


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


def _method(text: str) -> str:
    try:
        method(text)
    except DataError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
