# SPDX-License-Identifier: MIT
"""Reads an ONNX graph: follows its nodes from the input, with named axes, and makes the steps of a network."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.importers.axis_tracking import (
    ANY_BATCH,
    ANY_TIME,
    InitialState,
    LayoutError,
    TrackedArray,
    choose,
    first_reading,
)
from tinyrnn.importers.onnx import graph_file, state_tracing
from tinyrnn.importers.onnx.cells import GATES, Lengths
from tinyrnn.importers.onnx.graph_file import Graph, Input, Node
from tinyrnn.importers.onnx.nodes import PASSING, apply
from tinyrnn.importers.source_model import Options, SourceModel, refuse


@dataclass(frozen=True)
class Refused:
    """The result of a node that cannot be imported. It is an error only if the answer needs it."""

    error: ModelError


@dataclass(frozen=True)
class Found:
    """The result of following a graph from its input, with one reading of the input's axes."""

    start: TrackedArray
    values: dict[str, Any]
    answer: str
    tracked: TrackedArray
    passed: dict[int, str]  # number of steps -> the tensor after them
    links: dict[str, str]  # state input -> the output that the caller feeds back to it


def read(path: Path, options: Options) -> SourceModel:
    """Read the network of a graph. Raises ModelError."""
    graph = graph_file.load(path)
    states, lengths = _side_inputs(graph)
    used = {name for node in graph.nodes for name in node.inputs}
    data = [i for i in graph.inputs if i.name in used and i.name not in states and i.name not in lengths]
    if len(data) != 1:
        raise _several_inputs(path, graph, data)
    given = [i for i in graph.inputs if i.name in states]

    def attempt(letters: str) -> Found:
        start = _start(data[0].shape, letters)
        values: dict[str, Any] = {**graph.arrays, data[0].name: start}
        values |= {name: InitialState(name) for name in states} | {name: Lengths(name) for name in lengths}
        values = _walk(graph, values)
        traced = state_tracing.trace(graph, given, values, start.batch, start.time)  # empty if there are no states
        handed = {o for state in states for o in graph.outputs if traced.returned(state, o)}
        handed |= {
            o
            for state in states
            for o in graph.outputs
            if isinstance(values.get(o), Refused) and state_tracing.changed(graph, traced, state, o, start.time == 1)
        }
        answer, tracked = _answer(graph, values, handed, options, path)
        links = state_tracing.links(graph, traced, answer, start.time == 1) if states else {}
        inside = {name: value for name, value in values.items() if isinstance(value, TrackedArray) and not value.tail}
        passed = {
            len(value.steps): name
            for name, value in inside.items()
            if all(own is other for own, other in zip(value.steps, tracked.steps, strict=False))
        }
        return Found(start, values, answer, tracked, passed, links)

    otherwise = ModelError(f"{path}: its input has shape {data[0].shape}; expected (batch, time, features)")
    letters, found = first_reading(_readings(path, data[0], bool(states)), attempt, otherwise)
    tracked = found.tracked
    fixed = dict(zip(letters, data[0].shape, strict=True))
    one_step = found.start.time == 1 and bool(found.links)
    model = graph_file.time_first(graph_file.subgraph(graph, found.answer, *found.links.values()))
    side = [i for i in graph.inputs if i.name in states | lengths]
    runner = Runner(model, data[0], letters, side, lengths, tracked, found.links, one_step)
    return SourceModel(
        framework="ONNX Runtime",
        steps=tracked.steps,
        inputs=found.start.features,
        when="last" if tracked.is_last and not one_step else "every",
        tail=tracked.tail,
        run=runner,
        probe=_probe(graph, found, runner),
        stream=runner.stream if found.links else None,
        batch=fixed.get("B", 1),
        time=fixed.get("T", 1),
        notes=_notes(graph, tracked, states, lengths, found.start.time),
    )


