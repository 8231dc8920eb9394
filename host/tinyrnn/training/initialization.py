# SPDX-License-Identifier: MIT
"""The initial weights of a training."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.float_model import cells
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import CellNorm, Embedding, Factors, Layer, LayerNorm, Linear, Weight
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.cells.base import to_numpy


def initial(
    architecture: Architecture, inputs: int, outputs: int, generator: torch.Generator, memory: float, symbols: int = 0
) -> tuple[tuple[Layer, ...], Linear]:
    """Layers and head with random weights: Glorot for the inputs, orthogonal blocks for the recurrence.

    symbols: rows of the embedding, if the architecture has one.
    memory: the longest time, in steps, that units remember at the start, >= 1. A unit that keeps m / (1 + m) of its
    state at each step remembers for about m steps; its update or forget gate has the bias log(m). The units of a layer
    cover 1 to `memory`, evenly in the logarithm ("chrono" initialisation, arXiv 1804.11188). With torch's own
    initialisation, units forget within two steps, and the network never learns what happened 100 steps ago.
    """
    layers: list[Layer] = []
    if architecture.embedding:
        table = torch.randn(symbols, architecture.embedding, generator=generator)
        layers.append(Embedding(to_numpy(table)))
        inputs = architecture.embedding
    for name in architecture.cells:
        if architecture.layernorm_between and any(isinstance(layer, FloatCell) for layer in layers):
            layers.append(LayerNorm(np.ones(inputs), np.zeros(inputs)))
        layers.append(_cell(name, architecture, inputs, generator, memory))
        inputs = layers[-1].units
    weight = nn.init.xavier_uniform_(torch.empty(outputs, inputs), generator=generator)
    return tuple(layers), Linear(to_numpy(weight), np.zeros(outputs))


def _cell(name: str, architecture: Architecture, inputs: int, generator: torch.Generator, memory: float) -> FloatCell:
    named = cells.get(name)
    units, width, gates = architecture.units, architecture.outputs(name), named.cell.gates
    w, u = torch.empty(gates * units, inputs), torch.empty(gates * units, width)
    for gate in range(gates):
        block = slice(gate * units, (gate + 1) * units)
        nn.init.xavier_uniform_(w[block], generator=generator)
        nn.init.orthogonal_(u[block], generator=generator)
    if named.cell.identity and not architecture.saves(*u.shape):
        nn.init.eye_(u)
    fields = {**named.options, **named.cell.start(to_numpy(torch.linspace(0.0, math.log(memory), units)))}
    if named.cell.projects and architecture.projection:
        fields["weight_hr"] = to_numpy(nn.init.orthogonal_(torch.empty(width, units), generator=generator))
    norm = CellNorm(np.ones(gates * units), np.ones(gates * units)) if architecture.layernorm else None
    return named.cell(_weight(w, architecture), _weight(u, architecture), **fields, norm=norm)


def _weight(matrix: Tensor, architecture: Architecture) -> Weight:
    """The matrix, or its best approximation of the architecture's rank, whose factors share the singular values equally."""
    if not architecture.saves(*matrix.shape):
        return to_numpy(matrix)
    left, values, right = np.linalg.svd(to_numpy(matrix), full_matrices=False)
    root = np.sqrt(values[: architecture.rank])
    return Factors(left[:, : architecture.rank] * root, root[:, None] * right[: architecture.rank])
