# SPDX-License-Identifier: MIT
"""The meaning of each kind of ONNX node for the tracked data: the step that it becomes, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers.axis_tracking import CellState, InitialState, LayoutError, Stack, TrackedArray
from tinyrnn.importers.onnx import constants
from tinyrnn.importers.onnx.cells import GATES, Lengths, recurrent
from tinyrnn.importers.onnx.graph_file import Node
from tinyrnn.importers.onnx.shapes import SHAPES
from tinyrnn.importers.source_model import Activation, Affine, Dense, SourceStep, refuse

PASSING = (
    "Identity",
    "Cast",
    "Dropout",
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Gather",
    "Split",
    "Expand",
    "Flatten",
)

KNOWN = (
    "expected RNN, LSTM, GRU, Gemm, MatMul, Gather as an embedding, LayerNormalization, BatchNormalization, and nodes that "
    "reshape between them"
)

CURES = {
    "Conv": "expected a network of recurrent layers without convolution",
    "Attention": "expected a network of recurrent layers without attention",
    "DynamicQuantize": "export the float model: tinyrnn quantizes it",
    "Quantize": "export the float model: tinyrnn quantizes it",
    "Dequantize": "export the float model: tinyrnn quantizes it",
    "Pow": "if it is a part of LayerNorm, export with opset 17 or newer; otherwise expected a network without it",
    "ArrayFeatureExtractor": "name the probabilities instead of the label with --output-name",
    "ZipMap": "convert with options={'zipmap': False}",
    "Concat": "expected one path through the layers, without loops over cells",
    "Split": "expected one path through the layers, without loops over cells",
}

INSIDE = {
    "Loop": "expected RNN, LSTM and GRU nodes: give the .keras or .h5 that tf2onnx converted, or a PyTorch model as .pt2",
    "If": "its branch depends on sizes: name the axis in squeeze(), or give a PyTorch model as .pt2",
}

OTHER_FUNCTIONS = (
    "Clip",
    "LeakyRelu",
    "PRelu",
    "ThresholdedRelu",
    "Elu",
    "Selu",
    "Celu",
    "Gelu",
    "Mish",
    "Swish",
    "HardSigmoid",
    "HardSwish",
    "Softplus",
    "Softsign",
    "Exp",
    "Log",
    "Sqrt",
    "Abs",
    "Neg",
    "Round",
    "Floor",
    "Ceil",
    "Sign",
    "Sin",
    "Cos",
    "Erf",
    "Max",
    "Min",
    "Greater",
    "Less",
    "GreaterOrEqual",
    "LessOrEqual",
    "Not",
    "Hardmax",
    "TopK",
)

FUNCTIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}

TAILS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "ArgMax": "argmax"}


def apply(node: Node, given: list[Any], opset: int) -> list[Any]:
    """The results of one node. Raises ModelError, which names the node, if it cannot be imported."""
    kind, name = node.kind, f"{node.kind} {node.name}"
    if kind in GATES:
        return recurrent(node, given)
    if any(value is None for value in node.attributes.values()):
        raise refuse(name, "contains a subgraph", INSIDE.get(kind, INSIDE["Loop"]))
    if all(value is None or isinstance(value, np.ndarray) for value in given):
        return list(constants.evaluate(node, given, opset))
    if kind in PASSING and isinstance(given[0], (InitialState, Lengths, CellState)):
        return [given[0]]
    if kind == "Concat":
        return [_concat(node, given)]
    if kind == "Gather" and isinstance(given[0], np.ndarray) and isinstance(given[1], TrackedArray):
        return [_embedding(name, given[0], given[1])]
    if isinstance(given[0], Stack) and kind in ("Gather", "Slice"):
        return [_of_stack(node, given)]
    where = next((i for i, value in enumerate(given) if isinstance(value, (TrackedArray, Stack))), None)
    if where is None:
        raise refuse(name, "does not take data of the sequence", "expected one path through the layers")
    tracked = given[where].as_tracked(name) if isinstance(given[where], Stack) else given[where]
    if kind == "Mul" and _is_swish(given):
        raise refuse(
            name, "is SiLU, with the Sigmoid before it", "expected relu, tanh or sigmoid: train it with one of these"
        )
    if sum(isinstance(value, (TrackedArray, Stack)) for value in given) > 1:
        raise refuse(name, "combines two paths", "expected one path through the layers, no residual sum, no attention")
    handler = SHAPES.get(kind) or LAYERS.get(kind)
    if handler is not None:
        return [handler(node, name, tracked, given, where)]
    if kind in FUNCTIONS:
        return [tracked.then(SourceStep(name, Activation(FUNCTIONS[kind])))]
    if kind in TAILS:
        return [_tail(node, name, tracked, opset)]
    if kind.startswith("Reduce"):
        raise _reduced(node, name, tracked, given)
    if kind == "Clip" and _is_relu(node, given):
        return [tracked.then(SourceStep(name, Activation("relu")))]
    cure = next((text for word, text in CURES.items() if word in kind), KNOWN)
    if kind in OTHER_FUNCTIONS:
        cure = "expected relu, tanh or sigmoid: train it with one of these, or export it without this node if it is the last"
    raise refuse(name, "this kind of node cannot be imported", cure)


def _is_relu(node: Node, given: Sequence[Any]) -> bool:
    """Whether a Clip is relu: a lower limit of 0 and no upper one."""
    low, high = (
        value if value is not None else node.attributes.get(key)
        for key, value in zip(("min", "max"), [*given[1:], None, None], strict=False)
    )
    return low is not None and np.size(low) == 1 and float(np.reshape(low, -1)[0]) == 0 and high is None


def _is_swish(given: Sequence[Any]) -> bool:
    """Whether the factors are x and sigmoid(x)."""
    if len(given) != 2 or not all(isinstance(value, TrackedArray) for value in given):
        return False
    short, long = sorted(given, key=lambda value: len(value.steps))
    return len(long.steps) == len(short.steps) + 1 and long.steps[-1].what == Activation("sigmoid")


def _reduced(node: Node, name: str, tracked: TrackedArray, given: Sequence[Any]) -> ModelError:
    """The error for a mean, maximum or sum, which depends on its axes."""
    axes = constants.axes_of(node, given)
    over = "".join(atom for i in axes or range(len(tracked.axes)) for atom in tracked.axes[tracked.axis(i, name)])
    if over == "F" and node.kind == "ReduceMean":
        return refuse(name, "is a mean over the features", "if it is a part of LayerNorm, export with opset 17 or newer")
    if "T" in over:
        return refuse(
            name, "works on all steps at once", "expected the answer of the last step, y[:, -1]: train it with that"
        )
    return refuse(name, "joins the features or the batch", "expected a network without it")


def _concat(node: Node, given: list[Any]) -> Any:
    """The last states of several layers along a new axis 0, as in torch's h_n; or the probabilities of two classes."""
    name = f"{node.kind} {node.name}"
    if any(isinstance(value, CellState) for value in given):
        return CellState()
    if all(isinstance(value, InitialState) for value in given):
        return given[0]
    arrays = [value for value in given if isinstance(value, TrackedArray)]
    pair = _pair_of_classes(name, arrays, node.attributes.get("axis")) if len(arrays) == len(given) == 2 else None
    if pair is not None:
        return pair
    if len(arrays) < len(given) or node.attributes.get("axis") != 0 or any(f.axes[0] != () or not f.is_last for f in arrays):
        raise refuse(name, "joins several paths", CURES["Concat"])
    return Stack(tuple(tracked.squeeze([0], name) for tracked in arrays))


