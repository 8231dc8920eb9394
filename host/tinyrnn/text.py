# SPDX-License-Identifier: MIT
"""Text for people: counts and sizes."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 file", "2 files"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def kilobytes(size: int) -> str:
    """A size in units of 1000 bytes, such as "12.3 kB"; "-" for -1, which means unknown."""
    if size < 0:
        return "-"
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"
