# SPDX-License-Identifier: MIT
"""The recording that a model was trained on: `train` stores the options that describe it, other commands read it again.

Must not import numpy.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from tinyrnn.cli import recording_options
from tinyrnn.data import BUNDLED
from tinyrnn.errors import DataError

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

KEY = "data"  # of FloatModel.info: a list of words


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message}; expected the options of this version of tinyrnn: give the recording with --data")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False)
    recording_options.add_arguments(parser)
    return parser


def words(args: argparse.Namespace) -> list[str]:
    """The recording and its options as they can be typed, from the arguments of a command."""
    found = []
    for action in _parser()._actions:
        value = getattr(args, action.dest, action.default)
        if not action.option_strings or value in (action.default, None):
            continue
        name = action.option_strings[0]
        values = value if isinstance(value, list) else [value]
        found += [name] if action.nargs == 0 else [f"{name}={item}" for item in values]
    return [*found, "--", str(args.data)]


def recording(info: dict[str, Any]) -> Recording | None:
    """The recording of FloatModel.info; None if it does not name one. Raises DataError if it cannot be read as then."""
    stored = info.get(KEY)
    if stored is None and info.get("dataset") in BUNDLED:
        stored = ["--", info["dataset"]]
    if not stored:
        return None
    if not isinstance(stored, (list, tuple)) or not all(isinstance(word, str) for word in stored):
        raise DataError("the model does not say its recording in words; expected the recording with --data")
    return recording_options.from_args(_parser().parse_args(list(stored)))
