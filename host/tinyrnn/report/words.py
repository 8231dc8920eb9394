# SPDX-License-Identifier: MIT
"""Figures and names as the page shows them."""

from __future__ import annotations

import math

from tinyrnn.text import shown

LONGEST = 60  # characters of a name


def percent(value: float) -> str:
    """A percentage with one digit after the point, but never 0.0 or 100.0 for one that is not."""
    text = f"{value:.1f} %"
    if text == "0.0 %" and value > 0:
        return "< 0.1 %"
    return "> 99.9 %" if text == "100.0 %" and value < 100 else text


def number(value: float) -> str:
    """A figure in a target's unit, with three significant digits or more."""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:#.3g}".rstrip(".")


def named(name: object, longest: int = LONGEST) -> str:
    """A name from a file: with control characters escaped, and shortened if it is long."""
    text = shown(name)
    return text if len(text) <= longest else text[: longest - 1] + "…"
