# SPDX-License-Identifier: MIT
"""``tinyrnn deploy``: copy a model to a board, with the modules that it needs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.board.deploy import Result
    from tinyrnn.board.sizing import Model


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "deploy",
        help="copy a model and urnn to a board, and run the model's self-test there",
        description="Copy a model and the modules of urnn that it needs to a board. Only files that changed are sent. They "
        "are tested on the board before they replace the old version, which stays in use if the test fails or the cable "
        "is pulled. See docs/deploy.md.",
    )
    parser.add_argument("model", metavar="MODEL.urnn", help="written by `tinyrnn quantize` or `tinyrnn import`")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", metavar="PORT", help="the board's serial port (default: the only one)")
    where.add_argument("--all", action="store_true", help="deploy to all boards that `tinyrnn devices` finds")
    where.add_argument("--to", metavar="DIR", help="the mounted drive of a CircuitPython board (CIRCUITPY)")
    parser.add_argument(
        "--cores",
        type=int,
        choices=(1, 2),
        default=1,
        help="2: also copy what urnn.load(..., cores=2) needs on an RP2040 or RP2350 (default: 1)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Deploy and print the result for each board. Returns 0, or 1 if --all failed on some."""
    from tinyrnn.board import ports
    from tinyrnn.board.sizing import read_model
    from tinyrnn.errors import BoardError

    model = read_model(args.model)
    if args.to and args.cores > 1:
        raise BoardError("--cores 2 with --to: CircuitPython uses one core; expected the --port of an RP2040 or RP2350")
    if args.to:
        from tinyrnn.board.drive import write_drive

        for line in write_drive(args.to, model):
            print(line)
        return 0
    if args.all:
        found = [port.path for port in ports.find()]
        if not found:
            ports.only()  # raises the error, with the cure
        return _several(found, model, args.cores)
    result = _one(args.port or ports.only(), model, args.cores)
    _report(result, model, args.cores)
    return 0


def _one(port: str, model: Model, cores: int) -> Result:
    """Deploy to one board, with a progress bar on a terminal."""
    from tinyrnn.board.deploy import deploy

    if not sys.stderr.isatty():
        return deploy(port, model, cores=cores)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from tinyrnn.cli import screen

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=screen.console(stderr=True), transient=True) as bar:
        task = bar.add_task("asking the board", total=None)
        return deploy(
            port,
            model,
            lambda line: bar.update(task, description=line),
            lambda sent, total: bar.update(task, completed=sent, total=total),
            cores=cores,
        )


def _several(found: list[str], model: Model, cores: int) -> int:
    """Deploy to all boards at once and print a line for each. A failure on one board does not stop the others."""
    import threading
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from tinyrnn.board.deploy import deploy
    from tinyrnn.errors import LinkError, TinyrnnError

    failed = 0
    interrupted = threading.Event()

    def stop_if_interrupted(*_: object) -> None:
        if interrupted.is_set():
            raise LinkError("interrupted, the old version is in use; expected time to finish: deploy again")

    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        jobs = [pool.submit(deploy, port, model, stop_if_interrupted, stop_if_interrupted, cores=cores) for port in found]
        try:
            for job in as_completed(jobs):
                try:
                    result = job.result()
                    print(f"{result.port}: {_summary(result)}", flush=True)
                except TinyrnnError as error:
                    failed += 1
                    print(f"{error}", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            interrupted.set()  # leaving the pool waits for its threads, which end at the next piece of a file
            raise
    have = "has" if len(found) == 1 else "have"
    print(f"{len(found) - failed} of {counted(len(found), 'board')} {have} {model.name}")
    return 1 if failed else 0


def _summary(result: Result) -> str:
    from tinyrnn.text import kilobytes

    copied = f"{counted(len(result.copied), 'file')}, {kilobytes(result.sent_bytes)}" if result.copied else "nothing to copy"
    heap = f", heap left {kilobytes(result.heap_left)}" if result.heap_left >= 0 else ""
    return f"{copied}; {result.selftest}{heap}; {result.seconds:.1f} s"


def _report(result: Result, model: Model, cores: int) -> None:
    from tinyrnn.text import kilobytes

    identity = result.identity
    arch = f", {identity.arch}" if identity.arch else ""
    print(f"board     {identity.board}, {identity.firmware}{arch} on {result.port}")
    if result.copied:
        names = ", ".join(path.removesuffix("~").rpartition("/")[2] for path in result.copied)
        print(f"copied    {counted(len(result.copied), 'file')}, {kilobytes(result.sent_bytes)}: {names}")
    else:
        print(f"copied    nothing to copy: {model.name} and urnn {result.version} are on the board, complete")
    print(f"self-test {result.selftest}")
    if result.heap_left >= 0:
        print(f"heap left {kilobytes(result.heap_left)} with the net loaded")
    for note in result.notes:
        print(f"note      {note}")
    print(f"done in {result.seconds:.1f} s. On the board, at the REPL or in main.py:")
    print("    import urnn")
    print(f'    net = urnn.load("{model.name}"{", cores=2" if cores > 1 else ""})')
    print(f"    net.step(sample)      # a tuple of {model.inputs} integers")
