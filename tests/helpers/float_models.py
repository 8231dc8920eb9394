"""Random float models of every cell, with and without each option, for the tests."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from tinyrnn.float_model.cells import GRU, LSTM, RNN, FastGRNN, FastRNN
from tinyrnn.float_model.layers import BatchNorm, CellNorm, Embedding, Factors, Layer, LayerNorm, Linear
from tinyrnn.float_model.model import Calibration, FloatHead, FloatModel

INPUTS, UNITS = 5, 7


_random = [np.random.default_rng(11)]


def seed(number: int = 11) -> None:
    """Start the random numbers anew: a test gets the same ones alone and among others."""
    _random[0] = np.random.default_rng(number)


def some(*shape: int) -> np.ndarray:
    """Random weights."""
    return _random[0].normal(size=shape) * 0.6


def low(rows: int, cols: int) -> Factors:
    return Factors(some(rows, 2), some(2, cols))


def norm(rows: int) -> CellNorm:
    return CellNorm(some(rows), some(rows), eps=1e-3)


def cell(kind: str, inputs: int = INPUTS, rank: bool = False, layernorm: bool = False) -> Layer:
    """A random cell of any kind with its options."""
    matrix = low if rank else some
    name, _, option = kind.partition("-")
    rows = {"gru": 3, "lstm": 4}.get(name, 1) * UNITS
    inner: dict[str, Any] = {"norm": norm(rows)} if layernorm else {}
    width = 3 if option == "projection" else UNITS
    both = (matrix(rows, inputs), matrix(rows, width))
    if name == "gru":
        return GRU(*both, some(rows), some(rows), reset_after=option != "before", **inner)
    if name == "lstm":
        return LSTM(*both, some(rows), some(rows), matrix(width, UNITS) if option else None, **inner)
    if name == "rnn":
        return RNN(*both, some(rows), some(rows), option or "tanh", **inner)
    if name == "fastrnn":
        return FastRNN(*both, some(rows), 0.3, 0.65, **inner)
    return FastGRNN(*both, some(rows), some(rows), 0.8, 0.1, **inner)


FOUR = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KIND = ("gru", "gru-before", "lstm", "lstm-projection", "rnn", "rnn-relu", "fastrnn", "fastgrnn")
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
    """Layers of every kind but the table, options among them, and two heads."""
    layers: list[Layer] = [BatchNorm(some(INPUTS), some(INPUTS), some(INPUTS), some(INPUTS) ** 2)]
    width = INPUTS
    for number, (kind, rank, inside) in enumerate(VARIANTS):
        layer = cell(kind, width, rank, inside)
        width = layer.units
        small = 0.2 if kind == "rnn-relu" else 1.0
        if small != 1 and isinstance(layer.weight_hh, np.ndarray):
            layer = replace(layer, weight_hh=layer.weight_hh * small)
        elif small != 1:
            layer = replace(layer, weight_hh=Factors(layer.weight_hh.a * small, layer.weight_hh.b))
        layers += [layer, LayerNorm(some(width), some(width))] if number % 3 == 0 else [layer]
        following = VARIANTS[(number + 1) % len(VARIANTS)]
        if number % 3 == 1 and not following[2]:  # a cell that normalises W x cannot take one up
            layers.append(BatchNorm(some(width), some(width), some(width), some(width) ** 2))
    heads = (FloatHead("gesture", 2, "classification"), FloatHead("strength", 1, "regression"))
    return model_of(*layers, heads=heads)


def identical(a: Any, b: Any) -> bool:
    """Field by field, arrays by ==."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(identical(p, q) for p, q in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(identical(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)
