"""The command line ``tinyrnn``: one module a command, each with ``add_parser()`` and ``run() -> exit status``.

Nothing here, and nothing a command's module imports at its top, may import numpy, torch or rich: ``--help``
must answer in under 0.3 s. ``tests/test_cli.py`` pins that.
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

COMMANDS = ("train", "import", "quantize", "info", "verify", "devices", "deploy", "run", "bench", "demo")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands, in the order of a model's life."""
    parser = argparse.ArgumentParser(
        prog="tinyrnn",
        description="A recurrent network on a stock MicroPython board.",
        epilog="The usual order: train, quantize, verify, then copy the .urnn file and device/urnn to the board.",
    )
    parser.add_argument("--version", action="version", version=f"tinyrnn {__version__}")
    # Python 3.14 would send colours through screen.py, which shows them
    setattr(parser, "color", False)  # noqa: B010
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"tinyrnn.cli.{name}" + "_" * keyword.iskeyword(name))  # import_.py
        command = module.add_parser(commands)
        command.set_defaults(run=module.run)
        setattr(command, "color", False)  # noqa: B010
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status (0 done, 2 wrong usage, others as on the error classes)."""
    with screen.guarded():
        try:
            args = build_parser().parse_args(argv)
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
            if "can't allocate memory" not in str(error):  # PyTorch's words
                raise
            return _failed("out of memory; expected a smaller file or network, or a machine with more", 1)
        except OSError as error:  # standard output on a disk that is full, say
            _close_output()
            where = f"{error.filename}: " if error.filename else ""
            return _failed(f"{where}{error.strerror or error}; expected to read and write here", 1)
    return status


def _failed(error: object, status: int) -> int:
    print(f"tinyrnn: error: {screen.shown(error)}", file=sys.stderr)
    return status


def _close_output() -> None:
    """What is still to be written to standard output goes nowhere: Python would complain once more when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file
        pass
