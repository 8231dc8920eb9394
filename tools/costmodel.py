#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fit a model of the cycles of a step on the RP2040, and check its predictions.

Usage: costmodel.py [--kernels NAME]... [--cell NAME]... [--uf2 PATH] [--write]

The tool times whole steps on the emulated RP2040 with MicroPython's firmware and checks every answer
(tinyrnn.emulation.rp2040_firmware). It fits the coefficients of tinyrnn.board.step_time.CycleModel to some of the
networks, by least squares of the relative error. It then predicts the other networks and prints the errors. --write puts
the coefficients into boards/rpi-pico.toml, where `tinyrnn info MODEL --board rpi-pico` finds them.

The exit status is 1 when a prediction is off by more than 10 %.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shared import records
from shared.paths import BOARDS, ROOT
from shared.records import Record
from tinyrnn.board.step_time import COEFFICIENTS, CycleModel
from tinyrnn.float_model import cells as float_cells

if TYPE_CHECKING:
    from tinyrnn.runtimes.kernel_timing import Case

BOARD = BOARDS / "rpi-pico.toml"
MARK = "\n# What a step takes: written by tools/costmodel.py\n"
LIMIT_PCT = 10.0
Shape: TypeAlias = "tuple[int, tuple[int, ...], int]"  # inputs, units of each layer, outputs
# Kernels treat multiples of four and eight in a special way, so both these and other sizes occur.
FITTED: tuple[Shape, ...] = (
    *((1, (4,), 2), (2, (8,), 2), (3, (12,), 5), (6, (16,), 4), (9, (20,), 10), (12, (24,), 3), (16, (16,), 12)),
    *((6, (32,), 4), (13, (30,), 6), (12, (48,), 9), (6, (64,), 5), (3, (80,), 2), (6, (128,), 9)),
    *((5, (16, 16), 4), (9, (8, 20, 12), 5)),
)
UNSEEN: tuple[Shape, ...] = (
    *((1, (8,), 1), (3, (6,), 4), (4, (13,), 8), (2, (18,), 2), (8, (24,), 6), (12, (32,), 9), (20, (20,), 5)),
    *((6, (12, 12), 4), (10, (40,), 7), (9, (56,), 12)),
)
# Kernel set -> the most units of the fitted networks and of the unseen ones. Without machine code the emulation takes
# minutes, and larger matrices stay with the plain kernels.
LARGEST = {"plain": (64, 32), "unrolled": (64, 64), "bytecode": (64, 64)}
MOST_MACS = 60_000  # larger model files do not fit into the board's RAM
SMALL_UNSEEN: tuple[Shape, ...] = (
    (5, (10,), 3),
    (7, (22,), 2),
    (11, (15,), 9),
    (2, (25,), 4),
)  # in place of the unseen networks that are too large


@dataclass(frozen=True)
class Point:
    """A network and the measured cycles of one step."""

    case: Case
    cycles: float

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """MACs, units, inputs, layers."""
        return self.case.macs, self.case.hidden, self.case.inputs, self.case.layers


@dataclass(frozen=True)
class Fitted:
    """A cycle model, the MACs of the largest network that it was fitted to, and its largest error on unseen networks."""

    model: CycleModel
    largest_macs: int
    error_pct: float


def networks(cell: str, kernels: str) -> tuple[list[Case], list[Case]]:
    """(the networks to fit to, the networks to predict)."""
    from tinyrnn.runtimes.kernel_timing import random_case

    most = LARGEST.get(kernels, (128, 128))
    wanted = zip((FITTED, (*UNSEEN, *SMALL_UNSEEN)), most, (len(FITTED), 10), strict=True)
    kept = ([shape for shape in shapes if max(shape[1]) <= units][:count] for shapes, units, count in wanted)
    cases = ((random_case(*shape, cell) for shape in shapes) for shapes in kept)
    fitted, unseen = ([case for case in some if case.macs <= MOST_MACS] for some in cases)
    return fitted, unseen


def measure(uf2: Path, kernels: str, cases: list[Case]) -> list[Point]:
    """Time whole steps on the emulated board. Raises TinyrnnError when an answer differs from the host's."""
    from tinyrnn.emulation.rp2040_firmware import host_digest, time_steps

    files = {f"{number}.urnn": case for number, case in enumerate(cases)}
    timed = time_steps(uf2, {name: case.data for name, case in files.items()}, kernels)
    for name, case in files.items():
        want = host_digest(case.data)
        if timed[name].digest != want:
            raise records.TinyrnnError(f"{kernels}, {case.title}: digest {timed[name].digest}, expected {want}")
    return [Point(case, timed[name].cycles) for name, case in files.items()]


def fit(points: list[Point]) -> CycleModel:
    """Fit a cycle model by least squares of the relative error."""
    import numpy as np

    cycles = np.array([point.cycles for point in points])
    rows = np.array([(1, *point.numbers) for point in points], float)
    return CycleModel(*np.linalg.lstsq(rows / cycles[:, None], np.ones(len(points)), rcond=None)[0].tolist())


