#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Accuracy of the float and of the integer model on the complete test sets: make accuracy.

accuracy.py [--cells NAME,...] [--seeds N] [--units H] [--again]. For each cell, its recordings and each seed 0..N-1:
train, quantize, run both models over the official test split. Prints a table and writes build/accuracy.json, one
record for each seed: dataset, cell, hidden, seed, float_accuracy_pct, int_accuracy_pct, and agreement_pct, the
percentage of test sequences for which both models decide for the same class, right or wrong.

The file is written after each model, and what stands in it is not measured again: an interrupted run goes on, and
--cells measures some of them (all: about 12 minutes on one core).
"""

from __future__ import annotations

import argparse
from typing import Any

from shared import records
from shared.architectures import ARCHITECTURES

DATASETS = ("japanese-vowels", "basic-motions")


def measure(dataset: str, cell: str, seed: int, units: int) -> records.Record:
    """Train, quantize and judge one model; the integers are the simulator's, the device's equal."""
    import numpy as np
    from tinyrnn import data
    from tinyrnn.integer_model.simulator import Simulator
    from tinyrnn.quantization.quantizer import quantize
    from tinyrnn.training import trainer
    from tinyrnn.training.architecture import Architecture

    recording = data.load(dataset)
    model = trainer.fit(recording, architecture=Architecture(units=units, **ARCHITECTURES[cell]), seed=seed)
    x, lengths = recording.test.padded()
    last = np.arange(len(lengths)), lengths - 1
    by_float = model.forward(x, lengths)[last].argmax(axis=1)
    network = quantize(model)
    outputs, _ = Simulator(network).run(network.raw(x))
    by_int = outputs[last].argmax(axis=1)
    y = recording.test.all_y()
    return {
        "dataset": dataset,
        "cell": cell,
        "hidden": units,
        "seed": seed,
        "float_accuracy_pct": percent(by_float == y),
        "int_accuracy_pct": percent(by_int == y),
        "agreement_pct": percent(by_float == by_int),
    }


def percent(equal: object) -> float:
    """The part of a boolean array that is true, in percent, to four digits behind the point."""
    import numpy as np

    return round(100 * float(np.mean(np.asarray(equal))), 4)


def summary(rows: list[records.Record]) -> list[str]:
    """Two lines for each data set and cell: means with deviation, and the worst over the seeds."""
    lines = []
    for key in dict.fromkeys((str(row["dataset"]), str(row["cell"])) for row in rows):
        title = ", ".join(key)
        floats, ints, agree = (
            [float(row[field]) for row in rows if (row["dataset"], row["cell"]) == key]
            for field in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
        )
        n = len(floats)
        mean = sum(floats) / n
        deviation = (sum((value - mean) ** 2 for value in floats) / max(n - 1, 1)) ** 0.5
        apart = max(abs(a - b) for a, b in zip(floats, ints, strict=True))
        lines.append(
            f"{title}: mean of {n} seeds: float {mean:.2f} (deviation {deviation:.2f}), "
            f"integer {sum(ints) / n:.2f}, agreement {sum(agree) / n:.2f} %"
        )
        lines.append(
            f"{title}: worst: float {min(floats):.2f}, integer {min(ints):.2f}, "
            f"agreement {min(agree):.2f} %, integer and float {apart:.2f} points apart"
        )
    return lines


def wanted(cells: list[str], seeds: int, units: int) -> list[tuple[str, str, int, int]]:
    """(dataset, cell, hidden, seed) of each record: the GRU on all recordings, the others on the first."""
    found = [(dataset, "gru", units, seed) for dataset in DATASETS for seed in range(seeds) if "gru" in cells]
    return found + [(DATASETS[0], cell, units, seed) for cell in cells if cell != "gru" for seed in range(seeds)]


def place(key: tuple[Any, ...]) -> tuple[int, ...]:
    """The order of the records: by cell, recording, units and seed."""
    dataset, cell, units, seed = key
    return list(ARCHITECTURES).index(cell), DATASETS.index(dataset), units, seed


def main() -> int:
    parser = argparse.ArgumentParser(description="Float and integer accuracy on the bundled test sets.")
    parser.add_argument("--cells", default=",".join(ARCHITECTURES), help=f"some of {','.join(ARCHITECTURES)} (default all)")
    parser.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, ... (default 5)")
    parser.add_argument("--units", type=int, default=32, help="units of a layer (default 32)")
    parser.add_argument("--again", action="store_true", help="measure what build/accuracy.json has as well")
    args = parser.parse_args()
    cells = args.cells.split(",")
    if args.seeds < 1:
        parser.error(f"--seeds is {args.seeds}; expected 1 or more")
    for cell in cells:
        if cell not in ARCHITECTURES:
            parser.error(f"--cells has {cell!r}; expected some of {', '.join(ARCHITECTURES)}")

    from rich.console import Console
    from rich.progress import Progress

    have: dict[tuple[Any, ...], records.Record] = {}
    if (records.BUILD / "accuracy.json").exists():
        have = {tuple(list(row.values())[:4]): row for row in records.read("accuracy")}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        todo = [key for key in wanted(cells, args.seeds, args.units) if args.again or key not in have]
        task = progress.add_task("", total=len(todo))
        for dataset, cell, units, seed in todo:
            progress.update(task, description=f"{dataset}, {cell}, seed {seed}")
            have[dataset, cell, units, seed] = measure(dataset, cell, seed, units)
            records.write("accuracy", [have[key] for key in sorted(have, key=place)])
            progress.advance(task)
    rows = [have[key] for key in wanted(cells, args.seeds, args.units)]
    records.show(f"Accuracy in percent of test sequences, {args.units} units", rows)
    print("\n".join(summary(rows)))
    print(f"in {(records.BUILD / 'accuracy.json').relative_to(records.ROOT)}")
    return 0


if __name__ == "__main__":
    records.finish(main)
