"""A Keras 3 model, Sequential or functional: its layers in order, from the description and the weights.

The comparison builds the same layers with Keras on its torch backend, from a copy of the description that holds nothing
but the names of known layers and plain values, and lets Keras load the weights itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.floatcells import GRU, LSTM, RNN
from tinyrnn.floatlayers import BatchNorm, Embedding, LayerNorm
from tinyrnn.importers import guard, kerasfile
from tinyrnn.importers.source import ACTIVATIONS, TAILS, Activation, Affine, Dense, Options, Source, Step, as_float, refuse

# What a layer's description may say to Keras: everything else (initializers, regularizers, ...) is left out
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
PASSING = ("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout")
RECURRENT = ("SimpleRNN", "GRU", "LSTM")
CURES = {
    "Bidirectional": "a stream has no future: train it in the forward direction",
    "Conv": "expected a network of recurrent layers without convolution",
    "Attention": "expected a network of recurrent layers without attention",
    "Lambda": "code in a file is never run; expected layers that Keras has",
    "Pooling": "expected the last step, return_sequences=False, instead of pooling",
    "Flatten": "expected the last step, return_sequences=False",
    "RepeatVector": "expected a network that answers as the data come",
    "StringLookup": "expected whole numbers as symbols",
    "TextVectorization": "expected whole numbers as symbols",
    "Sequential": "expected its layers in the model itself, not a model in a model",
    "Functional": "expected its layers in the model itself, not a model in a model",
}
MASKING = "if masked steps are only padding behind a sequence's end, which a board is not fed, give --ignore-masking"


@dataclass(frozen=True)
class LayerConfig:
    """One layer of the description."""

    name: str
    kind: str
    config: Mapping[str, Any]
    timed: bool = False  # within TimeDistributed

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"


def read(path: Path, options: Options) -> Source:
    """The network of a file. Raises ModelError."""
    file = kerasfile.load(path)
    try:
        layers, shape = _chain(path, file.config)
        weights = kerasfile.arrays(file, {layer.name: "TimeDistributed" if layer.timed else layer.kind for layer in layers})
        return _source(path, file, layers, shape, weights, options)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ModelError(f"{path}: its description cannot be understood ({reason:.80}); save the model again") from None


def _source(path: Path, file: kerasfile.KerasFile, layers: Sequence[LayerConfig], shape: Sequence[int | None],
            weights: Mapping[str, list[np.ndarray]], options: Options) -> Source:  # fmt: skip
    embedded = layers[0].kind == "Embedding" or (layers[0].kind == "Masking" and len(layers) > 1 and layers[1].kind == "Embedding")
    if len(shape) != (2 if embedded else 3) or (not embedded and shape[-1] is None):
        raise ModelError(f"{path}: its input has shape {list(shape)}; expected (batch, time, features), the features fixed")
    steps: list[Step] = []
    tail: list[str] = []
    notes: list[str] = []
    last = False
    first_symbol = 0
    width = 1 if embedded else int(shape[-1] or 0)
    for layer in layers:
        _check_config(layer, options)
        if layer.kind == "Masking" or layer.config.get("mask_zero"):
            first_symbol = 1 if layer.kind == "Embedding" else first_symbol
            notes.append(f"{layer.where}: masked steps are taken for padding; do not feed them to the board")
        if layer.kind in (*PASSING, "Masking"):
            continue
        if tail:
            raise refuse(layer.where, f"stands behind {tail[-1]}", "expected softmax at the very end")
        if layer.kind in RECURRENT:
            if last:
                raise refuse(layer.where, "runs over a single step", "set return_sequences=True in the layer before it")
            last = not layer.config.get("return_sequences")
            notes += [f"{layer.where}: stateful, as the board is anyway"] if layer.config.get("stateful") else []
        made, ending = _layer(layer, weights.get(layer.name, []), width, last)
        steps += [Step(layer.where, what) for what in made]
        tail += ending
        for what in made:
            if isinstance(what, Dense):
                width = len(what.bias)
            elif not isinstance(what, (Affine, Activation)):
                what.check(layer.where)
                width = what.units
    batch, time = shape[0], shape[1]
    return Source(
        framework="Keras on torch",
        steps=tuple(steps),
        inputs=1 if embedded else int(shape[-1] or 0),
        when="last" if last else "every",
        tail=tuple(tail),
        run=_Runner(file, layers, shape, embedded),
        batch=batch,
        time=time,
        first_symbol=first_symbol,
        notes=tuple(notes),
    )


def _chain(path: Path, model: Mapping[str, Any]) -> tuple[list[LayerConfig], list[int | None]]:
    """The layers in the order of the data, and the input's shape with the batch."""
    config = model["config"]
    raw = config["layers"] if isinstance(config["layers"], list) else []
    if model["class_name"] == "Sequential":
        ordered = raw
    else:
        ordered = _linear(path, config, raw)
    shape = next((s for s in map(_input_shape, ordered) if s), None)
    build = config.get("build_input_shape") or model.get("build_config", {}).get("input_shape")
    shape = shape or build
    layers = [_layer_config(item) for item in ordered if item["class_name"] != "InputLayer"]
    if not layers or not isinstance(shape, list) or not all(n is None or (isinstance(n, int) and 0 < n < 100_000) for n in shape):
        raise ModelError(f"{path}: has {len(layers)} layers and the input shape {shape}; build the model before saving it")
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise ModelError(f"{path}: has two layers of one name; give them different ones")
    return layers, shape