def _pair_of_classes(name: str, arrays: Sequence[TrackedArray], axis: Any) -> TrackedArray | None:
    """(1 - s, s) with s = sigmoid(z), as skl2onnx writes two classes: the softmax of the logits 0 and z. Otherwise None."""
    first, second = arrays
    *before, last = second.steps or (None,)
    if last is None or last.what != Activation("sigmoid") or second.features != 1 or first.axes != second.axes:
        return None
    same = len(first.steps) == len(second.steps) + 1 and all(a is b for a, b in zip(first.steps, second.steps, strict=False))
    what = first.steps[-1].what
    if not same or not isinstance(what, Affine) or what.scale.tolist() != [-1.0] or what.shift.tolist() != [1.0]:
        return None
    both = Dense(np.array([[0.0], [1.0]]), np.zeros(2))
    tracked = replace(second, steps=(*before, SourceStep(name, both)), features=2)
    at = tracked.feature_axis(name)
    return tracked.end("softmax", at, name) if tracked.axis(axis, name) == at else None


def _of_stack(node: Node, given: list[Any]) -> Any:
    name = f"{node.kind} {node.name}"
    stack: Stack = given[0]
    if (
        node.kind == "Gather"
        and node.attributes.get("axis", 0) == 0
        and isinstance(given[1], np.ndarray)
        and given[1].size == 1
    ):
        tracked = stack.pick(int(given[1].reshape(-1)[0]), name)
        return tracked.unsqueeze([0], name) if given[1].ndim else tracked
    if node.kind == "Slice":
        ((axis, start, stop, step),) = constants.slices(node, given)
        taken = stack.arrays[slice(start, stop, step)]
        if axis == 0 and taken:
            return Stack(taken)
    raise refuse(name, "separates the states of several layers", "expected the last layer's state, h_n[-1]")


