# SPDX-License-Identifier: MIT
"""Tables of an evaluation, shared by `evaluate` and `quantize`. All of them are whole when piped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyrnn.cli import screen
from tinyrnn.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from tinyrnn.data.figures import ClassificationFigures, Figures
    from tinyrnn.quantization.accuracy import Evaluation

MOST_CLASSES = 20  # of a confusion matrix; beyond, only the most frequent mistakes are listed
MOST_MISTAKES = 20
LONGEST = 60  # characters of a name in a table


def show(evaluated: Evaluation, complete: bool = True) -> None:
    """Print the figures, and a sentence if the model does not beat its baselines.

    complete: with the figures of each class and the confusion matrix.
    """
    recording, sequences = evaluated.recording, evaluated.sequences
    for remark in evaluated.match.remarks:
        print(screen.shown(remark))
    what = {"all": "", "train": "training "}.get(evaluated.part, evaluated.part + " ")
    steps = counted(int(sequences.lengths.sum()), "step")
    print(f"{screen.shown(recording.name)}: {counted(len(sequences), what + 'sequence')}, {steps}")
    classes = recording.task == "classification"
    _print(_classification(evaluated) if classes else _regression(evaluated))
    if evaluated.agreement_pct is not None:
        print(f"same decision of float and integer model: {evaluated.agreement_pct:.2f} %")
    if evaluated.largest_difference is not None:
        print(f"largest difference between their outputs: {evaluated.largest_difference:.3g}")
    if complete and classes:
        _print(_by_class(evaluated))
        _show_confusion(evaluated)
    said = evaluated.verdict()
    if said:
        print(screen.shown(said))


def rows(evaluated: Evaluation) -> list[tuple[str, Figures]]:
    """The figures with their names: float, integer, then each baseline."""
    own = [("float", evaluated.float_figures), ("integer", evaluated.integer_figures)]
    found = [(name, figures) for name, figures in own if figures is not None]
    return found + [(baseline.description, figures) for baseline, figures in evaluated.baselines]


def _classification(evaluated: Evaluation) -> Table:
    from tinyrnn.data.figures import ClassificationFigures

    table = _table("model or baseline", "accuracy", "balanced accuracy", "cross-entropy")
    unit = " bits a character" if evaluated.recording.symbols else " bits"
    for name, figures in rows(evaluated):
        assert isinstance(figures, ClassificationFigures), "all are of the recording's kind"
        balanced, bits = f"{figures.balanced_accuracy_pct:.2f} %", f"{figures.cross_entropy_bits:.4f}{unit}"
        table.add_row(screen.shown(name), f"{figures.accuracy_pct:.2f} %", balanced, bits)
    return table


def _regression(evaluated: Evaluation) -> Table:
    from tinyrnn.data.figures import RegressionFigures

    table = _table("target", "model or baseline", "RMSE", "MAE", "R2", texts=2)
    for number, target in enumerate(evaluated.match.labels):
        own = [("float", evaluated.float_figures), ("integer", evaluated.integer_figures)]
        lines = [(name, figures) for name, figures in own if figures is not None]
        # A baseline that has no channel for this target, or no better step, predicts what another one does
        lines += {baseline.words[number]: figures for baseline, figures in evaluated.baselines}.items()
        for row, (name, figures) in enumerate(lines):
            assert isinstance(figures, RegressionFigures), "all are of the recording's kind"
            r2 = figures.r2[number]
            told = (f"{figures.rmse[number]:.5g}", f"{figures.mae[number]:.5g}", "-" if r2 != r2 else f"{r2:.4f}")
            table.add_row("" if row else screen.shown(target), screen.shown(name), *told, end_section=row == len(lines) - 1)
    return table


def _by_class(evaluated: Evaluation) -> Table:
    from tinyrnn.data.figures import ClassificationFigures

    found = [(name, figures) for name, figures in rows(evaluated) if name in ("float", "integer")]
    names = [f"{what}\n{name}" for what in ("precision", "recall", "F1") for name, _ in found]
    table = _table("class", "answers", *names)
    for number, label in enumerate(evaluated.match.labels):
        cells = []
        for what in ("precision", "recall", "f1"):
            for _, figures in found:
                assert isinstance(figures, ClassificationFigures), "the caller has a classification"
                cells.append(f"{getattr(figures, what)[number]:.4f}")
        first = found[0][1]
        assert isinstance(first, ClassificationFigures), "the caller has a classification"
        table.add_row(screen.shown(label), str(first.support[number]), *cells)
    return table


def _show_confusion(evaluated: Evaluation) -> None:
    from tinyrnn.data.figures import ClassificationFigures

    who, figures = [(name, figures) for name, figures in rows(evaluated) if name in ("float", "integer")][-1]
    assert isinstance(figures, ClassificationFigures), "the caller has a classification"
    labels = [screen.shown(label) for label in figures.labels]
    if len(labels) <= MOST_CLASSES:
        for headings in (labels, [str(i + 1) for i in range(len(labels))]):  # long names make a table too wide
            numbered = headings is not labels
            table = _matrix(figures, headings, numbered)
            if _width(table) <= max(screen.console().width, 80) or numbered:
                print(f"confusion matrix of the {who} model: row = true class, column = decision")
                _print(table)
                return
    _show_mistakes(who, figures)


def _matrix(figures: ClassificationFigures, headings: list[str], numbered: bool) -> Table:
    table = _table("true class", *headings)
    for number, (label, row) in enumerate(zip(figures.labels, figures.confusion.tolist(), strict=True)):
        title = screen.shown(f"{number + 1} {label}" if numbered else label)
        table.add_row(title, *("." if not n else str(n) for n in row))
    return table


def _show_mistakes(who: str, figures: ClassificationFigures) -> None:
    """The most frequent mistakes, the first of equals first."""
    found = [
        (n, figures.labels[i], figures.labels[j])
        for i, row in enumerate(figures.confusion.tolist())
        for j, n in enumerate(row)
        if n and i != j
    ]
    found.sort(key=lambda item: -item[0])
    if not found:
        print(f"the {who} model makes no mistake")
        return
    told = f", the {MOST_MISTAKES} most frequent of {len(found)} kinds" * (len(found) > MOST_MISTAKES)
    print(f"mistakes of the {who} model{told}")
    table = _table("true class", "decision", "times", texts=2)
    for n, label, decision in found[:MOST_MISTAKES]:
        table.add_row(screen.shown(label), screen.shown(decision), str(n))
    _print(table)


def _table(*headings: str, texts: int = 1) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, heading in enumerate(headings):
        text = number < texts
        table.add_column(heading, justify="left" if text else "right", no_wrap=True, max_width=LONGEST if text else None)
    return table


def _width(table: Table) -> int:
    from rich.measure import Measurement

    console = screen.console(width=10_000)
    return Measurement.get(console, console.options, table).maximum


def _print(table: Table) -> None:
    console = screen.console()
    # A pipe has no width, and a number that is cut is worse than a long line
    screen.console(width=max(console.width, _width(table))).print(table)


def facts(evaluated: Evaluation) -> dict[str, Any]:
    """All figures as plain values for JSON."""
    recording, sequences, labels = evaluated.recording, evaluated.sequences, evaluated.match.labels
    return {
        "recording": recording.name,
        "task": recording.task,
        "when": recording.when,
        "labels": list(labels),
        "sequences": len(sequences),
        "steps": int(sequences.lengths.sum()),
        "answers": len(sequences.all_y()),
        "float": _plain(evaluated.float_figures),
        "integer": _plain(evaluated.integer_figures),
        "agreement_pct": evaluated.agreement_pct,
        "largest_difference": evaluated.largest_difference,
        "baselines": [
            {"name": baseline.name, "description": baseline.description, **(_plain(figures) or {})}
            for baseline, figures in evaluated.baselines
        ],
        "verdict": evaluated.verdict(),
        "remarks": [*recording.remarks, *evaluated.match.remarks],
    }


def _plain(figures: Figures | None) -> dict[str, Any] | None:
    """The figures as plain values; null for those that are not defined."""
    import math

    from tinyrnn.data.figures import ClassificationFigures

    if figures is None:
        return None
    names = ("rmse", "mae", "r2")
    if isinstance(figures, ClassificationFigures):
        names = ("precision", "recall", "f1")
    arrays = {name: getattr(figures, name).tolist() for name in names}
    if isinstance(figures, ClassificationFigures):
        arrays["support"] = figures.support.tolist()
        arrays["confusion"] = figures.confusion.tolist()
    else:
        arrays = {name: [None if math.isnan(value) else value for value in values] for name, values in arrays.items()}
    numbers = {name: None if math.isnan(value) else value for name, value in figures.entries("").items()}
    if not isinstance(figures, ClassificationFigures):
        numbers = {"overall_" + name: value for name, value in numbers.items()}
    return {**numbers, **arrays}
