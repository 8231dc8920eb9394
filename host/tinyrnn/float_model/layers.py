# SPDX-License-Identifier: MIT
"""The layers of a float model other than recurrent cells: low-rank matrices, normalisation, embedding, dense head.

Every layer has the same interface: ``kind`` (its name in files and on the command line), ``inputs``, ``units`` (length
of its output), ``state_size``, ``check()`` and ``run()``. Arrays are numpy float64 in PyTorch's layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError

MOST_WIDTH = 0xFFFF  # numbers in a vector of the device's program
EPS = 1e-5  # added to a variance before the square root; PyTorch's default


@dataclass(frozen=True)
class Factors:
    """A matrix of low rank K, W = a @ b: K (R + C) numbers instead of R C. It may replace any matrix of a cell."""

    a: np.ndarray  # (R, K)
    b: np.ndarray  # (K, C)

    @property
    def shape(self) -> tuple[int, ...]:
        """(R, C), the shape of the product."""
        return (*self.a.shape[:1], *self.b.shape[1:])

    @property
    def rank(self) -> int:
        return int(self.b.shape[0])


Weight = np.ndarray | Factors


def dense(weight: Weight) -> np.ndarray:
    """The matrix (R, C) as one array."""
    return weight.a @ weight.b if isinstance(weight, Factors) else weight


def product(x: np.ndarray, weight: Weight) -> np.ndarray:
    """W x for each row of x: (..., C) -> (..., R). Factors give two products, as on a device."""
    return x @ weight.b.T @ weight.a.T if isinstance(weight, Factors) else x @ weight.T


def scale_columns(weight: Weight, scale: np.ndarray) -> Weight:
    """W diag(scale), which applied to x gives W (scale * x). scale: (C,)."""
    return replace(weight, b=weight.b * scale) if isinstance(weight, Factors) else weight * scale


def rows(weight: Weight, span: slice) -> Weight:
    """Some rows of the matrix. Those of factors are factors."""
    return replace(weight, a=weight.a[span]) if isinstance(weight, Factors) else weight[span]


def normalise(x: np.ndarray, eps: float = EPS) -> np.ndarray:
    """(x - mean) / sqrt(variance + eps) over the last axis; the variance divides by n, as in PyTorch's LayerNorm."""
    centred = x - x.mean(axis=-1, keepdims=True)
    normal: np.ndarray = centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + eps)
    return normal


def sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-a)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * a))


@dataclass(frozen=True)
class CellNorm:
    """Layer normalisation inside a cell: of the products W x and U h, before their biases are added.

    The cell computes gain_ih * normalise(W x) instead of W x, and gain_hh * normalise(U h) instead of U h. Mean and
    variance are over all rows of the product, all gates together. This is equation (20) of Ba, Kiros, Hinton, "Layer
    Normalization" (arXiv 1607.06450); its shifts are the cell's biases. The third normalisation there, that of an LSTM's
    c, is left out, because c is what the LSTM remembers exactly.
    """

    gain_ih: np.ndarray  # (R,) rows of W
    gain_hh: np.ndarray  # (R,) rows of U
    eps: float = EPS


class Layer:
    """The common interface of all layers."""

    kind: ClassVar[str]

    @property
    def inputs(self) -> int:
        """Length of the input vector."""
        raise NotImplementedError

    @property
    def units(self) -> int:
        """Length of the output vector."""
        return self.inputs

    @property
    def state_size(self) -> int:
        """The numbers kept from step to step; 0 for a layer without memory."""
        return 0

    def check(self, where: str) -> None:
        """Raise ModelError, which names the array, if shapes do not match or a value is not finite."""
        raise NotImplementedError

    def run(self, x: np.ndarray) -> np.ndarray:
        """Run a batch of sequences from the zero state: x (B, T, I) -> (B, T, units)."""
        raise NotImplementedError

    def with_input(self, scale: np.ndarray, shift: np.ndarray) -> Layer:
        """The layer with an affine map folded in: on x, it gives what this one gives on scale * x + shift, both (I,).

        Raises ModelError if this kind of layer cannot absorb the map.
        """
        raise ModelError(
            f"a {self.kind} layer cannot absorb the scale and offset of the layer before it; "
            "expected a recurrent layer without layer normalisation after a batchnorm"
        )


