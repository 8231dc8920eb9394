# SPDX-License-Identifier: MIT
"""The command line ``tinyrnn``: one module for each command, with ``add_parser()`` and ``run() -> exit status``.

May import every other folder, but numpy, torch and rich only inside functions: ``--help`` must answer in under 0.3 s
(tests/cli/test_cli.py).
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import os
import sys

from tinyrnn import __version__
from tinyrnn.cli import screen
from tinyrnn.errors import TinyrnnError

COMMANDS = ("train", "import", "quantize", "evaluate", "info", "verify", "devices", "deploy", "run", "bench", "demo")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands, in the order of a model's life."""
    parser = argparse.ArgumentParser(
        prog="tinyrnn",
        description="A recurrent network on a stock MicroPython board.",
        epilog="The usual order: train or import, quantize, verify, deploy, run. See also `tinyrnn COMMAND --help`.",
    )
    parser.add_argument("--version", action="version", version=f"tinyrnn {__version__}")
    # Python 3.14 writes help in colour, and screen.py would show the escape sequences as text
    setattr(parser, "color", False)  # noqa: B010
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"tinyrnn.cli.{name}" + "_" * keyword.iskeyword(name))  # `import` is in import_.py
        command = module.add_parser(commands)
        command.set_defaults(run=module.run, parser=command)
        setattr(command, "color", False)  # noqa: B010
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 wrong usage, otherwise ``exit_code`` of the error's class."""
    with screen.escaped_output():
        try:
            parser = build_parser()
            args = parser.parse_args(argv)
            if getattr(args, "settings", None):
                from tinyrnn.cli import settings_file

                args = parser.parse_args(settings_file.merged(sys.argv[1:] if argv is None else argv, args, args.parser))
            status: int = args.run(args)
            sys.stdout.flush()
        except TinyrnnError as error:
            return _failed(error, error.exit_code)
        except KeyboardInterrupt:
            print("tinyrnn: interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:  # `tinyrnn info ... | head`
            _close_output()
            return 0
        except MemoryError:
            return _failed("out of memory; expected a smaller file or network, or a machine with more", 1)
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):  # how PyTorch says it
                raise
            return _failed("out of memory; expected a smaller file or network, or a machine with more", 1)
        except OSError as error:  # for example standard output on a full disk
            _close_output()
            where = f"{error.filename}: " if error.filename else ""
            return _failed(f"{where}{error.strerror or error}; expected a place that can be read and written", 1)
    return status


def _failed(error: object, status: int) -> int:
    print(f"tinyrnn: error: {screen.shown(error)}", file=sys.stderr)
    return status


def _close_output() -> None:
    """Discard what is still to be written to standard output, so that Python does not report the error again at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is not a file
        pass
