"""What every recurrent cell in float is: the definition that trainer, importers and quantizer are compared with.

Frozen dataclasses of numpy float64 arrays, in PyTorch's layout and order of gates. W x stands for ``weight_ih @ x``,
U h for ``weight_hh @ h``; * between vectors is by element. docs/cells.md lists them all.
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


@dataclass(frozen=True)
class FloatCell(Layer):
    """A recurrent layer of I inputs and H units. Subclasses have ``gates`` blocks of H rows in W and in U."""

    gates: ClassVar[int]
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")  # each (gates H,); the first take up W's offset
    absorbing: ClassVar[tuple[str, ...]] = ("bias_ih",)  # those to which an offset of W x is added
    identity: ClassVar[bool] = False  # whether a training starts from U = 1; else from orthogonal blocks
    projects: ClassVar[bool] = False  # whether it has a field weight_hr (P, H), or None
    example: ClassVar[Mapping[str, float]] = {}  # its fields that are numbers, as an untrained model for tests has them
    weight_ih: Weight  # (gates H, I)
    weight_hh: Weight  # (gates H, units)
    norm: CellNorm | None = field(default=None, kw_only=True)

    @property
    def hidden(self) -> int:
        """H: rows of a gate."""
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
        """The biases and numbers that a training starts from.

        remember: (H,) the bias of a gate that keeps a unit's state for as long as the unit is to remember.
        """
        return {name: np.zeros(cls.gates * len(remember)) for name in cls.biases}

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        """One step of a batch: x (B, I), state (B, S) -> state' (B, S)."""
        raise NotImplementedError

    def output(self, state: np.ndarray) -> np.ndarray:
        """What the next layer sees of a state: (B, S) -> (B, units)."""
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
        """W x and U h of one step, each (B, gates H), before norm and bias: what a quantizer calibrates."""
        return product(x, self.weight_ih), product(self.output(state), self.weight_hh)

    def with_input(self, scale: np.ndarray, shift: np.ndarray) -> FloatCell:
        if self.norm is not None:  # W shift lies inside the norm, where there is no bias
            return super().with_input(scale, shift)  # type: ignore[return-value]
        offset = product(shift, self.weight_ih)
        biases = {name: getattr(self, name) + offset for name in self.absorbing}
        return replace(self, weight_ih=scale_columns(self.weight_ih, scale), **biases)

    def check(self, where: str) -> None:
        check_array(f"{where} weight_ih", self.weight_ih, (None, None))
        number = int(self.weight_ih.shape[0])
        if number % self.gates:
            raise ModelError(
                f"model's {where} weight_ih has {number} rows; expected a multiple of {self.gates}, the gates of {self.kind}"
            )
        check_array(f"{where} weight_hh", self.weight_hh, (number, self._width()))
        for name in self.biases:
            check_array(f"{where} {name}", getattr(self, name), (number,))
        if self.norm is not None:
            check_array(f"{where} norm gain_ih", self.norm.gain_ih, (number,))
            check_array(f"{where} norm gain_hh", self.norm.gain_hh, (number,))
            check_number(f"{where} norm eps", self.norm.eps, 0, 1)

    def _width(self) -> int:
        """Columns that weight_hh must have."""
        return self.hidden

    def _ih(self, x: np.ndarray) -> np.ndarray:
        """W x, normalised where the cell has a norm."""
        a = product(x, self.weight_ih)
        return a if self.norm is None else self.norm.gain_ih * normalise(a, self.norm.eps)

    def _hh(self, h: np.ndarray, part: slice = slice(None)) -> np.ndarray:
        """U h, or some of its rows, normalised over them where the cell has a norm."""
        b = product(h, rows(self.weight_hh, part))
        return b if self.norm is None else self.norm.gain_hh[part] * normalise(b, self.norm.eps)
