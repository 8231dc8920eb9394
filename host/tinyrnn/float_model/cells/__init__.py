"""The recurrent cells in float: the definition that the trainer, the importers and the quantizer are compared with.

Frozen dataclasses of numpy float64 arrays, PyTorch's layout and gate order. W x stands for ``weight_ih @ x``, U h for
``weight_hh @ h``; * between vectors is by element. docs/cells.md lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import (
    BatchNorm,
    CellNorm,
    Embedding,
    Layer,
    LayerNorm,
    Weight,
    check_array,
    check_number,
    normalise,
    product,
    rows,
    scale_columns,
    sigmoid,
)

NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class FloatCell(Layer):
    """A recurrent layer of I inputs and H units. Subclasses have ``gates`` blocks of H rows in W and in U."""

    gates: ClassVar[int]
    biases: ClassVar[tuple[str, ...]] = ("bias_ih", "bias_hh")  # each (gates H,); the first take up W's offset
    absorbing: ClassVar[tuple[str, ...]] = ("bias_ih",)  # those to which an offset of W x is added
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


@dataclass(frozen=True)
class GRU(FloatCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078); gate order r, z, n, as ``torch.nn.GRU``.

    r = sigmoid(Wr x + br + Ur h + cr)    z = sigmoid(Wz x + bz + Uz h + cz)    h' = (1 - z) * n + z * h
    n = tanh(Wn x + bn + r * (Un h + cn))    reset_after: PyTorch, Keras' default, ONNX with linear_before_reset=1
    n = tanh(Wn x + bn + Un (r * h) + cn)    else: the paper, ONNX' default linear_before_reset=0; here a norm
                                             takes the rows of r and z together and those of n alone
    """

    kind: ClassVar[str] = "gru"
    gates: ClassVar[int] = 3
    bias_ih: np.ndarray  # (3H,) b
    bias_hh: np.ndarray  # (3H,) c
    reset_after: bool = True

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
        """r and z of a = W x + b, and with reset_after Un h + cn, whose norm all three gates share; each (B, H)."""
        units = self.units
        part = slice(0, 3 * units if self.reset_after else 2 * units)
        b = self._hh(h, part) + self.bias_hh[part]
        r = sigmoid(a[:, :units] + b[:, :units])
        z = sigmoid(a[:, units : 2 * units] + b[:, units : 2 * units])
        return r, z, b[:, 2 * units :]


@dataclass(frozen=True)
class LSTM(FloatCell):
    """Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate of Gers et al. 2000), as ``torch.nn.LSTM``.

    i, f, g, o = W x + b + U h + c, in this order of rows;    c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h' = sigmoid(o) * tanh(c'), or with weight_hr (torch's proj_size P; Sak et al. 2014, arXiv 1402.1128)
    h' = weight_hr @ (sigmoid(o) * tanh(c'))
    The state is h (P) then c (H), where without a projection P is H. c has no bound.
    """

    kind: ClassVar[str] = "lstm"
    gates: ClassVar[int] = 4
    bias_ih: np.ndarray  # (4H,)
    bias_hh: np.ndarray  # (4H,)
    weight_hr: Weight | None = None  # (P, H)

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


@dataclass(frozen=True)
class RNN(FloatCell):
    """The simple network (Elman 1990), as ``torch.nn.RNN``: h' = f(W x + b + U h + c), f = tanh or relu (no bound)."""

    kind: ClassVar[str] = "rnn"
    gates: ClassVar[int] = 1
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


@dataclass(frozen=True)
class FastRNN(FloatCell):
    """FastRNN (Kusupati et al., NeurIPS 2018, arXiv 1901.02358): a weighted residual around a simple cell.

    h' = alpha * tanh(W x + U h + b) + beta * h, with 0 <= alpha, beta <= 1; |h| may reach alpha / (1 - beta).
    """

    kind: ClassVar[str] = "fastrnn"
    gates: ClassVar[int] = 1
    biases: ClassVar[tuple[str, ...]] = ("bias",)
    absorbing: ClassVar[tuple[str, ...]] = ("bias",)
    bias: np.ndarray  # (H,)
    alpha: float
    beta: float

    def check(self, where: str) -> None:
        super().check(where)
        check_number(f"{where} alpha", self.alpha, 0, 1)
        check_number(f"{where} beta", self.beta, 0, 1)

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        return self.alpha * np.tanh(self._ih(x) + self._hh(state) + self.bias) + self.beta * state


@dataclass(frozen=True)
class FastGRNN(FloatCell):
    """FastGRNN (Kusupati et al., NeurIPS 2018, arXiv 1901.02358): one W and one U for the gate and the candidate.

    z = sigmoid(W x + U h + bias_z)    n = tanh(W x + U h + bias_h)    h' = (zeta * (1 - z) + nu) * n + z * h
    with 0 <= zeta, nu <= 1; |h| may exceed 1, by as much as nu / (1 - z) allows.
    """

    kind: ClassVar[str] = "fastgrnn"
    gates: ClassVar[int] = 1
    biases: ClassVar[tuple[str, ...]] = ("bias_z", "bias_h")
    absorbing: ClassVar[tuple[str, ...]] = ("bias_z", "bias_h")
    bias_z: np.ndarray  # (H,)
    bias_h: np.ndarray  # (H,)
    zeta: float
    nu: float

    def check(self, where: str) -> None:
        super().check(where)
        check_number(f"{where} zeta", self.zeta, 0, 1)
        check_number(f"{where} nu", self.nu, 0, 1)

    def step(self, x: np.ndarray, state: np.ndarray) -> np.ndarray:
        a = self._ih(x) + self._hh(state)
        z = sigmoid(a + self.bias_z)
        return (self.zeta * (1 - z) + self.nu) * np.tanh(a + self.bias_h) + z * state


KINDS: dict[str, type[Layer]] = {
    layer.kind: layer for layer in (GRU, LSTM, RNN, FastRNN, FastGRNN, LayerNorm, BatchNorm, Embedding)
}
