# SPDX-License-Identifier: MIT
"""The simple recurrent network in float: ``train --cell rnn``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell

NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class RNN(FloatCell):
    """The simple network (Elman 1990), as in ``torch.nn.RNN``: h' = f(W x + b + U h + c), f = tanh, or relu (no bound)."""

    kind: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1
    identity: ClassVar[bool] = True  # the only way to remember without a gate (Le et al. 2015, arXiv 1504.00941)
    bias_ih: np.ndarray  # (H,)
    bias_hh: np.ndarray  # (H,)
    nonlinearity: str = "tanh"

    def check(self, where: str) -> None:
        super().check(where)
        if self.nonlinearity not in NONLINEARITIES:
            raise ModelError(f"model's {where} nonlinearity is {self.nonlinearity!r}; expected one of {NONLINEARITIES}")

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        a = self._ih(x) + self.bias_ih + self._hh(state) + self.bias_hh
        return np.tanh(a) if self.nonlinearity == "tanh" else np.maximum(a, 0)


CELL = RNN
OPTIONS = {"nonlinearity": "tanh"}
