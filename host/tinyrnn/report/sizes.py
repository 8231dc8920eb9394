# SPDX-License-Identifier: MIT
"""The end of the report: how the integers use their range, the bytes of the file, and the time on each board."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyrnn.board import catalogue, sizing, step_time
from tinyrnn.board.catalogue import FITS, TOO_SMALL, Fit
from tinyrnn.errors import TinyrnnError
from tinyrnn.integer_model.summary import describe
from tinyrnn.report import charts
from tinyrnn.report.saturation import Histogram
from tinyrnn.report.subject import Subject
from tinyrnn.report.words import named, percent
from tinyrnn.text import kilobytes, shown

MOST_CHANNELS = 12  # in the table of inputs
NOTICEABLE = 0.01  # share of values at a limit from which the words warn
SECTIONS = {
    "INPT": "inputs: ranges and normalisation",
    "DENS": "output layer",
    "HEAD": "names of the heads",
    "PRODUCTS": "kinds of matrices",
    "labl": "names of the outputs",
    "unit": "names and units of the inputs",
    "name": "name of the model",
    "near": "error measured against the float model",
    "test": "vectors of the self-test",
}


def saturation(subject: Subject) -> dict[str, Any]:
    """Samples that are limited, and histograms of states and of the sums before the activation functions."""
    network, found = subject.network, subject.saturation
    order = np.argsort(-found.inputs, kind="stable")
    rows = []
    for i in order[:MOST_CHANNELS].tolist():
        use = f"{int(network.input.low[i]):,} … {int(network.input.high[i]):,}"
        share = percent(100 * found.inputs[i])
        rows.append({"name": named(subject.channels[i]), "range": use, "share": share})
    left_out = ""
    if len(order) > MOST_CHANNELS:
        left_out = f"The {MOST_CHANNELS} channels of {len(order)} with the most samples beyond their range."
    layers = []
    worst: list[str] = []
    for layer in found.layers:
        drawn = []
        for state in layer.states:
            drawn.append(_histogram(state, "share of the range", 32768, "within 1 % of the limit"))
            if state.share >= NOTICEABLE:
                worst.append(f"{layer.title}, {state.name}: {percent(100 * state.share)} at the limit")
        if layer.sums:
            drawn.append(_histogram(layer.sums, "argument of sigmoid and tanh", 4096, "beyond ±8, limited to it"))
        if drawn:
            layers.append({"title": layer.title, "charts": drawn})
    words = (
        "A sample beyond the range in use is limited to it. States are 16-bit integers. Sigmoid and tanh are flat "
        "beyond ±8, so a sum that is limited there loses nothing."
    )
    clipped = [named(subject.channels[i]) for i in order.tolist() if found.inputs[i] >= NOTICEABLE]
    if clipped:
        worst.insert(0, f"1 % or more of the samples are beyond the range in {', '.join(clipped[:5])}")
    if worst:
        words += f" Worth a look: {'; '.join(worst)}."
    return {"words": words, "inputs": rows, "left_out": left_out, "layers": layers}


def _histogram(found: Histogram, unit: str, one: int, limit: str) -> dict[str, str]:
    note = f"{percent(100 * found.share)} {limit}"
    return {"svg": charts.histogram(found, unit, one), "caption": found.name.capitalize(), "note": note}


def size(subject: Subject) -> dict[str, Any]:
    """The bytes of each section of the file, the memory, and whether and how fast the model runs on each board."""
    facts = describe(subject.file)
    parts = [(section["tag"], section["bytes"]) for section in facts["sections"]]
    largest = max(count for _, count in [*parts, ("", facts["frame_bytes"])])
    layers = iter(facts["layers"])
    rows = []
    for tag, count in parts:
        tag = tag.rstrip()
        name = SECTIONS.get(tag, "")
        if not name:
            layer = next(layers, None)
            units = f", {layer['units']} units" if layer else ""
            name = f"layer {tag.lower().replace('_', ' ')}{units}"
        rows.append({"name": shown(name), "tag": shown(tag), "bytes": f"{count:,}", "share": f"{100 * count / largest:.1f}"})
    frame = facts["frame_bytes"]
    rows.append({"name": "frame", "tag": "", "bytes": f"{frame:,}", "share": f"{100 * frame / largest:.1f}"})
    words = (
        f"{facts['bytes']:,} bytes in all. In RAM: the file and {facts['buffer_bytes']:,} bytes of buffers, plus Python's "
        f"objects. A step takes {facts['macs']:,} multiply-accumulates."
    )
    view: dict[str, Any] = {"words": words, "rows": rows, "boards": [], "why": ""}
    try:
        model = sizing.model_of(subject.file)
        for board in catalogue.known().values():
            view["boards"].append(_board(subject, catalogue.fit(model, board)))
    except TinyrnnError as error:
        view |= {"boards": [], "why": f"Not known: {shown(error)}"}
    return view


def _board(subject: Subject, fit: Fit) -> dict[str, str]:
    found = step_time.estimates(subject.network, fit.board)
    moods = {FITS: "good", TOO_SMALL: "bad"}
    row = {"name": fit.board.name, "answer": fit.answer, "mood": moods.get(fit.answer, "")}
    for name, key in (("flash", "flash_bytes"), ("heap", "heap_bytes")):
        fact = fit.board.figures.get(key)
        there = "unknown" if fact is None else f"{'≥ ' if fact.at_least else ''}{kilobytes(int(fact.value))}"
        row[name] = f"{kilobytes(getattr(fit.need, key))} / {there}"
    if isinstance(found, str):
        return {**row, "time": found if len(found) < 25 else "not measured", "kernels": ", ".join(fit.kernels[:1])}
    best = found[0]
    text = f"{best.us:.0f} µs" if best.us < 1000 else f"{best.us / 1000:.1f} ms"
    return {**row, "time": f"{text} ±{best.error_pct:.0f} %", "kernels": best.kernels}
