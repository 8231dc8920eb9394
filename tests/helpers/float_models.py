# SPDX-License-Identifier: MIT
"""Random float models of every cell, with and without each option."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from tinyrnn.float_model import cells
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import BatchNorm, CellNorm, Embedding, Factors, Layer, LayerNorm, Linear, Skip
from tinyrnn.float_model.model import Calibration, FloatHead, FloatModel

INPUTS, UNITS = 5, 7


_random = [np.random.default_rng(11)]


def seed(number: int = 11) -> None:
    """Start the random numbers again, so that a test gets the same ones alone and among others."""
    _random[0] = np.random.default_rng(number)


def some(*shape: int) -> np.ndarray:
    """Random weights."""
    return _random[0].normal(size=shape) * 0.6


def low(rows: int, cols: int) -> Factors:
    return Factors(some(rows, 2), some(2, cols))


def norm(rows: int) -> CellNorm:
    return CellNorm(some(rows), some(rows), eps=1e-3)


def cell(kind: str, inputs: int = INPUTS, rank: bool = False, layernorm: bool = False) -> FloatCell:
    """A random cell of any KIND with its options."""
    matrix = low if rank else some
    named = cells.get(kind.removesuffix(PROJECTED))
    rows, width = named.cell.gates * UNITS, 3 if kind.endswith(PROJECTED) else UNITS
    fields: dict[str, Any] = {"weight_ih": matrix(rows, inputs), "weight_hh": matrix(rows, width), **named.cell.example}
    fields |= {name: some(rows) for name in named.cell.biases}
    if width < UNITS:
        fields["weight_hr"] = matrix(width, UNITS)
    return named.cell(**fields, **named.options, norm=norm(rows) if layernorm else None)


def tamed(layer: FloatCell, kind: str) -> FloatCell:
    """The cell with a bounded state: a ReLU gets small recurrent weights."""
    weight = layer.weight_hh
    if kind != "rnn-relu":
        return layer
    return replace(layer, weight_hh=replace(weight, a=weight.a * 0.2) if isinstance(weight, Factors) else weight * 0.2)


FOUR: tuple[str, ...] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
PROJECTED = "-projection"
KIND = (*cells.names(), *(name + PROJECTED for name in cells.names() if cells.get(name).cell.projects))
VARIANTS = [(kind, rank, inside) for kind in KIND for rank in (False, True) for inside in (False, True)]


def model_of(*layers: Layer, outputs: int = 3, inputs: int = INPUTS, **options: Any) -> FloatModel:
    symbols = isinstance(layers[0], Embedding)
    return FloatModel(
        task="classification",
        when="last",
        mean=np.zeros(inputs) if symbols else some(inputs),
        std=np.ones(inputs) if symbols else 0.5 + some(inputs) ** 2,
        layers=layers,
        head=Linear(some(outputs, layers[-1].units), some(outputs)),
        labels=tuple(f"class{i}" for i in range(outputs)),
        channels=tuple(f"c{i}" for i in range(inputs)),
        target_mean=np.zeros(outputs),
        target_std=np.ones(outputs),
        calibration=Calibration(np.full(inputs, -3.0), np.full(inputs, 3.0), False, some(8, inputs)),
        **options,
    )


def sequences(inputs: int = INPUTS, steps: int = 40) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(4, steps, inputs))


def every_kind() -> FloatModel:
    """Layers of every kind but the embedding, with and without options, and two heads."""
    layers: list[Layer] = [BatchNorm(some(INPUTS), some(INPUTS), some(INPUTS), some(INPUTS) ** 2)]
    width = INPUTS
    for number, (kind, rank, inside) in enumerate(VARIANTS):
        layer = tamed(cell(kind, width, rank, inside), kind)
        width = layer.units
        layers += [layer, LayerNorm(some(width), some(width))] if number % 3 == 0 else [layer]
        following = VARIANTS[(number + 1) % len(VARIANTS)]
        if number % 3 == 1 and not following[2]:  # a cell that normalises W x cannot take one up
            layers.append(BatchNorm(some(width), some(width), some(width), some(width) ** 2))
    layers.append(Skip(width, np.array([3.0, 0.0])))
    heads = (FloatHead("gesture", 2, "classification"), FloatHead("strength", 1, "regression"))
    return model_of(*layers, heads=heads)


def identical(a: Any, b: Any) -> bool:
    """Whether all fields are equal, arrays with ==."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(identical(p, q) for p, q in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(identical(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)
