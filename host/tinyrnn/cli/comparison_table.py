# SPDX-License-Identifier: MIT
"""``tinyrnn bench --compare``: a table of every kernel set on every runtime of this machine, beside floats, C and numpy."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyrnn.runtimes.kernel_timing import Case, Line

DEFAULT = (6, 32, 4)  # inputs, units, outputs
HEADINGS = ("runtime", "kernels", "us/step", "x plain", "ns/MAC", "fixed us", "cycles", "/MAC", "fixed", "bytes")
EXPLAINED = """\
us/step, cycles: one step. x plain: speed relative to the plain kernels of that runtime; compare within one runtime only.
fixed: a step of the same cell with 1 input, 1 unit and 1 output. bytes: heap that a step allocates. float: lists of
floats in plain Python. numpy: the simulator on this computer, for one sequence. rp2040: emulated, at 125 MHz."""


def run(args: argparse.Namespace) -> int:
    """Measure everything and print the table. Returns 0. Raises Mismatch if a result is wrong."""
    from rich.progress import Progress

    from tinyrnn import runtimes
    from tinyrnn.cli import screen
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.runtimes import kernel_timing

    case = kernel_timing.file_case(urnn_file.load(args.model).network) if args.model else kernel_timing.random_case(*DEFAULT)
    small = kernel_timing.smallest(case)
    lines: list[Line] = []
    missing: list[str] = [] if args.runtime else list(runtimes.missing().values())
    chosen = [runtimes.get(name) for name in args.runtime if name != "rp2040"] if args.runtime else runtimes.find()
    chip = not args.runtime or "rp2040" in args.runtime
    with Progress(console=screen.console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=len(chosen) + chip + 1)
        for runtime in chosen:
            progress.update(task, description=runtime.name)
            lines += kernel_timing.on_runtime(runtime, case, small)
            progress.advance(task)
        progress.update(task, description="numpy")
        lines += kernel_timing.in_numpy(case, small)
        if chip:
            progress.update(task, description="rp2040", completed=len(chosen) + 1)
            found, absent = _chip(case, small, args.uf2)
            lines, missing = lines + found, missing + absent
    if args.json:
        print(json.dumps([_record(line, case) for line in lines], indent=2))
    else:
        show(case, lines, args.model is not None)
    for reason in missing:
        print(f"not measured: {reason}", file=sys.stderr)
    return 0


def _chip(case: Case, small: Case, uf2: str | None) -> tuple[list[Line], list[str]]:
    """The lines of the emulated RP2040, and the reasons why some or all are missing."""
    from tinyrnn.emulation import rp2040_timing

    found, missing = rp2040_timing.lines(case, small, uf2)
    return list(found), list(missing)


def _record(line: Line, case: Case) -> dict[str, Any]:
    """The line as JSON; None where a figure is not known."""
    return {
        "runtime": line.runtime,
        "kernels": line.kernels,
        "cell": case.cell,
        "hidden": case.hidden,
        "inputs": case.inputs,
        "outputs": case.outputs,
        "us_step": line.us,
        "us_fixed": line.fixed_us,
        "cycles_step": line.cycles,
        "cycles_per_mac": line.cycles / case.macs if line.cycles is not None else None,
        "cycles_fixed": line.fixed_cycles,
        "bytes_allocated_step": line.allocated,
    }


def show(case: Case, lines: list[Line], given: bool) -> None:
    """The table for people."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tinyrnn.cli import screen
    from tinyrnn.runtimes.kernel_timing import ratios

    print(f"{case.title}, {case.macs} MACs a step{'' if given else ', random weights'}")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in HEADINGS[:2] else "right", no_wrap=True)
    last = lines[0].runtime if lines else ""
    for line, ratio in zip(lines, ratios(lines), strict=True):
        if line.runtime != last:
            table.add_section()
        first = line.runtime if line.runtime != last or line is lines[0] else ""
        last = line.runtime
        per_mac = None if line.us is None else line.us * 1000 / case.macs
        cycles = None if line.cycles is None else line.cycles / case.macs
        figures = [*map(_digits, (line.us, ratio, per_mac, line.fixed_us))]
        figures += [_whole(line.cycles), _digits(cycles), _whole(line.fixed_cycles), _whole(line.allocated)]
        if line.us is None:
            figures[0] = "no memory"
        table.add_row(first, line.kernels, *figures)
    screen.console(width=max(screen.console().width, 130)).print(table)  # a wide table, so that no figure is truncated
    print(EXPLAINED)


def _digits(value: float | None) -> str:
    """Three significant digits, or all digits before the point."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
