"""Recurrent cells that a program writes as arithmetic: run_decompositions() makes it, and cells written by hand are it.

A Term is what one step of a loop computes, a sum of matrices times atoms: what comes in at this step, values of the step
before, functions and products of terms. A cell is found where a term has its form; the weights are read off its matrices.
The first step, from zero, has lost its recurrent matrix: it is compared with the cell by its numbers.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyrnn.floatcells import GRU, LSTM, RNN, Cell
from tinyrnn.floatlayers import sigmoid
from tinyrnn.importers.exportedaffine import vector_of
from tinyrnn.importers.exportedcells import StepOf, same_path
from tinyrnn.importers.flow import Flow
from tinyrnn.importers.source import Activation, Affine, Dense, Step, refuse

_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Leaf:
    """What a sequence brings at this step."""

    source: StepOf
    key: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A whole term under one name: the state of the step before, or what goes through a matrix."""

    term: Term
    key: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Function:
    kind: str  # "tanh", "sigmoid", "relu"
    term: Term
    key: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Product:
    a: Atom
    b: Atom
    key: tuple[Any, ...]


Atom = Leaf | Value | Function | Product


@dataclass(eq=False)
class Term:
    """sum of matrix @ atom, + shift; a matrix of one axis is the diagonal of one."""

    form: Flow  # axes and sizes; it has no steps
    index: int  # the step
    parts: dict[tuple[Any, ...], tuple[Atom, np.ndarray]]
    shift: np.ndarray  # (features,)
    found: StepOf | None = None
    value: Value | None = field(default=None, repr=False)

    def as_value(self) -> Value:
        if self.value is None:
            self.value = Value(self, ("value", next(_numbers)))
        return self.value

    @property
    def simple(self) -> bool:
        """A sum of what comes in and of whole values: no function and no product."""
        return all(isinstance(atom, (Leaf, Value)) for atom, _ in self.parts.values())

    def frozen(self) -> Term:
        """The same under one name."""
        if self.simple:
            return self
        return _term(self.form, self.index, self.as_value(), np.ones(self.form.features))


def _term(form: Flow, index: int, atom: Atom, matrix: np.ndarray) -> Term:
    return Term(form, index, {atom.key: (atom, matrix)}, np.zeros(len(matrix)))


def _matrix(matrix: np.ndarray) -> np.ndarray:
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def lifted(step: StepOf, name: str) -> Term:
    """A step of a sequence as a term: the layers behind its base once more, as arithmetic."""
    if step.memory:
        raise refuse(name, "calculates with an LSTM's cell state c", "expected its output h")
    width = step.flow.features
    for done in reversed(step.flow.steps[step.base :]):
        if isinstance(done.what, Dense):
            width = done.what.weight.shape[1]
        elif not isinstance(done.what, (Affine, Activation)):
            raise refuse(name, "combines two paths", "expected one path through the layers")
    form = replace(step.flow, steps=(), features=width)
    base = replace(step.flow, steps=step.flow.steps[: step.base], features=width)
    leaf = Leaf(StepOf(base, step.index, step.base), ("leaf", step.index, tuple(id(s) for s in base.steps)))
    term = _term(form, step.index, leaf, np.ones(width))
    for done in step.flow.steps[step.base :]:
        what = done.what
        if isinstance(what, Dense):
            term = through(term, what.weight, what.bias)
        elif isinstance(what, Affine):
            term = scaled(term, what.scale, what.shift)
        elif isinstance(what, Activation):
            term = function(term, what.kind)
    return replace(term, form=replace(step.flow, steps=()))


def through(term: Term, weight: np.ndarray, bias: np.ndarray) -> Term:
    """weight @ term + bias. A choice of rows leaves functions and products what they are."""
    chooses = ((weight == 0) | (weight == 1)).all() and (weight.sum(axis=1) == 1).all()
    term = term if chooses else term.frozen()
    rows = weight.argmax(axis=1) if chooses else None
    parts = {}
    for key, (atom, matrix) in term.parts.items():
        parts[key] = (atom, _matrix(matrix)[rows] if rows is not None else weight @ matrix if matrix.ndim == 2
                      else weight * matrix)  # fmt: skip
    form = replace(term.form, features=len(weight))
    return Term(form, term.index, parts, weight @ term.shift + bias)


