# SPDX-License-Identifier: MIT
"""Terms: recurrent cells that a program computes with arithmetic, from run_decompositions() or written by hand.

A Term is what one step of a loop computes: a sum of matrices times atoms, which are the input of this step, values of the
previous step, and functions and products of terms. If a term has the form of a cell, its matrices are the weights. In the
first step, from the zero state, the recurrent matrix is missing, so its numbers are compared with those of the cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyrnn.importers.axis_tracking import TrackedArray
from tinyrnn.importers.pytorch.exported.affine import vector_of
from tinyrnn.importers.pytorch.exported.cells import StepOf
from tinyrnn.importers.source_model import Activation, Affine, Dense, refuse

MOST_STEPS = 100  # most functions and matrices that one step of a loop passes before it is joined with another
MOST_ATOMS = 64  # most atoms of one term; a GRU has 3

_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Leaf:
    """The input from a sequence at this step."""

    source: StepOf
    key: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Value:
    """A whole term as one atom: the state of the previous step, or the argument of a matrix."""

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
    """The sum of matrix @ atom, plus shift. A matrix with one axis is a diagonal."""

    form: TrackedArray  # axes and sizes, without steps
    index: int  # number of the step
    parts: dict[tuple[Any, ...], tuple[Atom, np.ndarray]]  # the atoms and their matrices
    shift: np.ndarray  # (features,)
    found: StepOf | None = None  # the output of a layer, if the term is one
    strange: bool = False  # whether it was examined and is not the output of a layer
    feeds: str | None = None  # the input of the program for which the term is the next value, if it is a state
    state: str | None = None  # the input of the program that is this state before the first step
    value: Value | None = field(default=None, repr=False)

    def as_value(self) -> Value:
        if self.value is None:
            self.value = Value(self, ("value", next(_numbers)))
        return self.value

    @property
    def simple(self) -> bool:
        """Whether it is a sum of inputs and whole values, without a function or product."""
        return self.state is None and all(isinstance(atom, (Leaf, Value)) for atom, _ in self.parts.values())

    def frozen(self) -> Term:
        """The term as a single atom, unless it is simple."""
        if self.simple:
            return self
        return term_of(self.form, self.index, self.as_value(), np.ones(self.form.features))


def term_of(form: TrackedArray, index: int, atom: Atom, matrix: np.ndarray) -> Term:
    return Term(form, index, {atom.key: (atom, matrix)}, np.zeros(len(matrix)))


def matrix_of(matrix: np.ndarray) -> np.ndarray:
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def given_state(name: str, sizes: Sequence[int | None], start: TrackedArray) -> Term:
    """The term for an input that is the initial state, of shape (H,), (B, H) or (1, B, H). Raises ModelError."""
    units = sizes[-1] if sizes else None
    if units is None or len(sizes) > 3 or (len(sizes) == 3 and sizes[0] != 1):
        raise refuse(name, f"is a second input of shape {list(sizes)}", "expected one, the sequence")
    axes = ((), ("B",), ("F",))[-len(sizes) :]
    form = TrackedArray(axes, start.batch, start.time, int(units))
    root = Term(form, -1, {}, np.zeros(int(units)), state=name)
    return term_of(form, -1, root.as_value(), np.ones(int(units)))


def lifted(step: StepOf, name: str) -> Term:
    """A step of a sequence as a term: the layers after its base, as arithmetic."""
    if len(step.tracked.steps) - step.base > MOST_STEPS:
        raise refuse(
            name,
            f"comes after {len(step.tracked.steps) - step.base} functions of one step",
            f"expected at most {MOST_STEPS}",
        )
    if step.memory:
        raise refuse(name, "uses an LSTM's cell state c", "expected its output h")
    layers = [i + 1 for i, s in enumerate(step.tracked.steps) if not isinstance(s.what, (Dense, Affine, Activation))]
    step = replace(step, base=max([step.base, *layers]))
    width = next(
        (s.what.weight.shape[1] for s in step.tracked.steps[step.base :] if isinstance(s.what, Dense)), step.tracked.features
    )
    form = replace(step.tracked, steps=(), features=width)
    base = replace(step.tracked, steps=step.tracked.steps[: step.base], features=width)
    leaf = Leaf(StepOf(base, step.index, step.base), ("leaf", step.index, tuple(id(s) for s in base.steps)))
    term = term_of(form, step.index, leaf, np.ones(width))
    for done in step.tracked.steps[step.base :]:
        what = done.what
        if isinstance(what, Dense):
            term = through(term, what.weight, what.bias)
        elif isinstance(what, Affine):
            term = scaled(term, what.scale, what.shift)
        elif isinstance(what, Activation):
            term = function(term, what.kind)
    return replace(term, form=replace(step.tracked, steps=()))


def through(term: Term, weight: np.ndarray, bias: np.ndarray) -> Term:
    """weight @ term + bias. A weight that only selects rows keeps functions and products visible."""
    chooses = ((weight == 0) | (weight == 1)).all() and (weight.sum(axis=1) == 1).all()
    term = term if chooses else term.frozen()
    rows = weight.argmax(axis=1) if chooses else None
    parts = {}
    for key, (atom, matrix) in term.parts.items():
        parts[key] = (
            atom,
            matrix_of(matrix)[rows] if rows is not None else weight @ matrix if matrix.ndim == 2 else weight * matrix,
        )
    form = replace(term.form, features=len(weight))
    return Term(form, term.index, parts, weight @ term.shift + bias)


def scaled(term: Term, scale: np.ndarray, shift: np.ndarray) -> Term:
    parts = {key: (atom, scale * m if m.ndim == 1 else scale[:, None] * m) for key, (atom, m) in term.parts.items()}
    kept = {key: part for key, part in parts.items() if part[1].any()}
    return Term(term.form, term.index, kept, scale * term.shift + shift)


def function(term: Term, kind: str) -> Term:
    atom = Function(kind, term, ("function", next(_numbers)))
    return term_of(term.form, term.index, atom, np.ones(term.form.features))


def _meet(a: Term, b: Term) -> tuple[Term, Term, TrackedArray]:
    """Both terms, the older one as a single atom, and the axes of their sum or product."""
    if a.index != b.index:
        a, b = (t.frozen() if t.index < max(a.index, b.index) else t for t in (a, b))
    form = a.form if len(a.form.axes) >= len(b.form.axes) else b.form
    return a, b, form


def plus(name: str, a: Term, b: Term, factor: float) -> Term:
    """a + factor * b."""
    a, b, form = _meet(a, b)
    if len(a.shift) != len(b.shift):
        raise refuse(name, "adds terms of different widths", "expected a plain loop over a cell")
    parts = dict(a.parts)
    for key, (atom, matrix) in b.parts.items():
        more = factor * matrix
        if key in parts:
            old = parts[key][1]
            more = old + more if old.ndim == more.ndim else matrix_of(old) + matrix_of(more)
        parts[key] = (atom, more)
    parts = {key: part for key, part in parts.items() if part[1].any()}
    if len(parts) > MOST_ATOMS:
        raise refuse(name, "adds many terms", "expected a plain loop over a cell")
    return Term(form, max(a.index, b.index), parts, a.shift + factor * b.shift)


def times(name: str, a: Term, b: Term) -> Term:
    """a * b, element by element, expanded if no matrix mixes the elements."""
    a, b, form = _meet(a, b)
    if len(a.shift) != len(b.shift):
        raise refuse(name, "multiplies terms of different widths", "expected a plain loop over a cell")
    one = np.ones(len(a.shift))
    a, b = (
        t
        if all(m.ndim == 1 and not isinstance(atom, Product) for atom, m in t.parts.values())
        else term_of(t.form, t.index, t.as_value(), one)
        for t in (a, b)
    )
    if len(a.parts) * len(b.parts) > MOST_ATOMS:
        raise refuse(name, "multiplies sums of many terms", "expected a plain loop over a cell")
    index = max(a.index, b.index)
    result = Term(form, index, {}, a.shift * b.shift)
    for x, y in ((a, b), (b, a)):
        rest = Term(form, index, dict(x.parts), np.zeros(len(one)))
        result = plus(name, result, scaled(rest, y.shift, 0 * one), 1.0)
    for (left, m), (right, n) in itertools.product(a.parts.values(), b.parts.values()):
        atom = Product(left, right, ("product", *sorted([left.key, right.key], key=repr)))
        result = plus(name, result, term_of(form, index, atom, m * n), 1.0)
    return result


def beside(name: str, parts: list[Any], axis: int) -> Term:
    """The concatenation of terms and constants along the features."""
    terms = [part.frozen() for part in parts if isinstance(part, Term)]
    form = terms[0].form
    if axis != len(form.axes) - 1 or any(np.ndim(p) not in (0, len(form.axes)) for p in parts if not isinstance(p, Term)):
        raise refuse(name, "joins steps along an axis that is not the features", "expected torch.cat((x, h), dim=-1)")
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
            full = matrix_of(matrix)
            wide = atoms[key][1] if key in atoms else np.zeros((total, full.shape[1]))
            wide[rows] += full
            atoms[key] = (atom, wide)
    return Term(replace(form, features=total), max(t.index for t in terms), atoms, shift)


def reshaped(term: Term, form: TrackedArray) -> Term:
    """The term with other axes. It remains the same atom."""
    term.as_value()
    return replace(term, form=replace(form, steps=()))
