# SPDX-License-Identifier: MIT
"""The GRU in torch, with the reset after or before the recurrent product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.training.cells.base import Stepped


class SteppedGRU(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        a, h = a + self.bias_ih, state
        early, late = slice(0, 2 * self.units), slice(2 * self.units, None)
        if self.fixed["reset_after"]:
            b = self.hh(h) + self.bias_hh
            r, z = torch.sigmoid(a[:, early] + b[:, early]).chunk(2, dim=1)
            n = torch.tanh(a[:, late] + r * b[:, late])
        else:
            r, z = torch.sigmoid(a[:, early] + self.hh(h, early) + self.bias_hh[early]).chunk(2, dim=1)
            n = torch.tanh(a[:, late] + self.hh(r * h, late) + self.bias_hh[late])
        return (1 - z) * n + z * h


def native(layer: GRU) -> nn.RNNBase | None:
    """torch's own module, or None if it has none."""
    return nn.GRU(layer.inputs, layer.hidden, batch_first=True) if layer.reset_after else None


CELL = GRU
STEPPED = SteppedGRU
