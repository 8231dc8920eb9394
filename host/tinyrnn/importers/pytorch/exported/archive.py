# SPDX-License-Identifier: MIT
"""Reads the archive of a torch.export program: raw tensors, and the graph's JSON as checked values."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files
from tinyrnn.importers.source_model import refuse

DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}  # torch's ScalarType

FLOATS = (6, 7, 8, 13)

# arithmetic of sizes that are not fixed
SYMBOLIC: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in (
        "add",
        "sub",
        "mul",
        "floordiv",
        "truediv",
        "mod",
        "neg",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and_",
        "or_",
        "not_",
    )
} | {"torch.sym_int": int, "torch.sym_float": float, "torch.sym_max": max, "torch.sym_min": min}

PREFIX = "torch.ops.aten."

MOST_NODES = 50_000

# calls that only check or time the program
WATCHING = re.compile(r"torch\.ops\.(aten\.(_assert|sym_constrain)|profiler\.)")

# contexts such as torch.no_grad(), whose body is a subgraph
CONTEXTS = ("torch.ops.higher_order.wrap_with_set_grad_enabled", "torch.ops.higher_order.wrap_with_autocast")


@dataclass(frozen=True)
class Node:
    """A call: the operator without its prefix, its arguments by name, and the names of its results.

    For messages, ``name`` is the path of the module that the model's author called, or else the operator, and ``where``
    is the line of the author's source. Both come from the file.
    """

    name: str
    target: str
    inputs: dict[str, tuple[str, Any]]
    outputs: tuple[str, ...]
    where: str = ""

    @property
    def operator(self) -> str:
        """The operator without its overload: "add" for "add.Tensor"."""
        return self.target.partition(".")[0]

    @property
    def mutates(self) -> bool:
        """Whether it changes its argument in place."""
        return self.operator.endswith("_")


@dataclass(frozen=True)
class Name:
    """A reference to a value of the graph."""

    name: str


def arrays_of(path: Path, archive: Any, config: str) -> dict[str, np.ndarray]:
    """The raw tensors of one folder, by name. Their sizes are compared with those of the entries before they are read."""
    found = {}
    entries = untrusted_files.parse_json(untrusted_files.entry(archive, config), f"{path}: {config}").get("config", {})
    for name, said in entries.items():
        meta = said.get("tensor_meta") or {}
        if said.get("use_pickle") or meta.get("dtype") not in DTYPES:
            raise ModelError(f"{path}: {name} is pickled or of an unsupported type; expected plain float tensors")
        sizes = [int(n["as_int"]) for n in meta["sizes"]]
        strides = [int(n["as_int"]) for n in meta["strides"]]
        data = untrusted_files.entry(archive, config[: config.rindex("/") + 1] + str(said["path_name"]))
        kind = np.dtype(DTYPES[meta["dtype"]])
        offset = int(meta["storage_offset"]["as_int"])
        last = offset + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
        count = int(np.prod(sizes, dtype=object)) if sizes else 1
        bad = min([*sizes, *strides, offset, 0]) < 0 or (count and (last + 1) * kind.itemsize > len(data))
        if bad or count * kind.itemsize > len(data):
            raise ModelError(f"{path}: {name} has shape {sizes} in {len(data)} bytes; export it again")
        flat = np.frombuffer(data, kind)
        steps = [s * kind.itemsize for s in strides]
        found[name] = np.lib.stride_tricks.as_strided(flat[offset:], sizes, steps).copy()
    return found


def names_in(argument: Any) -> list[str]:
    """The names of the graph's values in an argument."""
    many = argument if isinstance(argument, list) else [argument]
    return [item.name for item in many if isinstance(item, Name)]


def argument_of(raw: dict[str, Any]) -> tuple[str, Any]:
    """(kind, value) of an argument. Tensors and symbolic numbers become Name."""
    ((kind, value),) = raw.items()
    if kind in ("as_tensor", "as_optional_tensor"):
        return kind, None if not isinstance(value, dict) or "name" not in value else Name(value["name"])
    if kind == "as_tensors":
        return kind, [Name(item["name"]) for item in value]
    if kind == "as_optional_tensors":
        return kind, [argument_of(item)[1] for item in value]
    if kind in ("as_sym_int", "as_sym_ints", "as_sym_float", "as_sym_floats", "as_sym_bool", "as_sym_bools"):
        many = value if isinstance(value, list) else [value]
        items = [Name(item["as_name"]) if "as_name" in item else next(iter(item.values())) for item in many]
        return kind, items if isinstance(value, list) else items[0]
    if kind == "as_float":
        return kind, float(value)  # infinity is a string in the file
    return kind, None if kind == "as_none" else value


