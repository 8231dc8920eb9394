# SPDX-License-Identifier: MIT
"""The meaning of each operator of a torch.export program for the tracked data."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.axis_tracking import InitialState, LayoutError, TrackedArray
from tinyrnn.importers.pytorch.exported.archive import Name, Node, names_in
from tinyrnn.importers.pytorch.exported.cell_patterns import settled
from tinyrnn.importers.pytorch.exported.cells import Layers, StepOf, cell_step, recurrent_layers, tracked_of
from tinyrnn.importers.pytorch.exported.joins import arithmetic, form_of, is_constant, joined_of
from tinyrnn.importers.pytorch.exported.layers import BENT, WEIGHTED, Unusable, layer_results
from tinyrnn.importers.pytorch.exported.shapes import SHAPES, pieces, span_of, take
from tinyrnn.importers.pytorch.exported.terms import Term, function, reshaped, through
from tinyrnn.importers.pytorch.exported.torch_calls import FROM_SHAPE, RANDOM, Folder, tensor_of, value_of
from tinyrnn.importers.source_model import Activation, Dense, refuse

LAYERED = {"gru.input": "gru", "lstm.input": "lstm", "rnn_tanh.input": "tanh", "rnn_relu.input": "relu"}

CELLS = {
    "gru_cell.default": "gru",
    "lstm_cell.default": "lstm",
    "rnn_tanh_cell.default": "tanh",
    "rnn_relu_cell.default": "relu",
}

# operators that do not change the data: copies, conversions of the type, dropout
SAME = {
    "clone",
    "contiguous",
    "alias",
    "detach",
    "to",
    "_to_copy",
    "type_as",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "native_dropout",
    "lift_fresh_copy",
    "lift_fresh",
    "requires_grad",
    "positive",
}
SPLITS = {"split", "split_with_sizes", "chunk", "unsafe_chunk", "unsafe_split", "tensor_split"}
ARITHMETIC = ("add", "sub", "mul", "div", "rsub", "neg", "true_divide", "multiply", "subtract", "divide", "negative")
PLAINLY = {
    "true_divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "divide": "div",
    "negative": "neg",
    "special_softmax": "softmax",
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "special_log_softmax": "log_softmax",
    "special_expit": "sigmoid",
}


def walk(
    nodes: Sequence[Node], values: dict[str, Any], needed: Collection[str], starts: dict[str, object]
) -> tuple[dict[str, Any], set[str]]:
    """The results of every node in terms of the input, and the names of those that torch may only compute within bounds.

    The latter are constants and values that cannot be imported. needed: the values that must be found; any other value that
    cannot be imported becomes Unusable. starts: receives, for each initial state that is an input, the tag of the last
    state that belongs to it.
    """
    values = dict(values)
    bounded: set[str] = set()
    fold = Folder()
    used = set(needed).union(*(names_in(item) for node in nodes for _, item in node.inputs.values()))
    for node in nodes:
        try:
            names = {name for _, item in node.inputs.values() for name in names_in(item)}
            if all(is_constant(values[name]) for name in names):
                results = _folded(node, values, names, fold)
                bounded |= set(node.outputs)
                if node.mutates:  # the change is also visible under the old name
                    values.update((name, results[0]) for name in names_in(node.inputs["self"][1]))
            elif node.mutates and not used.intersection(node.outputs):
                cure = "expected a new tensor, torch.cat or torch.stack of the parts"
                raise refuse(node.name, f"changes a part of the data in place (torch's {node.operator})", cure)
            else:
                results = _apply(node, {key: value_of(values, item[1]) for key, item in node.inputs.items()}, fold, starts)
        except ModelError as error:
            text = str(error)
            if text.startswith(f"{node.name}: "):
                error = type(error)(f"{node.name}{node.where}{text[len(node.name) :]}")
            if not node.mutates and not any(output in needed for output in node.outputs):
                results = [Unusable(error)] * len(node.outputs)
                bounded |= set(node.outputs)
            else:
                raise error from None
        values.update(zip(node.outputs, results, strict=False))
    return values, bounded


def _folded(node: Node, values: dict[str, Any], names: set[str], fold: Folder) -> list[Any]:
    if node.operator in ("dropout", "feature_dropout") and not (node.inputs.get("train") or (None, False))[1]:
        return [value_of(values, node.inputs["input"][1])]
    given = {n: tensor_of(values[n]) if isinstance(values[n], np.ndarray) else values[n] for n in names}
    return [r.numpy() if hasattr(r, "numpy") else r for r in fold(node, given)]


def _apply(node: Node, given: dict[str, Any], fold: Folder, starts: dict[str, object]) -> list[Any]:
    """The results of one node. Raises ModelError, which names the node, if it cannot be imported."""
    name, target = node.name, node.target
    for value in given.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Unusable):
                raise item.error
    if target in LAYERED:
        return recurrent_layers(name, LAYERED[target], given | {"input": _whole(given["input"], name)}, starts)
    if target in CELLS:
        settle = {key: settled(v, name) if isinstance(v, Term) else v for key, v in given.items()}
        return cell_step(node, CELLS[target], settle, starts)
    operator = node.operator.rstrip("_") if node.mutates else node.operator
    operator = PLAINLY.get(operator, operator)
    if operator in RANDOM:
        raise refuse(name, f"makes random numbers (torch's {node.operator})", "expected data that depend on the input")
    key = (
        "indices"
        if operator == "embedding"
        else "tensors"
        if "tensors" in given
        else ("self" if "self" in given else "mat1" if "mat1" in given else "input")
    )
    key = "mat1" if operator in ("addmm", "baddbmm") and not isinstance(given.get("self"), TrackedArray) else key
    x = given.get(key)
    if operator in ("sym_size", "sym_numel", *FROM_SHAPE):
        return _sizes(node, operator, x, given, fold)
    if isinstance(x, InitialState):
        return _of_state(node, operator, x)
    if operator in ("stack", "cat", "concat", "concatenate", "hstack", "column_stack"):
        if operator == "stack" and len(given["tensors"]) == 1:
            alone = replace(node, target="unsqueeze.default")
            return _on_data(alone, "unsqueeze", "self", given["tensors"][0], {"dim": given.get("dim", 0)})
        return [joined_of(name, operator, given)]
    if operator in SAME:
        if operator.endswith("dropout") and given.get("train"):
            raise refuse(name, "applies dropout: the program was exported for training", "export it after model.eval()")
        return [x] * len(node.outputs)
    if operator in ("select", "unbind", *SPLITS):
        return _cut(node, operator, x, given)
    if operator == "topk" and given.get("k") == 1 and given.get("largest", True):
        chosen = given | {"keepdim": True, "dim": given.get("dim", -1)}
        return [
            Unusable(refuse(name, "takes the largest value of all classes", "expected the class, topk(1)[1]")),
            *_apply(replace(node, target="argmax.default"), chosen, fold, starts),
        ]
    if operator == "max" and "dim" in given:
        cure = "expected the class, torch.max(y, 1)[1], or the values of all classes"
        largest = Unusable(refuse(name, "takes the largest value of all classes", cure))
        return [largest, *_apply(replace(node, target="argmax.default"), given, fold, starts)]
    if operator in ARITHMETIC:
        return [arithmetic(name, operator, given)]
    if operator == "slice" and isinstance(x, TrackedArray) and x.axes[x.axis(given.get("dim", 0), name)] == ("T",):
        return [_time_slice(x, given, name)]
    return _on_data(node, operator, key, x, given)


def _whole(value: Any, name: str) -> Any:
    return settled(value, name) if isinstance(value, Term) else value


def _on_data(node: Node, operator: str, key: str, x: Any, given: dict[str, Any]) -> list[Any]:
    """The results of an operator on the sequence, on one of its steps, or on a term of a loop."""
    name = node.name
    if isinstance(x, Layers) and operator in SHAPES:
        return [_of_layers(x, operator, given, name)]
    if isinstance(x, Term):
        changed = _of_term(name, operator, x, given)
        if changed is not None:
            return [changed]
        x = settled(x, name)
    if isinstance(x, StepOf) and not x.memory:
        results = layer_results(node, operator, x.tracked, given | {key: x.tracked})
        return [replace(x, tracked=r) if isinstance(r, TrackedArray) else r for r in results]
    if isinstance(x, list):
        x = next((item for item in x if isinstance(item, (TrackedArray, StepOf, Layers))), None)
    return layer_results(node, operator, tracked_of(x, name), given)


def _sizes(node: Node, operator: str, x: Any, given: dict[str, Any], fold: Folder) -> list[Any]:
    """The results of an operator that uses only the sizes of the data: the sizes, or constants of that shape."""
    import torch

    tracked = form_of(x, node.name)
    if operator == "sym_size":
        return [tracked.shape[tracked.axis(given["dim"], node.name)]]
    if operator == "sym_numel":
        return [int(np.prod(tracked.shape))]
    shape = torch.zeros(()).expand(tracked.shape)
    names = dict.fromkeys(names_in(node.inputs["self"][1]), shape)
    rest = {n: given[key] for key, item in node.inputs.items() if key != "self" for n in names_in(item[1])}
    if "size" in given:  # symbolic sizes
        many = node.inputs["size"][1]
        rest |= {i.name: v for i, v in zip(many, given["size"], strict=True) if isinstance(i, Name)}
    return [r.numpy() for r in fold(node, names | rest)]


def _of_state(node: Node, operator: str, state: InitialState) -> list[Any]:
    """The results of an operator on an initial state, which may only be moved and cut before its layer."""
    if operator in SHAPES or operator in SAME or operator in SPLITS or operator in ("select", "unbind"):
        return [state] * len(node.outputs)
    raise refuse(
        node.name, f"changes the initial state {state.name} (torch's {operator})", "expected the state as it is returned"
    )


def _of_layers(x: Layers, operator: str, given: dict[str, Any], name: str) -> Any:
    """The result of an operator on the axes of several layers' last states."""
    if operator in ("slice", "narrow", "index_select", "index", "gather", "flip"):
        axis = given.get("dim", 0)
        if operator == "slice":
            span = span_of(x.form, given, name)
            return x if len(span) == x.form.shape[x.form.axis(axis, name)] else x.take(list(span), axis, True, name)
        if operator == "index_select" and isinstance(given["index"], np.ndarray):
            return x.take([int(i) for i in given["index"].reshape(-1)], axis, True, name)
        return SHAPES[operator](x.as_tracked(name), given, name)
    return replace(x, form=SHAPES[operator](x.form, given, name))


