# SPDX-License-Identifier: MIT
"""The network that is trained: FloatModel in torch, with conversions from and to numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.float_model.layers import Layer, Linear, Skip, dense
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
        self.skips = [int(channel) for layer in layers if isinstance(layer, Skip) for channel in layer.channels]
        # torch's modules draw their weights from the global generator, which belongs to the caller: restore it
        with torch.random.fork_rng(devices=[]):
            self.layers = nn.ModuleList(build(layer) for layer in layers if not isinstance(layer, Skip))
            self.head = nn.Linear(layers[-1].units, len(head.bias))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(dense(head.weight)))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def forward(
        self,
        x: Tensor,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """x (B, T, C) -> (B, T, O). dropout: share of each cell's output to set to zero, after its normalisation if any.

        chosen: a mask (B, T) of M steps. The head then runs on these only, and the result is (M, O).
        """
        sample = x
        following = [*list(self.layers)[1:], self.head]
        for layer, after in zip(self.layers, following, strict=True):
            x = layer(x[..., 0].long() if isinstance(layer, nn.Embedding) else x)
            x = x[0] if isinstance(x, tuple) else x  # torch's own modules also return the last state
            if after is self.head and chosen is not None:
                x, sample = x[chosen], sample[chosen]
            if dropout and not isinstance(after, nn.LayerNorm):
                # Drawn on the CPU, where the generator is
                kept = torch.rand(x.shape, generator=generator) >= dropout
                x = x * kept.to(x.device) / (1 - dropout)
        if self.skips:
            x = torch.cat([x, sample[..., self.skips]], dim=-1)
        y: Tensor = self.head(x)
        return y

    def export(self) -> tuple[tuple[Layer, ...], Linear]:
        """Layers and head with the current weights, float64, as in FloatModel."""
        head = Linear(to_numpy(self.head.weight), to_numpy(self.head.bias))
        layers = [export(layer) for layer in self.layers]
        if self.skips:
            layers.append(Skip(layers[-1].units, np.array(self.skips, np.float64)))
        return tuple(layers), head


def from_floatmodel(model: FloatModel) -> TorchNetwork:
    """A network with the model's weights, rounded to float32, but without its normalisation of inputs and targets.

    Raises ModelError for a layer that cannot be trained: batch normalisation.
    """
    return TorchNetwork(model.layers, model.head)
