# SPDX-License-Identifier: MIT
"""FastGRNN in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from tinyrnn.float_model.cells.fastgrnn import FastGRNN
from tinyrnn.training.cells.base import Stepped


class SteppedFastGRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        a = a + self.hh(state)
        z = torch.sigmoid(a + self.bias_z)
        n = torch.tanh(a + self.bias_h)
        return (torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)) * n + z * state


CELL = FastGRNN
STEPPED = SteppedFastGRNN
