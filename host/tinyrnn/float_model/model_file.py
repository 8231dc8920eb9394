# SPDX-License-Identifier: MIT
"""``model.pt``: a FloatModel as a dictionary of tensors, written with ``torch.save``, read with ``weights_only=True``.

Format "tinyrnn-float-3": {"format", "model": the fields of FloatModel; each layer is a dictionary with its "kind"}.
Older formats are still read: in "tinyrnn-float-1" a layer has no "kind" and is a GRU; in "tinyrnn-float-2" the value
ranges are called "reach".
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np
from urnn.format import MAGIC

from tinyrnn import files
from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells
from tinyrnn.float_model.layers import BatchNorm, CellNorm, Embedding, Factors, Layer, LayerNorm, Linear, Skip
from tinyrnn.float_model.model import Calibration, FloatHead, FloatModel, ValueRanges

OLDEST_KIND = "gru"  # of every layer in a file of format 1
FORMAT = "tinyrnn-float-3"
FORMATS = ("tinyrnn-float-1", "tinyrnn-float-2", FORMAT)
RATIO = 16  # most bytes as float64 for each byte of the file: float16 takes 4, and each tensor occurs once


def save(model: FloatModel, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
    """Write ``model.pt``, completely or not at all. Raises ModelError if it cannot be written.

    extra: more entries of the file, such as the trainer's state for resuming.
    """
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            return torch.from_numpy(np.array(value, np.float64)) if value.ndim else value.item()
        if is_dataclass(value):
            kind: dict[str, Any] = {"kind": value.kind} if isinstance(value, Layer) else {}
            return kind | {each.name: plain(getattr(value, each.name)) for each in fields(value)}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value

    stream = io.BytesIO()
    torch.save({"format": FORMAT, "model": plain(model), **(extra or {})}, stream)
    try:
        files.write(path, stream.getvalue())
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror}); free some space or choose another place") from None


def load(path: str | os.PathLike[str]) -> FloatModel:
    """Read ``model.pt``. Raises ModelError if it is not a valid one."""
    return from_dict(load_raw(path).get("model"), path)


def load_raw(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The file's dictionary, including the ``extra`` entries. Never runs code from the file. Raises ModelError."""
    expected = "expected a model.pt written by `tinyrnn train` or `tinyrnn import`"
    try:
        data = files.read(path, files.LARGEST_BYTES)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {expected}") from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; {expected}") from None
    if data[:4] == MAGIC:
        raise ModelError(f"{path}: is a .urnn file, which is already quantized; {expected}")
    try:
        raw = load_tensors(data)
        _check_total(raw, len(data))
    except Exception as error:  # torch raises many kinds of exception for a damaged or hostile file
        raise ModelError(f"{path}: cannot be read as a PyTorch file ({_first_line(error):.80}); {expected}") from None
    if not isinstance(raw, dict) or raw.get("format") not in FORMATS:
        seen = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ModelError(f"{path}: holds {seen!r:.60}, expected {FORMAT!r}; write it with `tinyrnn train`")
    return raw


def from_dict(raw: Any, path: str | os.PathLike[str] = "model") -> FloatModel:
    """The model from the dictionary that ``save`` wrote. Raises ModelError, which names what is missing."""
    try:
        given = dict(raw)
        given["mean"], given["std"] = _array(given["mean"]), _array(given["std"])
        given["target_mean"], given["target_std"] = _array(given["target_mean"]), _array(given["target_std"])
        given["layers"] = tuple(_layer(layer) for layer in given["layers"])
        given["head"] = _build(Linear, given["head"])
        for name in ("labels", "channels"):
            given[name] = tuple(_text(item) for item in given[name])
        seen = dict(given["calibration"])
        ranges = seen.get("value_ranges", seen.get("reach", ()))  # "reach": its name in format 2
        given["calibration"] = Calibration(
            **{name: _array(seen[name]) for name in ("minimum", "maximum", "sample")},
            integer=bool(seen["integer"]),
            value_ranges=tuple(_build(ValueRanges, each) for each in ranges),
            sequences=tuple(_array(sequence) for sequence in seen.get("sequences", ())),
        )
        given["heads"] = tuple(
            FloatHead(_text(h["name"]), int(h["outputs"]), _text(h["task"])) for h in given.get("heads", ())
        )
        given["name"], given["info"] = _text(given["name"]), dict(given["info"])
        return FloatModel(**given)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else _first_line(error)
        raise ModelError(
            f"{path}: a field is missing or of the wrong type ({reason:.120}); write the file again with `tinyrnn train`"
        ) from None
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def _layer(raw: Any) -> Layer:
    given = dict(raw)
    kind = given.pop("kind", OLDEST_KIND)
    kinds: dict[str, type[Layer]] = {
        **cells.kinds(),
        **{each.kind: each for each in (LayerNorm, BatchNorm, Embedding, Skip)},
    }
    if kind not in kinds:
        raise ModelError(f"layer of the unknown kind {kind!r:.40}; expected one of {', '.join(kinds)}")
    layer: Layer = _build(kinds[kind], given)
    return layer


def _build(make: type[Any], raw: Any) -> Any:
    """A dataclass from its dictionary. Unknown fields are an error: their meaning would be lost."""
    given = {}
    known = {each.name: each for each in fields(make)}
    for name, value in dict(raw).items():
        if name not in known:
            raise ValueError(f"{make.__name__} has no {name!r:.40}")
        if isinstance(value, dict):
            given[name] = _build(CellNorm if name == "norm" else Factors, value)
        else:
            given[name] = value if value is None or isinstance(value, (bool, int, float, str)) else _array(value)
    missing = [name for name, each in known.items() if name not in given and each.default is MISSING]
    if missing:
        raise ValueError(f"{make.__name__} without {', '.join(missing)}")
    return make(**given)


def _array(value: Any) -> np.ndarray:
    """A tensor as float64. Raises ValueError for one that is larger than its storage in the file."""
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_complex() or value.device.type != "cpu" or value.is_quantized:
            raise ValueError(f"a tensor of {value.dtype}, {value.layout}; expected an ordinary one")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor of shape {tuple(value.shape)} on fewer numbers")
        value = value.detach().to(torch.float64).numpy()
    return np.asarray(value, np.float64)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of text")
    return value


def load_tensors(data: bytes) -> Any:
    """Read what torch.save() wrote without running code from it. Raises ValueError or what torch raises."""
    import torch

    if data[:2] != b"PK":
        raise ValueError("is not an archive from torch.save")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # PyTorch never compresses; a compressed archive may unpack to more than the memory
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("its archive is compressed")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _check_total(raw: Any, size: int) -> None:
    """Raise ValueError if tensors that share storage take many times the file's bytes as float64."""
    stack, total, visits, most = [raw], 0, 0, RATIO * size
    while stack:
        value = stack.pop()
        visits += 1
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, (list, tuple)):
            stack += value
        elif hasattr(value, "numel") and value.numel() <= size:  # _array() refuses one that is larger than the file
            total += 8 * value.numel()
        if total > most or visits > most:
            raise ValueError("the same tensors or lists occur many times")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0] or type(error).__name__
