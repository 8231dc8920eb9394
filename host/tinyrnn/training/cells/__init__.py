"""Recurrent layers in torch, for training: torch's own where it has them, else one loop over the steps.

``build(layer)`` makes a module with the weights of a float layer, ``export(module)`` gives them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells import GRU, LSTM, RNN, FastGRNN, FastRNN, FloatCell
from tinyrnn.float_model.layers import CellNorm, Factors, Layer, LayerNorm, Weight


def build(layer: Layer) -> nn.Module:
    """A module of float32 parameters. Raises ModelError for a layer that cannot be trained here."""
    if isinstance(layer, LayerNorm):
        norm = nn.LayerNorm(layer.units, eps=layer.eps)
        _fill(norm, {"weight": layer.weight, "bias": layer.bias})
        return norm
    if not isinstance(layer, FloatCell):
        raise ModelError(f"a {layer.kind} layer cannot be trained; expected recurrent layers and layer normalisation")
    full = not any(isinstance(value, Factors) for value in vars(layer).values()) and layer.norm is None
    native: nn.RNNBase | None = None
    if full and isinstance(layer, GRU) and layer.reset_after:
        native = nn.GRU(layer.inputs, layer.hidden, batch_first=True)
    elif full and isinstance(layer, LSTM):
        size = 0 if layer.weight_hr is None else layer.units
        native = nn.LSTM(layer.inputs, layer.hidden, batch_first=True, proj_size=size)
    elif full and isinstance(layer, RNN):
        native = nn.RNN(layer.inputs, layer.hidden, batch_first=True, nonlinearity=layer.nonlinearity)
    if native is None:
        return STEPPED[type(layer)](layer)
    names = [name.removesuffix("_l0") for name, _ in native.named_parameters()]
    _fill(native, {f"{name}_l0": getattr(layer, name) for name in names})
    return native


def export(module: nn.Module) -> Layer:
    """The layer of a module that build() made, float64."""
    if isinstance(module, nn.LayerNorm):
        return LayerNorm(_numpy(module.weight), _numpy(module.bias), module.eps)
    if isinstance(module, Stepped):
        return module.export()
    given: dict[str, Any] = {name.removesuffix("_l0"): _numpy(p) for name, p in module.named_parameters()}
    if isinstance(module, nn.RNN):
        return RNN(**given, nonlinearity=module.nonlinearity)
    return LSTM(**given) if isinstance(module, nn.LSTM) else GRU(**given)


class TorchMatrix(nn.Module):
    """x -> W x for the rows of x (..., C); W is a parameter (R, C), or two factors."""

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        parts = {"a": weight.a, "b": weight.b} if isinstance(weight, Factors) else {"w": weight}
        for name, value in parts.items():
            self.register_parameter(name, _parameter(value))
        self.low_rank = isinstance(weight, Factors)

    def forward(self, x: Tensor, part: slice = slice(None)) -> Tensor:
        """part: the rows of W to use."""
        if self.low_rank:
            return functional.linear(functional.linear(x, self.b), self.a[part])
        return functional.linear(x, self.w[part])

    def export(self) -> Weight:
        return Factors(_numpy(self.a), _numpy(self.b)) if self.low_rank else _numpy(self.w)


class Stepped(nn.Module):
    """A cell of floatcells.py with all its options. Fields become modules and parameters of the same name.

    Numbers between 0 and 1 (alpha, zeta, ...) are trained as the logits of what they are, under the same name.
    """

    def __init__(self, cell: FloatCell) -> None:
        super().__init__()
        self.kind = type(cell)
        self.units, self.state_size = cell.units, cell.state_size
        self.numbers: list[str] = []
        self.fixed: dict[str, Any] = {}  # reset_after, nonlinearity, ...
        self.eps = None if cell.norm is None else cell.norm.eps
        for name, value in vars(cell).items():
            if name == "norm":
                continue
            if name.startswith("weight"):
                setattr(self, name, None if value is None else TorchMatrix(value))
            elif isinstance(value, np.ndarray):
                self.register_parameter(name, _parameter(value))
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                self.numbers.append(name)
                value = min(max(value, 1e-6), 1 - 1e-6)
                self.register_parameter(name, _parameter(np.log(value / (1 - value))))
            else:
                self.fixed[name] = value
        if cell.norm is not None:
            self.gain_ih, self.gain_hh = _parameter(cell.norm.gain_ih), _parameter(cell.norm.gain_hh)

    def export(self) -> FloatCell:
        """The cell, float64."""
        given: dict[str, Any] = dict(self.fixed)
        for name, parameter in self.named_parameters(recurse=False):
            if name in self.numbers:
                given[name] = float(torch.sigmoid(parameter.detach().double()))
            elif not name.startswith("gain"):
                given[name] = _numpy(parameter)
        given |= {name: module.export() for name, module in self.named_children() if isinstance(module, TorchMatrix)}
        if self.eps is not None:
            given["norm"] = CellNorm(_numpy(self.gain_ih), _numpy(self.gain_hh), self.eps)
        cell: FloatCell = self.kind(**given)
        return cell

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, I) -> (B, T, units), from the zero state. W x is done for all steps at once."""
        a = self.weight_ih(x)
        if self.eps is not None:
            a = functional.layer_norm(a, a.shape[-1:], self.gain_ih, eps=self.eps)
        state = x.new_zeros(len(x), self.state_size)
        outputs = []
        for part in a.unbind(dim=1):
            state = self.step(part, state)
            outputs.append(state[:, : self.units])
        return torch.stack(outputs, dim=1)

    def step(self, a: Tensor, state: Tensor) -> Tensor:
        """a (B, R) is W x, normalised where the cell has a norm; state (B, S) -> state'."""
        raise NotImplementedError

    def hh(self, h: Tensor, part: slice = slice(None)) -> Tensor:
        """Some rows of U h, normalised over them where the cell has a norm."""
        b: Tensor = self.weight_hh(h, part)
        if self.eps is None:
            return b
        return functional.layer_norm(b, b.shape[-1:], self.gain_hh[part], eps=self.eps)


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


class SteppedLSTM(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        h, c = state[:, : self.units], state[:, self.units :]
        i, f, g, o = (a + self.bias_ih + self.hh(h) + self.bias_hh).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return torch.cat([h if self.weight_hr is None else self.weight_hr(h), c], dim=1)


class SteppedRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        a = a + self.bias_ih + self.hh(state) + self.bias_hh
        return torch.tanh(a) if self.fixed["nonlinearity"] == "tanh" else torch.relu(a)


class SteppedFastRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        n = torch.tanh(a + self.hh(state) + self.bias)
        return torch.sigmoid(self.alpha) * n + torch.sigmoid(self.beta) * state


class SteppedFastGRNN(Stepped):
    def step(self, a: Tensor, state: Tensor) -> Tensor:
        a = a + self.hh(state)
        z = torch.sigmoid(a + self.bias_z)
        n = torch.tanh(a + self.bias_h)
        return (torch.sigmoid(self.zeta) * (1 - z) + torch.sigmoid(self.nu)) * n + z * state


STEPPED: dict[type[FloatCell], type[Stepped]] = {
    GRU: SteppedGRU,
    LSTM: SteppedLSTM,
    RNN: SteppedRNN,
    FastRNN: SteppedFastRNN,
    FastGRNN: SteppedFastGRNN,
}


@torch.no_grad()
def _fill(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))


def _parameter(value: np.ndarray | float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.asarray(value), dtype=torch.float32))


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float64)
