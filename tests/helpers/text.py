# SPDX-License-Identifier: MIT
"""What a terminal may show."""

from __future__ import annotations


def printable(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)
