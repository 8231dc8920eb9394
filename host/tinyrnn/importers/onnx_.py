"""An ONNX graph: its nodes are followed from the input, with named axes, and become the steps of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import onnxfile
from tinyrnn.importers.flow import ANY_BATCH, ANY_TIME, Flow, InitialState, LayoutError, choose, first_reading
from tinyrnn.importers.onnxcells import GATES, Lengths
from tinyrnn.importers.onnxfile import Graph, Input
from tinyrnn.importers.onnxnodes import PASSING, apply
from tinyrnn.importers.source import Options, Source, refuse


@dataclass(frozen=True)
class Refused:
    """The result of a node that cannot be imported: an error only where the answer needs it."""

    error: ModelError


def read(path: Path, options: Options) -> Source:
    """The network of a graph. Raises ModelError."""
    graph = onnxfile.load(path)
    states, lengths = _side_inputs(graph)
    data = [i for i in graph.inputs if i.name not in states and i.name not in lengths]
    if len(data) != 1:
        names = ", ".join(i.name for i in data)
        raise ModelError(f"{path}: takes {len(data)} inputs ({names:.60}); expected one, the sequence")

    def attempt(letters: str) -> tuple[Flow, str, Flow]:
        start = _start(data[0].shape, letters)
        values: dict[str, Any] = {**graph.arrays, data[0].name: start}
        values |= {name: InitialState(name) for name in states} | {name: Lengths(name) for name in lengths}
        return start, *_answer(graph, _walk(graph, values), options, path)

    otherwise = ModelError(f"{path}: its input has shape {data[0].shape}; expected (batch, time, features)")
    letters, (start, answer, flow) = first_reading(_readings(path, data[0]), attempt, otherwise)
    fixed = dict(zip(letters, data[0].shape, strict=True))
    model = onnxfile.part(graph, answer)
    run = onnxfile.session(onnxfile.time_first(model))
    notes = [f"the initial state {name} starts as zero, as a stream does" for name in sorted(states)]
    notes += [f"{name}, the lengths, are the whole sequence's here; a stream simply ends" for name in sorted(lengths)]
    used = {value.name for value in model.graph.input}
    return Source(
        framework="ONNX Runtime",
        steps=flow.steps,
        inputs=start.features,
        when="last" if flow.is_last else "every",
        tail=flow.tail,
        run=_runner(run, data[0], letters, [i for i in graph.inputs if i.name in used and i is not data[0]], lengths, flow),
        batch=fixed.get("B", 1),
        time=fixed["T"],
        notes=tuple(notes),
    )


def _side_inputs(graph: Graph) -> tuple[set[str], set[str]]:
    """Inputs of the graph that are initial states, and those that are lengths of sequences."""
    makers = {name: node for node in graph.nodes for name in node.outputs}
    names = {i.name for i in graph.inputs}

    def origin(name: str) -> str | None:
        for _ in range(len(graph.nodes) + 1):
            if name in names:
                return name
            node = makers.get(name)
            if node is None or node.kind not in PASSING or not node.inputs:
                return None
            name = node.inputs[0]
        return None

    cells = [node for node in graph.nodes if node.kind in GATES]
    states = {origin(name) for node in cells for name in node.inputs[5:7] if name}
    lengths = {origin(name) for node in cells for name in node.inputs[4:5] if name}
    return {n for n in states if n}, {n for n in lengths if n}


def _readings(path: Path, given: Input) -> tuple[str, ...]:
    """What the axes of the input may be."""
    if len(given.shape) == 3:
        if given.shape[2] is None:
            raise ModelError(f"{path}: its input {given.name} has sizes {given.shape}; expected a fixed number of features")
        return ("BTF", "TBF")
    if len(given.shape) == 2:
        return ("BT", "TB") if given.whole or given.shape[1] is None else ("TF", "BT", "TB")
    return ()


def _start(shape: Sequence[int | None], letters: str) -> Flow:
    any_size = {"B": ANY_BATCH, "T": ANY_TIME}
    sizes = {"B": 1, "F": 1} | {atom: n or any_size[atom] for atom, n in zip(letters, shape, strict=True)}
    return Flow(tuple((atom,) for atom in letters), sizes["B"], sizes["T"], sizes["F"])


def _answer(graph: Graph, found: dict[str, Any], options: Options, path: Path) -> tuple[str, Flow]:
    """The output to import. A refused one is an error unless the user names another."""
    outputs = {name: found.get(name) for name in graph.outputs}
    wanted = [outputs[options.output]] if options.output in outputs else list(outputs.values())
    for value in wanted:
        if isinstance(value, Refused):
            raise value.error
    return choose(outputs, options.output, str(path))


def _walk(graph: Graph, values: dict[str, Any]) -> dict[str, Any]:
    """Every node's results in terms of the input. Raises LayoutError."""
    for node in graph.nodes:
        given = [values.get(name) if name else None for name in node.inputs]
        missing = [name for name in node.inputs if name and name not in values]
        if missing:
            raise refuse(node.name, f"takes {missing[0]}, which nothing makes before", "check the file with onnx.checker")
        refused = next((value for value in given if isinstance(value, Refused)), None)
        try:
            results = [refused] if refused else apply(node, given, graph.opset)
        except LayoutError:
            raise
        except ModelError as error:
            results = [Refused(error)]
        results += results[-1:] * (len(node.outputs) - len(results))
        values.update((name, value) for name, value in zip(node.outputs, results, strict=False) if name)
    return values


def _runner(
    run: Callable[[dict[str, np.ndarray]], np.ndarray],
    data: Input,
    letters: str,
    others: Sequence[Input],
    lengths: set[str],
    flow: Flow,
) -> Callable[[np.ndarray], np.ndarray]:
    """The file's own graph on x (B, T, C)."""

    def call(x: np.ndarray) -> np.ndarray:
        batch, time = x.shape[:2]
        order = ["BTF".index(letter) for letter in letters]
        missing = [i for i in range(3) if i not in order]
        moved = x.transpose(order + missing).reshape([x.shape[i] for i in order])
        feed = {data.name: moved.astype(data.dtype)}
        for other in others:
            if other.name in lengths:
                feed[other.name] = np.full(batch, time, other.dtype)
            else:
                shape = [n or batch for n in other.shape]
                if int(np.prod(shape, dtype=object)) > onnxfile.LARGEST:
                    raise refuse(other.name, f"is an initial state of shape {shape}", "export it again")
                feed[other.name] = np.zeros(shape, other.dtype)
        return flow.arrange(run(feed), batch, time, data.name)

    return call
