# SPDX-License-Identifier: MIT
"""Conversion of Keras layers to steps: the known layers, their allowed options, and the order of their weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers.keras.layer_chain import RECURRENT, LayerConfig
from tinyrnn.importers.source_model import ACTIVATIONS, TAILS, Activation, Affine, Dense, Options, as_float, refuse

# The options that are passed on to Keras; all others (initializers, regularizers, ...) are dropped
KEPT: dict[str, tuple[str, ...]] = {
    "SimpleRNN": ("units", "activation", "use_bias", "return_sequences"),
    "GRU": ("units", "activation", "recurrent_activation", "use_bias", "return_sequences", "reset_after"),
    "LSTM": ("units", "activation", "recurrent_activation", "use_bias", "return_sequences"),
    "Dense": ("units", "activation", "use_bias"),
    "Embedding": ("input_dim", "output_dim"),
    "Normalization": ("axis", "mean", "variance"),
    "LayerNormalization": ("axis", "epsilon", "center", "scale"),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "Rescaling": ("scale", "offset"),
    "Activation": ("activation",),
    "Softmax": ("axis",),
    "ReLU": (),
    "Dropout": ("rate",),
    "SpatialDropout1D": ("rate",),
    "GaussianNoise": ("stddev",),
    "GaussianDropout": ("rate",),
    "Masking": ("mask_value",),
}

FUNCTION_MODULES = ("builtins", "keras.activations", "keras.src.activations", "keras.src.activations.activations")

PASSING = ("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout")

CURES = {
    "Bidirectional": "a stream has no future: train it in the forward direction",
    "Conv": "expected a network of recurrent layers without convolution",
    "Attention": "expected a network of recurrent layers without attention",
    "Lambda": "code in a file is never run; expected layers that Keras has, or x[:, -1] without a Lambda",
    "Pooling": "expected the last step, return_sequences=False, instead of pooling",
    "Flatten": "expected the last step, return_sequences=False",
    "RepeatVector": "expected a network that answers while the data arrive",
    "StringLookup": "expected whole numbers as symbols",
    "TextVectorization": "expected whole numbers as symbols",
    "Sequential": "expected its layers in the model itself, not a model in a model",
    "Functional": "expected its layers in the model itself, not a model in a model",
}

MASKING = "if masked steps are only padding at the end of a sequence, which a board does not get, give --ignore-masking"


def check_config(layer: LayerConfig, options: Options) -> None:
    """Raise ModelError for a layer that cannot be imported, or that has an option that cannot."""
    config, where = layer.config, layer.where
    if layer.kind not in KEPT:
        cure = next((text for word, text in CURES.items() if word in layer.kind), f"expected {', '.join(KEPT)}")
        raise refuse(where[:100], "this kind of layer cannot be imported", cure)
    for key, cure in {
        "go_backwards": "a stream has no future: train it with go_backwards=False",
        "time_major": "save it with sequences as (batch, time, features)",
        "invert": "expected a Normalization, not one that undoes it",
        "rms_scaling": "expected a LayerNormalization without it",
        "lora_rank": "merge it into the weights before saving",
        "quantization_config": "save the float model: tinyrnn quantizes it",
    }.items():
        if config.get(key):
            raise refuse(where, f"has {key}={config[key]!s:.30}", cure)
    policy = policy_of(layer)
    if "int8" in policy or "int4" in policy or "float8" in policy:
        raise refuse(where, f"has the dtype {policy:.40}", "save the float model: tinyrnn quantizes it")
    if (layer.kind == "Masking" or config.get("mask_zero")) and not options.ignore_masking:
        raise refuse(where, "masks steps, so that the network skips them", MASKING)
    if layer.kind in RECURRENT:
        _check_activations(layer)
    for key in ("mean", "variance", "scale", "offset", "rate", "stddev", "mask_value", "axis"):
        if not _plain(config.get(key)):
            raise refuse(where, f"has a {key} that is not a plain number", "save the model again with plain numbers")


def policy_of(layer: LayerConfig) -> str:
    """The layer's dtype. Newer versions of Keras describe it as an object."""
    dtype = layer.config.get("dtype")
    if isinstance(dtype, dict):
        inside = dtype.get("config")
        dtype = inside.get("name") if isinstance(inside, dict) else inside
    return str(dtype or "")


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float))


def _check_activations(layer: LayerConfig) -> None:
    allowed = ("tanh", "relu") if layer.kind == "SimpleRNN" else ("tanh",)
    activation, gate = activation_of(layer, "activation"), activation_of(layer, "recurrent_activation")
    if activation not in allowed:
        raise refuse(
            layer.where, f"has the activation {activation}", f"expected {' or '.join(allowed)}: train it with these"
        )
    if layer.kind != "SimpleRNN" and gate != "sigmoid":
        raise refuse(
            layer.where, f"has the recurrent_activation {gate}", "expected sigmoid, Keras' default: train it with that"
        )


def activation_of(layer: LayerConfig, key: str) -> str:
    """The name of an activation. Raises ModelError if it is not one of Keras'."""
    value = layer.config.get(key, "linear")
    if (
        isinstance(value, dict)
        and str(value.get("module") or "builtins") in FUNCTION_MODULES
        and ">" not in str(value.get("registered_name"))
        and isinstance(value.get("config"), str)
    ):
        value = value["config"]  # how Keras 3.0 writes a function
    if value is not None and not isinstance(value, str):
        seen = value.get("class_name") if isinstance(value, dict) else type(value).__name__
        raise refuse(layer.where, f"has a custom {key} ({seen!s:.40})", "expected one of Keras' names, such as tanh")
    return value or "linear"


