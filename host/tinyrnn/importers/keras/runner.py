# SPDX-License-Identifier: MIT
"""Runs the layers of a file with Keras on its torch backend. An import is compared with it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files
from tinyrnn.importers.keras import archive
from tinyrnn.importers.keras.layer_chain import RECURRENT, LayerConfig
from tinyrnn.importers.keras.layers import KEPT, activation_of, one_axis


class Runner:
    """The same layers, built by Keras, which loads the file's weights itself."""

    def __init__(
        self,
        file: archive.KerasFile,
        layers: Sequence[LayerConfig],
        shape: Sequence[int | None],
        embedded: bool,
        form: str,
        one_step: bool,
    ) -> None:
        """form: one of last_step.FORMS, after all layers."""
        self.file, self.layers, self.shape, self.embedded = file, layers, shape, embedded
        self.form, self.one_step = form, one_step
        self.model: Any = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The outputs for x (B, T, C), from zero states."""
        if self.model is None:
            self.model = self._build(False)
        y = self._run(self.model, x)
        return y[:, None] if self.one_step and y.ndim == 2 else y

    def stream(self, x: np.ndarray) -> np.ndarray:
        """Run x (B, T, C) piece by piece, with layers that keep their states. Returns all answers (B, T or T / piece, O)."""
        model, piece = self._build(True), self.shape[1] or 1
        answers = [self._run(model, x[:, start : start + piece]) for start in range(0, x.shape[1] - piece + 1, piece)]
        return np.concatenate([y if y.ndim == 3 else y[:, None] for y in answers], axis=1)

    def probe(self, x: np.ndarray, passed: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The values after each layer, with the number of steps before them."""
        import torch

        model, values = self._build(False), self._given(x)
        with torch.no_grad():
            for layer, count in zip(model.layers, passed, strict=True):
                values = layer(values)
                if count:
                    y = values.detach().cpu().numpy()
                    yield count, y[:, 0] if y.ndim == 3 and y.shape[1] != x.shape[1] else y

    def _given(self, x: np.ndarray) -> np.ndarray:
        return x[..., 0].astype(np.int32) if self.embedded else x.astype(np.float32)

    def _run(self, model: Any, x: np.ndarray) -> np.ndarray:
        import torch

        with torch.no_grad():
            y = model(self._given(x), training=False)
        result: np.ndarray = y.detach().cpu().numpy()
        return result[:, 0] if self.form == "B1F" else result

    def _build(self, stateful: bool) -> Any:
        keras = need_keras()
        built = [keras.Input(batch_shape=tuple(self.shape), dtype="int32" if self.embedded else "float32")]
        for layer in self.layers:
            if layer.form:
                built.append(keras.layers.Lambda(_taken(layer.form), name=layer.name.replace(" ", "_")))
                continue
            kept = {key: layer.config[key] for key in KEPT[layer.kind] if key in layer.config}
            for key in ("activation", "recurrent_activation"):
                if key in kept:
                    kept[key] = activation_of(layer, key)
            if layer.kind == "Normalization" and kept.get("mean") is None:
                kept = {"axis": -1}
            if layer.kind in ("BatchNormalization", "Normalization", "LayerNormalization"):
                kept["axis"] = one_axis(layer) if layer.kind != "Normalization" else kept.get("axis", -1)
            if stateful and layer.kind in RECURRENT:
                kept["stateful"] = True
            made = getattr(keras.layers, layer.kind)(**kept, name=f"{layer.name}_inner" if layer.timed else layer.name)
            built.append(keras.layers.TimeDistributed(made, name=layer.name) if layer.timed else made)
        model = keras.Sequential(built)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / ("model.h5" if self.file.legacy else "model.weights.h5")
            path.write_bytes(self.file.weights)
            try:
                model.load_weights(path)
            except Exception as error:  # Keras raises many kinds of exception
                reason = " ".join(str(error).split())
                raise ModelError(
                    f"Keras cannot load the weights into the same layers: {reason:.120}; save the model again"
                ) from None
        return model


def _taken(form: str) -> Callable[[Any], Any]:
    """A function that takes the last step, with or without its axis."""
    return (lambda y: y[:, -1:]) if form == "B1F" else (lambda y: y[:, -1] if len(y.shape) == 3 else y)


def need_keras() -> Any:
    """Keras on its torch backend. Raises TinyrnnError with the cure."""
    import sys

    untrusted_files.need("torch", "as Keras' backend", "train")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    keras = untrusted_files.need("keras", "to compare the import with the file")
    if keras.backend.backend() != "torch":
        raise ModelError(f"Keras runs on {keras.backend.backend()} here; expected torch: set KERAS_BACKEND=torch")
    return keras