def _embedding(name: str, table: np.ndarray, tracked: TrackedArray) -> TrackedArray:
    if table.ndim != 2 or table.dtype.kind != "f":
        raise refuse(name, f"looks up shape {table.shape}", "expected an embedding, a table (symbols, numbers)")
    made = Embedding(table.astype(np.float64))
    return replace(tracked.then(SourceStep(name, made), made.units), axes=(*tracked.axes, ("F",)))


def _tail(node: Node, name: str, tracked: TrackedArray, opset: int) -> TrackedArray:
    kind = TAILS[node.kind]
    axis = node.attributes.get("axis", 0 if kind == "argmax" else -1 if opset >= 13 else 1)
    ended = tracked.end(kind, axis, name)
    if kind != "argmax":
        return ended
    at = tracked.axis(axis, name)
    left = ((),) if node.attributes.get("keepdims", 1) else ()
    return replace(ended, axes=(*tracked.axes[:at], *left, *tracked.axes[at + 1 :]))


def _dense(name: str, tracked: TrackedArray, weight: np.ndarray, bias: np.ndarray) -> TrackedArray:
    """A dense layer with weight (O, I) on the last axis."""
    if tracked.feature_axis(name) != len(tracked.axes) - 1:
        raise LayoutError(f"{name}: works on the last of the axes {tracked.letters}; expected the features (F) there")
    after = tracked.then(SourceStep(name, Dense(weight.astype(np.float64), bias.astype(np.float64))), len(weight))
    return replace(after, axes=(*tracked.axes[:-1], ("F",)))


