"""The description of a Keras model: its layers along the one path from input to output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyrnn.errors import ModelError
from tinyrnn.importers.source import refuse


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


def chain_of(path: Path, model: Mapping[str, Any]) -> tuple[list[LayerConfig], list[int | None]]:
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
    if (
        not layers
        or not isinstance(shape, list)
        or not all(n is None or (isinstance(n, int) and 0 < n < 100_000) for n in shape)
    ):
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
            raise refuse(
                f"{item['class_name']} {name}", f"gives its output {index} to the next", "expected its first, not a state"
            )
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
        raise refuse(
            f"{by_name[unused]['class_name']} {unused}", "lies beside the path", "expected one path through the layers"
        )
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
