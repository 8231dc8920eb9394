# SPDX-License-Identifier: MIT
"""A cell in torch, step by step, for cells and options that torch has no module for."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import CellNorm, Factors, Weight


class TorchMatrix(nn.Module):
    """x (..., C) -> W x (..., R). W is a parameter (R, C), or two low-rank factors."""

    def __init__(self, weight: Weight) -> None:
        super().__init__()
        arrays = {"a": weight.a, "b": weight.b} if isinstance(weight, Factors) else {"w": weight}
        for name, value in arrays.items():
            self.register_parameter(name, parameter(value))
        self.low_rank = isinstance(weight, Factors)

    def forward(self, x: Tensor, span: slice = slice(None)) -> Tensor:
        """span: the rows of W to use."""
        if self.low_rank:
            return functional.linear(functional.linear(x, self.b), self.a[span])
        return functional.linear(x, self.w[span])

    def export(self) -> Weight:
        return Factors(to_numpy(self.a), to_numpy(self.b)) if self.low_rank else to_numpy(self.w)


class Stepped(nn.Module):
    """A cell of float_model with all its options. Its fields become modules and parameters of the same names.

    Numbers between 0 and 1 (alpha, zeta, ...) are trained as logits, under the same names.
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
                self.register_parameter(name, parameter(value))
            elif isinstance(value, (int, float)) and not isinstance(value, bool):
                self.numbers.append(name)
                value = min(max(value, 1e-6), 1 - 1e-6)
                self.register_parameter(name, parameter(np.log(value / (1 - value))))
            else:
                self.fixed[name] = value
        if cell.norm is not None:
            self.gain_ih, self.gain_hh = parameter(cell.norm.gain_ih), parameter(cell.norm.gain_hh)

    def export(self) -> FloatCell:
        """The cell, float64."""
        given: dict[str, Any] = dict(self.fixed)
        for name, parameter in self.named_parameters(recurse=False):
            if name in self.numbers:
                given[name] = float(torch.sigmoid(parameter.detach().double()))
            elif not name.startswith("gain"):
                given[name] = to_numpy(parameter)
        given |= {name: module.export() for name, module in self.named_children() if isinstance(module, TorchMatrix)}
        if self.eps is not None:
            given["norm"] = CellNorm(to_numpy(self.gain_ih), to_numpy(self.gain_hh), self.eps)
        cell: FloatCell = self.kind(**given)
        return cell

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, I) -> (B, T, units), from the zero state. W x is computed for all steps at once."""
        a = self.weight_ih(x)
        if self.eps is not None:
            a = functional.layer_norm(a, a.shape[-1:], self.gain_ih, eps=self.eps)
        state = x.new_zeros(len(x), self.state_size)
        outputs = []
        for a_t in a.unbind(dim=1):
            state = self.step(a_t, state)
            outputs.append(state[:, : self.units])
        return torch.stack(outputs, dim=1)

    def step(self, a: Tensor, state: Tensor) -> Tensor:
        """state (B, S) -> state'. a (B, R) is W x, normalised if the cell has layer normalisation."""
        raise NotImplementedError

    def hh(self, h: Tensor, span: slice = slice(None)) -> Tensor:
        """U h or some of its rows, normalised over these rows if the cell has layer normalisation."""
        b: Tensor = self.weight_hh(h, span)
        if self.eps is None:
            return b
        return functional.layer_norm(b, b.shape[-1:], self.gain_hh[span], eps=self.eps)


def parameter(value: np.ndarray | float) -> nn.Parameter:
    """The value as a float32 parameter."""
    return nn.Parameter(torch.tensor(np.asarray(value), dtype=torch.float32))


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The tensor's values as float64."""
    return tensor.detach().cpu().numpy().astype(np.float64)