def _gemm(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    a = node.attributes
    c = given[2] if len(given) > 2 else None
    weight = given[1]
    if where or a.get("transA") or not isinstance(weight, np.ndarray) or weight.ndim != 2:
        raise refuse(name, "multiplies the data in an unusual way", "expected data @ weights")
    weight = (weight if a.get("transB") else weight.T) * a.get("alpha", 1.0)
    if c is not None and not (
        isinstance(c, np.ndarray) and c.size in (1, len(weight)) and c.shape[-1:] in ((), (1,), (len(weight),))
    ):
        raise refuse(name, "adds something other than a bias", "expected one number for each output")
    bias = np.zeros(len(weight)) if c is None else a.get("beta", 1.0) * np.broadcast_to(c.reshape(-1), len(weight))
    return _dense(name, tracked, weight, bias)


def _matmul(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    if where or not isinstance(given[1], np.ndarray) or given[1].ndim != 2:
        raise refuse(name, "multiplies the data in an unusual way", "expected data @ weights")
    return _dense(name, tracked, given[1].T, np.zeros(given[1].shape[1]))


def _affine(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    """Arithmetic of the data with one constant for each feature."""
    other = given[1 - where]
    axis = tracked.feature_axis(name)
    if not isinstance(other, np.ndarray) or len(given) != 2:
        raise refuse(name, "combines two paths", "expected one path through the layers")
    aligned = other.reshape((1,) * max(len(tracked.axes) - other.ndim, 0) + other.shape)
    if aligned.ndim != len(tracked.axes) or other.size not in (1, tracked.features) or aligned.shape[axis] != other.size:
        raise LayoutError(
            f"{name}: combines the axes {tracked.letters} with shape {other.shape}; expected one for each feature (F)"
        )
    value = np.broadcast_to(other.astype(np.float64).reshape(-1), tracked.features).copy()
    ones, zeros = np.ones(tracked.features), np.zeros(tracked.features)
    if node.kind == "Div" and (where or not value.all()):
        raise refuse(name, "divides by the data or by zero", "expected a division by constants")
    scale, shift = {
        "Add": (ones, value),
        "Sub": (-ones, value) if where else (ones, -value),
        "Mul": (value, zeros),
        "Div": (1 / np.where(value == 0, 1, value), zeros),
    }[node.kind]
    return tracked.then(SourceStep(name, Affine(scale, shift)))


def _scaler(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    """ai.onnx.ml's Scaler, which skl2onnx writes for a StandardScaler: (x - offset) * scale."""
    offset, scale = (
        np.asarray(node.attributes.get(key, default), np.float64) for key, default in (("offset", [0]), ("scale", [1]))
    )
    if tracked.feature_axis(name) != len(tracked.axes) - 1 or {offset.size, scale.size} - {1, tracked.features}:
        raise LayoutError(f"{name}: scales the axes {tracked.letters}; expected the features (F) last")
    scale, offset = (np.broadcast_to(a, tracked.features).copy() for a in (scale, offset))
    return tracked.then(SourceStep(name, Affine(scale, -scale * offset)))


def _arrays(name: str, given: Sequence[Any], count: int) -> list[np.ndarray]:
    """The given constants as float64, with one number for each feature. Raises ModelError."""
    if not all(isinstance(a, np.ndarray) and a.shape == (count,) for a in given):
        raise refuse(name, "has constants without one number for each feature", "export it again")
    return [a.astype(np.float64) for a in given]


def _layernorm(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    axis = tracked.feature_axis(name)
    if tracked.axis(node.attributes.get("axis", -1), name) != axis or axis != len(tracked.axes) - 1:
        raise LayoutError(
            f"{name}: normalises the axes {tracked.letters} from {node.attributes.get('axis', -1)}; expected F alone"
        )
    arrays = [a for a in given[1:] if a is not None]
    weight, bias = (*_arrays(name, arrays, tracked.features), np.zeros(tracked.features))[:2]
    return tracked.then(SourceStep(name, LayerNorm(weight, bias, float(node.attributes.get("epsilon", 1e-5)))))


def _batchnorm(node: Node, name: str, tracked: TrackedArray, given: list[Any], where: int) -> TrackedArray:
    if node.attributes.get("training_mode"):
        raise refuse(name, "normalises by the statistics of the batch", "export the model after model.eval()")
    if tracked.feature_axis(name) != 1:
        raise LayoutError(f"{name}: works on axis 1 of {tracked.letters}; expected the features (F) there")
    weight, bias, mean, var = _arrays(name, given[1:5], tracked.features)
    return tracked.then(SourceStep(name, BatchNorm(weight, bias, mean, var, float(node.attributes.get("epsilon", 1e-5)))))


LAYERS: dict[str, Callable[..., Any]] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": _affine,
    "Sub": _affine,
    "Mul": _affine,
    "Div": _affine,
    "ai.onnx.ml.Scaler": _scaler,
    "LayerNormalization": _layernorm,
    "BatchNormalization": _batchnorm,
}
