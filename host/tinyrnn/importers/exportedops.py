"""What each operator of a torch.export program means for the data that flow through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.floatlayers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers.exportedcells import cell_step, flow_of, recurrent_layers, select, stacked
from tinyrnn.importers.exportedfile import Name, Node
from tinyrnn.importers.flow import Flow, LayoutError
from tinyrnn.importers.source import Activation, Affine, Dense, Step, refuse

LARGEST = 1 << 22  # numbers of a tensor of zeros

LAYERED = {"gru.input": "gru", "lstm.input": "lstm", "rnn_tanh.input": "tanh", "rnn_relu.input": "relu"}

CELLS = {
    "gru_cell.default": "gru",
    "lstm_cell.default": "lstm",
    "rnn_tanh_cell.default": "tanh",
    "rnn_relu_cell.default": "relu",
}

CURES = {
    "conv": "expected a network of recurrent layers without convolution",
    "attention": "expected a network of recurrent layers without attention",
    "mean": "expected the last step, y[:, -1], instead of an average over time",
    "cat": "expected one path through the layers",
    "add.Tensor": "expected one path through the layers, no residual sum of two",
    "gelu": "expected relu, tanh or sigmoid",
}


def walk(nodes: Sequence[Node], values: dict[str, Any]) -> dict[str, Any]:
    """Every node's results in terms of the input."""
    values = dict(values)
    for node in nodes:
        results = _apply(node, {name: value_of(values, item[1]) for name, item in node.inputs.items()})
        values.update(zip(node.outputs, results, strict=False))
    return values


def value_of(values: dict[str, Any], argument: Any) -> Any:
    if isinstance(argument, Name):
        return values[argument.name]
    if isinstance(argument, list):
        return [value_of(values, item) for item in argument]
    return argument


def _apply(node: Node, given: dict[str, Any]) -> list[Any]:
    """The results of one node. Raises ModelError, naming it, for an operator that has no place here."""
    name, target = node.name, node.target
    x = given.get("self", given.get("input"))
    if target in LAYERED:
        return recurrent_layers(name, LAYERED[target], given)
    if target in CELLS:
        return cell_step(node, CELLS[target], given)
    if target == "zeros.default":
        size = [int(n) for n in given["size"]]
        if int(np.prod(size, dtype=object)) > LARGEST or min(size, default=0) < 0:
            raise refuse(name, f"makes zeros of shape {size}", "expected an initial state")
        return [np.zeros(size)]
    if target == "sym_size.int":
        return [flow_of(x, name).shape[given["dim"]]]
    if target in ("select.int", "unbind.int"):
        return select(name, target, x, given)
    if target == "stack.default":
        return [stacked(name, given)]
    if target in ("clone.default", "contiguous.default", "alias.default", "detach.default", "dropout.default", "to.dtype",
                  "feature_dropout.default", "detach_.default"):  # fmt: skip
        if target.endswith("dropout.default") and given.get("train"):
            raise refuse(name, "drops out, the program was exported for training", "export it after model.eval()")
        return [x]
    flow = flow_of(given["indices"] if target == "embedding.default" else x, name)
    if target in ("linear.default", "embedding.default", "layer_norm.default", "batch_norm.default"):
        return [_weighted(name, target, flow, given)]
    if target in ("relu.default", "relu_.default", "tanh.default"):
        return [flow.then(Step(name, Activation("relu" if "relu" in target else "tanh")))]
    if target == "sigmoid.default":
        return [flow.then(Step(name, Activation("sigmoid")))]
    if target in ("softmax.int", "log_softmax.int", "argmax.default"):
        kind = target.split(".")[0]
        dim = given["dim"]
        if dim is None:
            raise refuse(name, "argmax over everything", "expected argmax(dim=-1)")
        ended = flow.end(kind, dim, name)
        if kind != "argmax":
            return [ended]
        axis = flow.axis(dim, name)
        axes = (*flow.axes[:axis], *(((),) if given.get("keepdim") else ()), *flow.axes[axis + 1 :])
        return [replace(ended, axes=axes)]
    if target in ("transpose.int", "permute.default", "t.default"):
        rank = len(flow.axes)
        order = list(range(rank))
        if target == "permute.default":
            order = [flow.axis(d, name) for d in given["dims"]]
        else:
            a, b = (flow.axis(d, name) for d in (given.get("dim0", 0), given.get("dim1", 1)))
            order[a], order[b] = order[b], order[a]
        return [flow.transpose(order, name)]
    if target in ("view.default", "reshape.default", "_unsafe_view.default"):
        return [flow.reshape(given["size"] if "size" in given else given["shape"], name, keep_zero=False)]
    if target in ("squeeze.dim", "squeeze.dims", "squeeze.default"):
        dim = given.get("dim")
        ones = None if dim is None else [d for d in (dim if isinstance(dim, list) else [dim]) if flow.shape[d] == 1]
        return [flow.squeeze(ones, name)]
    if target == "unsqueeze.default":
        return [flow.unsqueeze([given["dim"]], name)]
    if target == "slice.Tensor":
        stop = given.get("end")
        return [
            flow.cut(
                given.get("dim", 0), given.get("start") or 0, 2**31 if stop is None else stop, given.get("step", 1), name
            )
        ]
    if target in ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"):
        return [_affine(name, target, flow, given)]
    cure = next((text for word, text in CURES.items() if word in target), "expected RNN, LSTM, GRU, their cells, Linear, "
                "Embedding, LayerNorm, BatchNorm1d and what lies between them")  # fmt: skip
    raise refuse(name, f"is torch's {target}, which cannot be imported", cure)


