# SPDX-License-Identifier: MIT
"""Shorten Python source for a board: the same program without comments and docstrings."""

from __future__ import annotations

import ast
import re


def strip(source: str) -> str:
    """The source without comments, docstrings and blank lines, indented by one space. All other statements stay."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    # One space per level, unless this would change a string of several lines
    short = re.sub(r"^(?: {4})+", lambda indent: " " * (len(indent[0]) // 4), text, flags=re.MULTILINE)
    return short if ast.dump(ast.parse(short)) == ast.dump(ast.parse(text)) else text
