# SPDX-License-Identifier: MIT
"""Untrained float models of every cell, for tests and for measuring sizes and step times."""

from __future__ import annotations

import numpy as np

from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import CellNorm, Embedding, Factors, Layer, LayerNorm, Linear, Weight
from tinyrnn.float_model.model import Calibration, FloatHead, FloatModel


def random_float_model(
    rng: np.random.Generator,
    inputs: int,
    units: tuple[int, ...],
    outputs: int,
    cells: str | tuple[str, ...] = float_cells.DEFAULT,
    *,
    rank: int = 0,
    projection: int = 0,
    layernorm: bool = False,
    between: bool = False,
    symbols: int = 0,
    heads: tuple[int, ...] = (),
) -> FloatModel:
    """An untrained classifier with PyTorch's initialisation.

    cells: a name from float_model.cells for all layers, or one for each. rank, projection, layernorm: as in Architecture.
    between: layer normalisation between the layers and before the head. symbols: the size of an embedding at the input,
    which gives `inputs` numbers. heads: the outputs of each head, `outputs` in all.
    """
    names = (cells,) * len(units) if isinstance(cells, str) else cells
    layers: list[Layer] = []
    width = inputs
    if symbols:
        layers.append(Embedding(rng.normal(0, 1, (symbols, inputs))))
    for name, n in zip(names, units, strict=True):
        if between and any(isinstance(layer, FloatCell) for layer in layers):
            layers.append(_norm(rng, width))
        layers.append(_cell(rng, name, width, n, rank, projection, layernorm))
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


def _cell(
    rng: np.random.Generator, name: str, inputs: int, n: int, rank: int, projection: int, layernorm: bool
) -> FloatCell:
    named = float_cells.get(name)
    rows, bound = named.cell.gates * n, n**-0.5
    outputs = projection if named.cell.projects and 0 < projection < n else n

    def matrix(cols: int) -> Weight:
        if 0 < rank * (rows + cols) < rows * cols:
            inner = rank**-0.5
            left = rng.uniform(-inner, inner, (rows, rank))
            return Factors(left, 1.7 * rng.uniform(-bound, bound, (rank, cols)))
        return rng.uniform(-bound, bound, (rows, cols))

    w, u = matrix(inputs), matrix(outputs)
    # At least two are drawn, so that a cell with one bias keeps the numbers of the published figures
    drawn = [rng.uniform(-bound, bound, rows) for _ in range(max(2, len(named.cell.biases)))]
    biases = dict(zip(named.cell.biases, drawn, strict=False))
    norm = CellNorm(rng.uniform(0.3, 1, rows), rng.uniform(0.3, 1, rows)) if layernorm else None
    projected = {"weight_hr": rng.uniform(-bound, bound, (outputs, n))} if outputs < n else {}
    return named.cell(w, u, **biases, **named.cell.example, **named.options, **projected, norm=norm)


def _norm(rng: np.random.Generator, width: int) -> LayerNorm:
    return LayerNorm(rng.uniform(0.5, 1.5, width), rng.uniform(-0.5, 0.5, width))
