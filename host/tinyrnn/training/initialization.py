"""The weights a training starts from."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.float_model.cells import GRU, LSTM, RNN, FastGRNN, FastRNN, FloatCell
from tinyrnn.float_model.layers import CellNorm, Factors, Layer, LayerNorm, Linear, Weight
from tinyrnn.training.architecture import CELLS, Architecture


def initial(
    architecture: Architecture, inputs: int, outputs: int, generator: torch.Generator, memory: float
) -> tuple[tuple[Layer, ...], Linear]:
    """Layers and head, drawn from the generator: Glorot for the inputs, orthogonal blocks for the recurrence.

    memory: the longest time, in steps, that units start out remembering, >= 1. A unit that keeps m / (1 + m) of
    its state remembers for about m steps: its update or forget gate has the bias log(m). The units of a layer are
    spread from 1 to `memory`, evenly in the logarithm (after "chrono" initialisation, arXiv 1804.11188). torch's own
    start forgets within two steps: what was told 100 steps ago is never learned.
    """
    layers: list[Layer] = []
    for name in architecture.cells:
        if layers and architecture.layernorm_between:
            layers.append(LayerNorm(np.ones(inputs), np.zeros(inputs)))
        layers.append(_cell(name, architecture, inputs, generator, memory))
        inputs = layers[-1].units
    weight = nn.init.xavier_uniform_(torch.empty(outputs, inputs), generator=generator)
    return tuple(layers), Linear(_numpy(weight), np.zeros(outputs))


def _cell(name: str, architecture: Architecture, inputs: int, generator: torch.Generator, memory: float) -> FloatCell:
    units, width, gates = architecture.units, architecture.outputs(name), CELLS[name]
    w, u = torch.empty(gates * units, inputs), torch.empty(gates * units, width)
    for gate in range(gates):
        block = slice(gate * units, (gate + 1) * units)
        nn.init.xavier_uniform_(w[block], generator=generator)
        nn.init.orthogonal_(u[block], generator=generator)
    if name.startswith("rnn") and not architecture.saves(*u.shape):
        nn.init.eye_(u)  # without a gate it is the only way to remember (Le, Jaitly, Hinton, arXiv 1504.00941)
    norm = CellNorm(np.ones(gates * units), np.ones(gates * units)) if architecture.layernorm else None
    weight_ih, weight_hh = _weight(w, architecture), _weight(u, architecture)
    remember = _numpy(torch.linspace(0.0, math.log(memory), units))
    zero = np.zeros(units)
    if name.startswith("gru"):
        bias = np.concatenate([zero, remember, zero])
        after = name == "gru"
        return GRU(weight_ih, weight_hh, bias, np.zeros(3 * units), reset_after=after, norm=norm)
    if name == "lstm":
        bias = np.concatenate([-remember, remember, zero, zero])
        hr = nn.init.orthogonal_(torch.empty(width, units), generator=generator) if architecture.projection else None
        return LSTM(weight_ih, weight_hh, bias, np.zeros(4 * units), None if hr is None else _numpy(hr), norm=norm)
    if name == "fastrnn":
        # The paper's small alpha, here 1 / (1 + memory), learns too slowly in the updates that the hyperparameters has
        return FastRNN(weight_ih, weight_hh, zero, alpha=0.5, beta=0.5, norm=norm)
    if name == "fastgrnn":
        return FastGRNN(weight_ih, weight_hh, remember, zero, zeta=0.75, nu=0.02, norm=norm)
    return RNN(weight_ih, weight_hh, zero, zero, "relu" if name == "rnn-relu" else "tanh", norm=norm)


def _weight(matrix: Tensor, architecture: Architecture) -> Weight:
    """The matrix, or the nearest of the architecture's rank, its singular values shared equally between the factors."""
    if not architecture.saves(*matrix.shape):
        return _numpy(matrix)
    left, values, right = np.linalg.svd(_numpy(matrix), full_matrices=False)
    root = np.sqrt(values[: architecture.rank])
    return Factors(left[:, : architecture.rank] * root, root[:, None] * right[: architecture.rank])


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)
