# SPDX-License-Identifier: MIT
"""The page: the sections in their order, in one HTML file that loads nothing."""

from __future__ import annotations

from pathlib import Path

from tinyrnn import __version__
from tinyrnn.report import details, sizes, summary
from tinyrnn.report.subject import FLOAT, Subject
from tinyrnn.report.words import named


def render(subject: Subject) -> bytes:
    """The HTML file of a report, UTF-8."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    trust = details.trust(subject)
    variables = {
        "title": named(subject.network.name or subject.file.path.stem),
        "version": __version__,
        "style": Markup((here / "page.css").read_text(encoding="utf-8").split("*/\n", 1)[1]),
        "both": FLOAT in subject.measured,
        "contents": [
            ("summary", "Summary"),
            ("learning", "Learning curves"),
            ("outputs", "Decisions" if subject.classification else "Predictions"),
            ("time", "Along a sequence"),
            ("worst", "Where it is worst"),
            ("trust", trust["title"]),
            ("range", "Range of the integers"),
            ("size", "Size and speed"),
        ],
        "facts": summary.facts(subject),
        **summary.view(subject),
        "learning": details.learning(subject.model),
        "classes": details.classes(subject),
        "targets": None if subject.classification else details.targets(subject),
        "time": details.time(subject),
        "worst": details.worst_pieces(subject),
        "trust": trust,
        "saturation": sizes.saturation(subject),
        "size": sizes.size(subject),
        "footer": f"Written by tinyrnn {__version__}. This page loads nothing and runs no script.",
    }
    return environment.get_template("page.html").render(variables).encode("utf-8", "replace")
