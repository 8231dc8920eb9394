# SPDX-License-Identifier: MIT
"""Layer folding: the steps of any framework -> normalisation, layers and head of a FloatModel, without approximation.

A dense layer without activation is folded into the weights of the next layer. One with relu, tanh or sigmoid becomes an
RNN cell whose recurrent matrix is zero: h' = f(W x + b + 0 h), with sigmoid(a) = (1 + tanh(a / 2)) / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import BatchNorm, Embedding, Factors, Layer, Linear, Weight, dense, product
from tinyrnn.importers.source_model import Activation, Affine, Dense, SourceStep, refuse
from tinyrnn.text import counted


@dataclass(frozen=True)
class FoldedLayers:
    """Normalisation, layers and head of a FloatModel."""

    mean: np.ndarray  # (C,)
    std: np.ndarray  # (C,)
    layers: tuple[Layer, ...]
    head: Linear


class _Folding:
    """The layers so far. ``pending`` is a dense layer that is not folded into another one yet."""

    def __init__(self, inputs: int) -> None:
        self.mean = np.zeros(inputs)
        self.std = np.ones(inputs)
        self.layers: list[Layer] = []
        self.pending: Dense | None = None
        self.width = inputs

    def add(self, step: SourceStep) -> None:
        what = step.what
        takes = {Dense: lambda: what.weight.shape[1], Affine: lambda: len(what.scale)}.get(type(what))  # type: ignore[union-attr]
        if isinstance(what, Layer):
            what.check(step.name)
        width = what.inputs if isinstance(what, Layer) else takes() if takes else self.width
        if width != self.width:
            raise refuse(
                step.name, f"takes {counted(width, 'input')} but gets {self.width}", "expected layers of matching widths"
            )
        if isinstance(what, Affine):
            self._affine(what)
        elif isinstance(what, Dense):
            self._dense(what)
        elif isinstance(what, Activation):
            self._activation(step.name, what.kind)
        elif isinstance(what, BatchNorm) and self.pending is not None:
            self._affine(Affine(*what.affine()))
        elif isinstance(what, FloatCell) and self.pending is not None:
            self._layer(_merged(what, self.pending))
        elif self.pending is not None:
            cure = "put an activation between them, or train the network without one of the two"
            raise refuse(step.name, f"{what.kind} after a dense layer without activation cannot be merged with it", cure)
        else:
            self._layer(what)

    def _layer(self, layer: Layer) -> None:
        self.layers.append(layer)
        self.pending = None
        self.width = layer.units

    def _affine(self, what: Affine) -> None:
        if self.pending is not None:
            scale = what.scale[:, None]
            self.pending = Dense(scale * self.pending.weight, what.scale * self.pending.bias + what.shift)
        elif not self.layers and (what.scale > 0).all():
            # scale * (x - mean) / std + shift is a normalisation as well
            self.mean = self.mean - self.std * what.shift / what.scale
            self.std = self.std / what.scale
        else:
            count = len(what.scale)
            self._layer(BatchNorm(what.scale, what.shift, np.zeros(count), np.ones(count), 0.0))

    def _dense(self, what: Dense) -> None:
        before = self.pending
        if before is None:
            self.pending = what
        else:
            self.pending = Dense(what.weight @ before.weight, what.weight @ before.bias + what.bias)
        self.width = len(what.bias)

    def _activation(self, name: str, kind: str) -> None:
        if self.layers and isinstance(self.layers[-1], Embedding) and self.pending is None:
            raise refuse(name, f"{kind} on an embedding", "apply it to the table before exporting")
        dense_map = self.pending or Dense(np.eye(self.width), np.zeros(self.width))
        half = 0.5 if kind == "sigmoid" else 1.0
        weight, bias = half * dense_map.weight, half * dense_map.bias
        units = len(bias)
        self._layer(RNN(weight, np.zeros((units, units)), bias, np.zeros(units), "relu" if kind == "relu" else "tanh"))
        if kind == "sigmoid":
            self.pending = Dense(np.eye(units) / 2, np.full(units, 0.5))

    def head(self) -> Linear:
        last = self.pending or Dense(np.eye(self.width), np.zeros(self.width))
        return Linear(last.weight, last.bias)


def fold_layers(steps: Sequence[SourceStep], inputs: int) -> FoldedLayers:
    """The layers that compute the steps. Raises ModelError, which names the step, if they cannot be expressed."""
    folding = _Folding(inputs)
    for step in steps:
        folding.add(step)
    if not any(isinstance(step.what, FloatCell) for step in steps):
        raise ModelError("the file has no recurrent layer; expected an RNN, LSTM or GRU in it")
    return FoldedLayers(folding.mean, folding.std, tuple(folding.layers), folding.head())


def _merged(cell: FloatCell, before: Dense) -> FloatCell:
    """The cell that gives on x what this one gives on before(x). The matrices become two factors if that is smaller."""
    weight = dense(cell.weight_ih)
    shift = product(before.bias, weight)
    merged: Weight = weight @ before.weight
    rank, columns = before.weight.shape
    if rank * (weight.shape[0] + columns) < weight.shape[0] * columns:
        merged = Factors(weight, before.weight)
    return replace(cell, weight_ih=merged, **{name: getattr(cell, name) + shift for name in cell.absorbing})
