# SPDX-License-Identifier: MIT
"""The layers of a Keras model in order, from its description: those on the path from input to output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrnn.errors import ModelError
from tinyrnn.importers.source_model import refuse
from tinyrnn.text import counted


@dataclass(frozen=True)
class LayerConfig:
    """The description of one layer."""

    name: str
    kind: str
    config: Mapping[str, Any]
    timed: bool = False  # whether it is within TimeDistributed
    arguments: tuple[Any, ...] = ()  # arguments of its call other than the data
    form: str = ""  # one of last_step.FORMS, after a layer that takes only a part of the sequence

    @property
    def where(self) -> str:
        return f"{self.kind} {self.name}"


OWN = re.compile(r"(keras|tf_keras|tensorflow\.keras|tensorflow\.python\.keras)(\.|$)")  # packages of Keras itself
VERSIONED = ("GRU", "LSTM", "BatchNormalization")  # some versions of TensorFlow save these as ...V1 and ...V2
OPERATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax"}  # keras.ops
FUNCTIONS = {
    "nn.relu": "relu",
    "math.tanh": "tanh",
    "nn.tanh": "tanh",
    "math.sigmoid": "sigmoid",
    "nn.sigmoid": "sigmoid",
    "nn.softmax": "softmax",
    "compat.v1.nn.softmax": "softmax",
    "nn.log_softmax": "log_softmax",
}
RECURRENT = ("SimpleRNN", "GRU", "LSTM")


def chain_of(path: Path, model: Mapping[str, Any]) -> tuple[list[LayerConfig], list[int | None]]:
    """The layers in the order of the data, and the shape of the input, including the batch."""
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
    if (
        not layers
        or not isinstance(shape, list)
        or not all(n is None or (isinstance(n, int) and 0 < n < 100_000) for n in shape)
    ):
        raise ModelError(
            f"{path}: has {counted(len(layers), 'layer')} and the input shape {shape}; build the model before saving it"
        )
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names):
        raise ModelError(f"{path}: two layers have the same name; give them different names")
    return layers, shape


def _input_shape(item: Mapping[str, Any]) -> list[int | None] | None:
    config = item.get("config") or {}
    return config.get("batch_shape") or config.get("batch_input_shape")


def _layer_config(item: Mapping[str, Any]) -> LayerConfig:
    kind, config = str(item["class_name"]), item["config"]
    name = str(config.get("name", item.get("name", kind)))
    package = item.get("module") or "keras.layers"
    registered = item.get("registered_name")
    arguments = _arguments(item)
    if kind == "TFOpLambda":
        return _tensorflow(name, str(config.get("function")), arguments, item)
    if kind in OPERATIONS and (".ops." in str(package) or not item.get("module")):
        return LayerConfig(name, "Activation", {"activation": OPERATIONS[kind]})
    kind = re.sub(r"(?<=[a-z])V[12]$", "", kind) if kind.removesuffix("V1").removesuffix("V2") in VERSIONED else kind
    if not OWN.match(str(package)) or ">" in f"{registered} {kind}":
        raise refuse(f"{kind:.60} {name:.60}", "is not a class of Keras", "expected layers of Keras itself")
    if kind == "TimeDistributed":
        inner = _layer_config(config["layer"])
        if inner.kind not in ("Dense",):
            raise refuse(f"TimeDistributed {name}", f"wraps {inner.kind}", "expected Dense in it")
        return LayerConfig(name, inner.kind, inner.config, True)
    return LayerConfig(name, kind, config, arguments=arguments)


def _tensorflow(name: str, function: str, arguments: tuple[Any, ...], item: Mapping[str, Any]) -> LayerConfig:
    """The layer for a TensorFlow function in a Keras 2 model."""
    if function in FUNCTIONS:
        return LayerConfig(name, "Activation", {"activation": FUNCTIONS[function]})
    given = _keywords(item)
    if function.endswith("squeeze"):
        return LayerConfig(name, "Squeeze", {"axis": given.get("axis")})
    if function.endswith("gather"):
        return LayerConfig(name, "Take", {"axis": given.get("axis")}, arguments=(given.get("indices"),))
    cure = "expected Keras' own layers, relu, tanh, sigmoid, softmax and the last step x[:, -1]"
    raise refuse(f"TFOpLambda {name}", f"is tf.{function:.60}, which cannot be imported", cure)


def _linear(path: Path, config: Mapping[str, Any], raw: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The layers of a functional model along its path. Raises ModelError if it branches."""
    by_name = {str(item.get("name", item["config"].get("name"))): item for item in raw}
    outputs = _history(config["output_layers"])
    inputs = _history(config["input_layers"])
    if len(outputs) != 1 or len(inputs) != 1:
        started = [item for item in raw if item["class_name"] in RECURRENT and len(_calls(item)) > 1]
        if started:
            seen = f"{path}: {started[0]['class_name']} {started[0]['config'].get('name')} takes its state as an input"
            cure = "build the same layers with stateful=True and without it, set_weights(model.get_weights()) and save that"
            raise ModelError(f"{seen}; {cure}")
        cure = "expected one of each: with several outputs, use keras.Model(model.input, model.outputs[0])"
        raise ModelError(f"{path}: has {counted(len(inputs), 'input')} and {counted(len(outputs), 'output')}; {cure}")
    chain: list[Mapping[str, Any]] = []
    name, index = outputs[0]
    while True:
        item = by_name[name]
        if index == 1 and item["class_name"] in RECURRENT:  # the state h is the output of the last step
            if item["config"].get("return_sequences"):
                chain.append({"class_name": "GetItem", "config": {"name": f"state of {name}"}, "slice": [WHOLE, -1]})
        elif index or len(chain) > 2 * len(raw):
            cure = "expected its first, or the state h of a recurrent layer"
            raise refuse(f"{item['class_name']} {name}", f"gives its output {index} to the next", cure)
        chain.append(item)
        nodes = item.get("inbound_nodes") or []
        if item["class_name"] == "InputLayer":
            break
        before = _calls(item)
        if len(before) != 1:
            seen = f"is called {len(nodes)} times" if len(nodes) != 1 else f"takes {len(before)} tensors"
            cure = "expected one path through the layers, no residual, no attention, no initial_state"
            raise refuse(f"{item['class_name']} {name}", seen, cure)
        name, index = before[0]
    if sum("slice" not in item for item in chain) != len(raw):
        unused = next(key for key, item in by_name.items() if item not in chain)
        raise refuse(
            f"{by_name[unused]['class_name']} {unused}", "is not on the path", "expected one path through the layers"
        )
    return chain[::-1]


