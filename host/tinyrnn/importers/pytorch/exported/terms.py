# SPDX-License-Identifier: MIT
"""Recurrent cells that a program writes as arithmetic: run_decompositions() makes it, and cells written by hand are it.

A Term is what one step of a loop computes, a sum of matrices times atoms: what comes in at this step, values of the step
before, functions and products of terms. A cell is found where a term has its form; the weights are read off its matrices.
The first step, from zero, has lost its recurrent matrix: it is compared with the cell by its numbers.
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

MOST_STEPS = 100  # functions and matrices on the way of one step of a loop, to where it meets another
MOST_ATOMS = 64  # of one term; a GRU has 3

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

    form: TrackedArray  # axes and sizes; it has no steps
    index: int  # the step
    parts: dict[tuple[Any, ...], tuple[Atom, np.ndarray]]
    shift: np.ndarray  # (features,)
    found: StepOf | None = None  # the layer's output that the term is
    strange: bool = False  # it has been looked at and is none
    feeds: str | None = None  # the state, an input of the program, whose later value the term is
    state: str | None = None  # the input of the program that is this state before the first step
    value: Value | None = field(default=None, repr=False)

    def as_value(self) -> Value:
        if self.value is None:
            self.value = Value(self, ("value", next(_numbers)))
        return self.value

    @property
    def simple(self) -> bool:
        """A sum of what comes in and of whole values: no function and no product."""
        return self.state is None and all(isinstance(atom, (Leaf, Value)) for atom, _ in self.parts.values())

    def frozen(self) -> Term:
        """The same under one name."""
        if self.simple:
            return self
        return term_of(self.form, self.index, self.as_value(), np.ones(self.form.features))


def term_of(form: TrackedArray, index: int, atom: Atom, matrix: np.ndarray) -> Term:
    return Term(form, index, {atom.key: (atom, matrix)}, np.zeros(len(matrix)))


def matrix_of(matrix: np.ndarray) -> np.ndarray:
    return np.diag(matrix) if matrix.ndim == 1 else matrix


def given_state(name: str, sizes: Sequence[int | None], start: TrackedArray) -> Term:
    """An input that is a state before the first step, of shape (H,), (B, H) or (1, B, H). Raises ModelError."""
    units = sizes[-1] if sizes else None
    if units is None or len(sizes) > 3 or (len(sizes) == 3 and sizes[0] != 1):
        raise refuse(name, f"is a second input of shape {list(sizes)}", "expected one, the sequence")
    axes = ((), ("B",), ("F",))[-len(sizes) :]
    form = TrackedArray(axes, start.batch, start.time, int(units))
    root = Term(form, -1, {}, np.zeros(int(units)), state=name)
    return term_of(form, -1, root.as_value(), np.ones(int(units)))


def lifted(step: StepOf, name: str) -> Term:
    """A step of a sequence as a term: the layers behind its base once more, as arithmetic."""
    if len(step.tracked.steps) - step.base > MOST_STEPS:
        raise refuse(
            name,
            f"stands behind {len(step.tracked.steps) - step.base} functions of one step",
            f"expected at most {MOST_STEPS}",
        )
    if step.memory:
        raise refuse(name, "calculates with an LSTM's cell state c", "expected its output h")
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
    """weight @ term + bias. A choice of rows leaves functions and products what they are."""
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
            more = old + more if old.ndim == more.ndim else matrix_of(old) + matrix_of(more)
        parts[key] = (atom, more)
    parts = {key: part for key, part in parts.items() if part[1].any()}
    if len(parts) > MOST_ATOMS:
        raise refuse(name, "adds many terms", "expected a plain loop over a cell")
    return Term(form, max(a.index, b.index), parts, a.shift + factor * b.shift)


def times(name: str, a: Term, b: Term) -> Term:
    """a * b, number by number: multiplied out where no matrix mixes the numbers."""
    a, b, form = _meet(a, b)
    if len(a.shift) != len(b.shift):
        raise refuse(name, "multiplies terms of other widths", "expected a plain loop over a cell")
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
            full = matrix_of(matrix)
            wide = atoms[key][1] if key in atoms else np.zeros((total, full.shape[1]))
            wide[rows] += full
            atoms[key] = (atom, wide)
    return Term(replace(form, features=total), max(t.index for t in terms), atoms, shift)


def reshaped(term: Term, form: TrackedArray) -> Term:
    """The same numbers with other axes, under the same name."""
    term.as_value()
    return replace(term, form=replace(form, steps=()))
