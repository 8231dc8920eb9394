# SPDX-License-Identifier: MIT
"""The simple recurrent network in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.training.cells.base import Stepped


class SteppedRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        a = a + self.bias_ih + self.hh(state) + self.bias_hh
        return torch.tanh(a) if self.fixed["nonlinearity"] == "tanh" else torch.relu(a)


def native(layer: RNN) -> nn.RNNBase:
    """torch's own module."""
    return nn.RNN(layer.inputs, layer.hidden, batch_first=True, nonlinearity=layer.nonlinearity)


CELL = RNN
STEPPED = SteppedRNN
