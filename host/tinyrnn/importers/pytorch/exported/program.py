# SPDX-License-Identifier: MIT
"""Reads a torch.export program, .pt2: its graph is read as JSON and followed node by node, with a short list of operators.

torch.export.load() is not used: in PyTorch 2.13 it unpickles some entries with weights_only=False and evaluates the
symbolic expressions of the file, so an untrusted file could run code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files
from tinyrnn.importers.axis_tracking import ANY_BATCH, ANY_TIME, InitialState, TrackedArray, choose, first_reading
from tinyrnn.importers.pytorch.exported.archive import FLOATS, Name, Node, argument_of, arrays_of, names_in, nodes_of
from tinyrnn.importers.pytorch.exported.cell_patterns import resolved, root_of, settled
from tinyrnn.importers.pytorch.exported.cells import Layers, StepOf, tracked_of
from tinyrnn.importers.pytorch.exported.layers import Unusable
from tinyrnn.importers.pytorch.exported.operators import CELLS, LAYERED, walk
from tinyrnn.importers.pytorch.exported.runner import Runner
from tinyrnn.importers.pytorch.exported.terms import Term, given_state
from tinyrnn.importers.source_model import Options, SourceModel


def read(path: Path, options: Options) -> SourceModel:
    """Read the network of a program. Raises ModelError."""
    with untrusted_files.open_zip(path) as archive:
        names = archive.namelist()
        models = [n for n in names if "/models/" in f"/{n}" and n.endswith(".json")]
        if not models and any(n.endswith("data.pkl") for n in names):
            raise ModelError(
                f"{path}: is an archive of torch.save or torch.jit.save, not a torch.export program; "
                "expected a name that ends in .pt"
            )
        if len(models) != 1:
            cure = "expected one program, from torch.export.save() of a recent PyTorch (2.13 is tested)"
            raise ModelError(f"{path}: has {len(models)} entries models/*.json; {cure}")
        program = untrusted_files.parse_json(untrusted_files.entry(archive, models[0]), f"{path}: {models[0]}")
        root = models[0][: models[0].rindex("models/")]
        arrays: dict[str, np.ndarray] = {}
        for kind in ("weights", "constants"):
            for name in names:
                if name.startswith(f"{root}data/{kind}/") and name.endswith("_config.json"):
                    arrays |= arrays_of(path, archive, name)
    return _source(path, program, arrays, options)


def _source(path: Path, program: dict[str, Any], arrays: dict[str, np.ndarray], options: Options) -> SourceModel:
    module = program["graph_module"]
    graph, meta = module["graph"], module["graph"]["tensor_values"]
    nodes = nodes_of(path, graph)
    weights: dict[str, np.ndarray] = {}
    users: list[str] = []
    for spec in module["signature"]["input_specs"]:
        ((kind, value),) = spec.items()
        if kind == "user_input":
            argument = argument_of(value["arg"])[1]
            users += [argument.name] if isinstance(argument, Name) else []
            continue
        target = next(
            (value[key] for key in ("parameter_name", "buffer_name", "tensor_constant_name") if key in value), None
        )
        if target not in arrays:
            raise ModelError(f"{path}: the input {kind} {target} has no data in the file; export it again")
        weights[value["arg"]["name"]] = arrays[target]
    outputs = [
        item.name
        for spec in module["signature"]["output_specs"]
        if "user_output" in spec and isinstance(item := argument_of(spec["user_output"]["arg"])[1], Name)
    ]
    nodes, notes = _apart(nodes, users, meta)
    used = {name for node in nodes for _, item in node.inputs.values() for name in names_in(item)}
    plainly = not any(_recurrent(node) for node in nodes)  # cells, if any, are written as arithmetic
    states = {name for name in users if name in used and name in meta and plainly} - set(users[:1]) or _states(nodes, users)
    sizes = {name: _sizes(meta[name]) for name in users if name in states}
    plain = [n for n in outputs if n not in meta or not any(_fits(_sizes(meta[n]), shape) for shape in sizes.values())]
    wanted = [name for name in outputs if name == options.output] if options.output else plain or outputs
    needed = _needed(nodes, wanted)
    kept = _needed(nodes, outputs)
    nodes = [node for node in nodes if node.mutates or kept.intersection(node.outputs)]
    used = {name for node in nodes for _, item in node.inputs.values() for name in names_in(item)}
    data = [name for name in users if name in used - states]
    if len(data) != 1:
        cure = "expected one, the sequence, and the states of nn.GRU, nn.LSTM, nn.RNN or their cells"
        raise ModelError(f"{path}: takes {len(data)} inputs ({', '.join(data):.60}); {cure}")
    shape, whole = _input_shape(path, graph, data[0])
    weights = {name: array for name, array in weights.items() if name in used}
    values: dict[str, Any] = {name: _float(array) for name, array in weights.items()}
    starts: dict[str, object] = {}

    def attempt(letters: str) -> _Reading:
        start = _start(shape, letters)
        starts.clear()
        given: dict[str, Any] = {data[0]: start} | {
            name: given_state(name, shape, start) if plainly else InitialState(name) for name, shape in sizes.items()
        }
        if plainly and states and start.time == 1:
            axes = tuple(() if axis == ("T",) else axis for axis in start.axes)
            given[data[0]] = StepOf(replace(start, axes=axes), 0, 0)
        found, bounded = walk(nodes, values | given, needed, starts)
        named = {name: found[name] for name in outputs}
        for value in named.values():
            if isinstance(value, Term):
                resolved(value)  # finds out which state it is
        feeds = _feeds(path, sizes, starts, named, wanted, meta)
        answer, tracked = choose(_answers(named, wanted, feeds), options.output, str(path))
        return _Reading(start, answer, tracked, feeds, frozenset(bounded))

    readings = {
        3: ("BTF", "TBF"),
        2: ("BT", "TB") if whole else ("TF", "BF", "BT", "TB"),
        1: ("T", "B") if whole else ("F",),
    }.get(len(shape), ())
    otherwise = ModelError(f"{path}: its input has shape {shape}; expected (batch, time, features)")
    letters, reading = first_reading(readings, attempt, otherwise)
    start, tracked = reading.start, reading.tracked
    time = start.time if "T" not in letters or isinstance(shape[letters.index("T")], int) else None
    every = not tracked.is_last or (bool(states) and time == 1)
    runner = Runner(
        nodes=nodes,
        weights=weights,
        data=data[0],
        answer=reading.answer,
        start=start,
        tracked=tracked,
        states=sizes,
        feeds=reading.feeds,
        whole=whole,
        bounded=reading.bounded,
        every=every,
        piece=time or (4 if every else 1),
    )
    zero = [f"the initial state {name} starts as zero, like that of a stream" for name in sorted(states)]
    return SourceModel(
        framework="PyTorch",
        steps=tracked.steps,
        inputs=start.features,
        when="every" if every else "last",
        tail=tracked.tail,
        run=runner,
        stream=runner.stream if states else None,
        batch=start.batch if isinstance(shape[letters.index("B")] if "B" in letters else 1, int) else None,
        time=time,
        notes=(*notes, *zero),
    )


@dataclass(frozen=True)
class _Reading:
    """The meaning of a program under one reading of its input's axes."""

    start: TrackedArray
    answer: str
    tracked: TrackedArray
    feeds: dict[str, str]
    bounded: frozenset[str]


