#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draw the pictures of the documentation from the committed figures: pictures.py [--check].

The tool writes docs/pictures/NAME-light.svg and NAME-dark.svg for each NAME of PICTURES, from docs/figures/*.json. With
the matplotlib of tools/constraints.txt the files are the same on every machine: they contain no date, and text is drawn
as outlines of matplotlib's own font.
--check    change nothing; exit status 1 when a file differs
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared import records
from shared.figure_tables import ACCURACY_DATASET, CHIP, bytes_of, cells, digits, number
from shared.generated import update
from shared.paths import DOCS, FIGURES, ROOT

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

TARGET = DOCS / "pictures"
WIDTH_INCHES = 5.4  # a phone shows this at two thirds: 11 points of text are still 7
TEXT_POINTS = 11


@dataclass(frozen=True)
class Theme:
    """Colours for a light or a dark page."""

    text: str
    faint: str  # of the grid
    main: str  # of this project
    other: str  # of the code that it is compared with
    mark: str  # of other machines


THEMES = {
    "light": Theme(text="#24292f", faint="#d8dee4", main="#1f6fc4", other="#bc5b00", mark="#24292f"),
    "dark": Theme(text="#e6edf3", faint="#3d444d", main="#58a6ff", other="#f0883e", mark="#e6edf3"),
}

# The bars: runtime and kernels in docs/figures/comparison.json, the label, and whether it is one of urnn's kernel sets
BARS = (
    (CHIP, "asm_thumb", "asm_thumb", True),
    ("rp2040 core, C -O2", "ROWS4", "C, tuned", False),
    ("rp2040 core, C -O2", "PLAIN32", "C, simple loops", False),
    (CHIP, "viper", "viper", True),
    (CHIP, "bytecode", "bytecode", True),
    (CHIP, "unrolled", "unrolled", True),
    (CHIP, "plain", "plain", True),
    (CHIP, "float", "Python floats", False),
)
OTHER_MACHINES = (("unix-x64", "o", "the same on a PC"), ("webassembly", "s", "in a browser"))


def step_time(axes: Axes, theme: Theme) -> None:
    """Draw a bar for each way to compute a step on the RP2040, and marks for the same kernels on other machines."""
    from matplotlib.patches import Patch

    rows = records.read("comparison", FIGURES)
    us = {(str(row["runtime"]), str(row["kernels"])): number(row["us_step"]) for row in rows}
    for y, (runtime, kernels, _, own) in enumerate(BARS):
        value = us[runtime, kernels]
        axes.barh(y, value - 1, left=1, height=0.62, color=theme.main if own else theme.other)
        axes.text(value * 1.2, y, duration(value), va="center")
    bars: list[Artist] = [
        Patch(color=theme.main, label="urnn on an emulated RP2040"),
        Patch(color=theme.other, label="other code on it"),
    ]
    for runtime, marker, label in OTHER_MACHINES:
        points = [(us[runtime, kernels], y) for y, (_, kernels, _, _) in enumerate(BARS) if (runtime, kernels) in us]
        style: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": "#24292f", "markersize": 6.5}
        bars += axes.plot(*zip(*points, strict=True), marker, label=label, **style)
    axes.set_yticks(range(len(BARS)), [label for _, _, label, _ in BARS])
    axes.set_xscale("log")
    axes.set_xlim(1, 1_500_000)
    axes.set_xticks([1, 10, 100, 1000, 10_000, 100_000], ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms"])
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set_title("Time of a step: GRU, 6 inputs, 32 units, 4 outputs")
    axes.legend(handles=bars, ncols=2, loc="upper center", bbox_to_anchor=(0.36, -0.09), columnspacing=1.5)


def accuracy(axes: Axes, theme: Theme) -> None:
    """Draw two points for each cell, float and integer accuracy (mean of the seeds), over the bytes of its model file."""
    size = bytes_of(records.read("sizes", FIGURES))
    rows = [row for row in records.read("accuracy", FIGURES) if row["dataset"] == ACCURACY_DATASET]
    names = cells(rows)
    kilobytes = [int(size[f"cell_file/{name}", "any"]) / 1000 for name in names]

    def mean(name: str, field: str) -> float:
        found = [number(row[field]) for row in rows if row["cell"] == name]
        return sum(found) / len(found)

    floats = [mean(name, "float_accuracy_pct") for name in names]
    integers = [mean(name, "int_accuracy_pct") for name in names]
    axes.plot(
        kilobytes, floats, "o", markerfacecolor="none", markeredgecolor=theme.other, markersize=11, label="float model"
    )
    axes.plot(kilobytes, integers, "o", color=theme.main, markersize=6.5, label="integer model on the board")
    axes.set_xscale("log")
    axes.set_xlim(min(kilobytes) / 1.25, max(kilobytes) * 1.35)
    axes.set_xticks([3, 4, 6, 8, 12, 16], ["3", "4", "6", "8", "12", "16 kB"])
    low, high = min(floats + integers) - 0.25, max(floats + integers) + 0.25
    ticks = [half / 2 for half in range(math.ceil(low * 2), math.floor(high * 2) + 1)]
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks[:-1]] + [f"{ticks[-1]:g} %"])
    axes.grid()
    axes.set_xlabel("bytes of the model file")
    axes.set_title("Accuracy on JapaneseVowels, 32 units, mean of 5 seeds")
    axes.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.46, -0.16))
    label(axes, names, list(zip(kilobytes, floats, strict=True)) + list(zip(kilobytes, integers, strict=True)))


# Where a label may be: offset from its point in points, horizontal and vertical alignment. The best place is first.
PLACES = (
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((0, 8), "center", "bottom"),
    ((0, -8), "center", "top"),
    ((7, 5), "left", "bottom"),
    ((7, -5), "left", "top"),
    ((-7, 5), "right", "bottom"),
    ((-7, -5), "right", "top"),
)


def label(axes: Axes, names: list[str], points: list[tuple[float, float]]) -> None:
    """Write names[i] beside points[i], where it covers as little as possible of the other points and labels."""
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None  # axes without a figure have no pixels
    figure.draw_without_rendering()
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_extents(x - 7, y - 7, x + 7, y + 7) for x, y in pixels]
    for name, point in sorted(zip(names, points, strict=False), key=lambda each: each[1]):
        tried: list[tuple[float, int]] = []
        for offset, horizontal, vertical in PLACES:
            text = axes.annotate(
                name, point, offset, textcoords="offset points", ha=horizontal, va=vertical, fontsize=TEXT_POINTS - 1.5
            )
            box = text.get_window_extent()
            tried.append(
                (sum(map(area, (Bbox.intersection(box, other) for other in taken))) + outside(box, axes), len(tried))
            )
            text.remove()
        offset, horizontal, vertical = PLACES[min(tried)[1]]
        text = axes.annotate(
            name, point, offset, textcoords="offset points", ha=horizontal, va=vertical, fontsize=TEXT_POINTS - 1.5
        )
        taken.append(text.get_window_extent())


def area(box: Bbox | None) -> float:
    return box.width * box.height if box else 0.0


def outside(box: Bbox, axes: Axes) -> float:
    """The part of a label that lies outside the axes, as an area."""
    return area(box) - area(type(box).intersection(box, axes.get_window_extent()))


def duration(us: float) -> str:
    """A duration as text, in µs or ms."""
    return f"{digits(us / 1000)} ms" if us >= 1000 else f"{us:.0f} µs"


# Name of the files -> (the function that draws, the height of the picture in inches)
PICTURES: dict[str, tuple[Callable[[Axes, Theme], None], float]] = {
    "step-time": (step_time, 3.7),
    "accuracy": (accuracy, 4.1),
}


def svg(name: str, theme: Theme) -> str:
    """The text of one picture."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    draw, height = PICTURES[name]
    settings = {
        "svg.hashsalt": name,  # otherwise the ids in the file are random
        "svg.fonttype": "path",  # the fonts of a page have other widths, and text would be cut off
        "font.family": "DejaVu Sans",  # part of matplotlib's package
        "font.size": TEXT_POINTS,
        "text.color": theme.text,
        "axes.labelcolor": theme.text,
        "axes.titlesize": TEXT_POINTS + 1,
        "axes.titlepad": 12,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": theme.faint,
        "grid.color": theme.faint,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.text,
        "ytick.labelcolor": theme.text,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "legend.fontsize": TEXT_POINTS - 1,
    }
    with pyplot.rc_context({**matplotlib.rcParamsDefault, **settings, "backend": "svg"}):
        figure, axes = pyplot.subplots(figsize=(WIDTH_INCHES, height))
        draw(axes, theme)
        axes.minorticks_off()
        text = io.StringIO()
        metadata = {"Date": None, "Creator": None}
        figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05, metadata=metadata)
        pyplot.close(figure)
    generator = (
        f"<!-- Generated by tools/pictures.py from docs/figures with matplotlib {matplotlib.__version__}. Do not edit. -->"
    )
    head, rest = text.getvalue().split("\n", 1)
    return f"{head}{generator}\n{rest}"  # the first line must be the XML declaration


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation from docs/figures.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with status 1 when a picture differs")
    args = parser.parse_args()
    stale = 0
    for name in PICTURES:
        for theme, colours in THEMES.items():
            path = TARGET / f"{name}-{theme}.svg"
            complaint = f"{path.relative_to(ROOT)} does not match docs/figures; run tools/pictures.py"
            stale |= update(path, svg(name, colours), args.check, complaint)
    return stale


if __name__ == "__main__":
    records.finish(main)
