# SPDX-License-Identifier: MIT
"""``--settings FILE.toml``: options of a command in a file. An option that is typed as well replaces the file's."""

from __future__ import annotations

import argparse
import csv
import difflib
import io
import sys
from pathlib import Path
from typing import Any

from tinyrnn import files
from tinyrnn.errors import ModelError

LARGEST_BYTES = 1 << 20  # of a settings file


def add_argument(parser: argparse._ActionsContainer) -> None:
    """Add --settings."""
    parser.add_argument(
        "--settings",
        metavar="FILE.toml",
        help='options from a file, such as `units = 24` or `class-weights = "balanced"`; typed options replace them',
    )


def merged(argv: list[str], args: argparse.Namespace, parser: argparse.ArgumentParser) -> list[str]:
    """argv with the options of the file args.settings behind the command's name: typed ones come later, so they win.

    parser: that of the command. Raises ModelError, which names the file and the key.
    """
    at = argv.index(args.command) + 1
    tokens: list[str] = []
    for key, value in read(args.settings).items():
        tokens += _tokens(args.settings, key, value, _action(args.settings, key, parser))
    return argv[:at] + tokens + argv[at:]


def read(path: str) -> dict[str, Any]:
    """The keys and values of a TOML file. Raises ModelError if it is not one, or has tables."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    expected = "expected a TOML file with options, such as `units = 24`"
    try:
        found = tomllib.loads(files.read(Path(path), LARGEST_BYTES).decode())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {expected}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: is not text in UTF-8; {expected}") from None
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{path}: is not TOML ({error}); {expected}") from None
    for key, value in found.items():
        if isinstance(value, dict):
            raise ModelError(f"{path}: has a table [{key}]; expected options without tables: remove the line [{key}]")
    return found


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The options of a parser by their names. argparse has no public way to list them."""
    return {
        name.lstrip("-"): action
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--") and action.dest not in ("help", "settings")
    }


def _action(path: str, key: str, parser: argparse.ArgumentParser) -> argparse.Action:
    options = _options(parser)
    name = key.replace("_", "-")
    if name in options:
        return options[name]
    near = difflib.get_close_matches(name, options, 1)
    cure = f"do you mean {near[0]}?" if near else f"expected one of {', '.join(sorted(options))}"
    raise ModelError(f"{path}: unknown option {key!r}; {cure}")


def _tokens(path: str, key: str, value: Any, action: argparse.Action) -> list[str]:
    """The option as it would be typed. Raises ModelError for a value that does not suit it."""
    name = next(name for name in action.option_strings if name.startswith("--"))
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise ModelError(f"{path}: {key} is {value!r}; expected true or false")
        if value:
            return [name]
        return [other for other in action.option_strings if other.startswith("--no-")]
    if isinstance(value, list):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value)  # a name with a comma gets quotes
        value = line.getvalue()
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ModelError(f"{path}: {key} is {value!r:.40}; expected a number or text, as for {name}")
    text = str(value)
    try:
        if callable(action.type):
            action.type(text)
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise ModelError(f"{path}: {key} is {error}") from None
    if action.choices is not None and text not in action.choices:
        raise ModelError(f"{path}: {key} is {text!r}; expected one of {', '.join(map(str, action.choices))}")
    return [f"{name}={text}"]
