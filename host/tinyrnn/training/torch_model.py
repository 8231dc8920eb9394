# SPDX-License-Identifier: MIT
"""The network that is trained: FloatModel in torch, with conversions from and to numpy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tinyrnn.float_model.layers import Layer, Linear, dense
from tinyrnn.float_model.model import FloatModel
from tinyrnn.training.cells import build, export
from tinyrnn.training.cells.base import to_numpy


class TorchNetwork(nn.Module):
    """Layers and a dense head with given weights. Inputs and outputs are normalised float32.

    Each layer is a module of its own, so that layers may differ, and dropout uses a generator whose state a checkpoint
    can hold.
    """

    def __init__(self, layers: Sequence[Layer], head: Linear) -> None:
        super().__init__()
        # torch's modules draw their weights from the global generator, which belongs to the caller: restore it
        with torch.random.fork_rng(devices=[]):
            self.layers = nn.ModuleList(build(layer) for layer in layers)
            self.head = nn.Linear(layers[-1].units, len(head.bias))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(dense(head.weight)))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def forward(self, x: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """x (B, T, C) -> (B, T, O). dropout: share of each cell's output to set to zero, after its normalisation if any."""
        following = [*list(self.layers)[1:], self.head]
        for layer, after in zip(self.layers, following, strict=True):
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x  # torch's own modules also return the last state
            if dropout and not isinstance(after, nn.LayerNorm):
                keep = torch.full_like(x, 1 - dropout)
                x = x * torch.bernoulli(keep, generator=generator) / (1 - dropout)
        y: Tensor = self.head(x)
        return y

    def export(self) -> tuple[tuple[Layer, ...], Linear]:
        """Layers and head with the current weights, float64, as in FloatModel."""
        head = Linear(to_numpy(self.head.weight), to_numpy(self.head.bias))
        return tuple(export(layer) for layer in self.layers), head


def from_floatmodel(model: FloatModel) -> TorchNetwork:
    """A network with the model's weights, rounded to float32, but without its normalisation of inputs and targets.

    Raises ModelError for a layer that cannot be trained: batch normalisation, an embedding.
    """
    return TorchNetwork(model.layers, model.head)
