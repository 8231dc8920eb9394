# SPDX-License-Identifier: MIT
"""Every float cell against torch's own modules and against its formula; the model; docs/cells.md."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package
from shared.paths import DOCS

torch = need_package("torch")

from helpers.float_models import FOUR, INPUTS, KIND, UNITS, VARIANTS, cell, every_kind, model_of, sequences, some, tamed
from helpers.types import instance
from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model.cells.fastgrnn import FastGRNN
from tinyrnn.float_model.cells.fastrnn import FastRNN
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import (
    BatchNorm,
    CellNorm,
    Embedding,
    Factors,
    Layer,
    LayerNorm,
    apply,
    dense,
)


def fill(module: Any, **arrays: np.ndarray) -> Any:
    """The module in float64, with all of its parameters set to these."""
    module = module.double()
    with torch.no_grad():
        assert set(dict(module.named_parameters())) == set(arrays)
        for name, array in arrays.items():
            module.get_parameter(name).copy_(torch.from_numpy(array))
    return module


def parameters(layer: Layer, *names: str) -> dict[str, np.ndarray]:
    return {f"{name}_l0": getattr(layer, name) for name in names}


# --- against torch's own ---


@pytest.mark.parametrize("kind", ["gru", "lstm", "lstm-projection", "rnn", "rnn-relu"])
def test_cell_is_torch_s_own(kind: str) -> None:
    layer = tamed(cell(kind), kind)
    names = FOUR
    if kind == "gru":
        module = torch.nn.GRU(INPUTS, UNITS, batch_first=True)
    elif kind.startswith("lstm"):
        module = torch.nn.LSTM(INPUTS, UNITS, batch_first=True, proj_size=3 if "-" in kind else 0)
        names += ("weight_hr",) if "-" in kind else ()
    else:
        module = torch.nn.RNN(INPUTS, UNITS, batch_first=True, nonlinearity=instance(RNN, layer).nonlinearity)
    fill(module, **parameters(layer, *names))
    x = sequences()
    want, last = module(torch.from_numpy(x))
    got = layer.run(x)
    assert got.shape == (4, 40, layer.units)
    assert np.abs(got - want.detach().numpy()).max() < 1e-12
    states = layer.states(x)
    assert states.shape == (4, 40, layer.state_size)
    final = torch.cat(last, dim=2) if isinstance(last, tuple) else last  # LSTM: h, then c
    assert np.abs(states[:, -1] - final[0].detach().numpy()).max() < 1e-12
    # step() alone, from any state
    one = layer.step(x[:, 0], states[:, 7])
    h = torch.from_numpy(states[None, :, 7])
    start = (h[..., : layer.units], h[..., layer.units :]) if kind.startswith("lstm") else h
    want, _ = module(torch.from_numpy(x[:, :1]), tuple(p.contiguous() for p in start) if kind.startswith("lstm") else start)
    assert np.abs(layer.output(one) - want[:, 0].detach().numpy()).max() < 1e-12


def test_layers_without_memory_are_torch_s_own() -> None:
    x = sequences()
    tensor = torch.from_numpy(x)
    layer = LayerNorm(some(INPUTS), some(INPUTS), eps=1e-3)
    module = fill(torch.nn.LayerNorm(INPUTS, eps=1e-3), weight=layer.weight, bias=layer.bias)
    assert np.abs(layer.run(x) - module(tensor).detach().numpy()).max() < 1e-12
    batch = BatchNorm(some(INPUTS), some(INPUTS), some(INPUTS), some(INPUTS) ** 2, eps=1e-3)
    other = fill(torch.nn.BatchNorm1d(INPUTS, eps=1e-3), weight=batch.weight, bias=batch.bias).eval()
    other.running_mean.copy_(torch.from_numpy(batch.mean))
    other.running_var.copy_(torch.from_numpy(batch.var))
    want = other(tensor.transpose(1, 2)).transpose(1, 2).detach().numpy()
    assert np.abs(batch.run(x) - want).max() < 1e-12
    scale, shift = batch.affine()
    assert np.abs(scale * x + shift - want).max() < 1e-12
    table = Embedding(some(9, 4))
    symbols = np.random.default_rng(0).integers(0, 9, (4, 20, 1))
    want = fill(torch.nn.Embedding(9, 4), weight=table.weight)(torch.from_numpy(symbols[..., 0])).detach().numpy()
    assert (table.run(symbols.astype(np.float64)) == want).all()


@pytest.mark.parametrize("symbol", [-1, 9, 0.5, np.nan])
def test_a_symbol_without_a_row_is_refused(symbol: float) -> None:
    with pytest.raises(ModelError, match="expected a whole number from 0 to 8"):
        Embedding(some(9, 4)).run(np.full((1, 2, 1), symbol))


# --- against the formulas, number by number ---


def by_hand(layer: Any, xs: np.ndarray) -> np.ndarray:
    """One sequence (T, I) -> (T, units), written from the papers for one unit and one number at a time."""
    from math import exp, sqrt, tanh

    def sigma(v: float) -> float:
        return 1 / (1 + exp(-v))

    def times(weight: Any, vector: list[float], first: int = 0, last: int | None = None) -> list[float]:
        table = dense(weight)[first:last]
        return [sum(float(w) * v for w, v in zip(row, vector, strict=True)) for row in table]

    def normal(values: list[float], gains: np.ndarray) -> list[float]:
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        return [float(g) * (v - mean) / sqrt(variance + layer.norm.eps) for v, g in zip(values, gains, strict=True)]

    count = layer.hidden
    h, c = [0.0] * layer.units, [0.0] * count
    out = []
    for x in xs:
        a = times(layer.weight_ih, [float(v) for v in x])
        if layer.norm:
            a = normal(a, layer.norm.gain_ih)
        split = 2 * count if isinstance(layer, GRU) and not layer.reset_after else None
        b = times(layer.weight_hh, h, 0, split)
        if layer.norm:
            b = normal(b, layer.norm.gain_hh[:split])
        if isinstance(layer, GRU):
            a = [v + float(w) for v, w in zip(a, layer.bias_ih, strict=True)]
            r = [sigma(a[j] + b[j] + layer.bias_hh[j]) for j in range(count)]
            z = [sigma(a[count + j] + b[count + j] + layer.bias_hh[count + j]) for j in range(count)]
            if layer.reset_after:
                late = [r[j] * (b[2 * count + j] + layer.bias_hh[2 * count + j]) for j in range(count)]
            else:
                late = times(layer.weight_hh, [r[j] * h[j] for j in range(count)], 2 * count)
                if layer.norm:
                    late = normal(late, layer.norm.gain_hh[2 * count :])
                late = [late[j] + layer.bias_hh[2 * count + j] for j in range(count)]
            h = [(1 - z[j]) * tanh(a[2 * count + j] + late[j]) + z[j] * h[j] for j in range(count)]
        elif isinstance(layer, LSTM):
            s = [a[k] + b[k] + layer.bias_ih[k] + layer.bias_hh[k] for k in range(4 * count)]
            c = [sigma(s[count + j]) * c[j] + sigma(s[j]) * tanh(s[2 * count + j]) for j in range(count)]
            h = [sigma(s[3 * count + j]) * tanh(c[j]) for j in range(count)]
            if layer.weight_hr is not None:
                h = times(layer.weight_hr, h)
        elif isinstance(layer, RNN):
            s = [a[j] + b[j] + layer.bias_ih[j] + layer.bias_hh[j] for j in range(count)]
            h = [tanh(v) if layer.nonlinearity == "tanh" else max(v, 0.0) for v in s]
        elif isinstance(layer, FastRNN):
            h = [layer.alpha * tanh(a[j] + b[j] + layer.bias[j]) + layer.beta * h[j] for j in range(count)]
        elif isinstance(layer, FastGRNN):
            z = [sigma(a[j] + b[j] + layer.bias_z[j]) for j in range(count)]
            n = [tanh(a[j] + b[j] + layer.bias_h[j]) for j in range(count)]
            h = [(layer.zeta * (1 - z[j]) + layer.nu) * n[j] + z[j] * h[j] for j in range(count)]
        else:
            pytest.skip(f"{layer.kind}: written once more by its torch module only (tests/training/test_torch_cells.py)")
        out.append(h)
    return np.array(out)


@pytest.mark.parametrize(("kind", "rank", "inside"), VARIANTS)
def test_cell_is_its_formula(kind: str, rank: bool, inside: bool) -> None:
    layer = cell(kind, rank=rank, layernorm=inside)
    layer.check("cell")
    x = sequences(steps=12)
    want = by_hand(layer, x[1])
    assert np.abs(layer.run(x)[1] - want).max() <= 1e-10 * (1 + np.abs(want).max())


# --- the model ---


def test_stacked_layers_of_every_kind_and_heads() -> None:
    model = every_kind()
    assert {layer.kind for layer in model.layers} == {*float_cells.kinds(), "layernorm", "batchnorm", "skip"}
    x = sequences()
    y = sample = (x - model.mean) / model.std
    for layer in model.layers:
        y = apply(layer, y, sample)
    found = model.each_head()
    assert [(head.name, part) for head, part, _ in found] == [("gesture", slice(0, 2)), ("strength", slice(2, 3))]
    got = model.forward(x)
    for _, part, linear in found:
        assert np.abs(got[..., part] - linear.apply(y)).max() < 1e-12
    assert [(head.name, head.outputs) for head, _, _ in model_of(cell("gru")).each_head()] == [("output", 3)]


def test_batch_normalisation_folds_into_every_kind_of_layer() -> None:
    x = sequences()
    for kind in KIND:
        for rank in (False, True):
            layer = cell(kind, rank=rank)
            norms = [BatchNorm(some(n), some(n), some(n), some(n) ** 2) for n in (INPUTS, INPUTS, layer.units)]
            model = model_of(norms[0], norms[1], layer, norms[2])
            folded = model.folded()
            assert folded.layers[0].kind == layer.kind
            assert len(folded.layers) == 1
            want = model.forward(x)
            assert np.abs(folded.forward(x) - want).max() <= 1e-12 * (1 + np.abs(want).max())
            assert isinstance(folded.cells[0].weight_ih, Factors) == rank
    symbols = np.random.default_rng(0).integers(0, 9, (4, 20, 1)).astype(np.float64)
    model = model_of(Embedding(some(9, 4)), BatchNorm(some(4), some(4), some(4), some(4) ** 2), cell("lstm", 4), inputs=1)
    assert [layer.kind for layer in model.folded().layers] == ["embedding", "lstm"]
    assert np.abs(model.folded().forward(symbols) - model.forward(symbols)).max() < 1e-12


def test_batch_normalisation_before_a_norm_is_refused() -> None:
    batch = BatchNorm(some(INPUTS), some(INPUTS), some(INPUTS), some(INPUTS) ** 2)
    for layer in (LayerNorm(some(INPUTS), some(INPUTS)), cell("gru", layernorm=True)):
        with pytest.raises(ModelError, match=f"a {layer.kind} layer cannot absorb the scale"):
            model_of(batch, layer, cell("gru", layer.units)).folded()


def test_value_ranges_are_the_largest_values_of_the_cells() -> None:
    x = sequences()
    lengths = np.array([40, 1, 17, 25])
    for kind, rank, inside in VARIANTS:
        layer = tamed(cell(kind, rank=rank, layernorm=inside), kind)
        model = model_of(LayerNorm(some(INPUTS), some(INPUTS)), layer)
        (value_ranges,) = model.value_ranges(x, lengths)
        want = {part.name: 0.0 for part in fields(value_ranges)}
        inputs = model.layers[0].run((x - model.mean) / model.std)
        for sequence, length in zip(inputs, lengths, strict=True):
            state = np.zeros((1, layer.state_size))
            for t in range(length):
                after = layer.step(sequence[None, t], state)
                h = layer.output(state)
                u = h @ dense(layer.weight_hh).T
                if kind == "gru-reset-before":  # r from the definition: a candidate of U (r * h) alone
                    r = np.array([gate_r(instance(GRU, layer), sequence[t], h[0])])
                    u[:, 2 * UNITS :] = (r * h) @ dense(layer.weight_hh)[2 * UNITS :].T
                seen = {"state": after, "ih": sequence[None, t] @ dense(layer.weight_ih).T, "hh": u}
                want = {name: np.maximum(want[name], np.abs(seen[name][0])) for name in want}
                state = after
        for name, value in want.items():
            assert np.allclose(getattr(value_ranges, name), value, rtol=1e-12, atol=1e-12), (kind, name)


def gate_r(layer: GRU, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    a, b = dense(layer.weight_ih) @ x, dense(layer.weight_hh)[: 2 * UNITS] @ h
    if layer.norm:
        eps = layer.norm.eps
        a = layer.norm.gain_ih * (a - a.mean()) / np.sqrt(a.var() + eps)
        b = layer.norm.gain_hh[: 2 * UNITS] * (b - b.mean()) / np.sqrt(b.var() + eps)
    return 1 / (1 + np.exp(-(a[:UNITS] + b[:UNITS] + layer.bias_ih[:UNITS] + layer.bias_hh[:UNITS])))


# --- the document ---


def test_the_document_names_every_kind_field_and_cell_of_the_trainer() -> None:
    text = (DOCS / "cells.md").read_text()
    listed = [line.split("|") for line in text.splitlines() if re.match(r"\| `[a-z]+`[ ,]", line)]
    listed = [line for line in listed if line[1] != " `kind` "]
    assert {line[1].strip(" `") for line in listed if "," not in line[1]} == {
        *float_cells.kinds(),
        "layernorm",
        "batchnorm",
        "embedding",
        "skip",
    }
    trained = {line[7].split("`")[1] for line in listed if len(line) == 9}
    assert trained == set(float_cells.names())
    for make in (GRU, LSTM, RNN, FastRNN, FastGRNN, CellNorm):
        for part in fields(make):
            assert re.search(rf"\b{part.name}\b", text), f"docs/cells.md does not speak of {make.__name__}.{part.name}"


@pytest.mark.parametrize("gates", [("i", "f", "g", "o"), ("r", "z", "n")])
def test_the_document_s_gate_order(gates: tuple[str, ...]) -> None:
    """A large bias on one block opens one gate. The cell then does what the document says of that gate."""
    kind = "lstm" if len(gates) == 4 else "gru"
    text = (DOCS / "cells.md").read_text()
    assert f"| `{kind}` | " in text
    assert f"| {', '.join(gates)} |" in text
    zero = np.zeros((len(gates) * UNITS, UNITS))
    for number, gate in enumerate(gates):
        bias = np.zeros(len(gates) * UNITS)
        bias[number * UNITS : (number + 1) * UNITS] = 50.0
        state = np.full((1, UNITS), 0.5)
        if kind == "gru":
            h = GRU(zero, zero, bias, 0 * bias).step(state, state)[0, 0]
            assert h == pytest.approx({"r": 0.25, "z": 0.5, "n": 0.5 + 0.25}[gate])
        else:
            h, c = LSTM(zero, zero, bias, 0 * bias).step(state, np.full((1, 2 * UNITS), 0.5))[0, [0, UNITS]]
            assert c == pytest.approx({"i": 0.25, "f": 0.5, "g": 0.25 + 0.5, "o": 0.25}[gate])
            assert h == pytest.approx(np.tanh(c) * (1.0 if gate == "o" else 0.5))
