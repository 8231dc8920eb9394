"""A PyTorch state_dict: names and shapes say which modules there are, their order in it how they follow each other.

What a state_dict does not hold, activations, the nonlinearity of nn.RNN, which step counts, is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.floatcells import GRU, LSTM, RNN
from tinyrnn.floatlayers import EPS, BatchNorm, Embedding, LayerNorm
from tinyrnn.importers import torchfile
from tinyrnn.importers.source import Activation, Dense, Options, Source, Step, refuse

LAYERED = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh|weight_hr)_l(\d+)(_reverse)?")
CELL = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
IGNORED = {"num_batches_tracked"}
ASK = "a state_dict does not say which"


@dataclass(frozen=True)
class Module:
    """The arrays of one torch module."""

    name: str
    arrays: dict[str, np.ndarray]

    @property
    def recurrent(self) -> bool:
        return any(LAYERED.fullmatch(key) or key in CELL for key in self.arrays)


def read(path: Path, options: Options) -> Source:
    """The network of a state_dict. Raises ModelError."""
    modules = _ordered(_modules(_state(torchfile.load(path), path, options)), options)
    _refuse_others(modules)
    if not any(module.recurrent for module in modules):
        raise ModelError(f"{path}: has no weights of nn.RNN, nn.LSTM or nn.GRU ({', '.join(m.name for m in modules):.80})")
    steps: list[Step] = []
    layers: list[Any] = []
    kinds = _kinds(modules)
    last_dense = max((i for i, kind in enumerate(kinds) if kind == "linear"), default=-1)
    for number, (module, kind) in enumerate(zip(modules, kinds, strict=True)):
        if kind == "recurrent":
            steps += _recurrent(module, options)
        elif kind == "linear":
            weight = module.arrays["weight"]
            steps.append(Step(module.name, Dense(weight, module.arrays.get("bias", np.zeros(len(weight))))))
            if number != last_dense or number != len(modules) - 1:
                steps += _activation(module.name, options)
        elif kind == "embedding":
            steps.append(Step(module.name, Embedding(module.arrays["weight"])))
        else:
            steps.append(Step(module.name, _norm(module, options)))
        layers.append((kind, module))
    _check_chain(steps)
    first = steps[0].what
    inputs = int(first.weight.shape[1]) if isinstance(first, Dense) else int(first.inputs)  # type: ignore[union-attr]
    order = " -> ".join(f"{module.name or 'the file'} ({kind})" for kind, module in layers)
    return Source(
        framework="PyTorch",
        steps=tuple(steps),
        inputs=inputs,
        when="every",
        decided=False,
        run=_runner(layers, options),
        notes=(
            f"order of the modules, taken from the file: {order}",
            "a state_dict does not hold forward(): functions between the modules are not seen, torch.export's .pt2 has them",
        ),
    )


def _state(found: Any, path: Path, options: Options) -> dict[str, np.ndarray]:
    """The state_dict itself, or the entry of a checkpoint that is one."""
    import torch

    def is_state(value: Any) -> bool:
        return isinstance(value, dict) and any(isinstance(item, torch.Tensor) for item in value.values())

    if isinstance(found, dict) and str(found.get("format", "")).startswith("tinyrnn-float"):
        raise ModelError(f"{path}: is already a model of tinyrnn; give it to `tinyrnn quantize`")
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds {type(found).__name__}; expected a state_dict: {torchfile.CURE}")
    if options.key is not None:
        found = found.get(options.key)
        if not is_state(found):
            raise ModelError(f"{path}: has no state_dict under {options.key!r}; leave --key out to see what there is")
    elif not is_state(found):
        keys = [str(key) for key, value in found.items() if is_state(value)]
        if len(keys) != 1:
            seen = f"state_dicts {', '.join(keys):.80}" if keys else f"no tensors ({', '.join(map(str, found)):.60})"
            raise ModelError(f"{path}: holds {seen}; expected one, choose with --key")
        found = found[keys[0]]
    state = {}
    for key, value in found.items():
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_complex() or value.is_quantized or value.device.type != "cpu":
                raise ModelError(f"{path}: {key} is a tensor of {value.dtype}, {value.layout}; expected plain float weights")
            state[str(key)] = torchfile.array(value)
    return state


def _modules(state: dict[str, np.ndarray]) -> list[Module]:
    """The arrays grouped by module, in the order of the file."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state.items():
        module, _, name = key.rpartition(".")
        if name not in IGNORED:
            found.setdefault(module, {})[name] = value
    return [Module(name, arrays) for name, arrays in found.items()]


def _ordered(modules: list[Module], options: Options) -> list[Module]:
    if not options.order:
        return modules
    named = {module.name: module for module in modules}
    if sorted(named) != sorted(options.order):
        raise ModelError(f"--order gives {', '.join(options.order)}; expected each of: {', '.join(named)}")
    return [named[name] for name in options.order]