def error_pct(model: CycleModel, point: Point) -> float:
    return 100 * (model.cycles(*point.numbers) / point.cycles - 1)


def toml(models: dict[str, dict[str, dict[str, float | int | str]]]) -> str:
    """The text of the [cost] tables. models: kernel set -> cell -> coefficients and facts."""
    lines = [MARK.strip("\n")]
    for kernels, cells in models.items():
        for cell, table in cells.items():
            lines += [f"[cost.{kernels}.{cell}]", *(f"{name} = {json.dumps(value)}" for name, value in table.items()), ""]
    return "\n".join(lines[:-1]) + "\n"


def write(models: dict[str, dict[str, Fitted]], source: str, path: Path = BOARD) -> None:
    """Write models into a board's file. Models of other kernel sets and cells from an earlier run stay.

    The models go before [[measured]], or to the end of the file when it has no such table.
    """
    from tinyrnn.board import catalogue

    tables = {kernels: dict(cells) for kernels, cells in catalogue.load(path).cost.items()}
    for kernels, cells in models.items():
        for cell, fitted in cells.items():
            figures = {name: round(getattr(fitted.model, name), 2) for name in COEFFICIENTS}
            facts = {"largest_macs": fitted.largest_macs, "error_pct": round(fitted.error_pct, 1), "source": source}
            tables.setdefault(kernels, {})[cell] = {**figures, **facts}
    old = path.read_text(encoding="utf-8")
    kept, _, after = old.partition(MARK)
    rest = re.search(r"^\[\[measured\]\]", old, re.M) if not after else re.search(r"^\[\[measured\]\]", after, re.M)
    end = (after or old)[rest.start() :] if rest else ""
    if rest and not after:
        kept = old[: rest.start()]
    records.write_text(path, kept.rstrip("\n") + "\n\n" + toml(tables) + (f"\n{end}" if end else ""))


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Fit a model of the cycles of a step on the RP2040, and check its predictions."
    )
    parser.add_argument(
        "--kernels", metavar="NAME", action="append", help="a kernel set; may be repeated (default: all of the RP2040)"
    )
    parser.add_argument(
        "--cell", metavar="NAME", action="append", choices=float_cells.names(), help="a cell; may be repeated (default: gru)"
    )
    parser.add_argument("--uf2", type=Path, metavar="PATH", help="firmware for the emulated RP2040 (default: TINYRNN_UF2)")
    parser.add_argument("--write", action="store_true", help="write the coefficients into boards/rpi-pico.toml")
    args = parser.parse_args()

    from benchmarks import firmware
    from tinyrnn.emulation import step_cycles

    uf2 = firmware(args.uf2)
    sets = args.kernels or [name for names in step_cycles.kernel_sets() for name in names]
    models: dict[str, dict[str, Fitted]] = {}
    off = []
    for kernels in sets:
        for cell in args.cell or ["gru"]:
            fitted, unseen = networks(cell, kernels)
            points = measure(uf2, kernels, fitted) + measure(uf2, kernels, unseen)
            model = fit(points[: len(fitted)])
            lines: list[Record] = [
                {
                    "kernels": kernels,
                    "network": point.case.title,
                    "macs": point.case.macs,
                    "cycles": round(point.cycles),
                    "model": round(model.cycles(*point.numbers)),
                    "error_pct": error_pct(model, point),
                    "fitted": "yes" if number < len(fitted) else "no",
                }
                for number, point in enumerate(points)
            ]
            worst = max(abs(error_pct(model, point)) for point in points[len(fitted) :])
            mean = sum(abs(error_pct(model, point)) for point in points[len(fitted) :]) / len(unseen)
            said = " + ".join(f"{getattr(model, name):.2f} {name}" for name in COEFFICIENTS)
            records.show(f"{kernels}, {cell}: {said}", lines)
            print(f"unseen: {len(unseen)} networks, mean error {mean:.1f} %, largest {worst:.1f} %\n", flush=True)
            largest = max(case.macs for case in fitted)
            models.setdefault(kernels, {})[cell] = Fitted(model, largest, worst)
            if worst > LIMIT_PCT:
                off.append(f"{kernels}, {cell}: a prediction is off by {worst:.1f} %; expected at most {LIMIT_PCT:g} %")
    if off:
        raise records.TinyrnnError("\n".join(off))
    if args.write:
        emulator = metadata.version("rp2040py")
        date = datetime.date.today().isoformat()
        write(models, f"measured {date}, emulated RP2040 (rp2040py {emulator}), {version(uf2)}, tools/costmodel.py")
        print(f"written: {BOARD.relative_to(ROOT)}")
    return 0


def version(uf2: Path) -> str:
    """The version inside the firmware's file, such as "MicroPython 1.28.0"."""
    found = re.search(rb"MicroPython v(\d+\.\d+\.\d+)", uf2.read_bytes())
    return f"MicroPython {found[1].decode()}" if found else f"firmware {uf2.name}"


if __name__ == "__main__":
    records.finish(main)
