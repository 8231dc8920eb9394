# SPDX-License-Identifier: MIT
"""``tinyrnn bench``: the time of a step, its allocation and the heap that a model takes on a board."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyrnn.board.step_timing import Measured


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "bench",
        help="measure step time, allocation and heap on a board, with each of its kernel sets",
        description="Measure a deployed model on its board, with each kernel set. The last output and state must equal "
        "those of the simulator on this computer.",
    )
    parser.add_argument("model", metavar="MODEL.urnn", nargs="?", help="the deployed model; optional with --compare")
    parser.add_argument("--port", metavar="PORT", help="the board's serial port (default: the only one)")
    parser.add_argument(
        "--steps", metavar="N", type=int, help="steps with each kernel set (default: 5 seconds' worth, 20 to 200)"
    )
    parser.add_argument(
        "--kernels", metavar="NAME", action="append", help="measure only this kernel set; may be repeated (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--write", action="store_true", help="add the result to the board's file in boards/")
    parser.add_argument("--note", metavar="TEXT", default="", help='with --write: a remark for readers, such as "emulated"')
    compare = parser.add_argument_group(
        "without a board",
        "One table of step times: each kernel set on each MicroPython of this machine, cycles on an emulated RP2040, and "
        "for comparison floats in plain Python, C and numpy.",
    )
    compare.add_argument(
        "--compare", action="store_true", help="measure MODEL.urnn here (default: a GRU 6-32-4 with random weights)"
    )
    compare.add_argument(
        "--runtime", metavar="NAME", action="append", help="measure only this runtime; may be repeated; rp2040 is emulated"
    )
    compare.add_argument(
        "--uf2", metavar="FILE", help="MicroPython's RPI_PICO firmware for the emulated RP2040 (default: $TINYRNN_UF2)"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and print the table. Returns 0. Raises Mismatch if a result is wrong."""
    import datetime
    from dataclasses import asdict

    from tinyrnn.errors import DataError

    if args.compare:
        if args.port or args.write or args.kernels:
            raise DataError("--compare with --port, --write or --kernels: expected it alone, it measures on this machine")
        from tinyrnn.cli import comparison_table

        return comparison_table.run(args)
    if args.model is None:
        raise DataError("no model: expected the MODEL.urnn that is on the board, or --compare to measure without a board")
    if args.runtime or args.uf2:
        raise DataError("--runtime or --uf2 without --compare: expected both together, or --port for a board")
    from tinyrnn.board import ports

    if args.steps is not None and not 1 <= args.steps <= 5000:
        raise DataError(f"--steps {args.steps}: expected 1 to 5000")
    rows: list[Measured] = []
    try:
        _measure(args.port or ports.only(), args, rows)
    except BaseException:
        if rows and not args.json:
            show(rows)  # keep what was measured before the connection broke
        raise
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        show(rows)
    if args.write:
        from tinyrnn.board.step_timing import record

        path = record(rows, args.note, datetime.date.today().isoformat())
        print(f"added to {path}", file=sys.stderr)
    return 0


def _measure(port: str, args: argparse.Namespace, rows: list[Measured]) -> None:
    """Append each row as it is measured. Progress: a bar on a terminal, otherwise a line on stderr for each kernel set."""
    from tinyrnn.board.step_timing import measure

    if not sys.stderr.isatty():

        def tell(kernels: str, done: int, steps: int, us: int) -> None:
            if not done:
                print(f"{kernels}: {steps} steps of about {us} us", file=sys.stderr, flush=True)

        rows.extend(measure(port, args.model, args.steps, args.kernels, tell))
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from tinyrnn.cli import screen

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen.console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None)

        def draw(kernels: str, done: int, steps: int, us: int) -> None:
            bar.update(task, description=f"{kernels}, about {us} us a step", completed=done, total=steps)

        for row in measure(port, args.model, args.steps, args.kernels, draw):
            rows.append(row)
            bar.update(task, description="loading", completed=0, total=None)


def show(rows: list[Measured]) -> None:
    """The table for people."""
    from rich.measure import Measurement
    from rich.table import Table

    from tinyrnn.board.step_timing import COARSE_US
    from tinyrnn.cli import screen

    first = rows[0]
    print(f"{first.model}, {first.shape}, on {first.board}, {first.firmware}")
    table = Table()
    for heading in ("kernels", "steps", "median", "p99", "min", "max", "mean", "allocated", "free", "loaded"):
        table.add_column(heading, justify="left" if heading == "kernels" else "right")
    for row in rows:
        figures = (row.steps, row.median_us, row.p99_us, row.min_us, row.max_us, f"{row.mean_us:.1f}")
        memory = (_known(row.step_bytes), _known(row.heap_before), _known(row.heap_after))
        table.add_row(row.kernels, *map(str, figures), *memory)
    console = screen.console()
    # Never truncate a figure: a terminal that is too narrow wraps the line
    console.width = max(console.width, Measurement.get(console, console.options.update(width=1000), table).maximum)
    console.print(table)
    print(
        "times: us a step; allocated: bytes a step; free, loaded: bytes of free heap before load() and with the net loaded"
    )
    if not any(us % COARSE_US for row in rows for us in (row.min_us, row.median_us, row.p99_us, row.max_us)):
        print("this board's clock ticks in milliseconds: only the mean over all steps is meaningful")


def _known(figure: float) -> str:
    if figure < 0:
        return "-"
    return f"{figure:.0f}" if figure == int(figure) else f"{figure:.1f}"