def _refuse_others(modules: list[Module]) -> None:
    for module in modules:
        arrays = module.arrays
        name = module.name or "the file"
        if any(match and match[3] for match in map(LAYERED.fullmatch, arrays)):
            raise refuse(name, "is bidirectional", "a stream has no future: train it with bidirectional=False")
        if "in_proj_weight" in arrays or name.endswith("out_proj") or "q_proj_weight" in arrays:
            raise refuse(name, "is attention", "expected RNN, LSTM, GRU, Linear, Embedding, LayerNorm, BatchNorm1d")
        if "weight_g" in arrays or any(".parametrizations" in f".{other.name}" for other in modules):
            raise refuse(name, "is parametrized (weight_norm)", "remove it before saving: torch.nn.utils.remove_weight_norm")
        if module.recurrent:
            continue
        weight = arrays.get("weight")
        if weight is None or set(arrays) - {"weight", "bias", "running_mean", "running_var"}:
            cure = "expected modules RNN, LSTM, GRU, Linear, Embedding, LayerNorm, BatchNorm1d only"
            raise refuse(name, f"is an unknown module with {', '.join(arrays):.60}", cure)
        if weight.ndim >= 3:
            raise refuse(name, f"is a convolution, weight {weight.shape}", "expected a network of recurrent layers without it")
        if weight.ndim == 1 and "bias" not in arrays:
            raise refuse(name, f"has a weight {weight.shape} without bias", "expected LayerNorm or BatchNorm1d, not RMSNorm or PReLU")


def _kinds(modules: list[Module]) -> list[str]:
    """"recurrent", "linear", "embedding", "layernorm" or "batchnorm" of each."""
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
    """A first matrix without bias is a table (N, D) or a Linear (O, I): what follows takes D or O numbers."""
    rows, columns = module.arrays["weight"].shape
    following = next((m for m in rest if m.recurrent or m.arrays["weight"].ndim == 2), None)
    takes = next((a.shape[1] for key, a in following.arrays.items() if key.startswith("weight")), 0) if following else 0
    if rows == columns:
        raise refuse(module.name, f"is a square matrix {rows}x{columns} without bias", f"Embedding or Linear: {ASK}, use torch.export")
    return "linear" if takes == rows else "embedding"


def _recurrent(module: Module, options: Options) -> list[Step]:
    """One step for each layer of nn.RNN, nn.LSTM, nn.GRU, or for a cell."""
    layers: dict[int, dict[str, np.ndarray]] = {}
    for key, value in module.arrays.items():
        match = LAYERED.fullmatch(key)
        if match is None and key not in CELL:
            raise refuse(module.name or "the file", f"has {key} beside recurrent weights", "save the modules separately")
        layers.setdefault(int(match[2]) if match else 0, {})[match[1] if match else key] = value
    if sorted(layers) != list(range(len(layers))):
        raise refuse(module.name or "the file", f"has layers {sorted(layers)}", "expected 0, 1, ... without a gap")
    return [Step(f"{module.name or 'layer'}.{i}", cell(module.name, layers[i], options.nonlinearity)) for i in sorted(layers)]


def cell(name: str, arrays: dict[str, np.ndarray], nonlinearity: str | None) -> GRU | LSTM | RNN:
    """A cell from torch's arrays; rows by units tell which."""
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
        raise refuse(name, "is an nn.RNN, tanh or relu", f"{ASK}: give --nonlinearity tanh or --nonlinearity relu")
    if gates == 1:
        return RNN(w, u, *bias, str(nonlinearity))
    raise refuse(name, f"has {gates} gates of {hidden} units", "expected 1 (RNN), 3 (GRU) or 4 (LSTM)")


def _norm(module: Module, options: Options) -> LayerNorm | BatchNorm:
    arrays = module.arrays
    eps = EPS if options.eps is None else options.eps
    if "running_mean" not in arrays:
        return LayerNorm(arrays["weight"], arrays["bias"], eps)
    if "running_var" not in arrays:
        raise refuse(module.name, "has no running_var", "expected a BatchNorm1d that tracks its statistics")
    return BatchNorm(arrays["weight"], arrays["bias"], arrays["running_mean"], arrays["running_var"], eps)


def _activation(name: str, options: Options) -> list[Step]:
    """Behind a Linear that is not the last module."""
    if options.activation is None:
        cure = f"{ASK} function follows it: give --activation none, relu, tanh or sigmoid, or use torch.export"
        raise refuse(name, "is a Linear that is not the last module", cure)
    return [] if options.activation == "none" else [Step(f"{name}'s activation", Activation(options.activation))]


def _check_chain(steps: list[Step]) -> None:
    """Raises ModelError when a module does not take what the one before gives: the order is another."""
    width = None
    for step in steps:
        what = step.what
        if isinstance(what, Activation):
            continue
        inputs, units = what.weight.shape[::-1] if isinstance(what, Dense) else (what.inputs, what.units)  # type: ignore[union-attr]
        if width not in (None, inputs):
            cure = "give the order of the data with --order NAME,NAME,..."
            raise refuse(step.name, f"takes {inputs} inputs, the module before it in the file gives {width}", cure)
        width = units


def _runner(layers: list[tuple[str, Module]], options: Options) -> Callable[[np.ndarray], np.ndarray]:
    """The same modules of torch.nn, in float64, with the file's own tensors loaded into them."""

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
    """nn.RNN, nn.LSTM, nn.GRU over x (B, T, I), or a cell called at each step."""
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
