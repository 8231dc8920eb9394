#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time a step on each runtime: make bench.

Usage: benchmarks.py [--runtime NAME]... [--uf2 PATH]

The tool times the integer step of several sizes of GRU with each kernel set, on every runtime that is present. It also
times the same GRU in plain-Python floats ("float"). One process times all of them, so that the ratios come from one run.
With MicroPython's firmware for the RP2040 (--uf2, TINYRNN_UF2 or the cache folder) the tool also counts the cycles on an
emulated RP2040. The other cells are timed there and on unix-i386. A time counts only after the answer has been checked.
The tool prints a table and writes build/bench.json, one record for each step.

us_step               microseconds, the median of several batches, with garbage collection
ratio_to_plain        the plain kernels' time divided by this time: 15 is fifteen times as fast, 0.5 half as fast
cycles_step           cycles of a whole step on the RP2040's clock; null where cycles cannot be counted
cycles_per_mac        cycles_step / multiply-accumulates of a step
cycles_fixed          cycles of a step of the same cell with 1 input, 1 unit and 1 output; null for a cell with options
bytes_allocated_step  bytes of heap; null where the runtime cannot tell, or a step needs more than is free

The exit status is 1 when a ratio on unix-i386 with 32 units misses its limit: viper at least 15, floats below 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from shared import records
from shared.architectures import ARCHITECTURES, model_options
from shared.paths import ROOT
from shared.records import Record

if TYPE_CHECKING:
    from tinyrnn.runtimes import Runtime
    from tinyrnn.runtimes.kernel_timing import Case, Line

SIZES = ((6, 32, 4), (12, 32, 9), (12, 64, 9))  # inputs, hidden, outputs, of GRU
OTHER = (6, 32, 4)  # of the other cells
CHIP = "rp2040"
WITH_ALL_CELLS = ("unix-i386", CHIP)
JUDGE, JUDGED_HIDDEN, VIPER_FACTOR = "unix-i386", 32, 15.0


def cases(runtime: str) -> Iterator[Case]:
    """The networks that are timed on a runtime."""
    from tinyrnn.runtimes.kernel_timing import random_case

    yield from (random_case(*size) for size in SIZES)
    if runtime in WITH_ALL_CELLS:
        inputs, hidden, outputs = OTHER
        for name, architecture in ARCHITECTURES.items():
            if name != "gru":
                cells = architecture["cells"]
                yield random_case(inputs, (hidden,) * len(cells), outputs, cells, name, **model_options(name))


def measure(runtime: Runtime, case: Case) -> list[Record]:
    """Time one network on one runtime, in one process. Returns its records."""
    from tinyrnn.runtimes.kernel_timing import on_runtime

    return in_records(on_runtime(runtime, case), case)


def measure_chip(uf2: Path, case: Case) -> list[Record]:
    """Time one network on the emulated RP2040. Returns its records."""
    from tinyrnn.emulation.rp2040_timing import whole_steps
    from tinyrnn.float_model import cells as float_cells
    from tinyrnn.runtimes.kernel_timing import random_case

    # A cell with options has no smallest network: 1 unit cannot have a projection or factors
    small = random_case(1, 1, 1, case.cell) if case.cell in float_cells.names() else None
    return in_records(whole_steps(uf2, case, small), case)


def in_records(lines: list[Line], case: Case) -> list[Record]:
    """A record for each line that has a time."""
    from tinyrnn.runtimes.kernel_timing import ratios

    found: list[Record] = []
    for line, ratio in zip(lines, ratios(lines), strict=True):
        if line.us is None or ratio is None:
            continue
        found.append(
            {
                "runtime": line.runtime,
                "kernels": line.kernels,
                "cell": case.cell,
                "inputs": case.inputs,
                "hidden": case.hidden,
                "outputs": case.outputs,
                "us_step": round(line.us, 2),
                "ratio_to_plain": round(ratio, 2),
                "cycles_step": _whole(line.cycles),
                "cycles_per_mac": None if line.cycles is None else round(line.cycles / case.macs, 2),
                "cycles_fixed": _whole(line.fixed_cycles),
                "bytes_allocated_step": line.allocated,
            }
        )
    return found


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def broken_limits(rows: list[Record]) -> list[str]:
    """A line for each ratio on unix-i386 that misses its limit: viper to plain, floats to plain."""
    lines = []
    for row in rows:
        if (row["runtime"], row["cell"], row["hidden"]) != (JUDGE, "gru", JUDGED_HIDDEN):
            continue
        ratio = float(row["ratio_to_plain"] or 0)
        where = f"{JUDGE}, {row['inputs']} inputs, {row['hidden']} units"
        if row["kernels"] == "viper" and ratio < VIPER_FACTOR:
            lines.append(f"{where}: viper is {ratio} times as fast as plain; expected {VIPER_FACTOR:g}")
        if row["kernels"] == "float" and ratio >= 1:
            lines.append(f"{where}: floats are {ratio} times as fast as plain; expected slower")
    return lines


def firmware(given: Path | None) -> Path:
    """The firmware's UF2 file. Raises RuntimeMissing, which names the cure."""
    from tinyrnn.emulation.rp2040_timing import find_uf2
    from tinyrnn.errors import RuntimeMissing

    if given and not given.is_file():
        raise RuntimeMissing(f"{given} does not exist: expected MicroPython's RPI_PICO firmware, a .uf2 file")
    return given or find_uf2()


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Time a step on each runtime, in microseconds and, where possible, in cycles."
    )
    parser.add_argument(
        "--runtime", action="append", help="a runtime to measure; may be repeated (default: all that are present)"
    )
    parser.add_argument("--uf2", type=Path, metavar="PATH", help="firmware for the emulated RP2040 (default: TINYRNN_UF2)")
    args = parser.parse_args()

    from rich.console import Console
    from rich.progress import Progress
    from tinyrnn import runtimes
    from tinyrnn.errors import RuntimeMissing

    names = args.runtime or []
    present = [runtimes.get(name) for name in names if name != CHIP] if names else runtimes.find()
    missing = [] if names else list(runtimes.missing().values())
    uf2 = None
    if not names or CHIP in names:
        try:
            uf2 = firmware(args.uf2)
        except RuntimeMissing as error:
            if args.uf2 or names:
                raise
            missing.append(str(error))
    work = [(runtime, case) for runtime in present for case in cases(runtime.name)]
    on_chip = list(cases(CHIP)) if uf2 else []
    rows: list[Record] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(work) + len(on_chip))
        for runtime, case in work:
            progress.update(task, description=f"{runtime.name} {case.title}")
            rows += measure(runtime, case)
            progress.advance(task)
        for case in on_chip:
            assert uf2 is not None
            progress.update(task, description=f"{CHIP} {case.title}")
            rows += measure_chip(uf2, case)
            progress.advance(task)
    records.show("Time of a step; ratio_to_plain: times as fast as the plain kernels", rows)
    print("\n".join(map(str, present)))
    print("\n".join(f"not measured: {reason}" for reason in missing))
    print(f"written: {records.write('bench', rows).relative_to(ROOT)}")
    broken = broken_limits(rows)
    if broken:
        raise records.TinyrnnError("\n".join(broken))
    return 0


if __name__ == "__main__":
    records.finish(main)