def _float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _answers(outputs: dict[str, Any], wanted: Sequence[str], feeds: dict[str, str]) -> dict[str, object]:
    """The outputs as TrackedArrays; last states only if there are no others. Raises the error of one that is unusable."""
    rest = {name: value for name, value in outputs.items() if name in wanted and name not in feeds.values()}
    outputs = rest or outputs
    found: dict[str, object] = {}
    for name, value in outputs.items():
        if isinstance(value, Unusable):
            if name in wanted:
                raise value.error
            continue
        if isinstance(value, Term):
            value = settled(value, name)
        if isinstance(value, StepOf) and not value.memory and name in wanted:
            value = tracked_of(value, name)
        found[name] = value
    arrays: dict[str, object] = {name: value for name, value in found.items() if isinstance(value, TrackedArray)}
    lasts = {name: value for name, value in found.items() if isinstance(value, Layers) and name in wanted}
    if len(wanted) == 1 or not arrays:
        arrays |= {name: value.as_tracked(name) for name, value in lasts.items()}
    return arrays


def _needed(nodes: Sequence[Node], outputs: Sequence[str]) -> set[str]:
    """The names of all values that these outputs depend on."""
    needed = set(outputs)
    for node in reversed(nodes):
        if node.mutates or needed.intersection(node.outputs):
            needed.update(name for _, item in node.inputs.values() for name in names_in(item))
    return needed


def _recurrent(node: Node) -> bool:
    return (node.target in LAYERED or node.target in CELLS) and "hx" in node.inputs