def _input_shape(item: Mapping[str, Any]) -> list[int | None] | None:
    config = item.get("config") or {}
    return config.get("batch_shape") or config.get("batch_input_shape")


def _layer_config(item: Mapping[str, Any]) -> LayerConfig:
    kind, config = str(item["class_name"]), item["config"]
    name = str(config.get("name", item.get("name", kind)))
    package = item.get("module") or "keras.layers"
    registered = item.get("registered_name")
    if str(package).split(".")[0] != "keras" or ">" in f"{registered} {kind}":
        raise refuse(f"{kind:.60} {name:.60}", "is a class that is not Keras' own", "expected layers that Keras has")
    if kind == "TimeDistributed":
        inner = _layer_config(config["layer"])
        if inner.kind not in ("Dense",):
            raise refuse(f"TimeDistributed {name}", f"wraps {inner.kind}", "expected Dense in it")
        return LayerConfig(name, inner.kind, inner.config, True)
    return LayerConfig(name, kind, config)


def _linear(path: Path, config: Mapping[str, Any], raw: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The layers of a functional model along its one path. Raises ModelError where it branches."""
    by_name = {str(item.get("name", item["config"].get("name"))): item for item in raw}
    outputs = _history(config["output_layers"])
    inputs = _history(config["input_layers"])
    if len(outputs) != 1 or len(inputs) != 1:
        cure = "expected one of each: build keras.Model(input, output) of them and save that"
        raise ModelError(f"{path}: has {len(inputs)} inputs and {len(outputs)} outputs; {cure}")
    chain: list[Mapping[str, Any]] = []
    name, index = outputs[0]
    while True:
        item = by_name[name]
        if index or len(chain) > len(raw):
            raise refuse(f"{item['class_name']} {name}", f"gives its output {index} to the next", "expected its first, not a state")
        chain.append(item)
        nodes = item.get("inbound_nodes") or []
        if item["class_name"] == "InputLayer":
            break
        before = _history_of_node(nodes[0]) if len(nodes) == 1 else []
        if len(before) != 1:
            seen = f"is called {len(nodes)} times" if len(nodes) != 1 else f"takes {len(before)} tensors"
            cure = "expected one path through the layers, no residual, no attention, no initial_state"
            raise refuse(f"{item['class_name']} {name}", seen, cure)
        name, index = before[0]
    if len(chain) != len(raw):
        unused = next(key for key, item in by_name.items() if item not in chain)
        raise refuse(f"{by_name[unused]['class_name']} {unused}", "lies beside the path", "expected one path through the layers")
    return chain[::-1]


def _history(raw: Any) -> list[tuple[str, int]]:
    """[name, node, tensor], or a list or a dictionary of such."""
    if isinstance(raw, dict):
        raw = list(raw.values())
    if raw and isinstance(raw[0], str):
        raw = [raw]
    return [(str(item[0]), int(item[2])) for item in raw]


def _history_of_node(node: Any) -> list[tuple[str, int]]:
    """Where the tensors come from that a layer is called on: Keras 3's dictionaries, or Keras 2's lists."""
    if isinstance(node, list):
        return [(str(item[0]), int(item[2])) for item in node]
    found: list[tuple[str, int]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            history = value["config"]["keras_history"]
            found.append((str(history[0]), int(history[2])))
        elif isinstance(value, dict):
            for item in value.values():
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    look([node.get("args"), node.get("kwargs")])
    return found


def _check_config(layer: LayerConfig, options: Options) -> None:
    """Raises ModelError for a layer, or an option of one, that cannot be imported."""
    config, where = layer.config, layer.where
    if layer.kind not in KEPT:
        cure = next((text for word, text in CURES.items() if word in layer.kind), f"expected {', '.join(KEPT)}")
        raise refuse(where[:100], "this kind of layer cannot be imported", cure)
    for key, cure in {
        "go_backwards": "a stream has no future: train it with go_backwards=False",
        "time_major": "save it with sequences as (batch, time, features)",
        "invert": "expected a Normalization in front, not one that undoes it",
        "rms_scaling": "expected a LayerNormalization without it",
        "lora_rank": "merge it into the weights before saving",
        "quantization_config": "save the float model, tinyrnn quantizes it itself",
    }.items():
        if config.get(key):
            raise refuse(where, f"has {key}={str(config[key]):.30}", cure)
    dtype = config.get("dtype")
    policy = str(dtype.get("config", {}).get("name", "") if isinstance(dtype, dict) else dtype or "")
    if "int8" in policy or "int4" in policy or "float8" in policy:
        raise refuse(where, f"has the dtype {policy:.40}", "save the float model, tinyrnn quantizes it itself")
    if (layer.kind == "Masking" or config.get("mask_zero")) and not options.ignore_masking:
        raise refuse(where, "masks steps, so that the network skips them", MASKING)
    if layer.kind in RECURRENT:
        _check_activations(layer)
    for key in ("mean", "variance", "scale", "offset", "rate", "stddev", "mask_value", "axis"):
        if not _plain(config.get(key)):
            raise refuse(where, f"has {key} of an unusual kind", "save the model again with plain numbers")


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float))


def _check_activations(layer: LayerConfig) -> None:
    allowed = ("tanh", "relu") if layer.kind == "SimpleRNN" else ("tanh",)
    activation, gate = _activation(layer, "activation"), _activation(layer, "recurrent_activation")
    if activation not in allowed:
        raise refuse(layer.where, f"has the activation {activation}", f"expected {' or '.join(allowed)}: train it with that")
    if layer.kind != "SimpleRNN" and gate != "sigmoid":
        raise refuse(layer.where, f"has the recurrent_activation {gate}", "expected sigmoid, Keras' default: train it with that")


def _activation(layer: LayerConfig, key: str) -> str:
    """The name of a function. Raises ModelError when it is an object of its own."""
    value = layer.config.get(key, "linear")
    if isinstance(value, dict) and value.get("module") in ("builtins", "keras.activations") and isinstance(value.get("config"), str):
        value = value["config"]  # Keras 3.0's spelling of a function
    if value is not None and not isinstance(value, str):
        seen = value.get("class_name") if isinstance(value, dict) else type(value).__name__
        raise refuse(layer.where, f"has an {key} of its own ({str(seen):.40})", "expected one of Keras' names, such as tanh")
    return value or "linear"


def _layer(layer: LayerConfig, weights: list[np.ndarray], width: int, last: bool) -> tuple[list[Any], list[str]]:
    """What the layer is made of, and what it adds to the tail."""
    w = [as_float(a) for a in weights]
    config, kind, where = layer.config, layer.kind, layer.where
    if kind in RECURRENT:
        return [_cell(layer, w)], []
    if kind == "Dense":
        (kernel, *bias) = _expect(where, w, 1 + bool(config.get("use_bias", True)))
        dense = Dense(kernel.T.copy(), bias[0] if bias else np.zeros(kernel.shape[1]))
        after, ending = _function(layer, _activation(layer, "activation"))
        return [dense, *after], ending
    if kind == "Embedding":
        return [Embedding(_expect(where, w, 1)[0])], []
    if kind == "Activation":
        return _function(layer, _activation(layer, "activation"))
    if kind == "ReLU":
        if any(config.get(key) for key in ("max_value", "negative_slope", "threshold")):
            raise refuse(where, "is no plain relu", "expected ReLU() without options")
        return [Activation("relu")], []
    if kind == "Softmax":
        if config.get("axis", -1) not in (-1, [-1]):
            raise refuse(where, f"is a softmax over axis {config['axis']}", "expected it over the classes, axis -1")
        return [], ["softmax"]
    if kind == "Rescaling":
        scale, offset = (np.broadcast_to(np.asarray(config.get(k, d), np.float64), width).copy() for k, d in (("scale", 1), ("offset", 0)))
        return [Affine(scale, offset)], []
    _last_axis(layer, last)
    if kind == "Normalization":
        return [_normalization(layer, w, width)], []
    count = bool(config.get("scale", True)) + bool(config.get("center", True))
    many = _expect(where, w, count + (2 if kind == "BatchNormalization" else 0))
    gain = many.pop(0) if config.get("scale", True) else np.ones(width)
    shift = many.pop(0) if config.get("center", True) else np.zeros(width)
    eps = float(config.get("epsilon", 1e-3))
    return [LayerNorm(gain, shift, eps) if kind == "LayerNormalization" else BatchNorm(gain, shift, *many, eps)], []


def _last_axis(layer: LayerConfig, last: bool) -> None:
    """-1, or as Keras saves it once it is built: 2 of (batch, time, features), 1 of (batch, features)."""
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 1 if last else 2):
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
    """An activation by its name: nothing, a step or a part of the tail."""
    if name == "linear":
        return [], []
    if name in ACTIVATIONS:  # a sigmoid at the very end is moved to the tail by importers.read()
        return [Activation(name)], []
    if name in TAILS:
        return [], [name]
    raise refuse(layer.where, f"has the activation {name}", f"expected linear, {', '.join(ACTIVATIONS)} or, at the end, softmax")


def _expect(where: str, arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
    if len(arrays) != count:
        raise refuse(where, f"has {len(arrays)} arrays of weights", f"expected {count}: save the whole model again")
    return list(arrays)


def _cell(layer: LayerConfig, w: list[np.ndarray]) -> RNN | GRU | LSTM:
    """Keras' kernels (I, gates H) are transposed; its GRU has z before r and, with reset_after, two biases."""
    config, where = layer.config, layer.where
    kernel, recurrent, *bias = _expect(where, w, 2 + bool(config.get("use_bias", True)))
    units = recurrent.shape[0]
    gates = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}[layer.kind]
    both = bias[0] if bias else np.zeros(gates * units)
    sizes = {kernel.shape[-1], recurrent.shape[-1], both.shape[-1], gates * units}
    if kernel.ndim != 2 or recurrent.ndim != 2 or len(sizes) > 1 or units != config.get("units"):
        raise refuse(where, f"has weights {[a.shape for a in w]}", f"expected {config.get('units')} units: save the model again")
    order = np.concatenate([np.arange(units) + units * g for g in ((1, 0, 2) if layer.kind == "GRU" else range(gates))])
    b, c = both if both.ndim == 2 else (both, np.zeros(gates * units))
    arrays = kernel.T[order], recurrent.T[order], b[order], c[order]
    if layer.kind == "GRU":
        return GRU(*arrays, reset_after=bool(config.get("reset_after", True)))
    if layer.kind == "LSTM":
        return LSTM(*arrays)
    return RNN(*arrays, nonlinearity=_activation(layer, "activation"))


