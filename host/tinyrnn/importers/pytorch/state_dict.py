# SPDX-License-Identifier: MIT
"""Reads a PyTorch state_dict: names and shapes tell the modules, and their order in the file is the order of the data.

A state_dict does not hold activations, the nonlinearity of nn.RNN, or which step counts: these are options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Embedding
from tinyrnn.importers.pytorch import pickle_file
from tinyrnn.importers.pytorch.modules import ASK, kinds_of, modules_of, norm_of, ordered, recurrent_steps, refuse_others
from tinyrnn.importers.pytorch.runner import runner
from tinyrnn.importers.pytorch.weight_folding import folded
from tinyrnn.importers.source_model import Activation, Dense, Options, SourceModel, SourceStep, refuse
from tinyrnn.text import counted


def read(path: Path, options: Options) -> SourceModel:
    """Read the network of a state_dict. Raises ModelError."""
    state, folds = folded(_state(pickle_file.load(path), path, options))
    modules = ordered(modules_of(state), options)
    refuse_others(modules)
    if not any(module.recurrent for module in modules):
        raise ModelError(f"{path}: has no weights of nn.RNN, nn.LSTM or nn.GRU ({', '.join(m.name for m in modules):.80})")
    steps: list[SourceStep] = []
    layers: list[Any] = []
    kinds = kinds_of(modules)
    last_dense = max((i for i, kind in enumerate(kinds) if kind == "linear"), default=-1)
    for number, (module, kind) in enumerate(zip(modules, kinds, strict=True)):
        if kind == "recurrent":
            steps += recurrent_steps(module, options)
        elif kind == "linear":
            weight = module.arrays["weight"]
            steps.append(SourceStep(module.name, Dense(weight, module.arrays.get("bias", np.zeros(len(weight))))))
            if number != last_dense or number != len(modules) - 1:
                steps += _activation(module.name, options)
        elif kind == "embedding":
            steps.append(SourceStep(module.name, Embedding(module.arrays["weight"])))
        else:
            steps.append(SourceStep(module.name, norm_of(module, options)))
        layers.append((kind, module))
    _check_chain(steps)
    first = steps[0].what
    inputs = int(first.weight.shape[1]) if isinstance(first, Dense) else int(first.inputs)  # type: ignore[union-attr]
    order = " -> ".join(f"{module.name or 'the file'} ({kind})" for kind, module in layers)
    return SourceModel(
        framework="PyTorch",
        steps=tuple(steps),
        inputs=inputs,
        when="every",
        decided=False,
        run=runner(layers, options),
        notes=(
            *folds,
            f"order of the modules, from the file: {order}",
            "a state_dict does not hold forward(): functions between modules are missing; a .pt2 of torch.export has them",
        ),
    )


def _state(found: Any, path: Path, options: Options) -> dict[str, np.ndarray]:
    """The state_dict itself, or the entry of a checkpoint that is one."""
    import torch

    def is_state(value: Any) -> bool:
        return isinstance(value, dict) and any(isinstance(item, torch.Tensor) for item in value.values())

    if isinstance(found, dict) and str(found.get("format", "")).startswith("tinyrnn-float"):
        raise ModelError(f"{path}: is already a model.pt of tinyrnn; expected another framework's: use `tinyrnn quantize`")
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds {type(found).__name__}; expected a state_dict: {pickle_file.CURE}")
    if options.key is not None:
        found = found.get(options.key)
        if not is_state(found):
            raise ModelError(f"{path}: has no state_dict under {options.key!r}; leave out --key to see the entries")
    elif not is_state(found):
        keys = [str(key) for key, value in found.items() if is_state(value)]
        if len(keys) != 1:
            seen = f"state_dicts {', '.join(keys):.80}" if keys else f"no tensors ({', '.join(map(str, found)):.60})"
            raise ModelError(f"{path}: holds {seen}; expected one: choose with --key")
        found = found[keys[0]]
    state = {}
    for key, value in found.items():
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_complex() or value.is_quantized or value.device.type != "cpu":
                raise ModelError(f"{path}: {key} is a tensor of {value.dtype}, {value.layout}; expected plain float weights")
            state[str(key)] = pickle_file.array(value)
    return state


def _activation(name: str, options: Options) -> list[SourceStep]:
    """The steps after a Linear that is not the last module. Raises ModelError if the user did not give --activation."""
    if options.activation is None:
        cure = f"{ASK} function follows it: give --activation none, relu, tanh or sigmoid, or use torch.export"
        raise refuse(name, "is a Linear that is not the last module", cure)
    return [] if options.activation == "none" else [SourceStep(f"{name}'s activation", Activation(options.activation))]


def _check_chain(steps: list[SourceStep]) -> None:
    """Raise ModelError if a module does not take as many numbers as the one before it gives: the order is wrong."""
    width = None
    for step in steps:
        what = step.what
        if isinstance(what, Activation):
            continue
        inputs, units = what.weight.shape[::-1] if isinstance(what, Dense) else (what.inputs, what.units)  # type: ignore[union-attr]
        if width not in (None, inputs):
            cure = "give the order of the data with --order NAME,NAME,..."
            raise refuse(
                step.name, f"takes {counted(inputs, 'input')}, the module before it in the file gives {width}", cure
            )
        width = units
