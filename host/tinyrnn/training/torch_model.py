"""FloatModel in torch: the network that is trained, and its way to numpy and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.float_model.layers import Layer, Linear, dense
from tinyrnn.float_model.model import FloatModel
from tinyrnn.training.cells import build, export


class TorchNetwork(nn.Module):
    """The layers and a dense head, with the weights given; inputs and outputs are normalised float32.

    Each layer is a module of its own, so that layers may differ and dropout draws from a generator that a
    checkpoint can hold.
    """

    def __init__(self, layers: Sequence[Layer], head: Linear) -> None:
        super().__init__()
        # torch's modules fill their weights from its global generator, which is the caller's: leave it as it was
        with torch.random.fork_rng(devices=[]):
            self.layers = nn.ModuleList(build(layer) for layer in layers)
            self.head = nn.Linear(layers[-1].units, len(head.bias))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(dense(head.weight)))
            self.head.bias.copy_(torch.from_numpy(head.bias))

    def forward(self, x: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """x (B, T, C) -> (B, T, O). dropout: share to zero of what each cell passes on, behind a norm of it."""
        following = [*list(self.layers)[1:], self.head]
        for layer, after in zip(self.layers, following, strict=True):
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x  # torch's own give the last state as well
            if dropout and not isinstance(after, nn.LayerNorm):
                keep = torch.full_like(x, 1 - dropout)
                x = x * torch.bernoulli(keep, generator=generator) / (1 - dropout)
        y: Tensor = self.head(x)
        return y

    def parts(self) -> tuple[tuple[Layer, ...], Linear]:
        """The weights as FloatModel holds them, float64."""
        head = Linear(_numpy(self.head.weight), _numpy(self.head.bias))
        return tuple(export(layer) for layer in self.layers), head


def from_floatmodel(model: FloatModel) -> TorchNetwork:
    """A network with the model's weights, rounded to float32. Normalisation stays with the model.

    Raises ModelError for a layer that is not trained: batch normalisation, an embedding.
    """
    return TorchNetwork(model.layers, model.head)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)
