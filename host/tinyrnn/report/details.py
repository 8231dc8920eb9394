# SPDX-License-Identifier: MIT
"""The middle of the report: learning curves, decisions or predictions, time, the worst sequences, calibration."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from tinyrnn.data.figures import ClassificationFigures, RegressionFigures
from tinyrnn.float_model.model import FloatModel
from tinyrnn.report import charts
from tinyrnn.report.calibration import reliability
from tinyrnn.report.measurement import probabilities
from tinyrnn.report.subject import FLOAT, INTEGER, Subject
from tinyrnn.report.words import named, number, percent
from tinyrnn.report.worst import Piece, worst
from tinyrnn.text import counted

MOST_EPOCHS = 100_000  # in a history that is believed
MOST_CLASSES = 24  # in a confusion matrix
MOST_ROWS = 100  # of classes in a table
MOST_CONFUSED = 10  # pairs of classes
MOST_TARGETS = 6  # with charts
MOST_PIECES = 6  # of the worst
MOST_RUNS = 5  # of equal decisions that are listed
MOST_CHANNELS = 6  # drawn of a sequence
TITLES = {INTEGER: "Integer model", FLOAT: "Float model"}


# ---- learning curves


def learning(model: FloatModel | None) -> dict[str, Any]:
    """The learning curves that the trainer stored in the model."""
    absent = {"svg": "", "figure": "", "figure_title": ""}
    if model is None:
        return {**absent, "words": "Not known: they are in the float model, which was not given."}
    history = _history(model.info.get("history"))
    if history is None:
        return {**absent, "words": "Not known: the model file has none, as for an imported network."}
    best = model.info.get("best_epoch")
    validated = bool(np.isfinite(history[:, 2]).any())
    best = best if validated and isinstance(best, int) and history[0, 0] <= best <= history[-1, 0] else None
    words = f"Trained for {counted(int(history[-1, 0]), 'epoch')}."
    if best is not None:
        words += f" Epoch {best:,} was the best on the validation part."
        settings = model.info.get("settings")
        if isinstance(settings, dict) and settings.get("refit"):
            words += f" Then the network was trained again on all training sequences, for {counted(best, 'epoch')}."
        else:
            words += " Its weights were kept."
    elif not validated:
        words += " There was no validation part, so the last weights were kept."
    view: dict[str, Any] = {**absent, "words": words, "svg": charts.curves(history, best)}
    if np.isfinite(history[:, 3]).any():
        share = model.task == "classification"
        view["figure_title"] = "Accuracy on the validation part" if share else "RMSE on the validation part"
        view["figure"] = charts.progress(history[:, 0], history[:, 3], best, view["figure_title"], share)
    return view


def _history(raw: object) -> np.ndarray | None:
    """(E, 4) epoch, training loss, validation loss, validation figure; nan for None. None if it is not such a list."""
    if not isinstance(raw, (list, tuple)) or not 0 < len(raw) <= MOST_EPOCHS:
        return None
    try:
        rows = [[math.nan if value is None else float(value) for value in list(row)[:4]] for row in raw]
        found = np.array([row + [math.nan] * (4 - len(row)) for row in rows], np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    whole = np.isfinite(found[:, 0]).all() and (np.diff(found[:, 0]) > 0).all() and np.abs(found[:, 0]).max() < 1e9
    return found if whole else None


# ---- decisions and predictions


def classes(subject: Subject) -> dict[str, Any] | None:
    """The confusion matrices and the figures of each class; None for a regression."""
    if not subject.classification:
        return None
    labels = [named(label) for label in subject.labels]
    found: dict[str, ClassificationFigures] = {}
    for name, figures in subject.figures.items():
        assert isinstance(figures, ClassificationFigures), "the figures of a classification"
        found[name] = figures
    own = found[INTEGER]
    view: dict[str, Any] = {"labels": labels, "matrices": [], "confused": []}
    if len(labels) <= MOST_CLASSES:
        view["matrices"] = [_matrix(TITLES[name], labels, figures) for name, figures in found.items()]
    else:
        view["confused"] = _confused(labels, own)
    longest = max(map(len, labels))
    view["many"] = longest > 12 or (len(labels) > 8 and longest > 2)
    view["heads"] = [
        head + ("" if name == INTEGER else ", float") for name in found for head in ("precision", "recall", "F1")
    ]
    rows = []
    order = np.argsort(own.recall, kind="stable") if len(labels) > MOST_ROWS else np.arange(len(labels))
    for i in order[:MOST_ROWS].tolist():
        cells = []
        for figures in found.values():
            said = bool(figures.confusion[:, i].any())
            cells.append(percent(100 * figures.precision[i]) if said else "never said")
            there = bool(figures.support[i])
            cells.append(percent(100 * figures.recall[i]) if there else "-")
            cells.append(percent(100 * figures.f1[i]) if said or there else "-")
        rows.append({"label": labels[i], "support": f"{int(own.support[i]):,}", "cells": cells})
    view["rows"] = rows
    view["left_out"] = f"the {MOST_ROWS} of {len(labels)} with the smallest recall" if len(labels) > MOST_ROWS else ""
    return view


def _matrix(title: str, labels: list[str], figures: ClassificationFigures) -> dict[str, Any]:
    rows = []
    for i, label in enumerate(labels):
        support = int(figures.support[i])
        cells = []
        for j, count in enumerate(figures.confusion[i].tolist()):
            kind = "" if not count else "right" if i == j else "wrong"
            cells.append({"count": f"{count:,}" if count else "", "share": f"{count / max(support, 1):.3f}", "kind": kind})
        rows.append({"label": label, "cells": cells, "recall": percent(100 * figures.recall[i]) if support else "-"})
    return {"title": title, "note": f"{percent(figures.accuracy_pct)} right", "rows": rows}


def _confused(labels: list[str], figures: ClassificationFigures) -> list[dict[str, str]]:
    wrong = figures.confusion.copy()
    np.fill_diagonal(wrong, 0)
    found = []
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSED].tolist():
        i, j = divmod(flat, len(labels))
        if wrong[i, j]:
            share = percent(100 * int(wrong[i, j]) / int(figures.support[i]))
            found.append({"true": labels[i], "said": labels[j], "count": f"{int(wrong[i, j]):,}", "share": share})
    return found


def targets(subject: Subject) -> dict[str, Any]:
    """Predicted against true values of each target of a regression."""
    names = subject.labels
    answers = subject.sequences.all_y()
    view: list[dict[str, str]] = []
    for i, name in list(enumerate(names))[:MOST_TARGETS]:
        said = {model: each.outputs[:, i] for model, each in reversed(subject.measured.items())}
        own = subject.figures[INTEGER]
        assert isinstance(own, RegressionFigures), "the figures of a regression"
        note = f"R² {own.r2[i]:.3f}" if math.isfinite(own.r2[i]) else ""
        view.append({"svg": charts.against(answers[:, i], said, named(name)), "caption": named(name), "note": note})
    left_out = f"Only the first {MOST_TARGETS} of {len(names)} targets are drawn." if len(names) > MOST_TARGETS else ""
    return {"charts": view, "left_out": left_out}


# ---- along a sequence


def time(subject: Subject) -> dict[str, Any]:
    """The share of right decisions, or the RMSE, at each step of a sequence."""
    over = {name: each.over_time for name, each in reversed(subject.measured.items())}
    if subject.recording.when == "last":
        words = "What the model would say if it were asked before the end of a sequence."
    else:
        words = "How good the output is at each step since the start of a sequence, where the state is zero."
    if subject.classification:
        caption = "Right decisions"
        view = [{"svg": charts.over_time(subject.axis, over, caption, True), "caption": caption, "note": ""}]
        return {"words": words, "charts": view}
    view = []
    for i, name in list(enumerate(subject.labels))[:MOST_TARGETS]:
        lines = {model: values[:, i] for model, values in over.items()}
        caption = f"{named(name)}: RMSE"
        view.append({"svg": charts.over_time(subject.axis, lines, caption, False), "caption": caption, "note": ""})
    return {"words": words, "charts": view}


# ---- the worst


def worst_pieces(subject: Subject) -> dict[str, Any]:
    """The sequences with the largest loss of the integer model, with what was said of them."""
    recording = subject.recording
    found = worst(subject, MOST_PIECES)
    thing = "sequences" if recording.when == "last" else "stretches of at most 200 steps"
    words = f"The {thing} with the largest loss of the integer model, worst first."
    if recording.symbols and recording.when == "every":
        words += " The darker a character, the less the model expected it after the ones before."
    elif subject.classification:
        words += " Below the inputs: the probability of the true class, and in red that of the class said, if it is another."
    else:
        words += " Below the inputs: the prediction at each step, and the true value as a dotted line."
    text = bool(recording.symbols and recording.when == "every" and subject.classification)
    return {"words": words, "text": text, "pieces": [_piece(subject, piece, text) for piece in found]}


def _piece(subject: Subject, piece: Piece, text: bool) -> dict[str, Any]:
    recording = subject.recording
    unit = "bits" if subject.classification else "variances"
    name = named(piece.name) + (f", from step {piece.start:,}" if recording.when == "every" and piece.start else "")
    view: dict[str, Any] = {"name": name, "loss": f"loss {number(piece.loss)} {unit}", "said": [], "characters": []}
    if text:
        shares = probabilities(piece.outputs[INTEGER])[np.arange(len(piece.x)), piece.y]
        levels = np.digitize(-np.log2(np.maximum(shares, 1e-12)), [2, 4, 7, 10])
        view["characters"] = [(_mark(subject.labels[int(y)]), int(level)) for y, level in zip(piece.y, levels, strict=True)]
        return view
    lines = _class_lines(subject, piece, view) if subject.classification else _target_lines(subject, piece, view)
    spread = piece.x.std(axis=0) / subject.spread
    order = sorted(np.argsort(-spread, kind="stable")[:MOST_CHANNELS].tolist())
    names = [named(subject.channels[i]) for i in order]
    if len(order) < len(subject.channels):
        view["said"].append(("inputs", f"the {len(order)} of {len(subject.channels)} that vary most"))
    what = f"{name}: inputs over time, and what was said"
    view["svg"] = charts.traces(piece.x[:, order], names, piece.start, lines, what, subject.classification)
    return view


def _class_lines(subject: Subject, piece: Piece, view: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
    """The lines of a classification; adds what was said to the view."""
    labels = [named(label) for label in subject.labels]
    shares = {name: probabilities(outputs) for name, outputs in piece.outputs.items()}
    steps = np.arange(len(piece.x))
    truth = np.broadcast_to(piece.y, len(steps))
    own = shares[INTEGER]
    if subject.recording.when == "last":
        view["said"].append(("true", labels[int(piece.y)]))
        for name, each in shares.items():
            said = int(each[-1].argmax())
            view["said"].append((TITLES[name].lower(), f"{labels[said]}, {percent(100 * each[-1, said])}"))
        said = int(own[-1].argmax())
        other = own[:, said] if said != int(piece.y) else None
    else:
        view["said"].append(("true", _runs(truth, labels)))
        for name, each in shares.items():
            view["said"].append((TITLES[name].lower(), _runs(each.argmax(axis=1), labels)))
        wrong = own.argmax(axis=1) != truth
        other = np.where(wrong, own.max(axis=1), np.nan) if wrong.any() else None
    lines = [(each[steps, truth], name) for name, each in reversed(shares.items())]
    if other is not None:
        lines.append((other, "other"))
    return lines


def _runs(decisions: np.ndarray, labels: list[str]) -> str:
    """Decisions (T,) in words, with the number of steps: "walk 12, run 3, walk 5"."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(decisions)) + 1, [len(decisions)]])
    parts = [f"{named(labels[int(decisions[a])], 24)} {b - a}" for a, b in pairwise(starts)]
    return ", ".join(parts[:MOST_RUNS]) + (f", … {len(parts) - MOST_RUNS} more" if len(parts) > MOST_RUNS else "")


