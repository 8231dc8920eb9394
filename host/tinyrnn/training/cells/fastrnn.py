# SPDX-License-Identifier: MIT
"""FastRNN in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from tinyrnn.float_model.cells.fastrnn import FastRNN
from tinyrnn.training.cells.base import Stepped


class SteppedFastRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        n = torch.tanh(a + self.hh(state) + self.bias)
        return torch.sigmoid(self.alpha) * n + torch.sigmoid(self.beta) * state


CELL = FastRNN
STEPPED = SteppedFastRNN