def _probe(graph: Graph, found: Found, runner: Runner) -> Callable[[np.ndarray], Iterator[tuple[int, np.ndarray]]]:
    """A function for the values after each step, in the file's own graph."""

    def probe(x: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        for count, name in sorted(found.passed.items()):
            if count:
                model = graph_file.time_first(graph_file.subgraph(graph, name))
                yield count, replace(runner, model=model, tracked=found.values[name], links={})(x)

    return probe


def _notes(graph: Graph, tracked: TrackedArray, states: set[str], lengths: set[str], time: int) -> tuple[str, ...]:
    notes = [f"the initial state {name} starts as zero, like that of a stream" for name in sorted(states)]
    notes += [f"the lengths {name} are not imported; a stream simply ends" for name in sorted(lengths)]
    if time == 1 and not states:
        notes.append("warning: the file runs one step from the zero state; on the board the state is kept until reset()")
    if graph.other_floats:
        notes.append(f"{', '.join(graph.other_floats)}: imported and compared as float32")
    if graph.model.producer_name == "pytorch":
        notes += [
            f"warning: {step.name} has linear_before_reset=0, a GRU that PyTorch does not have, but the file claims to be "
            "from PyTorch; export it again if it was edited"
            for step in tracked.steps
            if isinstance(step.what, GRU) and not step.what.reset_after
        ]
    return tuple(notes)


def _origins(graph: Graph, through: Callable[[Node], Sequence[str]]) -> dict[str, set[str]]:
    """The graph's inputs that each input of a recurrent node depends on. ``through``: the inputs of a node to follow."""
    names = [i.name for i in graph.inputs]
    bits = {name: 1 << number for number, name in enumerate(names)}
    wanted = {name for node in graph.nodes if node.kind in GATES for name in node.inputs if name}
    for node in graph.nodes:
        bit = functools.reduce(operator.or_, (bits.get(name, 0) for name in through(node)), 0)
        bits.update((name, bit) for name in node.outputs if name)
    return {name: {n for i, n in enumerate(names) if bits.get(name, 0) >> i & 1} for name in wanted}


def _side_inputs(graph: Graph) -> tuple[set[str], set[str]]:
    """The inputs of the graph that are initial states, and those that are lengths of sequences."""

    def moved(node: Node) -> Sequence[str]:
        return node.inputs if node.kind == "Concat" else node.inputs[:1] if node.kind in PASSING else ()

    origins = _origins(graph, moved)
    data, lengths, states = (_of_cells(graph, origins, places) for places in ((0,), (4,), (5, 6)))
    return states - data, lengths - data - states


def _of_cells(graph: Graph, origins: dict[str, set[str]], places: Sequence[int]) -> set[str]:
    """The inputs of the graph that lead to these inputs of recurrent nodes."""
    cells = [node for node in graph.nodes if node.kind in GATES]
    names = {node.inputs[place] for node in cells for place in places if place < len(node.inputs) and node.inputs[place]}
    return set().union(*(origins[name] for name in names))


def _several_inputs(path: Path, graph: Graph, data: Sequence[Input]) -> ModelError:
    """The error for inputs that are neither the sequence nor a plain initial state."""
    if data and not any(node.kind in GATES for node in graph.nodes):
        cure = "for nn.RNN use a .pt2 or torch.onnx.export(..., dynamo=False); for cells save the state_dict as .pt"
        return ModelError(f"{path}: has no RNN, LSTM or GRU node; {cure}")
    origins = _origins(graph, lambda node: node.inputs)
    changed = _of_cells(graph, origins, (5, 6)) - _of_cells(graph, origins, (0,))
    for given in data:
        if given.name in changed:
            node = next(n for n in graph.nodes if n.kind in GATES and any(given.name in origins[o] for o in n.inputs if o))
            cure = "expected the state as the layer gave it, without a mask or a factor: train and export it that way"
            return refuse(f"{node.kind} {node.name}", f"starts from {given.name} after other nodes changed it", cure)
    names = ", ".join(i.name for i in data)
    return ModelError(f"{path}: takes {len(data)} inputs ({names:.60}); expected one, the sequence, and initial states")


def _readings(path: Path, given: Input, states: bool) -> tuple[str, ...]:
    """The possible meanings of the input's axes. A file with states as inputs may run one step, without an axis of time."""
    if len(given.shape) == 3:
        if given.shape[2] is None:
            raise ModelError(f"{path}: its input {given.name} has sizes {given.shape}; expected a fixed number of features")
        return ("BTF", "TBF")
    if len(given.shape) == 2:
        whole = given.whole or given.shape[1] is None
        return ("BT", "TB") if whole else ("TF", *(("BF",) if states else ()), "BT", "TB")
    if len(given.shape) == 1:
        return ("F",) if states and not given.whole and given.shape[0] is not None else ()
    return ()


def _start(shape: Sequence[int | None], letters: str) -> TrackedArray:
    any_size = {"B": ANY_BATCH, "T": ANY_TIME}
    sizes = {"B": 1, "T": 1, "F": 1} | {atom: n or any_size[atom] for atom, n in zip(letters, shape, strict=True)}
    return TrackedArray(tuple((atom,) for atom in letters), sizes["B"], sizes["T"], sizes["F"])


def _answer(graph: Graph, found: dict[str, Any], handed: set[str], options: Options, path: Path) -> tuple[str, TrackedArray]:
    """The output to import. A refused one is an error unless the user names another. States to feed back do not count."""
    outputs = {name: found.get(name) for name in graph.outputs}
    if options.output in outputs:
        value = outputs[options.output]
        if isinstance(value, Refused):
            raise value.error
        return choose(outputs, options.output, str(path))
    outputs = {name: value for name, value in outputs.items() if name not in handed} or outputs
    others = [name for name, value in outputs.items() if isinstance(value, TrackedArray)]
    for name, value in outputs.items():
        if isinstance(value, Refused):
            more = f"; or choose another output: --output-name {' or '.join(others)}" if others else ""
            raise ModelError(f"{value.error}{more}" if len(graph.outputs) == 1 else f"output {name}: {value.error}{more}")
    return choose(outputs, options.output, str(path))


def _walk(graph: Graph, values: dict[str, Any]) -> dict[str, Any]:
    """The results of every node in terms of the input. Raises LayoutError."""
    for node in graph.nodes:
        given = [values.get(name) if name else None for name in node.inputs]
        missing = [name for name in node.inputs if name and name not in values]
        if missing:
            raise refuse(node.name, f"takes {missing[0]}, which no earlier node makes", "check the file with onnx.checker")
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


@dataclass(frozen=True)
class Runner:
    """Runs the file's own graph in ONNX Runtime."""

    model: Any  # onnx.ModelProto, whose outputs are the answer and then the states in ``links``
    data: Input
    letters: str
    side: Sequence[Input]  # states and lengths
    lengths: set[str]
    tracked: TrackedArray  # the answer
    links: Mapping[str, str]
    one_step: bool

    @functools.cached_property
    def session(self) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
        return graph_file.session_of_all(self.model)

    @functools.cached_property
    def others(self) -> list[Input]:
        """The inputs of the model other than the data."""
        has = {value.name for value in self.model.graph.input}
        return [given for given in self.side if given.name in has]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The answer for x (B, T, C), from zero states."""
        return self._piece(x, self._zeros(len(x)))[0]

    def stream(self, x: np.ndarray) -> np.ndarray:
        """Run x (B, T, C) piece by piece and feed the states back. Returns all answers (B, T or T / piece, O)."""
        piece = dict(zip(self.letters, self.data.shape, strict=True)).get("T", 1) or 1
        states = self._zeros(len(x))
        answers = []
        for start in range(0, x.shape[1] - piece + 1, piece):
            y, states = self._piece(x[:, start : start + piece], states)
            answers.append(y if y.ndim == 3 else y[:, None])
        return np.concatenate(answers, axis=1)

    def _zeros(self, batch: int) -> dict[str, np.ndarray]:
        states = {}
        for other in self.others:
            shape = [n or batch for n in other.shape]
            if int(np.prod(shape, dtype=object)) > graph_file.LARGEST:
                raise refuse(other.name, f"is an initial state of shape {shape}", "export it again")
            if other.name not in self.lengths:
                states[other.name] = np.zeros(shape, other.dtype)
        return states

    def _piece(self, x: np.ndarray, states: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """(answer, states after it). A state that no output returns does not change."""
        batch, time = x.shape[:2]
        order = ["BTF".index(letter) for letter in self.letters]
        missing = [i for i in range(3) if i not in order]
        moved = x.transpose(order + missing).reshape([x.shape[i] for i in order])
        feed = {self.data.name: moved.astype(self.data.dtype), **states}
        feed |= {other.name: np.full(batch, time, other.dtype) for other in self.others if other.name in self.lengths}
        output, *handed = self.session(feed)
        y = self.tracked.arrange(output, batch, time, self.data.name)
        after = {name: value.reshape(states[name].shape) for name, value in zip(self.links, handed, strict=True)}
        return y[:, None] if self.one_step and y.ndim == 2 else y, {**states, **after}
