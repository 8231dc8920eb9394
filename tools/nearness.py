#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure the error of the integer model for every cell, for the table in docs/numerics.md: nearness.py [--file FILE].

The networks are untrained and have 6 inputs, 32 units and 4 targets, with five seeds for each cell. The sequences are
those of tinyrnn.float_model.probing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shared import records
from shared.architectures import ARCHITECTURES, model_options
from shared.generated import between
from shared.paths import DOCS

if TYPE_CHECKING:
    from tinyrnn.float_model.model import FloatModel

PAGE = DOCS / "numerics.md"
MARK = "nearness"  # of the table in the page
SEEDS = 5
KINDS = {"held": "held", "ramps": "ramp", "noise": "noise"}  # heading -> start of the sequences' names


def model(cell: str, seed: int) -> FloatModel:
    """An untrained network for regression with 4 targets."""
    import numpy as np
    from tinyrnn.float_model.random_models import random_float_model

    made = random_float_model(
        np.random.default_rng(seed),
        6,
        (32,) * len(ARCHITECTURES[cell]["cells"]),
        4,
        ARCHITECTURES[cell]["cells"],
        **model_options(cell),
    )
    return replace(made, task="regression", calibration=replace(made.calibration, integer=False))


def shares(cell: str, seed: int) -> dict[str, tuple[float, float]]:
    """For each kind of sequence: the largest and the mean difference, as a share of the target's range."""
    from tinyrnn.float_model import probing
    from tinyrnn.quantization.integer_error import Evidence, Judge
    from tinyrnn.quantization.precision_search import measured

    floats = model(cell, seed)
    network = measured(floats).quantized.network
    sequences, _ = probing.settled(floats)
    found = {}
    whole = Judge(floats, Evidence(sequences, "all", True))
    for heading, start in KINDS.items():
        share = whole.shares_of(network, [name for name in sequences if name.startswith(start)])
        found[heading] = float(share.max()), float(share.mean(axis=0).max())
    return found


def table() -> str:
    """The table in Markdown."""
    lines = [
        "| cell | " + " | ".join(f"{kind}: largest, % | mean, %" for kind in KINDS) + " |",
        "| --- |" + " ---: | ---: |" * len(KINDS),
    ]
    for cell in ARCHITECTURES:
        found = [shares(cell, seed) for seed in range(SEEDS)]
        figures = []
        for kind in KINDS:
            largest = max(each[kind][0] for each in found)
            mean = sum(each[kind][1] for each in found) / len(found)
            figures += [f"{100 * largest:.2f}", f"{100 * mean:.3f}"]
        lines.append(f"| {cell} | " + " | ".join(figures) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fill the table of integer errors in docs/numerics.md.")
    parser.add_argument("--file", type=Path, default=PAGE, help="the page to fill (default: docs/numerics.md)")
    args = parser.parse_args()
    text = args.file.read_text(encoding="utf-8")
    between(text, MARK, "", args.file)  # a page without marks is refused before the minutes of measuring
    records.write_text(args.file, between(text, MARK, table(), args.file))
    return 0


if __name__ == "__main__":
    records.finish(main)
