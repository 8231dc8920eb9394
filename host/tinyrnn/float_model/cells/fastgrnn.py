# SPDX-License-Identifier: MIT
"""FastGRNN in float: ``train --cell fastgrnn``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import check_number, sigmoid


@dataclass(frozen=True)
class FastGRNN(FloatCell):
    """FastGRNN (Kusupati et al., NeurIPS 2018, arXiv 1901.02358): gate and candidate share one W and one U.

    z = sigmoid(W x + U h + bias_z)    n = tanh(W x + U h + bias_h)    h' = (zeta * (1 - z) + nu) * n + z * h
    with 0 <= zeta, nu <= 1. |h| may exceed 1, by up to nu / (1 - z).
    """

    kind: ClassVar[str] = "fastgrnn"
    gates: ClassVar[int] = 1
    biases: ClassVar[tuple[str, ...]] = ("bias_z", "bias_h")
    absorbing: ClassVar[tuple[str, ...]] = ("bias_z", "bias_h")
    example: ClassVar[Mapping[str, float]] = {"zeta": 0.8, "nu": 0.05}
    bias_z: np.ndarray  # (H,)
    bias_h: np.ndarray  # (H,)
    zeta: float
    nu: float

    @classmethod
    def start(cls, remember: np.ndarray) -> dict[str, Any]:
        return {"bias_z": remember, "bias_h": np.zeros(len(remember)), "zeta": 0.75, "nu": 0.02}

    def check(self, where: str) -> None:
        super().check(where)
        check_number(f"{where} zeta", self.zeta, 0, 1)
        check_number(f"{where} nu", self.nu, 0, 1)

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        a = self._ih(x) + self._hh(state)
        z = sigmoid(a + self.bias_z)
        return (self.zeta * (1 - z) + self.nu) * np.tanh(a + self.bias_h) + z * state


CELL = FastGRNN
OPTIONS: dict[str, Any] = {}