def _states(nodes: Sequence[Node], users: Sequence[str]) -> set[str]:
    """The inputs that lead to initial states of recurrent layers, but not to the data that these layers run over."""
    makers = {output: node for node in nodes for output in node.outputs}

    def sources(arguments: list[str]) -> set[str]:
        found: set[str] = set()
        stack, seen = arguments, set(arguments)
        while stack:
            name = stack.pop()
            if name in makers and not _recurrent(makers[name]):
                more = [n for _, item in makers[name].inputs.values() for n in names_in(item) if n not in seen]
                seen.update(more)
                stack += more
            found.add(name)
        return found & set(users)

    cells = [node for node in nodes if _recurrent(node)]
    begin, over = ([n for node in cells for n in names_in(node.inputs[key][1])] for key in ("hx", "input"))
    return sources(begin) - sources(over)


def _apart(nodes: list[Node], users: Sequence[str], meta: dict[str, Any]) -> tuple[list[Node], list[str]]:
    """Give an LSTM two state inputs again, if h and c became one input because they were one tensor in the export."""
    used = {name for node in nodes for _, item in node.inputs.values() for name in names_in(item)}
    notes = []
    for number, node in enumerate(nodes):
        if node.target not in ("lstm.input", "lstm_cell.default") or "hx" not in node.inputs:
            continue
        names = names_in(node.inputs["hx"][1])
        if len(names) != 2 or names[0] != names[1] or names[0] not in users:
            continue
        spare = [n for n in users if n not in used and meta[n]["sizes"] == meta[names[0]]["sizes"]]
        if len(spare) != 1:
            continue
        pair = sorted([spare[0], names[0]], key=list(users).index)
        inputs = node.inputs | {"hx": ("as_tensors", [Name(name) for name in pair])}
        nodes = [*nodes[:number], replace(node, inputs=inputs), *nodes[number + 1 :]]
        notes.append(f"h and c were one tensor when {node.name} was exported: {pair[0]} is used as h, {pair[1]} as c")
    return nodes, notes


def _sizes(meta: dict[str, Any]) -> list[int | None]:
    return [int(n["as_int"]) if "as_int" in n else None for n in meta["sizes"]]


def _feeds(
    path: Path,
    states: dict[str, list[int | None]],
    starts: dict[str, object],
    outputs: dict[str, Any],
    wanted: Sequence[str],
    meta: dict[str, Any],
) -> dict[str, str]:
    """The output to feed back into each state: the layer's own last state, otherwise the next output of that shape.

    A run of the program as a stream shows whether that is right.
    """
    tags = {name: getattr(value, "tag", None) for name, value in outputs.items()}
    feeds: dict[str, str] = {}
    for state in states:
        own = [name for name, tag in tags.items() if tag is not None and tag == starts.get(state)]
        own += [name for name, value in outputs.items() if isinstance(value, Term) and root_of(value).feeds == state]
        feeds |= {state: own[-1]} if own else {}
    left = [name for name in outputs if name not in feeds.values() and name in meta]
    left.sort(key=lambda name: name in wanted)  # outputs that cannot be the answer come first
    for state, sizes in states.items():
        if state in feeds:
            continue
        fits = [name for name in left if _fits(_sizes(meta[name]), sizes)]
        if not fits:
            cure = "expected each layer's last state among the outputs: return y, h_n"
            raise ModelError(f"{path}: takes the state {state} but returns none of its shape; {cure}")
        feeds[state] = fits[0]
        left.remove(fits[0])
    return feeds


def _fits(a: list[int | None], b: list[int | None]) -> bool:
    """Whether two shapes can be equal; None means any size."""
    return len(a) == len(b) and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))


def _input_shape(path: Path, graph: dict[str, Any], name: str) -> tuple[list[int | None], bool]:
    """The sizes of the input, with None for any size, and whether it holds whole numbers."""
    meta = graph["tensor_values"][name]
    sizes: list[int | None] = [int(n["as_int"]) if "as_int" in n else None for n in meta["sizes"]]
    if any(n is not None and not 1 <= n <= 100_000 for n in sizes) or sizes[-1:] == [None]:
        raise ModelError(f"{path}: its input {name} has sizes {sizes}; expected a fixed number of features")
    return sizes, meta["dtype"] not in FLOATS


def _start(shape: Sequence[int | None], letters: str) -> TrackedArray:
    sizes = {"B": 1, "F": 1, "T": 1} | {
        atom: n or {"B": ANY_BATCH, "T": ANY_TIME}[atom] for atom, n in zip(letters, shape, strict=True)
    }
    return TrackedArray(tuple((atom,) for atom in letters), sizes["B"], sizes["T"], sizes["F"])