def nodes_of(path: Path, graph: dict[str, Any]) -> list[Node]:
    """Every call in order, including those inside contexts. Raises ModelError for operators that are not torch's."""
    nodes: list[Node] = []
    _collect(path, graph, "", nodes)
    return nodes


def _collect(path: Path, graph: dict[str, Any], scope: str, nodes: list[Node]) -> None:
    """Append the calls of a graph. scope: a prefix for the names of a subgraph, which may repeat those outside."""
    for raw in graph["nodes"]:
        target = str(raw["target"])
        if WATCHING.match(target):
            continue
        outputs = tuple(scope + name for output in raw["outputs"] for name in _results(output))
        meta = raw.get("metadata") or {}
        named = str(raw.get("name") or target)
        if target in CONTEXTS:
            _inline(path, raw, outputs, scope, nodes)
            continue
        name, where = _module(meta) or printable(named), _line(meta)
        if not target.startswith(PREFIX) and target not in SYMBOLIC:
            raise refuse(
                f"{path}: {name}{where}", f"calls {printable(target):.60}", "expected operators of torch.ops.aten only"
            )
        inputs = {
            str(item["name"]) or f"{i}": _scoped(argument_of(item["arg"]), scope) for i, item in enumerate(raw["inputs"])
        }
        nodes.append(Node(name, target.removeprefix(PREFIX), inputs, outputs, where))
        if len(nodes) > MOST_NODES:
            raise ModelError(f"{path}: has over {MOST_NODES} calls; expected a network for a board, or a shorter sequence")


def _results(output: dict[str, Any]) -> list[str]:
    (value,) = output.values()
    many = value if isinstance(value, list) else [value]
    return [str(item.get("name") or item.get("as_name")) for item in many if isinstance(item, dict)]


def _scoped(argument: tuple[str, Any], scope: str) -> tuple[str, Any]:
    def moved(item: Any) -> Any:
        if isinstance(item, list):
            return [moved(one) for one in item]
        return Name(scope + item.name) if isinstance(item, Name) else item

    return (argument[0], moved(argument[1])) if scope else argument


def _inline(path: Path, raw: dict[str, Any], outputs: tuple[str, ...], scope: str, nodes: list[Node]) -> None:
    """Append the body of a context in place of its call."""
    given = [argument_of(item["arg"]) for item in raw["inputs"]]
    (place,) = (i for i, (kind, _) in enumerate(given) if kind == "as_graph")
    body = given[place][1]["graph"]
    inner = f"{outputs[0] if outputs else scope}/"
    for entry, operand in zip(body["inputs"], given[place + 1 :], strict=True):
        (name,) = _results(entry)
        nodes.append(Node(name, "alias.default", {"self": _scoped(operand, scope)}, (inner + name,)))
    _collect(path, body, inner, nodes)
    for result, outer in zip((n for entry in body["outputs"] for n in _results(entry)), outputs, strict=True):
        nodes.append(Node(outer, "alias.default", {"self": ("as_tensor", Name(inner + result))}, (outer,)))


def _module(meta: dict[str, Any]) -> str:
    """The path of the innermost module, "" for the model itself: the last of "id,path,type;id,path,type"."""
    last = str(meta.get("nn_module_stack") or "").rsplit(";", 1)[-1].split(",")
    return printable(last[1])[:60] if len(last) == 3 else ""


def _line(meta: dict[str, Any]) -> str:
    """The last line of the trace that is not in torch itself, such as " (train.py, line 12: y = torch.erf(x))"."""
    frames = re.findall(r'File "([^"\n]*)", line (\d+), in [^\n]*\n([^\n]*)', str(meta.get("stack_trace") or ""))
    own = [frame for frame in frames if "site-packages" not in frame[0] and "/torch/" not in frame[0]]
    if not own:
        return ""
    file, number, source = own[-1]
    short = printable(re.split(r"[/\\]", file)[-1])
    return f" ({short:.40}, line {number:.7}: {printable(source.strip()):.80})"


def printable(text: str) -> str:
    """Text from the file, with characters that are not printable replaced by question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)
