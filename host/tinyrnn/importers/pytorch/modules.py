# SPDX-License-Identifier: MIT
"""Recognises the modules of a state_dict by the names and shapes of their arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import EPS, BatchNorm, LayerNorm
from tinyrnn.importers.source_model import Options, SourceStep, refuse
from tinyrnn.text import counted

LAYERED = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")

CELL = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}

IGNORED = {"num_batches_tracked"}

ASK = "a state_dict does not say which"  # begins the cure of an error


@dataclass(frozen=True)
class Module:
    """The arrays of one torch module."""

    name: str
    arrays: dict[str, np.ndarray]

    @property
    def recurrent(self) -> bool:
        return any(LAYERED.fullmatch(key) or key in CELL for key in self.arrays)


def modules_of(state: dict[str, np.ndarray]) -> list[Module]:
    """The arrays of a state_dict, grouped by module, in the order of the file."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state.items():
        module, _, name = key.rpartition(".")
        if name not in IGNORED:
            found.setdefault(module, {})[name] = value
    return [Module(name, arrays) for name, arrays in found.items()]


def ordered(modules: list[Module], options: Options) -> list[Module]:
    if not options.order:
        return modules
    named = {module.name: module for module in modules}
    if sorted(named) != sorted(options.order):
        raise ModelError(f"--order gives {', '.join(options.order)}; expected each of: {', '.join(named)}")
    return [named[name] for name in options.order]


def refuse_others(modules: list[Module]) -> None:
    for module in modules:
        arrays = module.arrays
        name = module.name or "the file"
        if any(match and match[3] for match in map(LAYERED.fullmatch, arrays)):
            raise refuse(name, "is bidirectional", "a stream has no future: train it with bidirectional=False")
        if "in_proj_weight" in arrays or name.endswith("out_proj") or "q_proj_weight" in arrays:
            raise refuse(name, "is attention", "expected RNN, LSTM, GRU, Linear, Embedding, LayerNorm, BatchNorm1d")
        if module.recurrent:
            continue
        weight = arrays.get("weight")
        if weight is None or set(arrays) - {"weight", "bias", "running_mean", "running_var"}:
            cure = "expected modules RNN, LSTM, GRU, Linear, Embedding, LayerNorm, BatchNorm1d only"
            raise refuse(name, f"is an unknown module with {', '.join(arrays):.60}", cure)
        if weight.ndim >= 3:
            raise refuse(
                name, f"is a convolution, weight {weight.shape}", "expected a network of recurrent layers without it"
            )
        if weight.ndim == 1 and "bias" not in arrays:
            raise refuse(
                name, f"has a weight {weight.shape} without bias", "expected LayerNorm or BatchNorm1d, not RMSNorm or PReLU"
            )


def kinds_of(modules: list[Module]) -> list[str]:
    """The kind of each module: "recurrent", "linear", "embedding", "layernorm" or "batchnorm"."""
    kinds = []
    for number, module in enumerate(modules):
        if module.recurrent:
            kinds.append("recurrent")
        elif module.arrays["weight"].ndim == 1:
            kinds.append("batchnorm" if "running_mean" in module.arrays else "layernorm")
        elif number == 0 and "bias" not in module.arrays:
            kinds.append(_first_matrix(module, modules[1:]))
        else:
            kinds.append("linear")
    return kinds


def _first_matrix(module: Module, rest: list[Module]) -> str:
    """The kind of a first matrix without bias: embedding (N, D) or Linear (O, I). The next module takes D or O numbers."""
    rows, columns = module.arrays["weight"].shape
    following = next((m for m in rest if m.recurrent or m.arrays["weight"].ndim == 2), None)
    takes = next((a.shape[1] for key, a in following.arrays.items() if key.startswith("weight")), 0) if following else 0
    if rows == columns:
        raise refuse(
            module.name, f"is a square matrix {rows}x{columns} without bias", f"Embedding or Linear: {ASK}, use torch.export"
        )
    return "linear" if takes == rows else "embedding"


def recurrent_steps(module: Module, options: Options) -> list[SourceStep]:
    """One step for each layer of nn.RNN, nn.LSTM, nn.GRU, or for a cell."""
    layers: dict[int, dict[str, np.ndarray]] = {}
    for key, value in module.arrays.items():
        match = LAYERED.fullmatch(key)
        if match is None and key not in CELL:
            raise refuse(module.name or "the file", f"has {key} and recurrent weights", "save the modules separately")
        layers.setdefault(int(match[2]) if match else 0, {})[match[1] if match else key] = value
    if sorted(layers) != list(range(len(layers))):
        raise refuse(module.name or "the file", f"has layers {sorted(layers)}", "expected 0, 1, ... without a gap")
    return [
        SourceStep(f"{module.name or 'layer'}.{i}", cell(module.name, layers[i], options.nonlinearity))
        for i in sorted(layers)
    ]


def cell(name: str, arrays: dict[str, np.ndarray], nonlinearity: str | None) -> GRU | LSTM | RNN:
    """The cell with these arrays of torch. The ratio of rows to units tells its kind."""
    name = name or "the file"
    if {"weight_ih", "weight_hh"} - set(arrays) or any(arrays[k].ndim != 2 for k in ("weight_ih", "weight_hh")):
        raise refuse(name, f"has {', '.join(arrays)}", "expected matrices weight_ih and weight_hh")
    w, u, hr = arrays["weight_ih"], arrays["weight_hh"], arrays.get("weight_hr")
    hidden = u.shape[1] if hr is None else hr.shape[-1]
    if not hidden or w.shape[0] != u.shape[0] or w.shape[0] % hidden:
        raise refuse(name, f"has weight_ih {w.shape} and weight_hh {u.shape}", "expected as many rows in both")
    gates = w.shape[0] // hidden
    zero = np.zeros(len(w))
    bias = arrays.get("bias_ih", zero), arrays.get("bias_hh", zero)
    if gates == 4:
        return LSTM(w, u, *bias, hr)
    if gates == 3:
        return GRU(w, u, *bias)
    if gates == 1 and nonlinearity is None:
        raise refuse(name, "is an nn.RNN with tanh or relu", f"{ASK}: give --nonlinearity tanh or --nonlinearity relu")
    if gates == 1:
        return RNN(w, u, *bias, str(nonlinearity))
    raise refuse(name, f"has {counted(gates, 'gate')} of {counted(hidden, 'unit')}", "expected 1 (RNN), 3 (GRU) or 4 (LSTM)")


def norm_of(module: Module, options: Options) -> LayerNorm | BatchNorm:
    arrays = module.arrays
    eps = EPS if options.eps is None else options.eps
    if "running_mean" not in arrays:
        return LayerNorm(arrays["weight"], arrays["bias"], eps)
    if "running_var" not in arrays:
        raise refuse(module.name, "has no running_var", "expected a BatchNorm1d that tracks its statistics")
    return BatchNorm(arrays["weight"], arrays["bias"], arrays["running_mean"], arrays["running_var"], eps)
