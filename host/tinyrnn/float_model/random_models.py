"""Untrained float models of every cell, for tests and for judging sizes and speeds."""

from __future__ import annotations

import numpy as np

from tinyrnn.float_model.cells import GRU, LSTM, RNN, FastGRNN, FastRNN, FloatCell
from tinyrnn.float_model.layers import CellNorm, Embedding, Factors, Layer, LayerNorm, Linear, Weight
from tinyrnn.float_model.model import Calibration, FloatHead, FloatModel
from tinyrnn.training.architecture import CELLS, Architecture


def random_float_model(
    rng: np.random.Generator,
    inputs: int,
    units: tuple[int, ...],
    outputs: int,
    cells: str | tuple[str, ...] = "gru",
    *,
    rank: int = 0,
    projection: int = 0,
    layernorm: bool = False,
    between: bool = False,
    symbols: int = 0,
    heads: tuple[int, ...] = (),
) -> FloatModel:
    """An untrained classifier with PyTorch's initialisation.

    cells: a name of architecture.CELLS for all layers, or one for each. rank, projection, layernorm: as in Architecture.
    between: layer normalisation between the layers and in front of the head. symbols: an embedding of that many in
    front, to `inputs` numbers. heads: outputs of each head, in all `outputs`.
    """
    names = (cells,) * len(units) if isinstance(cells, str) else cells
    layers: list[Layer] = []
    width = inputs
    if symbols:
        layers.append(Embedding(rng.normal(0, 1, (symbols, inputs))))
    for name, n in zip(names, units, strict=True):
        if between and any(isinstance(layer, FloatCell) for layer in layers):
            layers.append(_norm(rng, width))
        architecture = Architecture(
            (name,), n, projection if name == "lstm" and projection < n else 0, rank=0, layernorm=layernorm
        )
        layers.append(_cell(rng, architecture, width, rank))
        width = layers[-1].units
    if between:
        layers.append(_norm(rng, width))
    channels = 1 if symbols else inputs
    sample = np.floor(rng.uniform(-2000, 2000, (8, channels)))
    if symbols:
        sample = rng.integers(0, symbols, (8, 1)).astype(float)
    bound = units[-1] ** -0.5
    return FloatModel(
        task="classification",
        when="last",
        mean=np.zeros(channels),
        std=np.full(channels, 1.0 if symbols else 1000.0),
        layers=tuple(layers),
        head=Linear(rng.uniform(-bound, bound, (outputs, width)), rng.uniform(-bound, bound, outputs)),
        labels=tuple(f"class{i}" for i in range(outputs)),
        channels=tuple(f"c{i}" for i in range(channels)),
        target_mean=np.zeros(outputs),
        target_std=np.ones(outputs),
        calibration=Calibration(
            np.full(channels, 0.0 if symbols else -3000.0),
            np.full(channels, symbols - 1.0 if symbols else 3000.0),
            True,
            sample,
        ),
        name=f"random-{inputs}-" + "-".join(map(str, units)),
        heads=tuple(FloatHead(f"head{i}", n, "classification") for i, n in enumerate(heads)),
    )


def _cell(rng: np.random.Generator, architecture: Architecture, inputs: int, rank: int) -> FloatCell:
    name, n = architecture.cells[0], architecture.units
    rows, bound = CELLS[name] * n, n**-0.5
    outputs = architecture.outputs(name)

    def matrix(cols: int) -> Weight:
        if 0 < rank * (rows + cols) < rows * cols:
            inner = rank**-0.5
            left = rng.uniform(-inner, inner, (rows, rank))
            return Factors(left, 1.7 * rng.uniform(-bound, bound, (rank, cols)))
        return rng.uniform(-bound, bound, (rows, cols))

    w, u = matrix(inputs), matrix(outputs)
    b, c = rng.uniform(-bound, bound, rows), rng.uniform(-bound, bound, rows)
    norm = CellNorm(rng.uniform(0.3, 1, rows), rng.uniform(0.3, 1, rows)) if architecture.layernorm else None
    if name.startswith("gru"):
        return GRU(w, u, b, c, reset_after=name == "gru", norm=norm)
    if name == "lstm":
        hr = rng.uniform(-bound, bound, (outputs, n)) if architecture.projection else None
        return LSTM(w, u, b, c, hr, norm=norm)
    if name == "fastrnn":
        return FastRNN(w, u, b, alpha=0.1, beta=0.92, norm=norm)
    if name == "fastgrnn":
        return FastGRNN(w, u, b, c, zeta=0.8, nu=0.05, norm=norm)
    return RNN(w, u, b, c, "relu" if name == "rnn-relu" else "tanh", norm=norm)


def _norm(rng: np.random.Generator, width: int) -> LayerNorm:
    return LayerNorm(rng.uniform(0.5, 1.5, width), rng.uniform(-0.5, 0.5, width))
