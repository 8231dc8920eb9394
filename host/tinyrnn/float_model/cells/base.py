# SPDX-License-Identifier: MIT
"""The base class of the recurrent cells in float. They are the reference for trainer, importers and quantizer.

Cells are frozen dataclasses of numpy float64 arrays, in PyTorch's layout and order of gates. W x means ``weight_ih @ x``
and U h means ``weight_hh @ h``; * between vectors is element by element. docs/cells.md lists all cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import (
    CellNorm,
    Layer,
    Weight,
    check_array,
    check_number,
    normalise,
    product,
    rows,
    scale_columns,
)
from tinyrnn.text import counted


@dataclass(frozen=True)
class FloatCell(Layer):
    """A recurrent layer with I inputs and H units. W and U have ``gates`` blocks of H rows."""

    gates: ClassVar[int]
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")  # names of the biases, each (gates H,)
    absorbing: ClassVar[tuple[str, ...]] = ("bias_ih",)  # the biases to which a constant offset of W x is added
    identity: ClassVar[bool] = False  # whether training starts from U = 1; otherwise from orthogonal blocks
    projects: ClassVar[bool] = False  # whether the cell can have a field weight_hr (P, H)
    example: ClassVar[Mapping[str, float]] = {}  # values of the scalar fields for an untrained model in tests
    weight_ih: Weight  # (gates H, I)
    weight_hh: Weight  # (gates H, units)
    norm: CellNorm | None = field(default=None, kw_only=True)

    @property
    def hidden(self) -> int:
        """H, the rows of each gate."""
        return int(self.weight_ih.shape[0]) // self.gates

    @property
    def inputs(self) -> int:
        return int(self.weight_ih.shape[1])

    @property
    def units(self) -> int:
        return int(self.weight_hh.shape[1])

    @property
    def state_size(self) -> int:
        return self.units

    @classmethod
    def start(cls, remember: np.ndarray) -> dict[str, Any]:
        """The initial biases and scalars for training.

        remember: (H,) the bias of a gate that makes each unit keep its state for the intended number of steps.
        """
        return {name: np.zeros(cls.gates * len(remember)) for name in cls.biases}

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        """One step of a batch: x (B, I), state (B, S) -> state' (B, S)."""
        raise NotImplementedError

    def output(self, state: np.ndarray) -> np.ndarray:
        """The part of a state that the next layer gets: (B, S) -> (B, units)."""
        return state[:, : self.units]

    def states(self, x: np.ndarray) -> np.ndarray:
        """The states after each step from the zero state: x (B, T, I) -> (B, T, S)."""
        state = np.zeros((x.shape[0], self.state_size))
        out = np.empty((x.shape[0], x.shape[1], self.state_size))
        for t in range(x.shape[1]):
            out[:, t] = state = self.step(x[:, t], state)
        return out

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.states(x)[..., : self.units]

    def products(self, x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """W x and U h of one step, each (B, gates H), before normalisation and bias. The quantizer calibrates on them."""
        return product(x, self.weight_ih), product(self.output(state), self.weight_hh)

    def with_input(self, scale: np.ndarray, shift: np.ndarray) -> FloatCell:
        if self.norm is not None:  # W shift would be inside the normalisation, which has no bias
            return super().with_input(scale, shift)  # type: ignore[return-value]
        offset = product(shift, self.weight_ih)
        biases = {name: getattr(self, name) + offset for name in self.absorbing}
        return replace(self, weight_ih=scale_columns(self.weight_ih, scale), **biases)

    def check(self, where: str) -> None:
        check_array(f"{where} weight_ih", self.weight_ih, (None, None))
        number = int(self.weight_ih.shape[0])
        if number % self.gates:
            raise ModelError(
                f"model's {where} weight_ih has {counted(number, 'row')}; expected a multiple of {self.gates}, the gates"
                f" of {self.kind}"
            )
        check_array(f"{where} weight_hh", self.weight_hh, (number, self._width()))
        for name in self.biases:
            check_array(f"{where} {name}", getattr(self, name), (number,))
        if self.norm is not None:
            check_array(f"{where} norm gain_ih", self.norm.gain_ih, (number,))
            check_array(f"{where} norm gain_hh", self.norm.gain_hh, (number,))
            check_number(f"{where} norm eps", self.norm.eps, 0, 1)

    def _width(self) -> int:
        """The columns that weight_hh must have."""
        return self.hidden

    def _ih(self, x: np.ndarray) -> np.ndarray:
        """W x, normalised if the cell has layer normalisation."""
        a = product(x, self.weight_ih)
        return a if self.norm is None else self.norm.gain_ih * normalise(a, self.norm.eps)

    def _hh(self, h: np.ndarray, span: slice = slice(None)) -> np.ndarray:
        """U h or some of its rows, normalised over these rows if the cell has layer normalisation."""
        b = product(h, rows(self.weight_hh, span))
        return b if self.norm is None else self.norm.gain_hh[span] * normalise(b, self.norm.eps)
