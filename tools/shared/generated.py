# SPDX-License-Identifier: MIT
"""Generated files and generated parts of pages: written by a tool, compared by its --check."""

from __future__ import annotations

import sys
from pathlib import Path

from tinyrnn.errors import TinyrnnError

from shared.records import write_text


def between(text: str, name: str, body: str, page: object) -> str:
    """The text with a new body between <!-- name --> and <!-- /name -->. Raises TinyrnnError unless each occurs once.

    page: the name of the text for the message.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise TinyrnnError(f"{page}: expected {begin} and, after it, {end}, once each")
    head, rest = text.split(begin)
    return f"{head}{begin}\n{body}\n{end}{rest.split(end)[1]}"


def update(path: Path, text: str, check: bool, stale: str) -> int:
    """Write a generated file if its text changed. With check, change nothing, print `stale` and return 1; else 0."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return 0
    if check:
        print(stale, file=sys.stderr)
        return 1
    write_text(path, text)
    return 0
