"""Models from elsewhere: PyTorch, ONNX and Keras files read into a FloatModel, and compared with their own framework.

``read()`` gives a Source: the network as steps, and a way to run the file itself. ``finish.build()`` makes the
FloatModel, ``check.compare()`` runs both. docs/import.md says what is read and what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyrnn.errors import ModelError, TinyrnnError
from tinyrnn.importers.source_model import Activation, Options, Source

KINDS = ".pt, .pth, .bin or .ckpt (a PyTorch state_dict), .pt2 (torch.export), .onnx, .keras, .h5 or .hdf5"


def read(path: str | Path, options: Options | None = None) -> Source:
    """The network in a file, by its suffix. Nothing in the file is executed. Raises ModelError, one line."""
    path = Path(path)
    reader = _reader(path)
    try:
        source = reader(path, options or Options())
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, OSError) as error:
        # a description that contradicts itself in a way that no check above has foreseen
        raise ModelError(f"{path}: is damaged or of an unknown make ({_said(error)}); save or export it again") from None
    source = replace(source, run=_guarded(source.framework, source.run))
    if source.stream is not None:
        source = replace(source, stream=_guarded(source.framework, source.stream))
    last = source.steps[-1] if source.steps else None
    if last is not None and last.what == Activation("sigmoid") and not source.tail:
        source = replace(source, steps=source.steps[:-1], tail=("sigmoid",))
        source = replace(source, notes=(*source.notes, _of_sigmoids(source.outputs)))
    return source


def _of_sigmoids(count: int) -> str:
    if count == 1:
        return "ends in one sigmoid: two classes, or with --task regression one output in 0..1"
    return f"ends in {count} sigmoids: a regression of {count} outputs in 0..1, or with --task classification the largest"


def _guarded(framework: str, run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The framework's own errors in one line."""

    def guarded(x: np.ndarray) -> np.ndarray:
        try:
            return run(x)
        except TinyrnnError:
            raise
        except Exception as error:  # each framework has kinds of its own
            raise ModelError(f"{framework} cannot run the file ({_said(error)}); save or export it again") from None

    return guarded


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.90}"


def _reader(path: Path) -> Callable[[Path, Options], Source]:
    suffix = path.suffix.lower()
    if suffix in (".pt", ".pth", ".bin", ".ckpt"):
        from tinyrnn.importers.pytorch import state_dict

        return state_dict.read
    if suffix == ".pt2":
        from tinyrnn.importers.pytorch.exported import program

        return program.read
    if suffix == ".onnx":
        from tinyrnn.importers.onnx.model import read as read_onnx

        return read_onnx
    if suffix in (".keras", ".h5", ".hdf5"):
        from tinyrnn.importers.keras.model import read as read_keras

        return read_keras
    raise ModelError(f"{path}: a file of an unknown kind; expected {KINDS}")
