# SPDX-License-Identifier: MIT
"""Viper code uses only what every released emitter compiles correctly: docs/kernels.md, "Idioms", lists the rest.

The tests search the syntax tree of each function marked @micropython.viper.
"""

from __future__ import annotations

import ast

import pytest
from tinyrnn.board import device_modules

NARROWEST_OFFSET = 31  # the largest constant index that a Thumb instruction holds
SMALLEST_OBJECT = 0x40000000  # constants from here on are objects on 32-bit boards


def viper_functions(source: str) -> list[ast.FunctionDef]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            marks = {mark.attr for mark in node.decorator_list if isinstance(mark, ast.Attribute)}
            if "viper" in marks:
                found.append(node)
    return found


def pointers(function: ast.FunctionDef) -> set[str]:
    """Names that are a pointer somewhere: by annotation, by a cast, or by assignment from another such name."""

    def is_pointer(node: ast.expr | None, known: set[str]) -> bool:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return node.func.id in ("ptr8", "ptr16", "ptr32")
        return isinstance(node, ast.Name) and (node.id in known or node.id in ("ptr8", "ptr16", "ptr32"))

    known = {argument.arg for argument in function.args.args if is_pointer(argument.annotation, set())}
    while True:
        more = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and is_pointer(node.value, known)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        if more <= known:
            return known
        known |= more


def faults(source: str) -> list[str]:
    """A line for each idiom that some emitter compiles incorrectly."""
    found = []
    for function in viper_functions(source):
        addresses = pointers(function)
        for node in ast.walk(function):
            said = ""
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Invert):
                if not isinstance(node.operand, ast.Constant):
                    said = "unary minus or ~: write 0 - x, x ^ -1"
            elif isinstance(node, ast.Constant) and isinstance(node.value, int) and abs(node.value) >= SMALLEST_OBJECT:
                said = "a constant that is an object on a board"
            elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call | ast.Name):
                pointed = isinstance(node.value, ast.Call) or node.value.id in addresses
                index = node.slice.value if isinstance(node.slice, ast.Constant) else None
                if pointed and not isinstance(index, int):
                    said = "an access by variable index: bump the pointer"
                elif pointed and isinstance(index, int) and not 0 <= index <= NARROWEST_OFFSET:
                    said = "an index beyond 31: bump the pointer"
            elif isinstance(node, ast.Assign):
                placed = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
                elsewhere = any(isinstance(place, ast.Constant) and place.value for place in placed)
                if elsewhere and not isinstance(node.value, ast.Name):
                    said = "an expression stored at another constant index than 0: store a local variable"
            if said:
                found.append(f"{function.name}, line {getattr(node, 'lineno', 0)}: {said}")
    return found


HEAD = "@micropython.viper\ndef f(x: ptr32, a: int, s):\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("x[1] = a + 5", "store a local"),
        ("x[1] = 7", "store a local"),
        ("x[2] = x[0]", "store a local"),
        ("ptr16(x)[1] = a << 1", "store a local"),
        ("b = -a", "unary minus"),
        ("b = ~(a + 1)", "unary minus"),
        ("b = x[a]", "variable index"),
        ("y = ptr16(x)\n    z = y\n    z[a] = 1", "variable index"),
        ("b = ptr16(x)[a]", "variable index"),
        ("x[32] = a", "beyond 31"),
        ("b = x[64]", "beyond 31"),
        ("b = a & 0x7fffffff", "an object"),
    ],
)
def test_what_some_emitter_compiles_incorrectly_is_found(line: str, said: str) -> None:
    found = faults(f"{HEAD}    {line}\n")
    assert found
    assert said in found[0]


@pytest.mark.parametrize(
    "line",
    ["x[0] = a + 5", "b = a + 5\n    x[1] = b", "b = 0 - a", "b = -1", "b = s[a]", "b = ptr16(x)[31]", "b = x[0] + x[1]"],
)
def test_what_all_emitters_compile_correctly_is_accepted(line: str) -> None:
    assert faults(f"{HEAD}    {line}\n") == []
    assert faults(f"def f(x, a, s):\n    {line}\n") == []


def test_the_device_package_has_none() -> None:
    marked = {
        name: module.source
        for name, module in ((name, device_modules.module(name)) for name in device_modules.names())
        if "viper" in module.emitters
    }
    assert set(marked) >= {"kernels_viper", "gates_viper"}
    assert {name: found for name, source in marked.items() if (found := faults(source))} == {}
