# SPDX-License-Identifier: MIT
"""The LSTM in torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.training.cells.base import Stepped


class SteppedLSTM(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        h, c = state[:, : self.units], state[:, self.units :]
        i, f, g, o = (a + self.bias_ih + self.hh(h) + self.bias_hh).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return torch.cat([h if self.weight_hr is None else self.weight_hr(h), c], dim=1)


def native(layer: LSTM) -> nn.RNNBase:
    """torch's own module."""
    size = 0 if layer.weight_hr is None else layer.units
    return nn.LSTM(layer.inputs, layer.hidden, batch_first=True, proj_size=size)


CELL = LSTM
STEPPED = SteppedLSTM
