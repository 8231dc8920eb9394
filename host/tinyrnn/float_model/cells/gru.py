# SPDX-License-Identifier: MIT
"""The GRU in float, as in PyTorch: ``train --cell gru``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import product, rows, sigmoid


@dataclass(frozen=True)
class GRU(FloatCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), with gate order r, z, n as in ``torch.nn.GRU``.

    r = sigmoid(Wr x + br + Ur h + cr)    z = sigmoid(Wz x + bz + Uz h + cz)    h' = (1 - z) * n + z * h
    n = tanh(Wn x + bn + r * (Un h + cn))    reset_after: PyTorch, Keras' default, ONNX with linear_before_reset=1
    n = tanh(Wn x + bn + Un (r * h) + cn)    otherwise: the paper, ONNX with the default linear_before_reset=0. Layer
                                             normalisation then has two groups: the rows of r and z, and those of n
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3
    bias_ih: np.ndarray  # (3H,) b
    bias_hh: np.ndarray  # (3H,) c
    reset_after: bool = True

    @classmethod
    def start(cls, remember: np.ndarray) -> dict[str, Any]:
        zero = np.zeros(len(remember))
        return {"bias_ih": np.concatenate([zero, remember, zero]), "bias_hh": np.zeros(3 * len(remember))}

    def check(self, where: str) -> None:
        super().check(where)
        if not isinstance(self.reset_after, bool):
            raise ModelError(f"model's {where} reset_after is {self.reset_after!r}; expected True or False")

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        late = slice(2 * self.units, None)
        a = self._ih(x) + self.bias_ih
        r, z, b = self._gates(a, state)
        n = np.tanh(a[:, late] + (r * b if self.reset_after else self._hh(r * state, late) + self.bias_hh[late]))
        return (1 - z) * n + z * state

    def products(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = super().products(x, state)
        if not self.reset_after:
            late = slice(2 * self.units, None)
            r, _, _ = self._gates(self._ih(x) + self.bias_ih, state)
            b[:, late] = product(r * state, rows(self.weight_hh, late))
        return a, b

    def _gates(self, a: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """r and z from a = W x + b and, with reset_after, Un h + cn, which is normalised with them; each (B, H)."""
        units = self.units
        span = slice(0, 3 * units if self.reset_after else 2 * units)
        b = self._hh(h, span) + self.bias_hh[span]
        r = sigmoid(a[:, :units] + b[:, :units])
        z = sigmoid(a[:, units : 2 * units] + b[:, units : 2 * units])
        return r, z, b[:, 2 * units :]


CELL = GRU
OPTIONS = {"reset_after": True}
