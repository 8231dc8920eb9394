# SPDX-License-Identifier: MIT
"""Cell patterns: recognises GRU, LSTM and RNN in the terms of a loop, and turns the terms into steps of a sequence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import sigmoid
from tinyrnn.importers.pytorch.exported.cells import StepOf, same_path
from tinyrnn.importers.pytorch.exported.terms import Atom, Function, Leaf, Product, Term, Value, lifted, matrix_of, term_of
from tinyrnn.importers.source_model import Activation, Dense, SourceStep, refuse


class _Reading:
    """Reads weights from the terms of one step. The leaf and the state must be the same in all of them."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.leaf: Leaf | None = None
        self.state: Value | None = None
        self.memory: Term | None = None  # an LSTM's c
        self.memory_before: Term | None = None  # its c at the previous step

    def affine(self, term: Term) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray] | None:
        """(W, U, b) of W x + U h + b, with None for a missing matrix; None if the term has another form."""
        w = u = None
        b = term.shift
        for atom, matrix in term.parts.values():
            full = matrix_of(matrix)
            if isinstance(atom, Value) and atom.term.simple:
                inner = self.affine(atom.term)
                if inner is None:
                    return None
                w, u = _added(w, inner[0], full), _added(u, inner[1], full)
                b = b + full @ inner[2]
                continue
            if isinstance(atom, Value) and atom.term.index == self.index:
                lower = resolved(atom.term)
                if lower is None:
                    return None
                atom = Leaf(lower, ("leaf", self.index, tuple(id(s) for s in lower.tracked.steps)))
            if isinstance(atom, Leaf) and atom.source.index == self.index:
                self.leaf = self.leaf or atom
                if atom.key != self.leaf.key:
                    return None
                w = full if w is None else w + full
            elif isinstance(atom, Value) and atom.term.index == self.index - 1:
                self.state = self.state or atom
                if atom.key != self.state.key:
                    return None
                u = full if u is None else u + full
            else:
                return None
        return w, u, b

    def gate(self, atom: Atom, kind: str) -> Any:
        return self.affine(atom.term) if isinstance(atom, Function) and atom.kind == kind else None


def _added(old: np.ndarray | None, new: np.ndarray | None, factor: np.ndarray) -> np.ndarray | None:
    """old + factor @ new, where either may be None."""
    if new is None:
        return old
    return factor @ new if old is None else old + factor @ new


def _ones(matrix: np.ndarray, sign: float = 1.0) -> bool:
    return matrix.ndim == 1 and bool((matrix == sign).all())


def _pair(atom: Atom, kind: str) -> tuple[Function, Atom] | None:
    """The factors of a product of a function of this kind and another atom; None for any other atom."""
    if isinstance(atom, Product):
        for one, other in ((atom.a, atom.b), (atom.b, atom.a)):
            if isinstance(one, Function) and one.kind == kind:
                return one, other
    return None