def scaled(term: Term, scale: np.ndarray, shift: np.ndarray) -> Term:
    parts = {key: (atom, scale * m if m.ndim == 1 else scale[:, None] * m) for key, (atom, m) in term.parts.items()}
    kept = {key: part for key, part in parts.items() if part[1].any()}
    return Term(term.form, term.index, kept, scale * term.shift + shift)


def function(term: Term, kind: str) -> Term:
    atom = Function(kind, term, ("function", next(_numbers)))
    return _term(term.form, term.index, atom, np.ones(term.form.features))


def _meet(a: Term, b: Term) -> tuple[Term, Term, Flow]:
    """Both with the older one under one name, and the axes of the result."""
    if a.index != b.index:
        a, b = (t.frozen() if t.index < max(a.index, b.index) else t for t in (a, b))
    form = a.form if len(a.form.axes) >= len(b.form.axes) else b.form
    return a, b, form


def plus(name: str, a: Term, b: Term, factor: float) -> Term:
    """a + factor * b."""
    a, b, form = _meet(a, b)
    if len(a.shift) != len(b.shift):
        raise refuse(name, "adds terms of other widths", "expected a plain loop over a cell")
    parts = dict(a.parts)
    for key, (atom, matrix) in b.parts.items():
        more = factor * matrix
        if key in parts:
            old = parts[key][1]
            more = old + more if old.ndim == more.ndim else _matrix(old) + _matrix(more)
        parts[key] = (atom, more)
    parts = {key: part for key, part in parts.items() if part[1].any()}
    return Term(form, max(a.index, b.index), parts, a.shift + factor * b.shift)


def times(name: str, a: Term, b: Term) -> Term:
    """a * b, number by number: multiplied out where no matrix mixes the numbers."""
    a, b, form = _meet(a, b)
    if len(a.shift) != len(b.shift):
        raise refuse(name, "multiplies terms of other widths", "expected a plain loop over a cell")
    one = np.ones(len(a.shift))
    a, b = (t if all(m.ndim == 1 for _, m in t.parts.values()) else
            _term(t.form, t.index, t.as_value(), one) for t in (a, b))  # fmt: skip
    index = max(a.index, b.index)
    result = Term(form, index, {}, a.shift * b.shift)
    for x, y in ((a, b), (b, a)):
        rest = Term(form, index, dict(x.parts), np.zeros(len(one)))
        result = plus(name, result, scaled(rest, y.shift, 0 * one), 1.0)
    for (left, m), (right, n) in itertools.product(a.parts.values(), b.parts.values()):
        atom = Product(left, right, ("product", *sorted([left.key, right.key], key=repr)))
        result = plus(name, result, _term(form, index, atom, m * n), 1.0)
    return result


def beside(name: str, parts: list[Any], axis: int) -> Term:
    """Terms and constants one beside the other, along the features."""
    terms = [part.frozen() for part in parts if isinstance(part, Term)]
    form = terms[0].form
    if axis != len(form.axes) - 1 or any(np.ndim(p) not in (0, len(form.axes)) for p in parts if not isinstance(p, Term)):
        raise refuse(name, "joins steps along another axis than the features", "expected torch.cat((x, h), dim=-1)")
    widths = [len(p.shift) if isinstance(p, Term) else p.shape[-1] for p in parts]
    total = sum(widths)
    atoms: dict[tuple[Any, ...], tuple[Atom, np.ndarray]] = {}
    shift = np.zeros(total)
    start = 0
    for part, width in zip(parts, widths, strict=True):
        rows = slice(start, start + width)
        start += width
        if not isinstance(part, Term):
            shift[rows] = vector_of(replace(form, features=width), part, name)
            continue
        part = part.frozen()
        shift[rows] = part.shift
        for key, (atom, matrix) in part.parts.items():
            full = _matrix(matrix)
            wide = atoms[key][1] if key in atoms else np.zeros((total, full.shape[1]))
            wide[rows] += full
            atoms[key] = (atom, wide)
    return Term(replace(form, features=total), max(t.index for t in terms), atoms, shift)


