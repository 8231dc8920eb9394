"""A torch.export program, .pt2: its graph is read as the JSON it is, and run node by node from a short list of operators.

torch.export.load() is not used: in PyTorch 2.13 it unpickles some entries with weights_only=False and evaluates the
file's symbolic expressions, so that a stranger's file could run code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import guard
from tinyrnn.importers.exportedcells import StepOf, flow_of
from tinyrnn.importers.exportedfile import FLOATS, Name, Node, argument_of, arrays_of, nodes_of
from tinyrnn.importers.exportedops import CELLS, LAYERED, walk
from tinyrnn.importers.exportedrun import Runner
from tinyrnn.importers.flow import ANY_BATCH, ANY_TIME, Flow, InitialState, choose, first_reading
from tinyrnn.importers.source import Options, Source


def read(path: Path, options: Options) -> Source:
    """The network of a program. Raises ModelError."""
    with guard.open_zip(path) as archive:
        names = archive.namelist()
        models = [n for n in names if "/models/" in f"/{n}" and n.endswith(".json")]
        if len(models) != 1:
            cure = "expected torch.export.save() of a recent PyTorch (2.13 is tested), one program"
            raise ModelError(f"{path}: has {len(models)} entries models/*.json; {cure}")
        program = guard.parse_json(guard.entry(archive, models[0]), f"{path}: {models[0]}")
        root = models[0][: models[0].rindex("models/")]
        arrays: dict[str, np.ndarray] = {}
        for kind in ("weights", "constants"):
            for name in names:
                if name.startswith(f"{root}data/{kind}/") and name.endswith("_config.json"):
                    arrays |= arrays_of(path, archive, name)
    return _source(path, program, arrays, options)


def _source(path: Path, program: dict[str, Any], arrays: dict[str, np.ndarray], options: Options) -> Source:
    module = program["graph_module"]
    graph = module["graph"]
    nodes = nodes_of(path, graph)
    values: dict[str, Any] = {}
    users: list[str] = []
    for spec in module["signature"]["input_specs"]:
        ((kind, value),) = spec.items()
        if kind == "user_input":
            users.append(argument_of(value["arg"])[1].name)
            continue
        target = next(
            (value[key] for key in ("parameter_name", "buffer_name", "tensor_constant_name") if key in value), None
        )
        if target not in arrays:
            raise ModelError(f"{path}: the input {kind} {target} has no data in the file; export it again")
        values[value["arg"]["name"]] = arrays[target]
    weights = dict(values)
    states = {a.name for node in nodes for a in _initial(node) if isinstance(a, Name)} & set(users)
    used = {a.name for node in nodes for a in _names(node)}
    data = [name for name in users if name in used - states]
    if len(data) != 1:
        raise ModelError(f"{path}: takes {len(data)} inputs ({', '.join(data):.60}); expected one, the sequence")
    outputs = [
        argument_of(spec["user_output"]["arg"])[1] for spec in module["signature"]["output_specs"] if "user_output" in spec
    ]
    shape, whole = _input_shape(path, graph, data[0])
    values |= {name: InitialState(name) for name in states}

    def attempt(letters: str) -> tuple[Flow, str, Flow]:
        start = _start(shape, letters)
        found = walk(nodes, values | {data[0]: start})
        named = {o.name: found[o.name] for o in outputs if isinstance(o, Name)}
        named = {name: flow_of(value, name) if isinstance(value, StepOf) and not value.memory else value
                 for name, value in named.items()}  # fmt: skip
        return start, *choose(named, options.output, str(path))

    readings = {3: ("BTF", "TBF"), 2: ("BT", "TB") if whole else ("TF",)}.get(len(shape), ())
    otherwise = ModelError(f"{path}: its input has shape {shape}; expected (batch, time, features)")
    letters, (start, answer, flow) = first_reading(readings, attempt, otherwise)
    runner = Runner(nodes, weights, data[0], answer, start, flow, sorted(states), graph["tensor_values"])
    return Source(
        framework="PyTorch",
        steps=flow.steps,
        inputs=start.features,
        when="last" if flow.is_last else "every",
        tail=flow.tail,
        run=runner,
        batch=start.batch if isinstance(shape[letters.index("B")] if "B" in letters else 1, int) else None,
        time=start.time if isinstance(shape[letters.index("T")], int) else None,
        notes=tuple(f"the initial state {name} starts as zero, as a stream does" for name in sorted(states)),
    )


def _input_shape(path: Path, graph: dict[str, Any], name: str) -> tuple[list[int | None], bool]:
    """Sizes of the input, None where any will do, and whether it holds whole numbers."""
    meta = graph["tensor_values"][name]
    sizes: list[int | None] = [int(n["as_int"]) if "as_int" in n else None for n in meta["sizes"]]
    if any(n is not None and not 1 <= n <= 100_000 for n in sizes) or sizes[-1:] == [None]:
        raise ModelError(f"{path}: its input {name} has sizes {sizes}; expected a fixed number of features, dynamic others")
    return sizes, meta["dtype"] not in FLOATS


def _start(shape: Sequence[int | None], letters: str) -> Flow:
    sizes = {"B": 1, "F": 1} | {
        atom: n or {"B": ANY_BATCH, "T": ANY_TIME}[atom] for atom, n in zip(letters, shape, strict=True)
    }
    return Flow(tuple((atom,) for atom in letters), sizes["B"], sizes["T"], sizes["F"])


def _initial(node: Node) -> list[Any]:
    """The initial states that a recurrent node takes."""
    if node.target not in (*LAYERED, *CELLS) or "hx" not in node.inputs:
        return []
    hx = node.inputs["hx"][1]
    return hx if isinstance(hx, list) else [hx]


def _names(node: Node) -> list[Name]:
    """Every value that a node takes."""
    many = [item if isinstance(item, list) else [item] for _, item in node.inputs.values()]
    return [item for items in many for item in items if isinstance(item, Name)]