def _history(raw: Any) -> list[tuple[str, int]]:
    """(name, tensor) of each entry of a history, which is [name, node, tensor], or a list or dictionary of these."""
    if isinstance(raw, dict):
        raw = list(raw.values())
    if raw and isinstance(raw[0], str):
        raw = [raw]
    return [(str(item[0]), int(item[2])) for item in raw]


def _calls(item: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The tensors that a layer's only call takes; [] if there are several calls."""
    nodes = item.get("inbound_nodes") or []
    return _history_of_node(nodes[0]) if len(nodes) == 1 else []


WHOLE = {"start": None, "stop": None, "step": None}


def _arguments(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """The positional arguments of a layer's call other than the data. Keras 2 names that of a slice."""
    if "slice" in item:
        return (item["slice"],)
    nodes = item.get("inbound_nodes") or []
    if len(nodes) == 1 and isinstance(nodes[0], dict):
        return tuple(nodes[0].get("args", [])[1:])
    given = _keywords(item)
    return (given["slice_spec"],) if "slice_spec" in given else ()


def _keywords(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """The keyword arguments of a layer's only call."""
    nodes = item.get("inbound_nodes") or []
    node = nodes[0] if len(nodes) == 1 else None
    if isinstance(node, dict):
        given = node.get("kwargs")
    else:
        call = node[0] if isinstance(node, list) and node and isinstance(node[0], list) else node
        given = call[3] if isinstance(call, list) and len(call) > 3 else None
    return given if isinstance(given, dict) else {}


def _history_of_node(node: Any) -> list[tuple[str, int]]:
    """The tensors that a layer is called on, from a dictionary of Keras 3 or a list of Keras 2."""
    if isinstance(node, list) and node and isinstance(node[0], str):  # an operation of TensorFlow
        node = [node]
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