def convert(layer: LayerConfig, weights: list[np.ndarray], width: int, form: str) -> tuple[list[Any], list[str]]:
    """The steps that a layer becomes, and the functions that it adds to the tail. Raises ModelError."""
    w = [as_float(a) for a in weights]
    config, kind, where = layer.config, layer.kind, layer.where
    if kind in RECURRENT:
        return [_cell(layer, w)], []
    if kind == "Dense":
        (kernel, *bias) = _expect(where, w, 1 + bool(config.get("use_bias", True)))
        dense = Dense(kernel.T.copy(), bias[0] if bias else np.zeros(kernel.shape[1]))
        after, ending = _function(layer, activation_of(layer, "activation"))
        return [dense, *after], ending
    if kind == "Embedding":
        return [Embedding(_expect(where, w, 1)[0])], []
    if kind == "Activation":
        return _function(layer, activation_of(layer, "activation"))
    if kind == "ReLU":
        if any(config.get(key) for key in ("max_value", "negative_slope", "threshold")):
            raise refuse(where, "is not a plain relu", "expected ReLU() without options")
        return [Activation("relu")], []
    if kind == "Softmax":
        if config.get("axis", -1) not in (-1, [-1]):
            raise refuse(where, f"is a softmax over axis {config['axis']}", "expected it over the classes, axis -1")
        return [], ["softmax"]
    if kind == "Rescaling":
        scale, offset = (
            np.broadcast_to(np.asarray(config.get(k, d), np.float64), width).copy() for k, d in (("scale", 1), ("offset", 0))
        )
        return [Affine(scale, offset)], []
    _last_axis(layer, form)
    if kind == "Normalization":
        return [_normalization(layer, w, width)], []
    count = bool(config.get("scale", True)) + bool(config.get("center", True))
    many = _expect(where, w, count + (2 if kind == "BatchNormalization" else 0))
    gain = many.pop(0) if config.get("scale", True) else np.ones(width)
    shift = many.pop(0) if config.get("center", True) else np.zeros(width)
    eps = float(config.get("epsilon", 1e-3))
    if kind == "LayerNormalization":
        return [LayerNorm(gain, shift, eps)], []
    return [BatchNorm(gain, shift, many[0], many[1], eps)], []


def one_axis(layer: LayerConfig) -> Any:
    """The axis of a normalisation, which Keras 2 saves as a list of one number."""
    axis = layer.config.get("axis", -1)
    return axis[0] if isinstance(axis, list) and len(axis) == 1 else axis


def _last_axis(layer: LayerConfig, form: str) -> None:
    """Raise ModelError unless the axis is the last one: -1, or its number as Keras saves it in a built model."""
    axis = one_axis(layer)
    if axis not in (-1, len(form) - 1):
        raise refuse(layer.where, f"normalises over axis {axis}", "expected the features alone, axis=-1")


def _normalization(layer: LayerConfig, w: list[np.ndarray], width: int) -> Affine:
    config = layer.config
    if config.get("mean") is not None:
        mean, variance = (np.asarray(config[key], np.float64).reshape(-1) for key in ("mean", "variance"))
    elif len(w) >= 2:
        mean, variance = w[0].reshape(-1), w[1].reshape(-1)
    else:
        raise refuse(layer.where, "has no statistics", "call its adapt() before saving the model")
    mean, variance = (np.broadcast_to(a, width) for a in (mean, variance))
    scale = 1 / np.maximum(np.sqrt(variance), 1e-7)
    return Affine(scale, -mean * scale)


def _function(layer: LayerConfig, name: str) -> tuple[list[Any], list[str]]:
    """The step or the function of the tail for the name of an activation; neither for linear."""
    if name == "linear":
        return [], []
    if name in ACTIVATIONS:  # a sigmoid at the very end is moved to the tail by importers.read()
        return [Activation(name)], []
    if name in TAILS:
        return [], [name]
    raise refuse(
        layer.where, f"has the activation {name}", f"expected linear, {', '.join(ACTIVATIONS)} or, at the end, softmax"
    )


def _expect(where: str, arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    if len(arrays) != count:
        raise refuse(where, f"has {len(arrays)} arrays of weights", f"expected {count}: save the whole model again")
    return list(arrays)


def _cell(layer: LayerConfig, w: list[np.ndarray]) -> RNN | GRU | LSTM:
    """The cell from Keras' weights. Kernels (I, gates H) are transposed. A GRU has z before r, and may have two biases."""
    config, where = layer.config, layer.where
    kernel, recurrent, *bias = _expect(where, w, 2 + bool(config.get("use_bias", True)))
    units = recurrent.shape[0]
    gates = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}[layer.kind]
    both = bias[0] if bias else np.zeros(gates * units)
    sizes = {kernel.shape[-1], recurrent.shape[-1], both.shape[-1], gates * units}
    if kernel.ndim != 2 or recurrent.ndim != 2 or len(sizes) > 1 or units != config.get("units"):
        raise refuse(
            where, f"has weights {[a.shape for a in w]}", f"expected {config.get('units')} units: save the model again"
        )
    order = np.concatenate([np.arange(units) + units * g for g in ((1, 0, 2) if layer.kind == "GRU" else range(gates))])
    b, c = both if both.ndim == 2 else (both, np.zeros(gates * units))
    arrays = kernel.T[order], recurrent.T[order], b[order], c[order]
    if layer.kind == "GRU":
        return GRU(*arrays, reset_after=bool(config.get("reset_after", True)))
    if layer.kind == "LSTM":
        return LSTM(*arrays)
    return RNN(*arrays, nonlinearity=activation_of(layer, "activation"))
