"""The layers of a file made by Keras on its torch backend: what an import is compared with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import guard, kerasfile
from tinyrnn.importers.keraschain import LayerConfig
from tinyrnn.importers.keraslayers import KEPT, activation_of


class Runner:
    """The same layers made by Keras, which loads the file's weights itself."""

    def __init__(
        self, file: kerasfile.KerasFile, layers: Sequence[LayerConfig], shape: Sequence[int | None], embedded: bool
    ) -> None:
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
                    kept[key] = activation_of(layer, key)
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
                raise ModelError(
                    f"Keras cannot load the weights into the same layers: {reason:.120}; save the model again"
                ) from None
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
