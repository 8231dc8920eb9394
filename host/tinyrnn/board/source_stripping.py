# SPDX-License-Identifier: MIT
"""Python for a board: the same program without what only readers need."""

from __future__ import annotations

import ast
import re


def strip(source: str) -> str:
    """source without comments, docstrings and blank lines; the statements and their order are the same."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
    text = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    # One space a level. A string that holds a line of its own would change: then it stays as it is
    short = re.sub(r"^(?: {4})+", lambda indent: " " * (len(indent[0]) // 4), text, flags=re.MULTILINE)
    return short if ast.dump(ast.parse(short)) == ast.dump(ast.parse(text)) else text
