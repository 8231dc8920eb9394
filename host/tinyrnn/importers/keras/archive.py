# SPDX-License-Identifier: MIT
"""Reads description and weights of a Keras file: .keras is a zip of JSON and HDF5, .h5 is HDF5 with a JSON attribute.

No object is deserialised: the JSON is read as plain JSON. HDF5 is read after a check that every link, dataset and
attribute lies in the file itself and is no larger than the file.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files

DEEPEST = 40  # deepest nesting of groups in an HDF5 file
GROUPS = ("layers", "_layer_checkpoint_dependencies")  # groups of a .keras file; the latter from TensorFlow 2.12 and 2.13
MOST = 10_000  # most objects of an HDF5 file


@dataclass(frozen=True)
class KerasFile:
    """The description and the weights of a model."""

    config: Mapping[str, Any]  # {"class_name", "config"} of the model
    weights: bytes  # the HDF5 file with the weights, checked
    legacy: bool  # a .h5 from keras.Model.save(), whose groups are named after the layers


def load(path: Path) -> KerasFile:
    """Read and check the file. Raises ModelError, or TinyrnnError if h5py is not installed."""
    untrusted_files.need("h5py", "to read Keras files")
    size = untrusted_files.size_of(path)
    if path.suffix.lower() == ".keras":
        with untrusted_files.open_zip(path) as archive:
            config = untrusted_files.parse_json(untrusted_files.entry(archive, "config.json"), f"{path}: config.json")
            weights = untrusted_files.entry(archive, "model.weights.h5")
        _checked(path, weights)
        return KerasFile(_model(path, config), weights, False)
    weights = path.read_bytes()
    text = _checked(path, weights)
    if text is None:
        cure = "save the whole model: model.save('model.keras')"
        raise ModelError(f"{path}: {size} bytes without model_config, which holds the layers; {cure}")
    return KerasFile(_model(path, untrusted_files.parse_json(text, f"{path}: model_config")), weights, True)


def _model(path: Path, config: Any) -> Mapping[str, Any]:
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ModelError(f"{path}: its description is not a model; save it with model.save('model.keras')")
    if config.get("class_name") not in ("Sequential", "Functional", "Model"):
        cure = "expected a Sequential or functional model: build one from its layers and save that"
        raise ModelError(f"{path}: is a model of the class {config.get('class_name')!s:.60}; {cure}")
    return cast("Mapping[str, Any]", _plain(config))


def _plain(value: Any) -> Any:
    """The description with plain lists: Keras writes tuples and TensorFlow's wrappers as objects."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        kind = value.get("class_name")
        if kind in ("__tuple__", "ListWrapper", "TrackedList") and isinstance(value.get("items", value.get("config")), list):
            return _plain(value.get("items", value.get("config")))
        if kind in ("__numpy__", "__tensor__") and isinstance(value.get("config"), dict) and "value" in value["config"]:
            return value["config"]["value"]
        return {key: _plain(item) for key, item in value.items()}
    return value


def open_h5(data: bytes) -> Any:
    """The HDF5 file in memory."""
    import h5py

    return h5py.File(io.BytesIO(data), "r")


def _checked(path: Path, data: bytes) -> str | bytes | None:
    """Check every object and return the attribute model_config. Raises ModelError."""
    try:
        with open_h5(data) as file:
            _walk(path, file, len(data))
            text = file.attrs.get("model_config")
    except ModelError:
        raise
    except Exception as error:  # h5py raises many kinds of exception for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: its HDF5 part cannot be read ({reason:.80}); save the model again") from None
    if text is not None and not isinstance(text, (str, bytes)):
        raise ModelError(f"{path}: its model_config is {type(text).__name__}; expected text: save the model again")
    return text


def _walk(path: Path, file: Any, size: int) -> None:
    import h5py

    seen: set[Any] = set()
    stack = [(file, "", 0)]
    total = 0
    while stack:
        group, where, depth = stack.pop()
        total += _attributes(path, group, where, size)
        for name in group:
            link = group.get(name, getlink=True)
            full = f"{where}/{name}"
            if not isinstance(link, h5py.HardLink):
                kind = type(link).__name__
                raise ModelError(f"{path}: {full:.80} is a link ({kind}); expected weights in the file itself")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > MOST or depth > DEEPEST:
                raise ModelError(f"{path}: {full:.80} is linked twice or nested too deeply; save the model again")
            seen.add(address)
            if isinstance(item, h5py.Dataset):
                total += _dataset(path, item, full, size) + _attributes(path, item, full, size)
            elif isinstance(item, h5py.Group):
                stack.append((item, full, depth + 1))
            else:
                raise ModelError(f"{path}: {full:.80} is neither weights nor a group; save the model again")
    if total > 2 * size:
        raise ModelError(f"{path}: HDF5 objects of {total} bytes in {size}; save the model again")


def _dataset(path: Path, item: Any, where: str, size: int) -> int:
    creation = item.id.get_create_plist()
    bytes_said = int(np.prod(item.shape or (), dtype=object)) * item.dtype.itemsize if item.shape is not None else 0
    if item.is_virtual or creation.get_external_count():
        raise ModelError(f"{path}: {where:.80} has its numbers in another file; expected weights in the file itself")
    if item.dtype == np.dtype("V2"):
        cure = "expected float32: build the model in float32, load its weights and save that"
        raise ModelError(f"{path}: {where:.80} is of type bfloat16; {cure}")
    if item.dtype.kind not in "fiubSO" or (item.dtype.kind == "O" and bytes_said > 4096):
        raise ModelError(f"{path}: {where:.80} is of type {item.dtype}; expected plain float weights")
    if bytes_said > size or (item.dtype.kind != "O" and item.id.get_storage_size() < bytes_said):
        raise ModelError(f"{path}: {where:.80} has shape {item.shape} but fewer bytes; save the model again")
    return bytes_said


def _attributes(path: Path, item: Any, where: str, size: int) -> int:
    total = 0
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        said = int(np.prod(attribute.shape or (), dtype=object)) * attribute.dtype.itemsize
        if said > size:
            raise ModelError(f"{path}: attribute {name:.40} of {where or '/':.60} has {said} bytes in a file of {size}")
        total += said
    return total


def arrays(file: KerasFile, layers: Mapping[str, str]) -> dict[str, list[np.ndarray]]:
    """The weights of each layer in Keras' order, by layer name.

    layers: the model's layers in order, {name: class}. The groups of a .keras file are numbered by class.
    """
    found = {}
    with open_h5(file.weights) as root:
        if file.legacy:
            groups = root.get("model_weights", root)
            for name in layers:
                if name in groups:
                    group = groups[name]
                    names = [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs.get("weight_names", ())]
                    found[name] = [np.asarray(group[n]) for n in names]
            return found
        counts: dict[str, int] = {}
        for name, kind in layers.items():
            base = snake(kind)
            number = counts.get(base, 0)
            counts[base] = number + 1
            numbered: Any = next((root[key] for key in GROUPS if key in root), {})
            group = numbered.get(f"{base}_{number}" if number else base)
            found[name] = _variables(group) if group is not None else []
    return found


def _variables(group: Any) -> list[np.ndarray]:
    """The datasets 0, 1, ... in "vars" of a group, of its cell or of the layer that it wraps."""
    for inner in ("cell", "layer"):
        if inner in group:
            return _variables(group[inner])
    values = group.get("vars", {})
    return [np.asarray(values[key]) for key in sorted(values, key=int)]


def snake(name: str) -> str:
    """A class name as Keras writes it in its files: LayerNormalization -> layer_normalization, GRU -> gru."""
    import re

    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
