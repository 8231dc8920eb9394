# SPDX-License-Identifier: MIT
"""Runs the modules of a state_dict with torch.nn and the file's tensors. An import is compared with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyrnn.float_model.layers import EPS
from tinyrnn.importers.pytorch.modules import LAYERED, Module
from tinyrnn.importers.source_model import Options


def runner(layers: list[tuple[str, Module]], options: Options) -> Callable[[np.ndarray], np.ndarray]:
    """A function that runs the same modules of torch.nn, in float64, with the file's own tensors."""

    def run(x: np.ndarray) -> np.ndarray:
        import torch
        from torch import nn

        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            y = torch.from_numpy(x)
            for number, (kind, module) in enumerate(layers):
                state = {key: torch.from_numpy(value) for key, value in module.arrays.items()}
                weight = state.get("weight", torch.zeros(0))
                bias = "bias" in state
                eps = EPS if options.eps is None else options.eps
                if kind == "recurrent":
                    y = _run_recurrent(state, options, y)
                    continue
                if kind == "linear":
                    made: nn.Module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
                elif kind == "embedding":
                    made, y = nn.Embedding(*weight.shape), y[..., 0].long()
                elif kind == "layernorm":
                    made = nn.LayerNorm(len(weight), eps)
                else:
                    made, y = nn.BatchNorm1d(len(weight), eps), y.transpose(1, 2)
                made = made.double().eval()
                made.load_state_dict(state, strict=kind != "batchnorm")
                y = made(y)
                y = y.transpose(1, 2) if kind == "batchnorm" else y
                if kind == "linear" and number < len(layers) - 1 and options.activation not in (None, "none"):
                    y = getattr(torch, str(options.activation))(y)
            result: np.ndarray = y.numpy()
            return result

    return run


def _run_recurrent(state: dict[str, Any], options: Options, x: Any) -> Any:
    """Run nn.RNN, nn.LSTM or nn.GRU over x (B, T, I), or call a cell at each step."""
    import torch
    from torch import nn

    layered = {key: value for key, value in state.items() if LAYERED.fullmatch(key)}
    w, u = (state[f"{key}_l0" if layered else key] for key in ("weight_ih", "weight_hh"))
    bias = state.get("bias_ih_l0" if layered else "bias_ih")
    hr = state.get("weight_hr_l0")
    hidden = u.shape[1] if hr is None else hr.shape[1]
    kind = {4: "LSTM", 3: "GRU", 1: "RNN"}[w.shape[0] // hidden]
    more: dict[str, Any] = {"nonlinearity": options.nonlinearity} if kind == "RNN" else {}
    if layered:
        more |= {"proj_size": hr.shape[0]} if hr is not None else {}
        count = len({LAYERED.fullmatch(key)[2] for key in layered})  # type: ignore[index]
        made = getattr(nn, kind)(w.shape[1], hidden, count, batch_first=True, bias=bias is not None, **more).double()
        made.load_state_dict(state)
        return made(x)[0]
    made = getattr(nn, f"{kind}Cell")(w.shape[1], hidden, bias=bias is not None, **more).double()
    made.load_state_dict(state)
    h: Any = None
    out = []
    for t in range(x.shape[1]):
        h = made(x[:, t], h)
        out.append(h[0] if kind == "LSTM" else h)
    return torch.stack(out, dim=1)
