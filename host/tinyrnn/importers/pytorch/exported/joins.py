# SPDX-License-Identifier: MIT
"""Operators of a torch.export program that join values: sums and products, stack() and cat()."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.axis_tracking import InitialState, TrackedArray
from tinyrnn.importers.pytorch.exported.affine import combined, joined, raised
from tinyrnn.importers.pytorch.exported.cell_patterns import all_steps, settled
from tinyrnn.importers.pytorch.exported.cells import Layers, StepOf, stacked, tracked_of
from tinyrnn.importers.pytorch.exported.terms import Term, beside, lifted, plus, reshaped, scaled, times
from tinyrnn.importers.source_model import refuse


def is_constant(value: Any) -> bool:
    return value is None or isinstance(value, (np.ndarray, int, float, bool))


def joined_of(name: str, operator: str, given: dict[str, Any]) -> Any:
    """The result of stack() or cat(): all steps of a loop, or paths that are concatenated."""
    parts = given["tensors"]
    rank = len(form_of(parts[0], name).axes)
    dim = given.get("dim", 0) if operator in ("stack", "cat", "concat", "concatenate") else min(rank - 1, 1)
    dim = dim % (rank + (operator == "stack")) if rank else 0
    if len(parts) == 1:
        return parts[0]
    loop = all(isinstance(p, (StepOf, Term)) for p in parts) and len({p.index for p in parts}) > 1
    if loop and operator == "stack":
        return stacked(name, list(all_steps(parts, name)), dim)
    if loop and form_of(parts[0], name).shape[dim] == 1:
        steps = all_steps(parts, name)
        if any(step.tracked.shape[dim] != 1 for step in steps):
            raise refuse(name, "joins pieces of different lengths", "expected torch.stack(steps, dim=1)")
        return stacked(name, [replace(s, tracked=s.tracked.squeeze([dim], name)) for s in steps], dim)
    if loop and dim == rank - 1 and [p.index for p in parts] == list(range(form_of(parts[0], name).time)):
        try:  # torch.stack(steps, dim=1), as run_decompositions() writes it
            whole = stacked(name, all_steps(parts, name), rank - 1)
            return replace(whole, axes=(*whole.axes[:-2], ("T", "F")))
        except ModelError:
            pass  # not consecutive steps
    if (
        operator != "stack"
        and any(isinstance(p, (StepOf, Term)) for p in parts)
        and (
            any(isinstance(p, (Term, np.ndarray)) for p in parts)
            or len({p.index for p in parts if isinstance(p, StepOf)}) > 1
        )
        and dim == rank - 1
        and not any(isinstance(p, (TrackedArray, Layers)) for p in parts)
    ):
        return beside(name, [lifted(p, name) if isinstance(p, StepOf) else p for p in parts], dim)
    if any(not isinstance(p, (TrackedArray, StepOf, Layers, Term)) for p in parts):
        raise refuse(name, "joins the data with constants", "expected one path through the layers")
    steps = [settled(p, name) if isinstance(p, Term) else p for p in parts]
    one = (
        steps[0]
        if isinstance(steps[0], StepOf) and all(isinstance(s, StepOf) and s.index == steps[0].index for s in steps)
        else None
    )
    ends = _last_states(steps, operator, dim, name)
    if ends is not None:
        return ends
    arrays = [s.tracked for s in steps] if one is not None else [tracked_of(s, name) for s in steps]
    if operator == "stack":
        arrays = [tracked.unsqueeze([dim], name) for tracked in arrays]
    rest = [tracked.axes[:dim] + tracked.axes[dim + 1 :] for tracked in arrays]
    along = arrays[0].axes[dim]
    if along not in (("F",), ()) or any(("F",) in axes for axes in rest) or dim != len(arrays[0].axes) - 1:
        raise refuse(name, "joins several paths", "expected one path through the layers")
    made = joined(name, [replace(f, axes=(*f.axes[:dim], ("F",))) for f in arrays])
    return made if one is None else replace(one, tracked=made)


def _last_states(steps: list[Any], operator: str, dim: int, name: str) -> Layers | None:
    """The last states of several layers, stacked as in h_n; None for anything else."""
    arrays = [s for s in steps if isinstance(s, TrackedArray) and s.last]
    arrays = [tracked_of(s, name) for s in steps if isinstance(s, StepOf) and s.index == s.tracked.time - 1] or arrays
    if len(arrays) != len(steps) or dim or len({f.axes for f in arrays}) > 1 or len({len(f.steps) for f in arrays}) == 1:
        return None
    first = arrays[0]
    axes = (("T",), *first.axes) if operator == "stack" else (("T", *first.axes[0]), *first.axes[1:])
    if first.axes[:1] == (("F",),) and operator != "stack":
        return None
    return Layers(tuple(arrays), TrackedArray(axes, first.batch, len(arrays), first.features), None)


def form_of(value: Any, name: str) -> TrackedArray:
    """The axes and sizes of a value."""
    if isinstance(value, (Term, Layers)):
        return value.form
    return value.tracked if isinstance(value, StepOf) else tracked_of(value, name)


def arithmetic(name: str, operator: str, given: dict[str, Any]) -> Any:
    """The result of + - * / of data and constants, or of two values within a loop."""
    a: Any = given.get("self", given.get("input"))
    b: Any = given.get("other", 0.0)
    alpha = float(given.get("alpha", 1))
    if given.get("rounding_mode") is not None:
        raise refuse(name, "divides and rounds", "expected x / number")
    if operator == "rsub":
        operator, a, b = "sub", b, a
        a, alpha = (a, 1.0) if alpha == 1 else (a, alpha)
    elif operator == "neg":
        operator, b = "mul", -1.0
    for value in (a, b):
        if isinstance(value, InitialState):
            raise refuse(name, f"changes the initial state {value.name}", "expected the state as it is returned")
    inside = [isinstance(value, (StepOf, Term)) for value in (a, b)]
    if not any(inside):
        a, b = (tracked_of(v, name) if isinstance(v, Layers) else v for v in (a, b))
        if not any(isinstance(v, TrackedArray) for v in (a, b)):
            tracked_of(a if is_constant(b) else b, name)
        return combined(name, operator, a, b, alpha)
    if all(inside):
        return _terms(name, operator, a, b, alpha)
    loop, other = (a, b) if inside[0] else (b, a)
    if isinstance(other, (TrackedArray, Layers)):
        whole = settled(loop, name) if isinstance(loop, Term) else loop
        a, b = (tracked_of(whole if v is loop else v, name) for v in (a, b))
        return combined(name, operator, a, b, alpha)
    if isinstance(loop, StepOf):
        if loop.memory:
            tracked_of(loop, name)
        a, b = (v.tracked if isinstance(v, StepOf) else v for v in (a, b))
        return replace(loop, tracked=combined(name, operator, a, b, alpha))
    a, b = (raised(v.form, np.ndim(other), name) if isinstance(v, Term) else v for v in (a, b))
    tracked = combined(name, operator, a, b, alpha)
    (step,) = tracked.steps
    return reshaped(scaled(loop, step.what.scale, step.what.shift), tracked)  # type: ignore[union-attr]


def _terms(name: str, operator: str, a: Any, b: Any, alpha: float) -> Any:
    """The sum, difference or product of two values of a loop."""
    if operator in ("add", "sub") and all(isinstance(v, StepOf) for v in (a, b)) and a.index == b.index:
        try:
            return replace(a, tracked=combined(name, operator, a.tracked, b.tracked, alpha))
        except ModelError:
            pass  # not two matrices of the same value: a term of the loop
    left, right = (lifted(v, name) if isinstance(v, StepOf) else v for v in (a, b))
    if operator in ("add", "sub"):
        return plus(name, left, right, alpha if operator == "add" else -alpha)
    if operator == "mul":
        return times(name, left, right)
    raise refuse(name, f"combines two paths ({operator})", "expected one path through the layers")
