#!/usr/bin/env python3
"""Microseconds a step on each runtime: make bench.

bench.py [--runtime NAME]. On every runtime that is present, for each size of GRU: the integer step with the
plain and, where there is one, the viper kernels, and the same GRU written in plain-Python floats ("float"),
all in one process, so that the ratios are of one run. Each checks its own answer before it is timed. Prints
a table and writes build/bench.json: runtime, kernels, cell, inputs, hidden, outputs, us_step, ratio_to_plain.

us_step is the median of several batches, garbage collection included. ratio_to_plain is the time of the
plain kernels divided by this time: 15 is fifteen times as fast as plain, 0.5 is half as fast.

Exit status 1 when a ratio on unix-i386 at 32 units is not as required: viper 15 at least, floats below 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import records
from records import ROOT, Record

if TYPE_CHECKING:
    from tinyrnn.runtimes import Runtime

SIZES = ((6, 32, 4), (12, 32, 9), (12, 64, 9))  # inputs, hidden, outputs
FOLDER = ROOT / "tests" / "device"
SAMPLES = 16
BATCH_MS = 100  # the webassembly port's clock ticks in milliseconds
BATCHES = 9
TIMEOUT_S = 300
JUDGE, JUDGED_HIDDEN, VIPER_FACTOR = "unix-i386", 32, 15.0


def network(inputs: int, hidden: int, outputs: int) -> tuple[bytes, str]:
    """The model file, and the same network's floats as text, with samples and the host's float outputs.

    The text has for each matrix a line with its number of rows, then the rows.
    """
    import numpy as np
    from tinyrnn.network import pack
    from tinyrnn.quantize import quantize, random_float_model

    rng = np.random.default_rng(0)
    model = random_float_model(rng, inputs, (hidden,), outputs)
    samples = rng.integers(-2500, 2500, (SAMPLES, inputs))
    gru, head = model.layers[0], model.head
    matrices = (
        *(samples, model.forward(samples[None])[0], model.mean, model.std),
        *(gru.weight_ih, gru.weight_hh, gru.bias_ih, gru.bias_hh),
        *(head.weight, head.bias),
    )
    lines = []
    for matrix in map(np.atleast_2d, matrices):
        lines.append(str(len(matrix)))
        lines += [" ".join(map(str, row)) for row in matrix.tolist()]
    return pack(quantize(model)), "\n".join(lines) + "\n"


def measure(runtime: Runtime, inputs: int, hidden: int, outputs: int) -> list[Record]:
    """The records of one runtime and one size, all from one process."""
    data, floats = network(inputs, hidden, outputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.urnn").write_bytes(data)
        (folder / "floats.txt").write_text(floats, encoding="utf-8")
        out = runtime.run(
            FOLDER / "bench_step.py",
            *("model.urnn", "floats.txt", str(BATCH_MS), str(BATCHES)),
            cwd=folder,
            path=[ROOT / "device", FOLDER],
            timeout=TIMEOUT_S,
        )
    us = {words[0]: float(words[1]) for words in map(str.split, out.splitlines())}
    return [
        {
            "runtime": runtime.name,
            "kernels": kernels,
            "cell": "gru",
            "inputs": inputs,
            "hidden": hidden,
            "outputs": outputs,
            "us_step": round(value, 2),
            "ratio_to_plain": round(us["plain"] / value, 2),
        }
        for kernels, value in us.items()
    ]


def broken_limits(rows: list[Record]) -> list[str]:
    """A line for each ratio on the judge that is not as required: viper and plain, plain and floats."""
    lines = []
    for row in rows:
        if row["runtime"] != JUDGE or row["hidden"] != JUDGED_HIDDEN:
            continue
        ratio = float(row["ratio_to_plain"])
        where = f"{JUDGE}, {row['inputs']} inputs, {row['hidden']} units"
        if row["kernels"] == "viper" and ratio < VIPER_FACTOR:
            lines.append(f"{where}: viper is {ratio} times as fast as plain; expected {VIPER_FACTOR:g}")
        if row["kernels"] == "float" and ratio >= 1:
            lines.append(f"{where}: floats are {ratio} times as fast as plain; expected slower")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Microseconds a step on each runtime.")
    parser.add_argument("--runtime", help="this one only (default: all that are present)")
    args = parser.parse_args()

    from rich.console import Console
    from rich.progress import Progress
    from tinyrnn import runtimes

    present = [runtimes.get(args.runtime)] if args.runtime else runtimes.find()
    rows: list[Record] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(present) * len(SIZES))
        for runtime in present:
            for size in SIZES:
                progress.update(task, description=runtime.name)
                rows += measure(runtime, *size)
                progress.advance(task)
    records.show("Microseconds a step; ratio_to_plain: times as fast as the plain kernels", rows)
    print("\n".join(map(str, present)))
    if not args.runtime:
        print("\n".join(f"not measured: {reason}" for reason in runtimes.missing().values()))
    print(f"written: {records.write('bench', rows).relative_to(ROOT)}")
    broken = broken_limits(rows)
    if broken:
        raise records.TinyrnnError("\n".join(broken))
    return 0


if __name__ == "__main__":
    records.finish(main)
