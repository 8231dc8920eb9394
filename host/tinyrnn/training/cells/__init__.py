# SPDX-License-Identifier: MIT
"""Recurrent layers in torch, for training: torch's own modules where possible, otherwise a loop over the steps.

``build(layer)`` makes a torch module with the weights of a float layer, and ``export(module)`` gives the layer back. Each
class of float_model.cells has a Python module here. It has CELL, that class; STEPPED, its step in torch; and
``native(layer)`` if torch has a module for it. New modules are found automatically.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from tinyrnn import discovery
from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import Embedding, Factors, Layer, LayerNorm
from tinyrnn.training.cells.base import Stepped, to_numpy


@cache
def known() -> dict[type[FloatCell], ModuleType]:
    """The Python modules by the class of their cell."""
    return {module.CELL: module for module in discovery.modules(__name__, __path__).values()}


def build(layer: Layer) -> nn.Module:
    """A torch module with the layer's weights as float32 parameters. Raises ModelError if the layer cannot be trained."""
    if isinstance(layer, LayerNorm):
        norm = nn.LayerNorm(layer.units, eps=layer.eps)
        _fill(norm, {"weight": layer.weight, "bias": layer.bias})
        return norm
    if isinstance(layer, Embedding):
        table = nn.Embedding(layer.symbols, layer.units)
        _fill(table, {"weight": layer.weight})
        return table
    if not isinstance(layer, FloatCell) or type(layer) not in known():
        raise ModelError(
            f"a {layer.kind} layer cannot be trained; expected recurrent layers, layer normalisation, an embedding"
        )
    module = known()[type(layer)]
    whole = layer.norm is None and not any(isinstance(value, Factors) for value in vars(layer).values())
    native: nn.RNNBase | None = module.native(layer) if whole and hasattr(module, "native") else None
    if native is None:
        stepped: nn.Module = module.STEPPED(layer)
        return stepped
    names = [name.removesuffix("_l0") for name, _ in native.named_parameters()]
    _fill(native, {f"{name}_l0": getattr(layer, name) for name in names})
    native.float_cell = type(layer)
    native.options = {name: value for name, value in vars(layer).items() if isinstance(value, (bool, str))}
    return native


def export(module: nn.Module) -> Layer:
    """The float layer, in float64, of a module that build() made."""
    if isinstance(module, nn.LayerNorm):
        return LayerNorm(to_numpy(module.weight), to_numpy(module.bias), module.eps)
    if isinstance(module, nn.Embedding):
        return Embedding(to_numpy(module.weight))
    if isinstance(module, Stepped):
        return module.export()
    given: dict[str, Any] = {name.removesuffix("_l0"): to_numpy(p) for name, p in module.named_parameters()}
    layer: Layer = module.float_cell(**given, **module.options)
    return layer


@torch.no_grad()
def _fill(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(arrays[name])))
