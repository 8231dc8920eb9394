#!/usr/bin/env python3
"""Accuracy of the float and of the integer model on the complete test sets: make accuracy.

accuracy.py [--seeds N] [--units H]. For each bundled recording and each seed 0..N-1: train, quantize, run
both models over the official test split. Prints a table and writes build/accuracy.json, one record for each
seed: dataset, cell, hidden, seed, float_accuracy_pct, int_accuracy_pct, and agreement_pct, the percentage of
test sequences for which both models decide for the same class, right or wrong. About 100 s on one core.
"""

from __future__ import annotations

import argparse

import records

DATASETS = ("japanese-vowels", "basic-motions")


def measure(dataset: str, seed: int, units: int) -> records.Record:
    """Train, quantize and judge one model; the integers are the numpy twin's, the device's equal."""
    import numpy as np
    from tinyrnn import data, measure, train
    from tinyrnn.quantize import quantize
    from tinyrnn.twin import Twin

    recording = data.load(dataset)
    model = train.fit(recording, units=units, seed=seed)
    by_float = measure.predict(model, recording.test).argmax(axis=1)
    network = quantize(model)
    x, lengths = recording.test.padded()
    outputs, _ = Twin(network).run(network.raw(x))
    by_int = outputs[np.arange(len(lengths)), lengths - 1].argmax(axis=1)
    y = recording.test.all_y()
    return {
        "dataset": dataset,
        "cell": "gru",
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
    """Two lines for each data set: means with deviation, and the worst over the seeds."""
    lines = []
    for dataset in dict.fromkeys(str(row["dataset"]) for row in rows):
        floats, ints, agree = (
            [float(row[key]) for row in rows if row["dataset"] == dataset]
            for key in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
        )
        n = len(floats)
        mean = sum(floats) / n
        deviation = (sum((value - mean) ** 2 for value in floats) / max(n - 1, 1)) ** 0.5
        apart = max(abs(a - b) for a, b in zip(floats, ints, strict=True))
        lines.append(
            f"{dataset}: mean of {n} seeds: float {mean:.2f} (deviation {deviation:.2f}), "
            f"integer {sum(ints) / n:.2f}, agreement {sum(agree) / n:.2f} %"
        )
        lines.append(
            f"{dataset}: worst: float {min(floats):.2f}, integer {min(ints):.2f}, "
            f"agreement {min(agree):.2f} %, integer and float {apart:.2f} points apart"
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Float and integer accuracy on the bundled test sets.")
    parser.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, ... (default 5)")
    parser.add_argument("--units", type=int, default=32, help="units of the GRU (default 32)")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds is {args.seeds}; expected 1 or more")

    from rich.console import Console
    from rich.progress import Progress

    rows = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(DATASETS) * args.seeds)
        for dataset in DATASETS:
            for seed in range(args.seeds):
                progress.update(task, description=f"{dataset}, seed {seed}")
                rows.append(measure(dataset, seed, args.units))
                progress.advance(task)
    records.show(f"Accuracy in percent of test sequences, GRU of {args.units} units", rows)
    print("\n".join(summary(rows)))
    print(f"written: {records.write('accuracy', rows).relative_to(records.ROOT)}")
    return 0


if __name__ == "__main__":
    records.finish(main)
