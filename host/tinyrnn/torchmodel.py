"""The torch twin of FloatModel: the network that is trained, and its way to numpy and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.floatmodel import GRU, FloatModel, Linear


class Network(nn.Module):
    """Stacked ``torch.nn.GRU`` layers and a dense head; inputs and outputs are normalised float32.

    Each layer is an nn.GRU of its own, so that layers may differ in width and dropout draws from a generator
    that a checkpoint can hold.
    """

    def __init__(self, inputs: int, units: Sequence[int], outputs: int) -> None:
        super().__init__()
        # nn.GRU fills its weights from torch's global generator, which is the caller's: leave it as it was
        with torch.random.fork_rng(devices=[]):
            widths = [inputs, *units]
            pairs = pairwise(widths)
            self.layers = nn.ModuleList(nn.GRU(width, count, batch_first=True) for width, count in pairs)
            self.head = nn.Linear(widths[-1], outputs)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, memory: float) -> None:
        """Fill all weights from the generator: Glorot for the inputs, orthogonal blocks for the recurrence.

        memory: the longest time, in steps, that units start out remembering, >= 1. A unit whose update gate
        has the bias log(m) keeps m / (1 + m) of its state, hence remembers for about m steps; the units of a
        layer are spread from 1 to `memory`, evenly in the logarithm (after "chrono" initialisation, arXiv
        1804.11188). torch's own start forgets within two steps: what was told 100 steps ago is never learned.
        """
        for layer in self.layers:
            units = layer.hidden_size
            for gate in range(3):
                rows = slice(gate * units, (gate + 1) * units)
                nn.init.xavier_uniform_(layer.weight_ih_l0[rows], generator=generator)
                nn.init.orthogonal_(layer.weight_hh_l0[rows], generator=generator)
            layer.bias_ih_l0.zero_()
            layer.bias_hh_l0.zero_()
            layer.bias_ih_l0[units : 2 * units] = torch.linspace(0.0, math.log(memory), units)
        nn.init.xavier_uniform_(self.head.weight, generator=generator)
        self.head.bias.zero_()

    def forward(self, x: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """x (B, T, C) -> (B, T, O). dropout: share of each layer's outputs to zero."""
        for layer in self.layers:
            x, _ = layer(x)
            if dropout:
                keep = torch.full_like(x, 1 - dropout)
                x = x * torch.bernoulli(keep, generator=generator) / (1 - dropout)
        y: Tensor = self.head(x)
        return y

    def parts(self) -> tuple[tuple[GRU, ...], Linear]:
        """The weights as FloatModel holds them, float64."""
        layers = tuple(
            GRU(_numpy(l.weight_ih_l0), _numpy(l.weight_hh_l0), _numpy(l.bias_ih_l0), _numpy(l.bias_hh_l0))
            for l in self.layers  # noqa: E741
        )
        return layers, Linear(_numpy(self.head.weight), _numpy(self.head.bias))


def from_floatmodel(model: FloatModel) -> Network:
    """A network with the model's weights, rounded to float32. Normalisation stays with the model."""
    network = Network(len(model.mean), [layer.units for layer in model.layers], len(model.labels))
    with torch.no_grad():
        for layer, gru in zip(network.layers, model.layers, strict=True):
            layer.weight_ih_l0.copy_(torch.from_numpy(gru.weight_ih))
            layer.weight_hh_l0.copy_(torch.from_numpy(gru.weight_hh))
            layer.bias_ih_l0.copy_(torch.from_numpy(gru.bias_ih))
            layer.bias_hh_l0.copy_(torch.from_numpy(gru.bias_hh))
        network.head.weight.copy_(torch.from_numpy(model.head.weight))
        network.head.bias.copy_(torch.from_numpy(model.head.bias))
    return network


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)
