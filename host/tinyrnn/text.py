# SPDX-License-Identifier: MIT
"""Text for people: counts, sizes, and names whose characters may not be printable."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun: "1 file", "2 files"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def kilobytes(size: int) -> str:
    """A size in units of 1000 bytes, such as "12.3 kB"; "-" for -1, which means unknown."""
    if size < 0:
        return "-"
    return f"{size} B" if size < 1000 else f"{size / 1000:.1f} kB" if size < 10_000_000 else f"{size / 1e6:.0f} MB"


def shown(text: object, keep: str = "") -> str:
    """text with each character that is not printable escaped, except those in keep.

    These are control and format characters, line ends and lone surrogates. A byte of a file name that is not UTF-8 is
    shown as that byte.
    """
    string = str(text)
    if string.isprintable():
        return string
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in string)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's surrogateescape of a byte in a file name
        code -= 0xDC00
    if character in "\n\r\t":
        return repr(character)[1:-1]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