def _of_term(name: str, operator: str, x: Term, given: dict[str, Any]) -> Term | None:
    """The result of an operator on a term of a loop; None if only a layer's output can take it."""
    if operator in ("relu", "tanh", "sigmoid"):
        return function(x, operator)
    if operator in SHAPES and operator not in ("index", "gather"):
        form = SHAPES[operator](x.form, given, name)
        for step in form.steps:
            assert isinstance(step.what, Dense)
            x = through(x, step.what.weight, step.what.bias)
        return reshaped(x, form)
    if operator in ("linear", "addmm", "mm", "matmul", "bmm"):
        tracked = WEIGHTED[operator](name, x.form, given)
        (step,) = tracked.steps
        assert isinstance(step.what, Dense)
        return replace(through(x, step.what.weight, step.what.bias), form=replace(tracked, steps=()))
    if operator in BENT and operator in ("clamp", "clamp_min", "threshold"):
        steps = BENT[operator](name, x.form, given).steps
        if len(steps) == 1 and steps[0].what == Activation("relu"):
            return function(x, "relu")
    return None


def _time_slice(tracked: TrackedArray, given: dict[str, Any], name: str) -> Any:
    """The result of a slice of the time axis: x[:, i:i+1] is a step of a loop, x[:, :] is the whole sequence."""
    axis = tracked.axis(given.get("dim", 0), name)
    span = span_of(tracked, given, name)
    if len(span) == 1 and tracked.time > 1 and not tracked.last:
        return StepOf(
            replace(tracked, axes=(*tracked.axes[:axis], (), *tracked.axes[axis + 1 :])), span[0], len(tracked.steps)
        )
    return SHAPES["slice"](tracked, given, name)


