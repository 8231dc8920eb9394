# SPDX-License-Identifier: MIT
"""The LSTM in float, with or without a projection: ``train --cell lstm``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import Weight, check_array, product, sigmoid


@dataclass(frozen=True)
class LSTM(FloatCell):
    """Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate of Gers et al. 2000), as in ``torch.nn.LSTM``.

    i, f, g, o = W x + b + U h + c, in this order of rows;    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c'), or with weight_hr (torch's proj_size P; Sak et al. 2014, arXiv 1402.1128)
    h' = weight_hr @ (sigmoid(o) * tanh(c'))
    The state is h (P), then c (H). Without a projection, P is H. c has no bound.
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    projects: ClassVar[bool] = True
    bias_ih: np.ndarray  # (4H,)
    bias_hh: np.ndarray  # (4H,)
    weight_hr: Weight | None = None  # (P, H)

    @classmethod
    def start(cls, remember: np.ndarray) -> dict[str, Any]:
        zero = np.zeros(len(remember))
        return {"bias_ih": np.concatenate([-remember, remember, zero, zero]), "bias_hh": np.zeros(4 * len(remember))}

    @property
    def state_size(self) -> int:
        return self.units + self.hidden

    def _width(self) -> int:
        return self.hidden if self.weight_hr is None else int(self.weight_hr.shape[0])

    def check(self, where: str) -> None:
        if self.weight_hr is not None:
            check_array(f"{where} weight_hr", self.weight_hr, (None, None))
        super().check(where)
        if self.weight_hr is not None:
            check_array(f"{where} weight_hr", self.weight_hr, (None, self.hidden))

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        h, c = state[:, : self.units], state[:, self.units :]
        i, f, g, o = np.split(self._ih(x) + self.bias_ih + self._hh(h) + self.bias_hh, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return np.concatenate([h if self.weight_hr is None else product(h, self.weight_hr), c], axis=1)


CELL = LSTM
OPTIONS: dict[str, Any] = {}
