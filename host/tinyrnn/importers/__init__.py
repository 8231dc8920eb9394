"""Models from elsewhere: PyTorch, ONNX and Keras files read into a FloatModel, and compared with their own framework.

``read()`` gives a Source: the network as steps, and a way to run the file itself. ``finish.build()`` makes the
FloatModel, ``check.compare()`` runs both. docs/import.md says what is read and what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tinyrnn.errors import ModelError
from tinyrnn.importers.source import Activation, Options, Source

KINDS = ".pt, .pth, .bin or .ckpt (a PyTorch state_dict), .pt2 (torch.export), .onnx, .keras, .h5 or .hdf5"


def read(path: str | Path, options: Options | None = None) -> Source:
    """The network in a file, by its suffix. Nothing in the file is executed. Raises ModelError, one line."""
    path = Path(path)
    source = _reader(path)(path, options or Options())
    last = source.steps[-1] if source.steps else None
    if last is not None and last.what == Activation("sigmoid") and not source.tail:
        source = replace(source, steps=source.steps[:-1], tail=("sigmoid",))
    return source


def _reader(path: Path) -> Callable[[Path, Options], Source]:
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth", ".bin", ".ckpt"):
        from tinyrnn.importers import torch_

        return torch_.read
    if suffix == ".pt2":
        from tinyrnn.importers import exported

        return exported.read
    if suffix == ".onnx":
        from tinyrnn.importers import onnx_

        return onnx_.read
    if suffix in (".keras", ".h5", ".hdf5"):
        from tinyrnn.importers import keras_

        return keras_.read
    raise ModelError(f"{path}: a file of an unknown kind; expected {KINDS}")
