# SPDX-License-Identifier: MIT
"""Layers and functions of a torch.export program on a TrackedArray: Linear, Embedding, normalisation, activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers.axis_tracking import LayoutError, TrackedArray
from tinyrnn.importers.pytorch.exported.affine import bent, combined
from tinyrnn.importers.pytorch.exported.archive import Node
from tinyrnn.importers.pytorch.exported.cells import StepOf
from tinyrnn.importers.pytorch.exported.shapes import SHAPES
from tinyrnn.importers.pytorch.exported.terms import Term
from tinyrnn.importers.source_model import Activation, Dense, SourceStep, refuse
from tinyrnn.text import counted

CURES = {
    "conv": "expected a network of recurrent layers without convolution",
    "attention": "expected a network of recurrent layers without attention",
    "mean": "expected the last step, y[:, -1], instead of an average over time",
    "cat": "expected one path through the layers",
    "add": "expected one path through the layers, no residual sum",
    "gelu": "expected relu, tanh or sigmoid",
    "silu": "expected relu, tanh or sigmoid",
    "elu": "expected relu, tanh or sigmoid",
    "gt": "expected the probability itself, which becomes two classes",
    "ge": "expected the probability itself, which becomes two classes",
    "round": "expected the probability itself, which becomes two classes",
}


@dataclass(frozen=True)
class Unusable:
    """A result that cannot be imported. Using it is an error."""

    error: ModelError


def layer_results(node: Node, operator: str, tracked: TrackedArray, given: dict[str, Any]) -> list[Any]:
    """The results of an operator on a TrackedArray. Raises ModelError for an operator that cannot be imported."""
    name = node.name
    if operator in SHAPES:
        others = {k: v.tracked if isinstance(v, StepOf) else v.form if isinstance(v, Term) else v for k, v in given.items()}
        return [SHAPES[operator](tracked, others, name)]
    if operator in WEIGHTED:
        unused = Unusable(refuse(name, "gives its statistics", "expected its first result"))
        return [WEIGHTED[operator](name, tracked, given), *[unused] * (len(node.outputs) - 1)]
    if operator in ("relu", "tanh", "sigmoid"):
        return [tracked.then(SourceStep(name, Activation(operator)))]
    if operator in BENT:
        return [BENT[operator](name, tracked, given)]
    if operator in ("softmax", "log_softmax", "argmax"):
        return [_ended(name, operator, tracked, given)]
    if operator == "log" and tracked.tail[-1:] == ("softmax",):
        return [replace(tracked, tail=(*tracked.tail[:-1], "log_softmax"))]
    if operator == "exp" and tracked.tail[-1:] == ("log_softmax",):
        return [replace(tracked, tail=(*tracked.tail[:-1], "softmax"))]
    fits = (text for word, text in CURES.items() if word == operator or (len(word) > 2 and word in operator))
    known = "expected RNN, LSTM, GRU, their cells, Linear, Embedding, LayerNorm, BatchNorm1d, and reshaping between them"
    cure = next(fits, known)
    raise refuse(name, f"is torch's {operator}, which cannot be imported", cure)


def _ended(name: str, operator: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    dim = given.get("dim")
    if dim is None:
        raise refuse(name, f"{operator} over everything", f"expected {operator}(dim=-1)")
    ended = tracked.end(operator, dim, name)
    if operator != "argmax":
        return ended
    axis = tracked.axis(dim, name)
    axes = (*tracked.axes[:axis], *(((),) if given.get("keepdim") else ()), *tracked.axes[axis + 1 :])
    return replace(ended, axes=axes)


def _array(name: str, given: dict[str, Any], key: str) -> np.ndarray | None:
    value = given.get(key)
    if value is not None and not isinstance(value, np.ndarray):
        raise refuse(name, "takes weights that depend on the input", "expected constant parameters")
    return None if value is None else value.astype(np.float64)


def _matrix(name: str, weight: Any) -> np.ndarray:
    if not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise refuse(name, "has no matrix of weights", "export it again")
    return weight.astype(np.float64)


def _linear(name: str, tracked: TrackedArray, weight: np.ndarray, bias: np.ndarray | None) -> TrackedArray:
    if tracked.feature_axis(name) != len(tracked.axes) - 1:
        raise LayoutError(f"{name}: works on the last of the axes {tracked.letters}; expected the features (F) there")
    bias = np.zeros(len(weight)) if bias is None else bias
    if bias.shape != (len(weight),) or weight.shape[1] != tracked.features:
        seen = f"multiplies {counted(tracked.features, 'feature')} by {weight.shape[::-1]}, bias {bias.shape}"
        raise refuse(name, seen, "export it again")
    after = tracked.then(SourceStep(name, Dense(weight, bias)), len(weight))
    return replace(after, axes=(*tracked.axes[:-1], ("F",)))


def _product(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    """mm, matmul, bmm and addmm: x @ matrix, plus self for addmm."""
    key = "mat2" if "mat2" in given else "other"
    weight = _array(name, given, key)
    if weight is not None and weight.ndim == 3 and (weight == weight[:1]).all():
        weight = weight[0]
    if weight is not None and weight.ndim == 1 and "mat1" not in given:
        after = _linear(name, tracked, weight[None], None)
        return replace(after, axes=after.axes[:-1])
    matrix = _matrix(name, weight).T
    bias = None
    if "mat1" in given:
        matrix = float(given.get("alpha", 1)) * matrix
        bias = _array(name, given, "self")
        if bias is None:
            raise refuse(name, "adds nothing", "export it again")
        bias = float(given.get("beta", 1)) * np.broadcast_to(
            bias.reshape(-1) if bias.size == len(matrix) else bias, len(matrix)
        )
    return _linear(name, tracked, matrix, bias)


def _embedding(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    if ("F",) in tracked.axes:
        raise LayoutError(f"{name}: looks up symbols of axes {tracked.letters}; expected only batch and time")
    made = Embedding(_matrix(name, _array(name, given, "weight")))
    return replace(tracked.then(SourceStep(name, made), made.units), axes=(*tracked.axes, ("F",)))


def _layer_norm(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    weight, bias = (_array(name, given, key) for key in ("weight", "bias"))
    if list(given["normalized_shape"]) != [tracked.features] or tracked.feature_axis(name) != len(tracked.axes) - 1:
        raise LayoutError(f"{name}: normalises over {given['normalized_shape']}; expected the features (F) alone")
    ones, zeros = np.ones(tracked.features), np.zeros(tracked.features)
    made = LayerNorm(ones if weight is None else weight, zeros if bias is None else bias, float(given.get("eps", 1e-5)))
    return tracked.then(SourceStep(name, made))


def _batch_norm(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    weight, bias, mean, var = (_array(name, given, key) for key in ("weight", "bias", "running_mean", "running_var"))
    if given.get("training") or mean is None or var is None:
        raise refuse(name, "normalises by the statistics of the batch", "export it after model.eval()")
    if tracked.feature_axis(name) != 1:
        raise LayoutError(f"{name}: works on axis 1 of {tracked.letters}; expected the features (F) there")
    ones, zeros = np.ones(tracked.features), np.zeros(tracked.features)
    made = BatchNorm(ones if weight is None else weight, zeros if bias is None else bias, mean, var, float(given["eps"]))
    return tracked.then(SourceStep(name, made))


WEIGHTED: dict[str, Callable[[str, TrackedArray, dict[str, Any]], TrackedArray]] = {
    "linear": lambda n, f, g: _linear(n, f, _matrix(n, _array(n, g, "weight")), _array(n, g, "bias")),
    "addmm": _product,
    "mm": _product,
    "matmul": _product,
    "bmm": _product,
    "mv": lambda n, f, g: _product(n, f, {"other": g["vec"]}),
    "embedding": _embedding,
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_batch_norm": _batch_norm,
}


def _bound(name: str, value: Any, otherwise: float) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = float(value.reshape(()))
    if value is not None and not isinstance(value, (int, float)):
        raise refuse(name, "clamps by a value that depends on the input", "expected constant bounds")
    return otherwise if value is None else float(value)


def _clamped(name: str, tracked: TrackedArray, given: dict[str, Any], low: str, high: str) -> TrackedArray:
    bounds = _bound(name, given.get(low), -np.inf), _bound(name, given.get(high), np.inf)
    if bounds[0] >= bounds[1]:
        raise refuse(name, f"clamps from {bounds[0]:g} to {bounds[1]:g}", "expected the lower end first")
    return bent(tracked, name, *bounds)


def _threshold(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    if (given["threshold"], given["value"]) != (0, 0):
        raise refuse(name, "is torch's threshold, which cannot be imported", "expected relu, tanh or sigmoid")
    return bent(tracked, name, 0.0, np.inf)


def _hard_sigmoid(name: str, tracked: TrackedArray, given: dict[str, Any]) -> TrackedArray:
    sixth = combined(name, "div", combined(name, "add", tracked, 3.0, 1.0), 6.0, 1.0)
    return bent(sixth, name, 0.0, 1.0)


BENT: dict[str, Callable[[str, TrackedArray, dict[str, Any]], TrackedArray]] = {
    "clamp": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clip": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clamp_min": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "clamp_max": lambda n, f, g: _clamped(n, f, g, "min", "max"),
    "maximum": lambda n, f, g: _clamped(n, f, {"min": g["other"]}, "min", "max"),
    "minimum": lambda n, f, g: _clamped(n, f, {"max": g["other"]}, "min", "max"),
    "hardtanh": lambda n, f, g: bent(f, n, float(g.get("min_val", -1)), float(g.get("max_val", 1))),
    "relu6": lambda n, f, g: bent(f, n, 0.0, 6.0),
    "leaky_relu": lambda n, f, g: bent(f, n, 0.0, np.inf, float(g.get("negative_slope", 0.01))),
    "abs": lambda n, f, g: bent(f, n, 0.0, np.inf, -1.0),
    "threshold": _threshold,
    "hardsigmoid": _hard_sigmoid,
}