def _cut(node: Node, operator: str, x: Any, given: dict[str, Any]) -> list[Any]:
    """The results of select(), unbind(), split() or chunk(): one index of an axis, or pieces of it."""
    name, dim = node.name, given.get("dim", 0)
    keep = operator in SPLITS
    form = form_of(x, name)
    axis = form.axis(dim, name)
    length = form.shape[axis]
    if keep:
        spans = pieces(form, axis, operator, given, name)
    else:
        places = [given["index"] % length if length else 0] if operator == "select" else range(length)
        spans = [range(i, i + 1) for i in places]
        if operator == "select" and not -length <= given["index"] < length:
            raise refuse(name, f"takes index {given['index']} of an axis of {length}", "export the model again")
    results: list[Any] = []
    for span in spans:
        try:
            results.append(_piece(x, form, axis, span, keep, name))
        except LayoutError:
            raise
        except ModelError as error:
            if len(spans) == 1:
                raise
            results.append(Unusable(error))
    return results


def _piece(x: Any, form: TrackedArray, axis: int, span: range, keep: bool, name: str) -> Any:
    if isinstance(x, Layers):
        return x if len(span) == form.shape[axis] and keep else x.take(list(span), axis, keep, name)
    if isinstance(x, Term):
        taken = take(x.form, axis, span, keep, name)
        for step in taken.steps:
            assert isinstance(step.what, Dense)
            x = through(x, step.what.weight, step.what.bias)
        return reshaped(x, taken)
    if isinstance(x, StepOf):
        if x.memory:
            return x
        return replace(x, tracked=take(x.tracked, axis, span, keep, name))
    tracked = form
    if tracked.axes[axis] == ("T",) and not tracked.last and len(span) == 1 and (tracked.time > 1 or not keep):
        axes = (*tracked.axes[:axis], *((),) * keep, *tracked.axes[axis + 1 :])
        return StepOf(replace(tracked, axes=axes), span[0], len(tracked.steps))
    return take(tracked, axis, span, keep, name)