class _Runner:
    """The same layers made by Keras, which loads the file's weights itself."""

    def __init__(self, file: kerasfile.KerasFile, layers: Sequence[LayerConfig], shape: Sequence[int | None], embedded: bool) -> None:
        self.file, self.layers, self.shape, self.embedded = file, layers, shape, embedded
        self.model: Any = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.model is None:
            self.model = self._build()
        given = x[..., 0].astype(np.int32) if self.embedded else x.astype(np.float32)
        import torch

        with torch.no_grad():
            y = self.model(given, training=False)
        result: np.ndarray = y.detach().cpu().numpy()
        return result

    def _build(self) -> Any:
        keras = need_keras()
        built = [keras.Input(batch_shape=tuple(self.shape), dtype="int32" if self.embedded else "float32")]
        for layer in self.layers:
            if layer.kind == "Masking":  # the user says that nothing is masked
                continue
            kept = {key: layer.config[key] for key in KEPT[layer.kind] if key in layer.config}
            for key in ("activation", "recurrent_activation"):
                if key in kept:
                    kept[key] = _activation(layer, key)
            if layer.kind == "Normalization" and kept.get("mean") is None:
                kept = {"axis": -1}
            made = getattr(keras.layers, layer.kind)(**kept, name=f"{layer.name}_inner" if layer.timed else layer.name)
            built.append(keras.layers.TimeDistributed(made, name=layer.name) if layer.timed else made)
        model = keras.Sequential(built)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("model.h5" if self.file.legacy else "model.weights.h5")
            path.write_bytes(self.file.weights)
            try:
                model.load_weights(path)
            except Exception as error:  # Keras raises many kinds
                reason = " ".join(str(error).split())
                raise ModelError(f"Keras cannot load the weights into the same layers: {reason:.120}; save the model again") from None
        return model


def need_keras() -> Any:
    """Keras on its torch backend. Raises TinyrnnError with the cure."""
    import sys

    guard.need("torch", "as Keras' backend", "train")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    keras = guard.need("keras", "to compare the import with the file")
    if keras.backend.backend() != "torch":
        raise ModelError(f"Keras runs on {keras.backend.backend()} here; expected torch: set KERAS_BACKEND=torch")
    return keras
