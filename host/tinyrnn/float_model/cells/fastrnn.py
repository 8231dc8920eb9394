# SPDX-License-Identifier: MIT
"""FastRNN in float: ``train --cell fastrnn``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import check_number


@dataclass(frozen=True)
class FastRNN(FloatCell):
    """FastRNN (Kusupati et al., NeurIPS 2018, arXiv 1901.02358): a simple cell with a weighted residual connection.

    h' = alpha * tanh(W x + U h + b) + beta * h, with 0 <= alpha, beta <= 1. |h| may reach alpha / (1 - beta).
    """

    kind: ClassVar[str] = "fastrnn"
    gates: ClassVar[int] = 1
    biases: ClassVar[tuple[str, ...]] = ("bias",)
    absorbing: ClassVar[tuple[str, ...]] = ("bias",)
    example: ClassVar[Mapping[str, float]] = {"alpha": 0.1, "beta": 0.92}
    bias: np.ndarray  # (H,)
    alpha: float
    beta: float

    @classmethod
    def start(cls, remember: np.ndarray) -> dict[str, Any]:
        # The paper's small alpha, here 1 / (1 + memory), learns too slowly for the number of updates in a training
        return {**super().start(remember), "alpha": 0.5, "beta": 0.5}

    def check(self, where: str) -> None:
        super().check(where)
        check_number(f"{where} alpha", self.alpha, 0, 1)
        check_number(f"{where} beta", self.beta, 0, 1)

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.alpha * np.tanh(self._ih(x) + self._hh(state) + self.bias) + self.beta * state


CELL = FastRNN
OPTIONS: dict[str, Any] = {}
