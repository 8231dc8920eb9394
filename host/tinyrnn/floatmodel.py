"""The float model: what a trainer or an importer produces and the quantizer consumes. Plain numpy, PyTorch's layout.

``model.pt`` is this model as a dictionary of tensors, written by ``torch.save`` and read with ``weights_only=True``.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError

FORMAT = "tinyrnn-float-1"
TASKS = ("classification", "regression")
WHEN = ("last", "every")


@dataclass(frozen=True)
class GRU:
    """One GRU layer of I inputs and H units; gate order r, z, n along the rows, as ``torch.nn.GRU`` has it."""

    weight_ih: np.ndarray  # (3H, I)
    weight_hh: np.ndarray  # (3H, H)
    bias_ih: np.ndarray  # (3H,)
    bias_hh: np.ndarray  # (3H,)

    @property
    def units(self) -> int:
        return int(self.weight_hh.shape[1])

    @property
    def inputs(self) -> int:
        return int(self.weight_ih.shape[1])

    def step(self, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """One step of a batch: x (B, I), h (B, H) -> h' (B, H). torch.nn.GRU's documented equations."""
        a = x @ self.weight_ih.T + self.bias_ih
        b = h @ self.weight_hh.T + self.bias_hh
        units = self.units
        r = _sigmoid(a[:, :units] + b[:, :units])
        z = _sigmoid(a[:, units : 2 * units] + b[:, units : 2 * units])
        n = np.tanh(a[:, 2 * units :] + r * b[:, 2 * units :])
        return (1 - z) * n + z * h


@dataclass(frozen=True)
class Linear:
    """The dense head: ``y = weight @ h + bias``."""

    weight: np.ndarray  # (O, H)
    bias: np.ndarray  # (O,)


@dataclass(frozen=True)
class Calibration:
    """What the quantizer has to know of the training recording, in the user's unit."""

    minimum: np.ndarray  # (C,) smallest value seen of each channel
    maximum: np.ndarray  # (C,) largest
    integer: bool  # every value is a whole number: the sensor's own integers
    sample: np.ndarray  # (T, C) a short piece of the recording, for the vectors of selftest()


@dataclass(frozen=True)
class FloatModel:
    """Normalisation, recurrent layers, dense head; everything needed to run it and to quantize it."""

    task: str  # "classification" or "regression"
    when: str  # the output that counts: "last" step of a sequence, or "every" step
    mean: np.ndarray  # (C,) of each input channel, in the user's unit
    std: np.ndarray  # (C,) > 0
    layers: tuple[GRU, ...]
    head: Linear
    labels: tuple[str, ...]  # class names; names of the targets for a regression
    channels: tuple[str, ...]  # names of the input channels
    target_mean: np.ndarray  # (O,) zeros for a classification
    target_std: np.ndarray  # (O,) ones for a classification
    calibration: Calibration
    name: str = "model"
    info: dict[str, Any] = field(default_factory=dict)  # where it comes from: data set, seed, accuracy, ...

    def __post_init__(self) -> None:
        if self.task not in TASKS or self.when not in WHEN:
            raise ModelError(f"model has task {self.task!r} and when {self.when!r}; expected one of {TASKS} and {WHEN}")
        if not self.layers:
            raise ModelError("model has no recurrent layer; expected at least one")
        width = len(self.mean)
        for number, layer in enumerate(self.layers):
            units = layer.units
            shapes = {
                "weight_ih": (3 * units, width),
                "weight_hh": (3 * units, units),
                "bias_ih": (3 * units,),
                "bias_hh": (3 * units,),
            }
            for what, shape in shapes.items():
                _check(f"layer {number} {what}", getattr(layer, what), shape)
            width = units
        outputs = len(self.labels)
        _check("std", self.std, (len(self.mean),))
        _check("head weight", self.head.weight, (outputs, width))
        _check("head bias", self.head.bias, (outputs,))
        _check("target_mean", self.target_mean, (outputs,))
        _check("target_std", self.target_std, (outputs,))
        if not (self.std > 0).all():
            raise ModelError("model has a channel whose standard deviation is not positive; expected > 0")

    def forward(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Run a batch of sequences from the zero state.

        x: (B, T, C) in the user's unit, padded; lengths: (B,) steps that are real, default all T.
        Returns (B, T, O), logits or targets in the user's unit; what lies beyond a sequence's length is meaningless,
        and because the network is causal the padding does not change what comes before it.
        """
        y = (np.asarray(x, np.float64) - self.mean) / self.std
        for layer in self.layers:
            h = np.zeros((len(y), layer.units))
            out = np.empty((y.shape[0], y.shape[1], layer.units))
            for t in range(y.shape[1]):
                out[:, t] = h = layer.step(y[:, t], h)
            y = out
        return (y @ self.head.weight.T + self.head.bias) * self.target_std + self.target_mean


def save(model: FloatModel, path: str | os.PathLike[str], extra: dict[str, Any] | None = None) -> None:
    """Write ``model.pt``: to a temporary name beside it, then renamed, so that no half-written file is left.

    extra: more entries of the file, the trainer's state for resuming, say.
    """
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(np.ascontiguousarray(value, np.float64))
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value

    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            torch.save({"format": FORMAT, "model": plain(asdict(model)), **(extra or {})}, stream)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def load(path: str | os.PathLike[str]) -> FloatModel:
    """Read ``model.pt``. Raises ModelError when it is not one."""
    return from_dict(load_raw(path)["model"], path)


def load_raw(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The file's whole dictionary, ``extra`` entries included. Never runs code from the file."""
    import torch

    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; expected a model.pt made by `tinyrnn train`") from None
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: cannot be read as a PyTorch file ({reason:.80}); expected a model.pt made by `tinyrnn train`"
        ) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        seen = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ModelError(f"{path}: holds {seen!r}, expected {FORMAT!r}; make it with `tinyrnn train`")
    return raw


def from_dict(raw: dict[str, Any], path: str | os.PathLike[str] = "model") -> FloatModel:
    """The inverse of what ``save`` did to the model. Raises ModelError, naming what is missing."""

    def array(value: Any) -> np.ndarray:
        return np.asarray(value, np.float64)

    try:
        calibration = raw["calibration"]
        return FloatModel(
            task=raw["task"],
            when=raw["when"],
            mean=array(raw["mean"]),
            std=array(raw["std"]),
            layers=tuple(GRU(**{key: array(value) for key, value in layer.items()}) for layer in raw["layers"]),
            head=Linear(**{key: array(value) for key, value in raw["head"].items()}),
            labels=tuple(raw["labels"]),
            channels=tuple(raw["channels"]),
            target_mean=array(raw["target_mean"]),
            target_std=array(raw["target_std"]),
            calibration=Calibration(
                minimum=array(calibration["minimum"]),
                maximum=array(calibration["maximum"]),
                integer=bool(calibration["integer"]),
                sample=array(calibration["sample"]),
            ),
            name=raw["name"],
            info=dict(raw["info"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: a field is missing or of the wrong type ({error}); make the file again with `tinyrnn train`"
        ) from None


def _check(what: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ModelError(f"model's {what} has shape {array.shape}; expected {shape}")
    if not np.isfinite(array).all():
        raise ModelError(f"model's {what} holds NaN or infinity; the training diverged, try a lower learning rate")


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * a))