@dataclass(frozen=True)
class Linear:
    """The dense head: ``y = weight @ h + bias``."""

    weight: Weight  # (O, H)
    bias: np.ndarray  # (O,)

    def apply(self, h: np.ndarray) -> np.ndarray:
        """h (..., H) -> (..., O)."""
        return product(h, self.weight) + self.bias

    def with_input(self, scale: np.ndarray, shift: np.ndarray) -> Linear:
        """The head with an affine map folded in: on h, it gives what this one gives on scale * h + shift."""
        return Linear(scale_columns(self.weight, scale), self.bias + product(shift, self.weight))


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Layer normalisation between layers, as in ``torch.nn.LayerNorm``: weight * normalise(x) + bias (arXiv 1607.06450)."""

    kind: ClassVar[str] = "layernorm"
    weight: np.ndarray  # (I,)
    bias: np.ndarray  # (I,)
    eps: float = EPS

    @property
    def inputs(self) -> int:
        return len(self.weight)

    def check(self, where: str) -> None:
        check_array(f"{where} weight", self.weight, (None,))
        check_array(f"{where} bias", self.bias, self.weight.shape)
        check_number(f"{where} eps", self.eps, 0, 1)

    def run(self, x: np.ndarray) -> np.ndarray:
        return normalise(x, self.eps) * self.weight + self.bias


@dataclass(frozen=True)
class BatchNorm(Layer):
    """``torch.nn.BatchNorm1d`` in eval mode: weight * (x - mean) / sqrt(var + eps) + bias, a fixed affine map
    (Ioffe, Szegedy, arXiv 1502.03167). ``FloatModel.folded()`` moves it into the next layer."""

    kind: ClassVar[str] = "batchnorm"
    weight: np.ndarray  # (I,)
    bias: np.ndarray  # (I,)
    mean: np.ndarray  # (I,) running mean
    var: np.ndarray  # (I,) running variance, >= 0
    eps: float = EPS

    @property
    def inputs(self) -> int:
        return len(self.weight)

    def check(self, where: str) -> None:
        check_array(f"{where} weight", self.weight, (None,))
        for name in ("bias", "mean", "var"):
            check_array(f"{where} {name}", getattr(self, name), self.weight.shape)
        check_number(f"{where} eps", self.eps, 0, 1)
        if not (self.var + self.eps > 0).all():
            raise ModelError(f"model's {where} has a variance of {self.var.min():g}; expected none below 0")

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """(scale, shift), so that the layer's output is scale * x + shift."""
        scale = self.weight / np.sqrt(self.var + self.eps)
        return scale, self.bias - scale * self.mean

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.weight * (x - self.mean) / np.sqrt(self.var + self.eps) + self.bias


@dataclass(frozen=True)
class Embedding(Layer):
    """The table at the input, as in ``torch.nn.Embedding``: the input is a symbol 0..N-1, the output is its row."""

    kind: ClassVar[str] = "embedding"
    weight: np.ndarray  # (N, D)

    @property
    def inputs(self) -> int:
        """1: the symbol."""
        return 1

    @property
    def symbols(self) -> int:
        return int(self.weight.shape[0])

    @property
    def units(self) -> int:
        return int(self.weight.shape[1])

    def check(self, where: str) -> None:
        check_array(f"{where} weight", self.weight, (None, None))

    def run(self, x: np.ndarray) -> np.ndarray:
        """x (B, T, 1) of whole numbers -> (B, T, D). Raises ModelError for a symbol that has no row."""
        symbol = x[..., 0]
        wrong = (symbol != np.floor(symbol)) | (symbol < 0) | (symbol >= self.symbols)
        if wrong.any():
            raise ModelError(f"symbol {symbol[wrong][0]:g}; expected a whole number from 0 to {self.symbols - 1}")
        return self.weight[symbol.astype(np.int64)]


@dataclass(frozen=True)
class Skip(Layer):
    """A skip connection: the output of the layer before it, followed by some channels of the normalised sample.

    It is the last layer. Through it a forecast is the last value plus a learnt difference. The linear bypass of LSTNet is
    of this kind (arXiv 1703.07015, section 3.6).
    """

    kind: ClassVar[str] = "skip"
    width: int  # length of the output of the layer before it
    channels: np.ndarray  # (K,) numbers of input channels

    @property
    def inputs(self) -> int:
        return int(self.width)

    @property
    def units(self) -> int:
        return self.inputs + len(self.channels)

    def check(self, where: str) -> None:
        check_number(f"{where} width", self.width, 1, MOST_WIDTH)
        check_array(f"{where} channels", self.channels, (None,))
        if (
            len(set(self.channels.tolist())) < len(self.channels)
            or (self.channels % 1 != 0).any()
            or self.channels.min() < 0
        ):
            raise ModelError(
                f"model's {where} reads the channels {self.channels.tolist()}; expected different numbers from 0"
            )

    def run(self, x: np.ndarray) -> np.ndarray:
        raise ModelError("a skip connection needs the sample as well; expected apply() instead of run()")

    def join(self, x: np.ndarray, sample: np.ndarray) -> np.ndarray:
        """x (B, T, width) and the normalised sample (B, T, C) -> (B, T, units)."""
        return np.concatenate([x, sample[..., self.channels.astype(np.int64)]], axis=-1)


def apply(layer: Layer, x: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The output of any layer, (B, T, units). x: (B, T, I) from the layer before it. sample: (B, T, C), normalised."""
    return layer.join(x, sample) if isinstance(layer, Skip) else layer.run(x)


def check_array(what: str, array: object, shape: tuple[int | None, ...]) -> None:
    """Raise ModelError unless the array, or the product of the factors, is finite and has this shape (None: any length)."""
    if isinstance(array, Factors):
        check_array(f"{what} a", array.a, (shape[0], None))
        check_array(f"{what} b", array.b, (array.rank, shape[1]))
        if array.a.shape[1] != array.rank:
            raise ModelError(f"model's {what} has factors of rank {array.a.shape[1]} and {array.rank}; expected the same")
        return
    if not isinstance(array, np.ndarray):
        raise ModelError(f"model's {what} is {type(array).__name__}; expected an array")
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits or array.size == 0:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ModelError(f"model's {what} has shape {array.shape}; expected ({wanted})")
    if not np.isfinite(array).all():
        raise ModelError(f"model's {what} holds NaN or infinity; expected finite numbers: train with a lower learning rate")


def check_number(what: str, value: object, low: float, high: float) -> None:
    """Raise ModelError unless the value is a number from low to high."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(float(value)) and low <= float(value) <= high):  # type: ignore[arg-type]
        seen = repr(value)[:40] if isinstance(value, (int, float, str)) else type(value).__name__
        raise ModelError(f"model's {what} is {seen}; expected a number from {low:g} to {high:g}")
