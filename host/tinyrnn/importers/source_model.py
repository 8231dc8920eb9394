# SPDX-License-Identifier: MIT
"""The result of every importer: the network as steps in the order of the data, and functions that run the file itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Layer


@dataclass(frozen=True)
class Dense:
    """y = weight @ x + bias."""

    weight: np.ndarray  # (O, I)
    bias: np.ndarray  # (O,)


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift for each channel: a normalisation with fixed numbers."""

    scale: np.ndarray  # (I,)
    shift: np.ndarray  # (I,)


@dataclass(frozen=True)
class Activation:
    """A function of each number: "relu", "tanh" or "sigmoid"."""

    kind: str


@dataclass(frozen=True)
class SourceStep:
    """A layer or function of a network, with its name in the file for messages."""

    name: str
    what: Layer | Dense | Affine | Activation


ACTIVATIONS = ("relu", "tanh", "sigmoid")
TAILS = ("softmax", "log_softmax", "argmax", "sigmoid")  # functions that may follow the head: they keep the decision


@dataclass(frozen=True)
class Options:
    """What a file may not say itself; None and () if the user did not give it."""

    nonlinearity: str | None = None  # of an nn.RNN in a state_dict: "tanh" or "relu"
    activation: str | None = None  # after every Linear of a state_dict but the last: "none" or one of ACTIVATIONS
    order: tuple[str, ...] = ()  # modules of a state_dict in the order of the data
    key: str | None = None  # entry of a checkpoint that holds the state_dict
    eps: float | None = None  # of the normalisations in a state_dict; by default PyTorch's
    output: str | None = None  # the output to import from an ONNX graph with several
    ignore_masking: bool = False  # Keras: masked steps are only padding, which a board does not get


@dataclass(frozen=True)
class SourceModel:
    """A network read from a file."""

    framework: str  # the framework that runs it: "PyTorch", "ONNX Runtime", "Keras on torch"
    steps: tuple[SourceStep, ...]
    inputs: int  # C
    when: str  # the steps for which the file gives outputs: "last" or "every"
    run: Callable[[np.ndarray], np.ndarray]  # x (B, T, C) float64 -> (B, T, O), or (B, O) if when is "last"
    # x (B, T, C) -> (B, T, O): runs the file piece by piece from zero states and feeds its state outputs back into its
    # state inputs. A piece has the file's own number of steps, which is 1 for a one-step file. None: it takes no states
    stream: Callable[[np.ndarray], np.ndarray] | None = None
    # x (B, T, C) -> (number of steps passed, values (B, T, F), or (B, F) of the last step) inside the file's own program
    probe: Callable[[np.ndarray], Iterable[tuple[int, np.ndarray]]] | None = None
    decided: bool = True  # whether the file itself says which output counts; a state_dict does not
    tail: tuple[str, ...] = ()  # functions of TAILS after the steps
    batch: int | None = None  # B, if the file fixes it
    time: int | None = None  # T, if the file fixes it
    first_symbol: int = 0  # smallest symbol that an embedding takes as data; 1 if 0 is padding
    notes: tuple[str, ...] = ()  # notes for the user, one line each

    @property
    def outputs(self) -> int:
        """O, the count of numbers after the last step."""
        for step in reversed(self.steps):
            if isinstance(step.what, Dense):
                return len(step.what.bias)
            if isinstance(step.what, Layer):
                return step.what.units
        return self.inputs


def refuse(name: str, seen: str, cure: str) -> ModelError:
    """The error for a layer that cannot be imported: its name, what was seen, and a cure, in one line."""
    return ModelError(" ".join(f"{name}: {seen}; {cure}".split()))


def as_float(array: np.ndarray) -> np.ndarray:
    """The array as contiguous float64."""
    return np.ascontiguousarray(np.asarray(array, np.float64))
