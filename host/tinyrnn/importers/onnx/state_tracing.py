# SPDX-License-Identifier: MIT
"""State tracing: finds the outputs of a graph that are its layers' states, so that a caller can feed them back.

Every number of a state gets an identity. Nodes that only move numbers are computed on these identities. So slices, joins,
transposes, and one tensor for several states need no special treatment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property, reduce
from operator import or_
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.onnx import constants
from tinyrnn.importers.onnx.cells import GATES
from tinyrnn.importers.onnx.graph_file import LARGEST, Graph, Input, Node
from tinyrnn.importers.source_model import refuse
from tinyrnn.text import counted

MOVING = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "Concat", "Expand", "Tile")
NEUTRAL = {"Mul": 1, "Div": 1, "Add": 0, "Sub": 0}  # the constant with which a node changes nothing
UNKNOWN = -1  # not a number of a state
TWICE = -2  # a number that would start two states
MOST = 64  # most states, and most outputs, of a graph


@dataclass
class _Slot:
    """One state of one recurrent node."""

    node: Node
    letter: str  # "h" or "c"
    ids: np.ndarray  # identities of its numbers after the step
    fed: np.ndarray | None  # identities of the numbers that arrive as its initial state

    @property
    def name(self) -> str:
        return f"the state {self.letter} of {self.node.kind} {self.node.name}"

    @property
    def bounded(self) -> bool:
        """Whether its numbers are always between -1 and 1."""
        relu = "relu" in [str(a).lower() for a in self.node.attributes.get("activations", ())]
        return self.letter == "h" and not relu


@dataclass
class States:
    """The states of a graph that are its inputs, and what its outputs consist of."""

    inputs: dict[str, np.ndarray]  # identities of each state input's numbers
    slots: list[_Slot] = field(default_factory=list)
    env: dict[str, np.ndarray] = field(default_factory=dict)  # identities of every tensor whose numbers are known
    makers: dict[str, Node] = field(default_factory=dict)  # the node that makes each tensor
    depends: dict[str, int] = field(default_factory=dict)  # bit i: the tensor is computed from slot i

    @cached_property
    def _places(self) -> dict[str, tuple[list[int], np.ndarray]]:
        """For each state input: the slots that it starts, and the numbers that must be fed back to it."""
        places = {}
        for state, ids in self.inputs.items():
            own = ids.reshape(-1)
            wanted, started = np.full(own.size, UNKNOWN, np.int64), []
            for number, slot in enumerate(self.slots):
                fed, after = (None if slot.fed is None else slot.fed.reshape(-1)), slot.ids.reshape(-1)
                mine = (fed >= own[0]) & (fed <= own[-1]) if fed is not None else np.zeros(0, bool)
                if fed is None or not mine.any():
                    continue
                started.append(number)
                if fed.size != after.size:
                    wanted[fed[mine] - own[0]] = TWICE
                    continue
                at, new = fed[mine] - own[0], after[mine]
                wanted[at] = np.where((wanted[at] == UNKNOWN) | (wanted[at] == new), new, TWICE)
                wanted[at[wanted[at] != new]] = TWICE
            places[state] = started, wanted
        return places

    def wanted(self, state: str) -> np.ndarray:
        """The number to feed back at each place of a state input: UNKNOWN if any will do, TWICE if none will."""
        return self._places[state][1]

    def fed_by(self, state: str) -> list[int]:
        """The slots that a state input starts."""
        return self._places[state][0]

    def returned(self, state: str, output: str) -> bool:
        """Whether the output is the state that the input starts, number by number."""
        wanted, given = self.wanted(state), self.env.get(output)
        if given is None or given.size != wanted.size or not (wanted != UNKNOWN).any():
            return False
        return bool(((wanted == UNKNOWN) | (wanted == given.reshape(-1))).all())

    def made_from(self, output: str, state: str) -> bool:
        """Whether an output is computed from a slot that the state input starts."""
        return any(self.depends.get(output, 0) >> i & 1 for i in self.fed_by(state))

    def fed_by_any(self, output: str, ids: np.ndarray) -> bool:
        """Whether the output has the numbers that one of the state inputs needs, but in other places."""
        return any(
            not self.returned(state, output) and np.array_equal(np.sort(ids.reshape(-1)), np.sort(self.wanted(state)))
            for state in self.inputs
        )

    def what(self, output: str) -> str:
        """What an output is, if it is not the expected state; for messages."""
        ids = self.env.get(output)
        if ids is not None:
            names = [slot.name for slot in self.slots if np.isin(ids, slot.ids).any()]
            old = [name for name, own in self.inputs.items() if np.isin(ids, own).any()]
            if self.fed_by_any(output, ids):
                return f"{output} has the numbers of {' and '.join(names)} in another order"
            found = names + [f"the state of the previous step, {name}" for name in old]
            return f"{output} is {' and '.join(found)}" if found else f"{output} is from another step"
        node = self.makers.get(output)
        for _ in range(len(self.makers)):
            if node is None or node.kind not in (*MOVING, "Identity", "Cast"):
                break
            node = next((self.makers[n] for n in node.inputs if n in self.makers and n not in self.env), None)
        return f"{output} is changed by {node.kind} {node.name}" if node is not None else f"{output} is something else"


def trace(graph: Graph, states: Sequence[Input], values: Mapping[str, Any], batch: int, time: int) -> States:
    """Follow every state. ``values``: every tensor, including constants, for this batch and number of steps."""
    count = 0

    def numbered(name: str, shape: Sequence[int]) -> np.ndarray:
        nonlocal count
        size = int(np.prod(list(shape), dtype=object))
        if count + size > LARGEST:
            raise refuse(name, f"is an initial state of shape {list(shape)}", f"expected at most {LARGEST} numbers")
        count += size
        return np.arange(count - size, count, dtype=np.int64).reshape(shape)

    if states and max(len(states), len(graph.outputs)) > MOST:
        seen = f"{counted(len(states), 'state')} and {counted(len(graph.outputs), 'output')}"
        raise ModelError(f"the graph has {seen}; expected at most {MOST} of each")
    found = States({i.name: numbered(i.name, [n or batch for n in i.shape]) for i in states})
    found.env.update(found.inputs)
    for node in graph.nodes if states else ():
        found.makers.update((name, node) for name in node.outputs if name)
        through = reduce(or_, (found.depends.get(name, 0) for name in node.inputs), 0)
        if node.kind in GATES:
            through |= _cell(found, node, numbered, values, batch, time)
        elif any(name in found.env for name in node.inputs):
            results = _moved(found, node, values, graph.opset)
            found.env.update((name, ids) for name, ids in zip(node.outputs, results, strict=False) if name)
        found.depends.update((name, through) for name in node.outputs if name)
    return found


def _cell(found: States, node: Node, numbered: Any, values: Mapping[str, Any], batch: int, time: int) -> int:
    """Give identities to the states of a recurrent node. Returns the bits of its slots."""
    r = values.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if not isinstance(r, np.ndarray) or r.ndim != 3:
        return 0
    layout, hidden = node.attributes.get("layout", 0), r.shape[2]
    shape = (batch, 1, hidden) if layout else (1, batch, hidden)
    first = len(found.slots)
    for at, letter in enumerate("hc" if node.kind == "LSTM" else "h"):
        fed = found.env.get(node.inputs[5 + at]) if len(node.inputs) > 5 + at else None
        found.slots.append(_Slot(node, letter, numbered(node.name, shape), fed))
        if len(node.outputs) > 1 + at and node.outputs[1 + at]:
            found.env[node.outputs[1 + at]] = found.slots[-1].ids
    if batch * time * hidden > LARGEST // 64:  # too large to number; the state is also an output of its own
        return (1 << len(found.slots)) - (1 << first)
    y = np.full((batch, time, 1, hidden) if layout else (time, 1, batch, hidden), UNKNOWN, np.int64)
    y[(slice(None), -1) if layout else -1] = found.slots[first].ids
    if node.outputs[0]:
        found.env[node.outputs[0]] = y
    return (1 << len(found.slots)) - (1 << first)


def _moved(found: States, node: Node, values: Mapping[str, Any], opset: int) -> list[np.ndarray]:
    """The results of a node that changes no number; [] for any other node."""
    given: list[Any] = [found.env.get(name, values.get(name)) if name else None for name in node.inputs]
    if not all(value is None or isinstance(value, np.ndarray) for value in given):
        return []
    if node.kind in ("Identity", "Cast", "Dropout"):
        return given[:1]
    if node.kind in NEUTRAL and len(given) == 2:
        at = 0 if node.inputs[0] in found.env else 1
        other = given[1 - at]
        swapped = at == 1 and node.kind in ("Sub", "Div")
        plain = node.inputs[1 - at] not in found.env and other.size == 1 and not swapped
        return [given[at]] if plain and (other == NEUTRAL[node.kind]).all() else []
    if node.kind == "Clip":
        low, high = (
            value if value is not None else node.attributes.get(key)
            for key, value in zip(("min", "max"), [*given[1:], None, None], strict=False)
        )
        own = [slot for slot in found.slots if np.isin(given[0], slot.ids).any()]
        inside = np.isin(given[0], np.concatenate([slot.ids.reshape(-1) for slot in own])).all() if own else False
        wide = (low is None or np.max(low) <= -1) and (high is None or np.min(high) >= 1)
        return given[:1] if inside and wide and all(slot.bounded for slot in own) else []
    if node.kind not in MOVING:
        return []
    # constants that are joined to the numbers of a state belong to no state
    if node.kind == "Concat":
        given = [g if name in found.env else np.full(g.shape, UNKNOWN) for name, g in zip(node.inputs, given, strict=True)]
    elif node.inputs[0] not in found.env:
        return []
    try:
        return constants.evaluate(node, given, opset)
    except ModelError:
        return []


def links(graph: Graph, found: States, answer: str, one_step: bool) -> dict[str, str]:
    """State input -> the output to feed back to it; {} for a file for whole sequences that returns no states.

    Raises ModelError if there is no such output, or if names or order suggest a different one.
    """
    pairs = {state: [o for o in graph.outputs if found.returned(state, o)] for state in found.inputs}
    pairs = {
        state: sorted([o for o in outputs if o != answer] or outputs, key=lambda o: -_alike(state, o))
        for state, outputs in pairs.items()
    }
    given = {outputs[0] for outputs in pairs.values() if outputs}
    for state, outputs in pairs.items():
        slots = found.fed_by(state)
        if not slots and one_step:
            raise refuse(
                state, "reaches its layer in a way that cannot be followed", "expected slices, joins and transposes"
            )
        if outputs or not slots:
            continue
        name = " and ".join(found.slots[i].name for i in slots)
        others = [o for o in graph.outputs if o not in (answer, *given) and changed(graph, found, state, o, one_step)]
        alike = sorted(others, key=lambda o: -_alike(state, o))
        cure = "return the state as the layer gives it, and train the network that way"
        if alike:
            cure = cure if one_step else f"{cure}, or export it for whole sequences, without the input {state}"
            raise refuse(state, f"starts {name}, but {found.what(alike[0])}", cure)
        if one_step:
            raise refuse(state, f"starts {name}, but no output returns it after the step", cure)
    chosen = {state: outputs[0] for state, outputs in pairs.items() if outputs}
    if len(chosen) < len(pairs) and not one_step:
        return {}
    _in_order(graph, found, chosen)
    return chosen


def changed(graph: Graph, found: States, state: str, output: str, one_step: bool) -> bool:
    """Whether an output is made from a state and could be meant as its next value, because it has the same size."""
    ids = found.env.get(output)
    held = ids is not None and np.isin(ids, found.inputs[state]).any()
    made = found.made_from(output, state)
    return bool((held or made) and _same_size(graph, found, state, output) in ((True, None) if one_step else (True,)))


def _same_size(graph: Graph, found: States, state: str, output: str) -> bool | None:
    """Whether an output has as many numbers as a state; None if its size is not known."""
    if output in found.env:
        return bool(found.env[output].size == found.inputs[state].size)
    declared = next(o for o in graph.model.graph.output if o.name == output).type.tensor_type
    if not declared.HasField("shape"):
        return None
    shape = next(i.shape for i in graph.inputs if i.name == state)
    sizes = [[d.dim_value for d in declared.shape.dim], [n or 0 for n in shape]]
    return bool(np.equal(*(np.prod([n or 1 for n in dims], dtype=object) for dims in sizes)))


def _in_order(graph: Graph, found: States, chosen: dict[str, str]) -> None:
    """Raise ModelError if a caller who goes by the names, or by the order, would exchange states."""
    states, outputs = list(chosen), list(chosen.values())
    if len(set(outputs)) < 2:
        return
    by_name = {s: (_alike(s, o), max(_alike(s, other) for other in outputs if other != o)) for s, o in chosen.items()}
    said = all(own > other for own, other in by_name.values())
    against = all(own < other for own, other in by_name.values())
    ordered = sorted(outputs, key=graph.outputs.index) == outputs
    if not (against or not (ordered or said)):
        return
    order = sorted(outputs, key=graph.outputs.index)
    for state, own, other in zip(states, outputs, order, strict=True):
        taken = max(outputs, key=lambda o: _alike(state, o)) if against else other
        if taken != own:
            name = " and ".join(found.slots[i].name for i in found.fed_by(state))
            way = "by its name" if against else "by its position"
            cure = "return the states with the names and in the order of the inputs"
            raise refuse(state, f"starts {name}, but {found.what(taken)}, which belongs there {way}", cure)


def _alike(a: str, b: str) -> float:
    """The similarity of two names, 0 to 1.1; that of h_in and h_out is larger than that of h_in and c_out."""
    short = [name.lower().replace("output", "").replace("input", "").replace("out", "").replace("in", "") for name in (a, b)]
    return SequenceMatcher(None, short[0], short[1]).ratio() + 0.1 * (short[0][:1] == short[1][:1])