def _rows(gates: list[Any], hidden: int, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    w = np.concatenate([np.zeros((hidden, inputs)) if g[0] is None else g[0] for g in gates])
    u = np.concatenate([np.zeros((hidden, hidden)) if g[1] is None else g[1] for g in gates])
    return w, u, np.concatenate([g[2] for g in gates])


def _rnn(term: Term) -> tuple[FloatCell, _Reading] | None:
    reading = _Reading(term.index)
    ((atom, matrix),) = term.parts.values()
    if not isinstance(atom, Function) or atom.kind not in ("tanh", "relu") or not _ones(matrix) or term.shift.any():
        return None
    found = reading.affine(atom.term)
    if found is None or reading.leaf is None or reading.state is None:
        return None
    w, u, b = _rows([found], len(term.shift), reading.leaf.source.tracked.features)
    return RNN(w, u, b, 0 * b, atom.kind), reading


def _lstm(term: Term) -> tuple[FloatCell, _Reading] | None:
    """h' = o tanh(c'), c' = f c + i g."""
    reading = _Reading(term.index)
    ((atom, matrix),) = term.parts.values()
    pair = _pair(atom, "sigmoid")
    if pair is None or not _ones(matrix) or term.shift.any() or not isinstance(pair[1], Function) or pair[1].kind != "tanh":
        return None
    memory = pair[1].term
    keep = write = None
    for part, factor in memory.parts.values():
        gate = _pair(part, "sigmoid")
        if gate is None or not _ones(factor):
            return None
        if isinstance(gate[1], Value) and gate[1].term.index == term.index - 1:
            keep = gate[0]
            reading.memory, reading.memory_before = root_of(memory), root_of(gate[1].term)
        else:
            write = gate
    if keep is None or write is None or len(memory.parts) != 2 or memory.shift.any():
        return None
    gates = [
        reading.gate(write[0], "sigmoid"),
        reading.gate(keep, "sigmoid"),
        reading.gate(write[1], "tanh"),
        reading.gate(pair[0], "sigmoid"),
    ]
    if any(g is None for g in gates) or reading.leaf is None or reading.state is None:
        return None
    w, u, b = _rows(gates, len(term.shift), reading.leaf.source.tracked.features)
    return LSTM(w, u, b, 0 * b), reading


def _gru(term: Term) -> tuple[FloatCell, _Reading] | None:
    """h' = n - z n + z h, or h + z n - z h with the opposite z; n = tanh(W x + b + r (U h + c)), or with U (r h)."""
    singles = [(a, m) for a, m in term.parts.values() if not isinstance(a, Product)]
    products = [(a, m) for a, m in term.parts.values() if isinstance(a, Product)]
    if len(singles) != 1 or len(products) != 2 or term.shift.any() or not _ones(singles[0][1]):
        return None
    reading = _Reading(term.index)
    new = state = None
    update: Function | None = None
    for atom, matrix in products:
        found = [p for p in ((atom.a, atom.b), (atom.b, atom.a)) if isinstance(p[0], Function) and p[0].kind == "sigmoid"]
        if len(found) != 1 or (update is not None and found[0][0] is not update):
            return None
        one, other = found[0]
        assert isinstance(one, Function)
        update = one
        if isinstance(other, Function) and other.kind == "tanh":
            new = (other, matrix)
        elif isinstance(other, Value) and other.term.index == term.index - 1:
            state = (other, matrix)
    if new is None or state is None or update is None:
        return None
    plain = singles[0][0] is new[0]  # n - z n + z h
    if (
        not (plain or singles[0][0] is state[0])
        or not _ones(new[1], -1.0 if plain else 1.0)
        or not _ones(state[1], 1.0 if plain else -1.0)
    ):
        return None
    reading.state = state[0]
    z = reading.affine(update.term)
    candidate = _candidate(reading, new[0].term)
    if z is None or candidate is None or reading.leaf is None:
        return None
    if not plain:
        z = (None if z[0] is None else -z[0], None if z[1] is None else -z[1], -z[2])
    reset, late, hidden_shift, after = candidate
    w, u, b = _rows([reset, z, late], len(term.shift), reading.leaf.source.tracked.features)
    c = np.concatenate([0 * hidden_shift, 0 * hidden_shift, hidden_shift])
    return GRU(w, u, b, c, after), reading


def _product_of_now(atom: Atom, index: int) -> bool:
    """Whether an atom is a value of this step that is not a layer's output, as the state after its reset gate."""
    return isinstance(atom, Value) and atom.term.index == index and not atom.term.simple and resolved(atom.term) is None


def _candidate(reading: _Reading, term: Term) -> tuple[Any, Any, np.ndarray, bool] | None:
    """The candidate of a GRU: (reset gate, (W, U, b), c, whether the reset comes after the matrix), or None."""
    gated = [(a, m) for a, m in term.parts.values() if isinstance(a, Product) or _product_of_now(a, reading.index)]
    if len(gated) != 1:
        return None
    atom, matrix = gated[0]
    rest = Term(term.form, term.index, {k: p for k, p in term.parts.items() if p[0] is not atom}, term.shift)
    first = reading.affine(rest)
    after = isinstance(atom, Product)
    if isinstance(atom, Value):  # U (r h)
        if len(atom.term.parts) != 1 or atom.term.shift.any():
            return None
        ((inner, factor),) = atom.term.parts.values()
        if not _ones(factor):
            return None
    else:
        inner = atom
    pair = _pair(inner, "sigmoid")
    if pair is None or first is None or first[1] is not None:
        return None
    reset = reading.affine(pair[0].term)
    other = pair[1]
    if reset is None or not isinstance(other, Value):
        return None
    if not after:
        if other is not reading.state:
            return None
        return reset, (first[0], matrix_of(matrix), first[2]), 0 * first[2], False
    hidden = reading.affine(term_of(term.form, reading.index, other, np.ones(len(term.shift))))
    if hidden is None or hidden[0] is not None or hidden[1] is None or not _ones(matrix):
        return None
    return reset, (first[0], hidden[1], first[2]), hidden[2], True


def root_of(term: Term) -> Term:
    """The original term, if this one is a copy with other axes."""
    return term if term.value is None else term.value.term


def resolved(term: Term) -> StepOf | None:
    """The step of a recurrent layer that the term computes, or None."""
    root = root_of(term)
    chain: list[Term] = []
    memories: list[tuple[Term, Term]] = []
    at = root
    while at.found is None and not at.strange:
        read = next(
            (
                r
                for r in (_rnn(at) if len(at.parts) == 1 else None, _lstm(at) if len(at.parts) == 1 else None, _gru(at))
                if r is not None
            ),
            None,
        )
        if read is None:
            break
        made, reading = read
        assert reading.leaf is not None
        assert reading.state is not None
        source = reading.leaf.source
        output = StepOf(source.tracked.then(SourceStep("cell", made), made.units), at.index, source.base)
        at.found = output
        chain.append(at)
        before: Term = reading.state.term
        if reading.memory is not None and reading.memory_before is not None:
            memories.append((reading.memory, reading.memory_before))
        if before.state is not None:
            before.found, before.feeds = output, before.state
        if before.index == 0 and before.found is None:
            if not _starts(before, output):
                at = before
                break
            before.found = replace(output, index=0)
        at = before
    if at.found is None:
        at.strange = True
        for done in chain:
            done.found, done.strange = None, True
        return None
    for done in reversed(chain):
        done.feeds = at.feeds
    for new, old in reversed(memories):
        new.feeds = old.feeds or old.state
    tracked = at.found.tracked
    for done in reversed(chain):
        assert done.found is not None
        if not same_path(replace(done.found.tracked, axes=tracked.axes), tracked):
            for wrong in chain:
                wrong.found, wrong.strange = None, True
            return None
        done.found = replace(done.found, tracked=replace(tracked, axes=done.form.axes))
    return None if root.found is None else replace(root.found, tracked=replace(root.found.tracked, axes=term.form.axes))


def settled(term: Term, name: str) -> StepOf:
    """The term as a step of a sequence: of a recurrent layer and the functions after it. Raises ModelError."""
    found = resolved(term)
    if found is not None:
        return found
    if len(term.parts) == 1:
        ((atom, matrix),) = term.parts.values()
        inner: StepOf | None = None
        if isinstance(atom, Leaf):
            inner = atom.source
        elif isinstance(atom, (Value, Function)) and atom.term.index == term.index:
            inner = settled(atom.term, name)
        if inner is not None:
            tracked = inner.tracked
            if isinstance(atom, Function):
                tracked = tracked.then(SourceStep(name, Activation(atom.kind)))
            tracked = tracked.then(SourceStep(name, Dense(matrix_of(matrix), term.shift)), len(term.shift))
            return replace(inner, tracked=replace(tracked, axes=term.form.axes))
    cure = "expected nn.GRU, nn.LSTM, nn.RNN or their cells; if they are decomposed, a sequence of at least two steps"
    raise refuse(name, "uses a state in a way that no GRU, LSTM or RNN does", cure)


def all_steps(parts: list[StepOf | Term], name: str) -> list[StepOf]:
    """Every step of a loop. The first one is compared with the layer that the others are."""
    if not any(isinstance(part, Term) for part in parts[1:]):
        return [settled(part, name) if isinstance(part, Term) else part for part in parts]
    rest = [settled(part, name) if isinstance(part, Term) else part for part in parts[1:]]
    first = parts[0]
    if isinstance(first, Term) and resolved(first) is not None:
        return [settled(first, name), *rest]
    start = first if isinstance(first, Term) else lifted(first, name)
    if not _starts(start, rest[0]):
        return [settled(first, name) if isinstance(first, Term) else first, *rest]
    return [StepOf(replace(rest[0].tracked, axes=start.form.axes), first.index, rest[0].base), *rest]


def _starts(term: Term, after: StepOf) -> bool:
    """Whether the first step computes what the layers compute from zero states. Compares numbers of a random input."""
    leaves: dict[tuple[Any, ...], Leaf] = {}
    stack: list[Term] = [term]
    seen: set[int] = set()
    while stack:
        inner = stack.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        atoms = [atom for atom, _ in inner.parts.values()]
        while atoms:
            atom = atoms.pop()
            if isinstance(atom, Product):
                atoms += [atom.a, atom.b]
            elif isinstance(atom, Leaf):
                leaves[atom.key] = atom
            else:
                stack.append(atom.term)
    if len(leaves) != 1:
        return False
    ((key, leaf),) = leaves.items()
    x = np.random.default_rng(3).standard_normal(leaf.source.tracked.features)
    y = x[None]
    for step in after.tracked.steps[leaf.source.base :]:
        what = step.what
        if isinstance(what, FloatCell):
            y = what.output(what.step(y, np.zeros((1, what.state_size)))) if what.inputs == y.shape[1] else y[:, :0]
        elif isinstance(what, Dense):
            y = y @ what.weight.T + what.bias if what.weight.shape[1] == y.shape[1] else y[:, :0]
        else:
            return False
    return y.shape[1] == len(term.shift) and bool(np.allclose(_computed(term, {key: x}, {}), y[0], rtol=1e-9, atol=1e-9))


def _computed(term: Term, leaves: dict[tuple[Any, ...], np.ndarray], done: dict[int, np.ndarray]) -> np.ndarray:
    """The value of the term for these values of its leaves. done: the values of terms that are known, by id()."""
    if id(term) in done:
        return done[id(term)]

    def of(atom: Atom) -> np.ndarray:
        if isinstance(atom, Leaf):
            return leaves[atom.key]
        if isinstance(atom, Product):
            return of(atom.a) * of(atom.b)
        inner = _computed(atom.term, leaves, done)
        if isinstance(atom, Value):
            return inner
        if atom.kind == "relu":
            return np.maximum(inner, 0)
        return np.asarray(np.tanh(inner) if atom.kind == "tanh" else sigmoid(inner))

    total = term.shift.copy()
    for atom, matrix in term.parts.values():
        total = total + (matrix @ of(atom) if matrix.ndim == 2 else matrix * of(atom))
    done[id(term)] = total
    return total