class _Reading:
    """Weights read off the terms of one step; the leaf and the state are the same in all of them."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.leaf: Leaf | None = None
        self.state: Value | None = None

    def affine(self, term: Term) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray] | None:
        """(W, U, b) of W x + U h + b, None for a matrix that is not there; None where it is no such term."""
        w = u = None
        b = term.shift
        for atom, matrix in term.parts.values():
            full = _matrix(matrix)
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
                atom = Leaf(lower, ("leaf", self.index, tuple(id(s) for s in lower.flow.steps)))
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
    """old + factor @ new, where each may not be there."""
    if new is None:
        return old
    return factor @ new if old is None else old + factor @ new


def _ones(matrix: np.ndarray, sign: float = 1.0) -> bool:
    return matrix.ndim == 1 and bool((matrix == sign).all())


def _pair(atom: Atom, kind: str) -> tuple[Function, Atom] | None:
    """A product of a function of this kind and something else."""
    if isinstance(atom, Product):
        for one, other in ((atom.a, atom.b), (atom.b, atom.a)):
            if isinstance(one, Function) and one.kind == kind:
                return one, other
    return None


def _rows(gates: list[Any], hidden: int, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    w = np.concatenate([np.zeros((hidden, inputs)) if g[0] is None else g[0] for g in gates])
    u = np.concatenate([np.zeros((hidden, hidden)) if g[1] is None else g[1] for g in gates])
    return w, u, np.concatenate([g[2] for g in gates])


def _rnn(term: Term) -> tuple[Cell, _Reading] | None:
    reading = _Reading(term.index)
    ((atom, matrix),) = term.parts.values()
    if not isinstance(atom, Function) or atom.kind not in ("tanh", "relu") or not _ones(matrix) or term.shift.any():
        return None
    found = reading.affine(atom.term)
    if found is None or reading.leaf is None or reading.state is None:
        return None
    w, u, b = _rows([found], len(term.shift), reading.leaf.source.flow.features)
    return RNN(w, u, b, 0 * b, atom.kind), reading


def _lstm(term: Term) -> tuple[Cell, _Reading] | None:
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
        else:
            write = gate
    if keep is None or write is None or len(memory.parts) != 2 or memory.shift.any():
        return None
    gates = [reading.gate(write[0], "sigmoid"), reading.gate(keep, "sigmoid"), reading.gate(write[1], "tanh"),
             reading.gate(pair[0], "sigmoid")]  # fmt: skip
    if any(g is None for g in gates) or reading.leaf is None or reading.state is None:
        return None
    w, u, b = _rows(gates, len(term.shift), reading.leaf.source.flow.features)
    return LSTM(w, u, b, 0 * b), reading


def _gru(term: Term) -> tuple[Cell, _Reading] | None:
    """h' = n - z n + z h, or the other way round h + z n - z h; n = tanh(W x + b + r (U h + c)) or with U (r h)."""
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
    if not (plain or singles[0][0] is state[0]) or not _ones(new[1], -1.0 if plain else 1.0) or not _ones(
        state[1], 1.0 if plain else -1.0):  # fmt: skip
        return None
    reading.state = state[0]
    z = reading.affine(update.term)
    candidate = _candidate(reading, new[0].term)
    if z is None or candidate is None or reading.leaf is None:
        return None
    if not plain:
        z = (None if z[0] is None else -z[0], None if z[1] is None else -z[1], -z[2])
    reset, late, hidden_shift, after = candidate
    w, u, b = _rows([reset, z, late], len(term.shift), reading.leaf.source.flow.features)
    c = np.concatenate([0 * hidden_shift, 0 * hidden_shift, hidden_shift])
    return GRU(w, u, b, c, after), reading


def _product_of_now(atom: Atom, index: int) -> bool:
    """A value of this step that is no layer's output: the state behind its reset gate."""
    return isinstance(atom, Value) and atom.term.index == index and not atom.term.simple and resolved(atom.term) is None


def _candidate(reading: _Reading, term: Term) -> tuple[Any, Any, np.ndarray, bool] | None:
    """The new value's gates: (reset gate, (W, U, b), c, whether the reset comes after the matrix)."""
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
        return reset, (first[0], _matrix(matrix), first[2]), 0 * first[2], False
    hidden = reading.affine(_term(term.form, reading.index, other, np.ones(len(term.shift))))
    if hidden is None or hidden[0] is not None or hidden[1] is None or not _ones(matrix):
        return None
    return reset, (first[0], hidden[1], first[2]), hidden[2], True


