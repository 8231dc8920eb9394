"""What every importer returns: the network as steps in the order of the data, and the file's own framework to run it."""

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
    """y = scale * x + shift, each channel on its own: a normalisation with fixed numbers."""

    scale: np.ndarray  # (I,)
    shift: np.ndarray  # (I,)


@dataclass(frozen=True)
class Activation:
    """A function of each number: "relu", "tanh" or "sigmoid"."""

    kind: str


@dataclass(frozen=True)
class SourceStep:
    """One step of a network under the name that its file gives it, for messages."""

    name: str
    what: Layer | Dense | Affine | Activation


ACTIVATIONS = ("relu", "tanh", "sigmoid")
TAILS = ("softmax", "log_softmax", "argmax", "sigmoid")  # what may follow the head; it does not change the decision


@dataclass(frozen=True)
class Options:
    """What a file does not say itself; None and () where the user said nothing."""

    nonlinearity: str | None = None  # of an nn.RNN in a state_dict: "tanh" or "relu"
    activation: str | None = None  # behind every Linear of a state_dict but the last: "none" or one of ACTIVATIONS
    order: tuple[str, ...] = ()  # modules of a state_dict in the order of the data
    key: str | None = None  # entry of a checkpoint that holds the state_dict
    eps: float | None = None  # of the norms in a state_dict, default PyTorch's
    output: str | None = None  # of an ONNX graph with several
    ignore_masking: bool = False  # Keras: masked steps are only padding, which a board is not fed


@dataclass(frozen=True)
class Source:
    """A network read from a file."""

    framework: str  # what runs it: "PyTorch", "ONNX Runtime", "Keras on torch"
    steps: tuple[SourceStep, ...]
    inputs: int  # C
    when: str  # "last" or "every": what the file gives out
    run: Callable[[np.ndarray], np.ndarray]  # x (B, T, C) float64 -> (B, T, O), or (B, O) where when is "last"
    # x (B, T, C) -> (B, T, O): the file's own program run piece by piece (pieces of the file's own length of time, 1 where
    # it is a one-step file), its state outputs fed back into its state inputs, from zeros; None where it takes no state
    stream: Callable[[np.ndarray], np.ndarray] | None = None
    # x (B, T, C) -> (number of steps passed, values (B, T, F) or of the last step (B, F)) inside the file's own program
    probe: Callable[[np.ndarray], Iterable[tuple[int, np.ndarray]]] | None = None
    decided: bool = True  # the file itself says which output counts; a state_dict does not
    tail: tuple[str, ...] = ()  # of TAILS, behind the steps
    batch: int | None = None  # B, where the file fixes it
    time: int | None = None  # T, where the file fixes it
    first_symbol: int = 0  # smallest symbol that an embedding takes as data; 1 where 0 is padding
    notes: tuple[str, ...] = ()  # what the user should know, one line each

    @property
    def outputs(self) -> int:
        """O: numbers behind the last step."""
        for step in reversed(self.steps):
            if isinstance(step.what, Dense):
                return len(step.what.bias)
            if isinstance(step.what, Layer):
                return step.what.units
        return self.inputs


def refuse(name: str, seen: str, cure: str) -> ModelError:
    """The error of a layer that cannot be imported: which layer, what it is, what helps. One line."""
    return ModelError(" ".join(f"{name}: {seen}; {cure}".split()))


def as_float(array: np.ndarray) -> np.ndarray:
    """float64, contiguous."""
    return np.ascontiguousarray(np.asarray(array, np.float64))