def _target_lines(subject: Subject, piece: Piece, view: dict[str, Any]) -> list[tuple[np.ndarray, str]]:
    """The lines of the target that is worst; adds what was said to the view."""
    recording = subject.recording
    truth = np.broadcast_to(piece.y, piece.outputs[INTEGER].shape)
    counting = slice(-1, None) if recording.when == "last" else slice(None)
    error = np.square((piece.outputs[INTEGER] - truth)[counting] / recording.target_std).mean(axis=0)
    target = int(error.argmax())
    if len(subject.labels) > 1:
        view["said"].append(("target", named(subject.labels[target])))
    if recording.when == "last":
        view["said"].append(("true", number(truth[-1, target])))
        for name, outputs in piece.outputs.items():
            view["said"].append((TITLES[name].lower(), number(outputs[-1, target])))
    lines = [(truth[:, target], "true")]
    return lines + [(each[:, target], name) for name, each in reversed(piece.outputs.items())]


def _mark(symbol: str) -> str:
    """A character that can be seen: a line end as a sign before it."""
    return {"\n": "↵\n", "\t": "→", "\r": "␍", " ": " "}.get(symbol) or named(symbol)


# ---- trust


def trust(subject: Subject) -> dict[str, Any]:
    """The reliability of the probabilities, or the distribution of the errors."""
    answers = subject.sequences.all_y()
    if subject.classification:
        found = {name: reliability(each.outputs, answers) for name, each in reversed(subject.measured.items())}
        errors = ", ".join(f"{percent(100 * found[name].expected_error)} ({name})" for name in subject.measured)
        words = (
            "On the dotted line, a decision with a probability of 80 % is right in 8 of 10 cases; below it the model is too "
            f"sure. Mean distance from the line (expected calibration error): {errors}."
        )
        svg = charts.calibration(found)
        return {"title": "Calibration", "words": words, "charts": [{"svg": svg, "caption": "Reliability", "note": ""}]}
    view = []
    for i, name in list(enumerate(subject.labels))[:MOST_TARGETS]:
        errors_of = {model: each.outputs[:, i] - answers[:, i] for model, each in reversed(subject.measured.items())}
        own = errors_of[INTEGER]
        note = f"mean {number(float(own.mean()))}, 90 % within ±{number(float(np.quantile(np.abs(own), 0.9)))}"
        view.append({"svg": charts.residuals(errors_of, named(name)), "caption": named(name), "note": note})
    words = "Predicted less true value. A mean far from 0 is a bias. The ends hold all that is further out."
    return {"title": "Distribution of the error", "words": words, "charts": view}
