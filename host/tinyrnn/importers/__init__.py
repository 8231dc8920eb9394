# SPDX-License-Identifier: MIT
"""Importers of PyTorch, ONNX and Keras files: read a FloatModel and compare it with the file's own framework.

Imports float_model and data; neither the trainer nor the integer network. ``read()`` gives a SourceModel: the network as
a sequence of layers, and a function that runs the file itself. ``float_conversion.build()`` makes the FloatModel, and
``framework_check.compare()`` runs both. docs/import.md says what is read and what is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyrnn.errors import ModelError, TinyrnnError
from tinyrnn.importers.source_model import Activation, Options, SourceModel

KINDS = ".pt, .pth, .bin or .ckpt (a PyTorch state_dict), .pt2 (torch.export), .onnx, .keras, .h5 or .hdf5"


def read(path: str | Path, options: Options | None = None) -> SourceModel:
    """Read the network in a file, whose suffix decides the format. Nothing in the file is executed. Raises ModelError."""
    path = Path(path)
    reader = _reader(path)
    try:
        source = reader(path, options or Options())
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, OSError) as error:
        # a description that contradicts itself in a way that no check of the readers foresees
        raise ModelError(f"{path}: is damaged or of an unknown version ({_text(error)}); save or export it again") from None
    source = replace(source, run=_one_line_errors(source.framework, source.run))
    if source.stream is not None:
        source = replace(source, stream=_one_line_errors(source.framework, source.stream))
    last = source.steps[-1] if source.steps else None
    if last is not None and last.what == Activation("sigmoid") and not source.tail:
        source = replace(source, steps=source.steps[:-1], tail=("sigmoid",))
        source = replace(source, notes=(*source.notes, _sigmoid_note(source.outputs)))
    return source


def _sigmoid_note(count: int) -> str:
    if count == 1:
        return "ends in one sigmoid: two classes, or with --task regression one output in 0..1"
    return (
        f"ends in {count} sigmoids: a regression of {count} outputs in 0..1, or with --task classification {count} classes"
    )


def _one_line_errors(framework: str, run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """run(), with the framework's own exceptions as a ModelError of one line."""

    def run_checked(x: np.ndarray) -> np.ndarray:
        try:
            return run(x)
        except TinyrnnError:
            raise
        except Exception as error:  # each framework has its own kinds of exception
            raise ModelError(f"{framework} cannot run the file ({_text(error)}); save or export it again") from None

    return run_checked


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.90}"


def _reader(path: Path) -> Callable[[Path, Options], SourceModel]:
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
    raise ModelError(f"{path}: a file of unknown kind; expected {KINDS}")
