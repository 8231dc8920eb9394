# SPDX-License-Identifier: MIT
"""The top of the report: what the model is, whether it is any good, and its figures beside the baselines'."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyrnn.data.baselines import Baseline
from tinyrnn.data.figures import ClassificationFigures, RegressionFigures
from tinyrnn.report.subject import FLOAT, INTEGER, Subject
from tinyrnn.report.words import named, number, percent
from tinyrnn.text import counted, shown

MOST_TARGETS = 20  # in the table
MOST_LINES = 6  # about targets
MODEL_NAMES = {INTEGER: "integer model", FLOAT: "float model"}


def facts(subject: Subject) -> str:
    """The line below the title: task, layers, size."""
    network = subject.network
    cells = " + ".join(f"{cell.title} {cell.units}" for cell in network.cells)
    inputs, outputs = counted(network.inputs, "input"), counted(network.outputs, "output")
    when = "at each step" if subject.recording.when == "every" else "at the end of a sequence"
    return f"{subject.recording.task} {when} · {inputs} → {cells} → {outputs} · {len(subject.file.data):,} bytes"


def view(subject: Subject) -> dict[str, Any]:
    """The variables of the section for the template."""
    about = [
        (
            "recording",
            f"{named(subject.recording.name)}, {subject.evaluation.part} part: {subject.counts}, {_lengths(subject)}",
        ),
        ("split", shown(subject.recording.split)),
    ]
    if subject.recording.horizon:
        about.append(("horizon", f"predicts {counted(subject.recording.horizon, 'step')} ahead"))
    quantized = "" if subject.source == str(subject.file.path) else ", quantized for this report"
    about.append(("model", shown(subject.source) + quantized))
    make = _classification if subject.classification else _regression
    return {
        **make(subject),
        "about": about,
        "remarks": [
            shown(remark) for remark in (*subject.notes, *subject.recording.remarks, *subject.evaluation.match.remarks)
        ],
    }


def _lengths(subject: Subject) -> str:
    low, high = int(subject.sequences.lengths.min()), int(subject.sequences.lengths.max())
    return counted(low, "step") + " each" if low == high else f"{low:,} to {high:,} steps each"


def _of_class(figures: object) -> ClassificationFigures:
    assert isinstance(figures, ClassificationFigures), "the figures of a classification"
    return figures


def _of_targets(figures: object) -> RegressionFigures:
    assert isinstance(figures, RegressionFigures), "the figures of a regression"
    return figures


def _classification(subject: Subject) -> dict[str, Any]:
    own = _of_class(subject.figures[INTEGER])
    things = "steps" if subject.recording.when == "every" else "sequences"
    right = int(own.confusion.trace())
    lines = [f"The integer model is right in {right:,} of {own.count:,} {things} ({percent(own.accuracy_pct)})."]
    tiles = [_tile("integer model", percent(own.accuracy_pct), f"{right:,} of {own.count:,} {things} right")]
    if FLOAT in subject.figures:
        other = _of_class(subject.figures[FLOAT])
        tiles.append(_tile("float model", percent(other.accuracy_pct), f"{int(other.confusion.trace()):,} right"))
    for baseline, figures in subject.baselines:
        accuracy = _of_class(figures).accuracy_pct
        tiles.append(_tile("baseline", percent(accuracy), named(baseline.description)))
        if _verdict(subject) is None and subject.recording.symbols:
            bits = f"{own.cross_entropy_bits:.3f} bits a character, {named(baseline.description)} needs"
            lines.append(f"It beats its baseline: it needs {bits} {_of_class(figures).cross_entropy_bits:.3f}.")
        elif _verdict(subject) is None:
            lines.append(f"It beats its baseline: {named(baseline.description)} is right in {percent(accuracy)}.")
    lines += filter(None, [_verdict(subject)])
    agreement = subject.evaluation.agreement_pct
    if agreement is not None:
        equal = round(own.count * agreement / 100)
        lines.append(f"The integers decide as the float model in {equal:,} of {own.count:,} {things}.")
        tiles.append(_tile("same decision", percent(agreement), "float and integer model"))
    tiles.append(_tile("model file", f"{len(subject.file.data):,} B", "on the board"))
    rows = [_row(MODEL_NAMES[name], "", _class_cells(figures), True) for name, figures in subject.figures.items()]
    rows += [_row(each.name, named(each.description), _class_cells(figures)) for each, figures in subject.baselines]
    entropy = "bits a character" if subject.recording.symbols else "cross-entropy, bits"
    return {
        "verdict": {"mood": "bad" if _verdict(subject) else "good", "lines": lines},
        "tiles": tiles,
        "table": {"heads": ["accuracy", "balanced accuracy", entropy], "rows": rows},
    }


def _verdict(subject: Subject) -> str | None:
    """The sentence for a model that does not beat its baseline."""
    text = subject.evaluation.verdict()
    return f"{text[:1].upper()}{shown(text[1:])}." if text else None


def _class_cells(figures: object) -> list[str]:
    found = _of_class(figures)
    return [percent(found.accuracy_pct), percent(found.balanced_accuracy_pct), f"{found.cross_entropy_bits:.3f}"]


def _regression(subject: Subject) -> dict[str, Any]:
    own = _of_targets(subject.figures[INTEGER])
    best: list[tuple[float, Baseline]] = []
    for target in range(len(own.targets)):
        errors = [(float(_of_targets(figures).rmse[target]), baseline) for baseline, figures in subject.baselines]
        best.append(min(errors, key=lambda each: each[0]))
    wins = [bool(own.rmse[i] < error) for i, (error, _) in enumerate(best)]
    many = len(wins) > 1
    lines = [
        f"{named(own.targets[i]) + ': the' if many else 'The'} integer model beats its best baseline: RMSE "
        f"{number(own.rmse[i])} against {number(error)} ({named(baseline.words[i])})."
        for i, (error, baseline) in list(enumerate(best))[:MOST_LINES]
        if wins[i]
    ]
    if len(best) > MOST_LINES:
        lines.append(f"It beats the best baseline in {sum(wins)} of {len(wins)} targets.")
    lines += filter(None, [_verdict(subject)])
    tiles = []
    for i, (error, baseline) in list(enumerate(best))[:2]:
        name = f"{named(own.targets[i])}: " if many else ""
        tiles.append(_tile(f"{name}integer model", number(own.rmse[i]), "RMSE"))
        if FLOAT in subject.figures and not many:
            tiles.append(_tile("float model", number(_of_targets(subject.figures[FLOAT]).rmse[i]), "RMSE"))
        tiles.append(_tile(f"{name}{baseline.name}", number(error), "RMSE of the best baseline"))
    if FLOAT in subject.measured:
        apart = np.abs(subject.measured[INTEGER].outputs - subject.measured[FLOAT].outputs)
        share = 100 * float((apart / subject.recording.target_std).mean())
        lines.append(f"Float and integer model differ by {share:.2g} % of a target's standard deviation on average.")
    tiles.append(_tile("model file", f"{len(subject.file.data):,} B", "on the board"))
    rows = []
    for i, title in list(enumerate(own.targets))[:MOST_TARGETS]:
        prefix = f"{named(title)}: " if many else ""
        for model, of_model in subject.figures.items():
            rows.append(_row(prefix + MODEL_NAMES[model], "", _target_cells(of_model, i), True))
        for each, found in subject.baselines:
            rows.append(_row(prefix + each.name, named(each.words[i]), _target_cells(found, i)))
    return {
        "verdict": {"mood": "good" if all(wins) else "even" if any(wins) else "bad", "lines": lines},
        "tiles": tiles,
        "table": {"heads": ["RMSE", "mean absolute error", "R²"], "rows": rows},
    }


def _target_cells(figures: object, target: int) -> list[str]:
    found = _of_targets(figures)
    return [number(found.rmse[target]), number(found.mae[target]), f"{round(float(found.r2[target]), 3) + 0.0:.3f}"]


def _tile(what: str, figure: str, note: str) -> dict[str, str]:
    return {"what": what, "figure": figure, "note": note}


def _row(name: str, note: str, cells: list[str], model: bool = False) -> dict[str, Any]:
    return {"name": name, "note": note, "cells": cells, "model": model}