def resolved(term: Term) -> StepOf | None:
    """The step of a recurrent layer that the term is, or None."""
    root = term.value.term if term.value is not None else term
    chain: list[Term] = []
    at = root
    while at.found is None:
        read = next((r for r in (_rnn(at) if len(at.parts) == 1 else None, _lstm(at) if len(at.parts) == 1 else None,
                                 _gru(at)) if r is not None), None)  # fmt: skip
        if read is None:
            break
        made, reading = read
        assert reading.leaf is not None
        assert reading.state is not None
        source = reading.leaf.source
        at.found = StepOf(source.flow.then(Step("cell", made), made.units), at.index, source.base)
        chain.append(at)
        before = reading.state.term
        if before.index == 0 and before.found is None:
            if not _starts(before, at.found):
                break
            before.found = replace(at.found, index=0)
        at = before
    if at.found is None:
        for done in chain:
            done.found = None
        return None
    flow = at.found.flow
    for done in reversed(chain):
        assert done.found is not None
        if not same_path(replace(done.found.flow, axes=flow.axes), flow):
            for wrong in chain:
                wrong.found = None
            return None
        done.found = replace(done.found, flow=replace(flow, axes=done.form.axes))
    return None if root.found is None else replace(root.found, flow=replace(root.found.flow, axes=term.form.axes))


def settled(term: Term, name: str) -> StepOf:
    """The term as a step of a sequence: of a recurrent layer, and of what stands behind it. Raises ModelError."""
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
            flow = inner.flow
            if isinstance(atom, Function):
                flow = flow.then(Step(name, Activation(atom.kind)))
            flow = flow.then(Step(name, Dense(_matrix(matrix), term.shift)), len(term.shift))
            return replace(inner, flow=replace(flow, axes=term.form.axes))
    cure = "expected nn.GRU, nn.LSTM, nn.RNN or their cells; a sequence of two or more steps where they are decomposed"
    raise refuse(name, "calculates with a state as no GRU, LSTM or RNN does", cure)


def all_steps(parts: list[StepOf | Term], name: str) -> list[StepOf]:
    """Every step of a loop, the first compared with the layer that the others are."""
    if not any(isinstance(part, Term) for part in parts[1:]):
        return [settled(part, name) if isinstance(part, Term) else part for part in parts]
    rest = [settled(part, name) if isinstance(part, Term) else part for part in parts[1:]]
    first = parts[0]
    if isinstance(first, Term) and resolved(first) is not None:
        return [settled(first, name), *rest]
    start = first if isinstance(first, Term) else lifted(first, name)
    if not _starts(start, rest[0]):
        return [settled(first, name) if isinstance(first, Term) else first, *rest]
    return [StepOf(replace(rest[0].flow, axes=start.form.axes), first.index, rest[0].base), *rest]


def reshaped(term: Term, form: Flow) -> Term:
    """The same numbers with other axes, under the same name."""
    term.as_value()
    return replace(term, form=replace(form, steps=()))


def _starts(term: Term, after: StepOf) -> bool:
    """The first step computes what the layers do from states of zero."""
    leaves: dict[tuple[Any, ...], Leaf] = {}
    stack: list[Term] = [term]
    while stack:
        atoms = [atom for atom, _ in stack.pop().parts.values()]
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
    x = np.random.default_rng(3).standard_normal(leaf.source.flow.features)
    y = x[None]
    for step in after.flow.steps[leaf.source.base :]:
        what = step.what
        if isinstance(what, Cell):
            y = what.output(what.step(y, np.zeros((1, what.state_size)))) if what.inputs == y.shape[1] else y[:, :0]
        elif isinstance(what, Dense):
            y = y @ what.weight.T + what.bias if what.weight.shape[1] == y.shape[1] else y[:, :0]
        else:
            return False
    return y.shape[1] == len(term.shift) and bool(np.allclose(_computed(term, {key: x}), y[0], rtol=1e-9, atol=1e-9))


def _computed(term: Term, leaves: dict[tuple[Any, ...], np.ndarray]) -> np.ndarray:
    def of(atom: Atom) -> np.ndarray:
        if isinstance(atom, Leaf):
            return leaves[atom.key]
        if isinstance(atom, Product):
            return of(atom.a) * of(atom.b)
        inner = _computed(atom.term, leaves)
        if isinstance(atom, Value):
            return inner
        if atom.kind == "relu":
            return np.maximum(inner, 0)
        return np.asarray(np.tanh(inner) if atom.kind == "tanh" else sigmoid(inner))

    total = term.shift.copy()
    for atom, matrix in term.parts.values():
        total = total + (matrix @ of(atom) if matrix.ndim == 2 else matrix * of(atom))
    return total
