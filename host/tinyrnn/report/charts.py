# SPDX-License-Identifier: MIT
"""The charts of the report: matplotlib draws them, as SVG that takes its colours and its font from the page.

A chart is WIDTH units wide, and a unit is a pixel on a phone. Wider pages put several beside each other.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from tinyrnn.report.calibration import Reliability
from tinyrnn.report.measurement import TimeAxis
from tinyrnn.report.saturation import BINS, Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 340
TEXT = 10.5
MOST_POINTS = 400  # of a line: more cannot be seen
MOST_DOTS = 500  # of a scatter plot

# Colours that stand for the variables of the page's style sheet
INK, FAINT, MUTED = "#010101", "#020202", "#030303"
INTEGER, FLOAT, BAD = "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", FAINT: "rule", MUTED: "muted", INTEGER: "integer", FLOAT: "float", BAD: "bad"}
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "tinyrnn",  # otherwise the ids are random
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.parse_math": False,  # a name with dollar signs is a name
    "font.family": "DejaVu Sans",  # part of matplotlib's package; the page replaces it
    "font.size": TEXT,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": TEXT,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": FAINT,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "path.simplify_threshold": 0.3,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}


def curves(history: np.ndarray, best_epoch: int | None) -> str:
    """The losses over the epochs. history: (E, 3) epoch, training loss, validation loss (nan if there is none)."""
    with _axes(200, "training and validation loss over the epochs") as (axes, done):
        epochs, training, validation = history.T[:3]
        _line(axes, epochs, training, color=MUTED, linestyle=(0, (3, 2)), label="training")
        _line(axes, epochs, validation, color=INTEGER, label="validation")
        positive = history[:, 1:3][np.isfinite(history[:, 1:3])]
        if positive.size and positive.min() > 0 and positive.max() > 20 * positive.min():
            axes.set_yscale("log")
            # Its own labels are formulas, and formulas are off: a name may look like one
            for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                axis(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
        if best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1, dashes=(2, 2))
            right = best_epoch > (epochs[0] + epochs[-1]) / 2
            axes.annotate(
                f"best: epoch {best_epoch}",
                (best_epoch, 1),
                (-4 if right else 4, -2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right" if right else "left",
                va="top",
                color=MUTED,
            )
        _whole_numbers(axes, "epoch")
        axes.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.17), labelcolor=INK)
    return done()


def progress(epochs: np.ndarray, figures: np.ndarray, best_epoch: int | None, what: str, share: bool) -> str:
    """A figure on the validation part over the epochs. share: it is a percentage."""
    with _axes(200, what) as (axes, done):
        _line(axes, epochs, figures, color=INTEGER)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=MUTED, linewidth=1, dashes=(2, 2))
        if share:
            axes.set_ylim(max(0, float(np.nanmin(figures)) - 5), 102)
        _whole_numbers(axes, "epoch")
        axes.set_ylabel("%" if share else "")
    return done()


def over_time(axis: TimeAxis, lines: dict[str, np.ndarray], what: str, share: bool, baseline: float | None = None) -> str:
    """A figure (P,) of each model along a sequence. share: it is a share of right decisions, 0 to 1."""
    with _axes(190, what) as (axes, done):
        middle = (axis.edges[1:] + axis.edges[:-1]) / 2
        for name, values in lines.items():
            _line(axes, middle, values * (100 if share else 1), **STYLES[name])
        if baseline is not None:
            axes.axhline(baseline, color=MUTED, linewidth=1, dashes=(1, 2))
        if share:
            axes.set_ylim(0, 103)
            axes.set_yticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlim(axis.edges[0], axis.edges[-1])
        _whole_numbers(axes, "part of the sequence, %" if axis.relative else "step")
    return done()


def against(truth: np.ndarray, said: dict[str, np.ndarray], target: str) -> str:
    """Predicted against true values (M,) of one target, of some of the outputs."""
    with _axes(280, f"{target}: predicted against true") as (axes, done):
        chosen = _some(len(truth), MOST_DOTS)
        low, high = float(truth.min()), float(truth.max())
        room = (high - low or 1.0) * 0.06
        axes.plot([low - room, high + room], [low - room, high + room], color=MUTED, linewidth=1, dashes=(1, 2))
        for name, values in said.items():
            behind = name == "float"
            axes.plot(
                truth[chosen],
                values[chosen],
                "o",
                color=COLOURS[name],
                markersize=5.5 if behind else 2.5,
                alpha=0.35 if behind else 0.8,
                markeredgewidth=0,
            )
        axes.set_xlim(low - room, high + room)
        axes.grid(True, axis="both")
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")
    return done()


def residuals(errors: dict[str, np.ndarray], target: str) -> str:
    """The distribution of predicted less true values (M,) of one target."""
    with _axes(190, f"{target}: distribution of the error") as (axes, done):
        pooled = np.concatenate(list(errors.values()))
        low, high = np.quantile(pooled, [0.005, 0.995])
        low, high = (min(low, 0.0), max(high, 0.0)) if low < high else (low - 0.5, high + 0.5)
        edges = np.linspace(low, high, 41)
        for name, values in errors.items():
            share = 100 * np.histogram(np.clip(values, low, high), edges)[0] / len(values)
            fill = name == "integer"
            axes.stairs(share, edges, color=COLOURS[name], fill=fill, alpha=0.35 if fill else 1, linewidth=1.4)
            if fill:
                axes.stairs(share, edges, color=COLOURS[name], linewidth=1.4)
        axes.axvline(0, color=MUTED, linewidth=1, dashes=(1, 2))
        axes.set_xlabel("predicted less true")
        axes.set_ylabel("outputs, %")
    return done()


def calibration(found: dict[str, Reliability]) -> str:
    """Share of right decisions over the probability of the decision, and how many decisions have that probability."""
    with _axes(300, "share of right decisions over their probability", rows=(3, 1)) as ((axes, below), done):
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, dashes=(1, 2))
        for name, each in found.items():
            there = each.count > 0
            axes.plot(
                100 * each.probability[there],
                100 * each.right[there],
                marker="o",
                markersize=8 if name == "float" else 4,
                markeredgewidth=0,
                **STYLES[name],
            )
        axes.set_ylim(-3, 103)
        axes.set_yticks([0, 50, 100], ["0", "50", "100 %"])
        axes.set_ylabel("right")
        axes.tick_params(labelbottom=False)
        edges = np.linspace(0, 100, len(next(iter(found.values())).count) + 1)
        for name, each in found.items():
            fill = name == "integer"
            below.stairs(
                100 * each.count / each.count.sum(), edges, color=COLOURS[name], fill=fill, alpha=0.35 if fill else 1
            )
        below.set_ylabel("decisions, %")
        below.set_xlabel("probability of the decision, %")
    return done()


def histogram(found: Histogram, unit: str, one: int) -> str:
    """A histogram of 16-bit values, with the bins at the limits marked. one: the integer that stands for 1 unit."""
    with _axes(150, f"distribution of the {found.name}") as (axes, done):
        share = 100 * found.counts / max(int(found.counts.sum()), 1)
        edges = (np.arange(BINS + 1) * 2048 - 32768) / one
        axes.bar(edges[:-1], share, np.diff(edges), align="edge", color=INTEGER, linewidth=0)
        if found.at_limit:
            for side in (0, -1):
                axes.bar(edges[:-1][side], share[side], edges[1] - edges[0], align="edge", color=BAD, linewidth=0)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(unit)
        axes.set_ylabel("%")
    return done()


def traces(
    x: np.ndarray,
    names: Sequence[str],
    start: int,
    lines: Sequence[tuple[np.ndarray, str]],
    what: str,
    share: bool,
) -> str:
    """Channels (T, C) over time, one above the other with a scale each, and below them lines about the outputs.

    lines: (values (T,), their name in STYLES). share: these are probabilities, 0 to 1.
    """
    count = x.shape[1]
    with _axes(34 * count + 120, what, rows=(*(1,) * count, 3)) as (all_axes, done):
        for axes, values, name in zip(all_axes, x.T, names, strict=False):
            steps, shown = _thin(np.arange(start, start + len(values)), values)
            axes.plot(steps, shown, color=MUTED, linewidth=1)
            axes.set_yticks([])
            axes.tick_params(bottom=False, labelbottom=False)
            axes.spines["bottom"].set_visible(False)
            axes.set_ylabel(_short(name, 12), rotation=0, ha="right", va="center")
            axes.margins(y=0.1)
        below = all_axes[-1]
        for values, model in lines:
            _line(below, np.arange(start, start + len(values)), values * (100 if share else 1), **STYLES[model])
        if share:
            below.set_ylim(-4, 104)
            below.set_yticks([0, 50, 100], ["0", "50", "100 %"])
        for axes in all_axes:
            axes.set_xlim(start, start + max(len(x) - 1, 1))
        _whole_numbers(below, "step")
    return done()


# What is drawn in which way. The float model is a broad band behind the thin line of the integers, so that both are seen
# where they agree
STYLES: dict[str, dict[str, Any]] = {
    "integer": {"color": INTEGER, "linewidth": 1.4},
    "float": {"color": FLOAT, "linewidth": 4, "alpha": 0.45},
    "true": {"color": INK, "linewidth": 1.4, "linestyle": (0, (1, 1.2))},
    "other": {"color": BAD, "linewidth": 1.4},
}
COLOURS = {name: style["color"] for name, style in STYLES.items()}


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    there = np.isfinite(y)
    if there.any():
        steps, values = _thin(x[there], y[there])
        marker = "o" if len(steps) == 1 else None
        axes.plot(steps, values, marker=marker, markersize=4, **style)


def _whole_numbers(axes: Axes, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(label)


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS points. Of each group of neighbours the smallest and the largest stay, so that no peak is lost."""
    if len(x) <= MOST_POINTS:
        return x, y
    kept = {0, len(x) - 1}
    for part in np.array_split(np.arange(len(x)), MOST_POINTS // 2):
        kept |= {int(part[y[part].argmin()]), int(part[y[part].argmax()])}
    chosen = np.array(sorted(kept))
    return x[chosen], y[chosen]


def _some(count: int, most: int) -> np.ndarray:
    """At most `most` numbers below count, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


@contextmanager
def _axes(height: float, what: str, rows: tuple[int, ...] = ()) -> Iterator[tuple[Any, Callable[[], str]]]:
    """Axes to draw on, and a function that returns the finished SVG. rows: the relative heights of several, in a column."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    result = ""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **SETTINGS}):
        # The figure is not pyplot's, so that nothing of the caller's is changed and no window can open
        figure = Figure(figsize=(WIDTH / 72, height / 72))
        canvas = FigureCanvasSVG(figure)
        if rows:
            made: Any = figure.subplots(len(rows), sharex=False, height_ratios=rows)
        else:
            made = figure.subplots()
        yield made, lambda: result
        text = io.BytesIO()
        from markupsafe import Markup

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # its own font lacks a sign that the page's font may have
            canvas.print_svg(text, metadata={"Date": None, "Creator": None})
        result = Markup(_for_page(text.getvalue(), what))  # matplotlib has escaped every name in it


def _for_page(svg: bytes, what: str) -> str:
    """The SVG as an element of the page: with the page's colours, a title for screen readers, and unique ids."""
    root = ElementTree.fromstring(svg)
    named = re.findall(rb"(?:url\(#|href=\"#)([\w-]+)", svg)
    prefix = f"c{zlib.crc32(svg):08x}-"
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):  # its style would be that of the whole page
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        name = element.attrib.pop("id", None)
        if name is not None and name.encode() in named:
            element.set("id", prefix + name)
        link = element.attrib.pop(f"{{{XLINK}}}href", None)
        if link is not None:
            element.set("href", "#" + prefix + link[1:])
        for key, value in element.attrib.items():
            changed = value.replace("url(#", f"url(#{prefix}")
            for colour, variable in VARIABLES.items():
                changed = changed.replace(colour, f"var(--{variable})")
            element.set(key, changed)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib.pop("version", None)
    root.set("role", "img")
    root.set("aria-label", what)
    return ElementTree.tostring(root, encoding="unicode")
