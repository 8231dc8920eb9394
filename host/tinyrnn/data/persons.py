# SPDX-License-Identifier: MIT
"""Whom, or which session, each file of a folder was recorded from: told by its place or by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tinyrnn.errors import DataError

PERSON, LABEL = "PERSON", "LABEL"  # in a pattern of --split group:PATTERN
_WORD = re.compile(
    r"(user|subject|subj|sub|person|participant|proband|patient|student|volunteer|player|worker|driver|session|recording|"
    r"record|rec|day|trial|id|s|p|u|v)[ _.-]*\d+[a-z]?",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")


def by_pattern(folder: Path, paths: Sequence[Path], pattern: str) -> list[tuple[str, str]]:
    """(person, label) of each file; the label is "" where the pattern does not tell it.

    A pattern with PERSON, such as "PERSON/LABEL" or "PERSON_*", is matched with the file's path in the folder, without
    its suffix. PERSON and LABEL stand for at least one character, * for any number, none of them "/". It may leave out
    the file's name, or, without "/", all but that. Any other pattern is a regular expression, searched in the path: its
    first pair of parentheses holds the person, or all of it does. Raises DataError for a file that does not match.
    """
    if PERSON in pattern:
        expression, search = _compiled(pattern), re.Pattern.fullmatch
    else:
        try:
            expression, search = re.compile(pattern), re.Pattern.search
        except re.error as error:
            raise DataError(
                f"{pattern!r} is neither a column nor a regular expression ({error}); expected --split group:COLUMN or a"
                " pattern such as --split 'group:PERSON_*'"
            ) from None
    found = []
    for path in paths:
        relative = path.relative_to(folder)
        name = relative.with_suffix("").as_posix()
        match = search(expression, name)
        if match is None and PERSON in pattern:
            inner = relative.parent.as_posix() if "/" in pattern else relative.stem
            match = search(expression, inner)
        if match is None or not _person(match):
            raise DataError(
                f"{path}: {name!r} does not match {pattern!r}, which is to tell persons apart; expected it to: rename the"
                " file or give another pattern, such as --split 'group:PERSON_*' for anna_03.csv"
            )
        found.append((_person(match), match.groupdict().get("label") or ""))
    return found


def _person(match: re.Match[str]) -> str:
    if "person" in match.groupdict():
        return match["person"]
    return (match[1] if match.re.groups else match[0]) or ""


def _compiled(pattern: str) -> re.Pattern[str]:
    kinds = {PERSON: "(?P<person>[^/]+?)", LABEL: "(?P<label>[^/]+?)", "*": "[^/]*"}
    pieces = re.split(f"({PERSON}|{LABEL}|\\*)", pattern)
    for kind in (PERSON, LABEL):
        if pieces.count(kind) > 1:
            raise DataError(f"split is 'group:{pattern}', with {kind} twice; expected it once")
    return re.compile("".join(kinds.get(piece) or re.escape(piece) for piece in pieces))


def by_names(folder: Path, files: Sequence[tuple[Path, str]]) -> list[str]:
    """The person of each (path, label), from names such as anna_03.csv, user01-walk-2.csv or walk_anna_1.csv.

    It is the text before the first "_", "-", "." or space, after the label if the name begins with that. Raises DataError
    unless every name has one, and there are at least two persons, fewer than files.
    """
    found = []
    for path, label in files:
        first, *rest = [piece for piece in re.split(r"[-_. ]+", path.stem) if piece] or [""]
        if label and first.casefold() == label.casefold() and rest:  # walk_03.csv tells the label and a number
            first, *rest = rest
        found.append(first if rest else "")
    if "" in found or not 2 <= len(set(found)) < len(found):
        odd = files[found.index("")][0].name if "" in found else files[0][0].name
        raise DataError(
            f"{folder}: split by group, but the names of the files, such as {odd}, do not tell persons apart; expected names"
            " such as anna_03.csv, a folder for each person, or a pattern such as --split 'group:PERSON_*'"
        )
    return found


def outer_is_person(outer: set[str], inner: set[str]) -> bool | None:
    """Of two levels of folders, whether the outer one is the person's and not the label's; None if that is unclear."""
    for kind in (_WORD, _NUMBER):
        outside, inside = (all(kind.fullmatch(name) for name in names) for names in (outer, inner))
        if outside != inside:
            return outside
    return None
