#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the table of the layers' sections in docs/format.md: sections.py [--check].

Each layer has a module in device/urnn. Its docstring describes the section: 'Section b"GRU": u16 inputs I, ...'.
--check    change nothing; exit status 1 when the table does not match the modules
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

from shared import records
from shared.generated import between, update
from shared.paths import DOCS, PACKAGE
from shared.records import TinyrnnError

PAGE = DOCS / "format.md"


def layers(package: Path = PACKAGE) -> dict[str, tuple[str, str]]:
    """Name of the section -> (its payload in words, its equations), for every module with a function cell()."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(package.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "cell" for node in tree.body):
            text = ast.get_docstring(tree) or ""
            said = re.search(r'^Section b"(\w+)": (.+?)(\n\n|\Z)', text, re.MULTILINE | re.DOTALL)
            if not said or said[1] != path.stem.upper():
                raise TinyrnnError(f'{path}: its docstring has no paragraph that starts: Section b"{path.stem.upper()}":')
            numbers = re.search(r"equations? ((?:\d+|, | to | and )+)", text)
            found[said[1]] = " ".join(said[2].split()).rstrip("."), numbers[1].strip() if numbers else ""
    return found


def table() -> str:
    """The table in Markdown."""
    rows = [f"| `{name}` | {payload} | {equations} |" for name, (payload, equations) in layers().items()]
    return "\n".join(["| section | payload | equations |", "|---|---|---|", *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the table of the layers' sections in docs/format.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with status 1 when the table is stale")
    args = parser.parse_args()
    page = between(PAGE.read_text(encoding="utf-8"), "layers", table(), PAGE.name)
    stale = f"{PAGE.name} has a table that does not match the modules of device/urnn; run tools/sections.py"
    return update(PAGE, page, args.check, stale)


if __name__ == "__main__":
    records.finish(main)
