"""Figures and counts for people."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """ "1 file", "2 files"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def kilobytes(size: int) -> str:
    """ "12.3 kB", of 1000 bytes; "-" for -1, which is a board that cannot say."""
    if size < 0:
        return "-"
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"
