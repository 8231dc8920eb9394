"""The archive of a torch.export program: raw tensors and the graph's JSON as checked values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import guard
from tinyrnn.importers.source import refuse

DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}  # torch's ScalarType

FLOATS = (6, 7, 8, 13)

PREFIX = "torch.ops.aten."


@dataclass(frozen=True)
class Node:
    """One call: the operator without its prefix, arguments by name, names of its results."""

    name: str
    target: str
    inputs: dict[str, tuple[str, Any]]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Name:
    """A reference to a value of the graph."""

    name: str


def arrays_of(path: Path, archive: Any, config: str) -> dict[str, np.ndarray]:
    """The raw tensors of one folder by name; their sizes are compared with the entries before they are read."""
    found = {}
    entries = guard.parse_json(guard.entry(archive, config), f"{path}: {config}").get("config", {})
    for name, said in entries.items():
        meta = said.get("tensor_meta") or {}
        if said.get("use_pickle") or meta.get("dtype") not in DTYPES:
            raise ModelError(f"{path}: {name} is pickled or of an unusual type; expected plain float tensors")
        sizes = [int(n["as_int"]) for n in meta["sizes"]]
        strides = [int(n["as_int"]) for n in meta["strides"]]
        data = guard.entry(archive, config[: config.rindex("/") + 1] + str(said["path_name"]))
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


def argument_of(raw: dict[str, Any]) -> tuple[str, Any]:
    """(kind, value) of an argument; tensors as Name."""
    ((kind, value),) = raw.items()
    if kind in ("as_tensor", "as_optional_tensor"):
        return kind, None if not isinstance(value, dict) or "name" not in value else Name(value["name"])
    if kind == "as_tensors":
        return kind, [Name(item["name"]) for item in value]
    if kind in ("as_sym_int", "as_sym_ints"):
        many = value if isinstance(value, list) else [value]
        items = [Name(item["as_name"]) if "as_name" in item else item["as_int"] for item in many]
        return kind, items if isinstance(value, list) else items[0]
    return kind, None if kind == "as_none" else value


def nodes_of(path: Path, graph: dict[str, Any]) -> list[Node]:
    nodes = []
    for raw in graph["nodes"]:
        target = str(raw["target"])
        name = str(raw.get("name") or target)
        if not target.startswith(PREFIX):
            raise refuse(f"{path}: {name}", f"calls {target:.60}", "expected operators of torch.ops.aten only")
        outputs: list[str] = []
        for output in raw["outputs"]:
            (value,) = output.values()
            many = value if isinstance(value, list) else [value]
            outputs += [str(item.get("name") or item.get("as_name")) for item in many]
        inputs = {str(item["name"]): argument_of(item["arg"]) for item in raw["inputs"]}
        nodes.append(Node(name, target[len(PREFIX) :], inputs, tuple(outputs)))
    return nodes
