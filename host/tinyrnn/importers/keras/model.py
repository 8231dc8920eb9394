# SPDX-License-Identifier: MIT
"""Reads a Keras model, Sequential or functional: its layers in order, from the description and the weights.

For the comparison, Keras builds the same layers on its torch backend, from a copy of the description that holds only names
of known layers and plain values. Keras loads the weights itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers.keras import archive
from tinyrnn.importers.keras.last_step import SHAPING, shaped
from tinyrnn.importers.keras.layer_chain import RECURRENT, LayerConfig, chain_of
from tinyrnn.importers.keras.layers import PASSING, check_config, convert, policy_of
from tinyrnn.importers.keras.runner import Runner
from tinyrnn.importers.source_model import Activation, Affine, Dense, Options, SourceModel, SourceStep, refuse


def read(path: Path, options: Options) -> SourceModel:
    """Read the network of a file. Raises ModelError."""
    file = archive.load(path)
    layers, shape = chain_of(path, file.config)
    weights = archive.arrays(file, {layer.name: "TimeDistributed" if layer.timed else layer.kind for layer in layers})
    return _source(path, file, layers, shape, weights, options)


def _stateful(layers: Sequence[LayerConfig]) -> bool:
    """Whether the recurrent layers keep their states from call to call. Raises ModelError if only some do."""
    cells = [layer for layer in layers if layer.kind in RECURRENT]
    keep = [layer for layer in cells if layer.config.get("stateful")]
    if keep and len(keep) < len(cells):
        other = next(layer for layer in cells if layer not in keep)
        seen = f"starts from zero at every call while {keep[0].where} is stateful"
        raise refuse(other.where, seen, "train it with stateful=True in all recurrent layers, or in none")
    return bool(keep)


def _source(
    path: Path,
    file: archive.KerasFile,
    layers: Sequence[LayerConfig],
    shape: Sequence[int | None],
    weights: Mapping[str, list[np.ndarray]],
    options: Options,
) -> SourceModel:
    embedded = layers[0].kind == "Embedding" or (
        layers[0].kind == "Masking" and len(layers) > 1 and layers[1].kind == "Embedding"
    )
    if len(shape) != (2 if embedded else 3) or (not embedded and shape[-1] is None):
        raise ModelError(f"{path}: its input has shape {list(shape)}; expected (batch, time, features) with fixed features")
    steps: list[SourceStep] = []
    tail: list[str] = []
    notes: list[str] = []
    form = "BTF"
    built: list[LayerConfig] = []
    passed: list[int] = []  # number of steps after each of them
    first_symbol = 0
    width = 1 if embedded else int(shape[-1] or 0)
    stateful = _stateful(layers)
    for layer in layers:
        if layer.kind in SHAPING:
            before, form = form, shaped(layer, form, shape[1])
            built += [replace(layer, form=form)] if form != before else []
            passed += [len(steps)] if form != before else []
            continue
        check_config(layer, options)
        built += [layer] if layer.kind != "Masking" else []  # --ignore-masking was given
        passed += [len(steps)] if layer.kind != "Masking" else []
        if layer.kind == "Masking" or layer.config.get("mask_zero"):
            first_symbol = 1 if layer.kind == "Embedding" else first_symbol
            notes.append(f"{layer.where}: masked steps are treated as padding; do not feed them to the board")
        if layer.kind in (*PASSING, "Masking"):
            continue
        if tail:
            raise refuse(layer.where, f"comes after {tail[-1]}", "expected softmax at the very end")
        if layer.kind in RECURRENT:
            if form != "BTF":
                raise refuse(layer.where, "runs over a single step", "set return_sequences=True in the layer before it")
            form = "BTF" if layer.config.get("return_sequences") else "BF"
            notes += [f"{layer.where}: stateful, as every layer is on the board"] if stateful else []
        made, ending = convert(layer, weights.get(layer.name, []), width, form)
        steps += [SourceStep(layer.where, what) for what in made]
        tail += ending
        passed[-1] = len(steps)
        for what in made:
            if isinstance(what, Dense):
                width = len(what.bias)
            elif not isinstance(what, (Affine, Activation)):
                what.check(layer.where)
                width = what.units
    batch, time = shape[0], shape[1]
    one_step = stateful and time == 1
    if time == 1 and not stateful:
        notes.append("warning: the file runs one step from the zero state; on the board the state is kept until reset()")
    half = sorted({policy for layer in layers if "float16" in (policy := policy_of(layer))})
    notes += [f"{policy}: imported and compared as float32" for policy in half]
    runner = Runner(file, built, shape, embedded, form, one_step)
    return SourceModel(
        framework="Keras on torch",
        steps=tuple(steps),
        inputs=1 if embedded else int(shape[-1] or 0),
        when="last" if form != "BTF" and not one_step else "every",
        tail=tuple(tail),
        run=runner,
        stream=runner.stream if stateful else None,
        probe=lambda x: runner.probe(x, passed),
        batch=batch,
        time=time,
        first_symbol=first_symbol,
        notes=tuple(notes),
    )