def _weighted(name: str, target: str, flow: Flow, given: dict[str, Any]) -> Flow:
    weight, bias = given.get("weight"), given.get("bias")
    if any(a is not None and not isinstance(a, np.ndarray) for a in (weight, bias)):
        raise refuse(name, "takes weights that depend on the input", "expected parameters")
    weight, bias = (None if a is None else a.astype(np.float64) for a in (weight, bias))
    if target == "embedding.default":
        made = Embedding(_matrix(name, weight))
        return replace(flow.then(Step(name, made), made.units), axes=(*flow.axes, ("F",)))
    axis = flow.feature_axis(name)
    if target == "linear.default":
        weight = _matrix(name, weight)
        if axis != len(flow.axes) - 1:
            raise LayoutError(f"{name}: works on the last of the axes {flow.letters}; expected the features (F) there")
        after = flow.then(Step(name, Dense(weight, np.zeros(len(weight)) if bias is None else bias)), len(weight))
        return replace(after, axes=(*flow.axes[:-1], ("F",)))
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    if target == "layer_norm.default":
        if list(given["normalized_shape"]) != [flow.features] or axis != len(flow.axes) - 1:
            raise LayoutError(f"{name}: normalises over {given['normalized_shape']}; expected the features (F) alone")
        made_norm = LayerNorm(
            ones if weight is None else weight, zeros if bias is None else bias, float(given.get("eps", 1e-5))
        )
        return flow.then(Step(name, made_norm))
    if given.get("training") or given.get("running_mean") is None:
        raise refuse(name, "normalises by the batch at hand", "export it after model.eval(), with running statistics")
    if axis != 1:
        raise LayoutError(f"{name}: works on axis 1 of {flow.letters}; expected the features (F) there")
    mean, var = (np.asarray(given[key], np.float64) for key in ("running_mean", "running_var"))
    batchnorm = BatchNorm(
        ones if weight is None else weight, zeros if bias is None else bias, mean, var, float(given["eps"])
    )
    return flow.then(Step(name, batchnorm))


def _matrix(name: str, weight: Any) -> np.ndarray:
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise refuse(name, "has no matrix of weights", "export it again")
    return weight.astype(np.float64)


def _affine(name: str, target: str, flow: Flow, given: dict[str, Any]) -> Flow:
    """x with a constant number or vector of features: a normalisation."""
    other = given["other"]
    if not isinstance(other, (int, float, np.ndarray)) or given.get("alpha", 1) != 1:
        raise refuse(name, f"combines two paths ({target})", "expected one path through the layers, no residual")
    value = np.asarray(other, np.float64)
    if flow.feature_axis(name) != len(flow.axes) - 1 or value.size not in (1, flow.features) or value.shape[-1:] not in (
        (), (1,), (flow.features,)):  # fmt: skip
        raise refuse(name, f"combines the data with shape {value.shape}", "expected one number for each feature")
    value = np.broadcast_to(value.reshape(-1), flow.features).copy()
    ones, zeros = np.ones(flow.features), np.zeros(flow.features)
    made = {"add": (ones, value), "sub": (ones, -value), "mul": (value, zeros)}.get(target.split(".")[0])
    if made is None:
        if not value.all():
            raise refuse(name, "divides by zero", "export it again")
        made = (1 / value, zeros)
    return flow.then(Step(name, Affine(*made)))
