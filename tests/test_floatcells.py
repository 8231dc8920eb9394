"""Every cell in float: against torch's own modules, against its formula, through the file, and into torch and back."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="install it with: pip install 'tinyrnn[train]'")

from tinyrnn import floatmodel  # noqa: E402
from tinyrnn.errors import ModelError  # noqa: E402
from tinyrnn.floatlayers import dense  # noqa: E402
from tinyrnn.floatmodel import (  # noqa: E402
    GRU,
    KINDS,
    LSTM,
    RNN,
    BatchNorm,
    Calibration,
    CellNorm,
    Embedding,
    Factors,
    FastGRNN,
    FastRNN,
    FloatModel,
    Head,
    Layer,
    LayerNorm,
    Linear,
)
from tinyrnn.initial import initial  # noqa: E402
from tinyrnn.plan import CELLS, Plan  # noqa: E402
from tinyrnn.torchcells import Stepped, build, export  # noqa: E402
from tinyrnn.torchmodel import Network, from_floatmodel  # noqa: E402

INPUTS, UNITS = 5, 7
RNG = np.random.default_rng(11)
Make = Callable[..., Layer]


def some(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape) * 0.6


def low(rows: int, cols: int) -> Factors:
    return Factors(some(rows, 2), some(2, cols))


def norm(rows: int) -> CellNorm:
    return CellNorm(some(rows), some(rows), eps=1e-3)


def cell(kind: str, inputs: int = INPUTS, rank: bool = False, layernorm: bool = False) -> Layer:
    """A random cell of any kind with its options."""
    matrix = low if rank else some
    name, _, option = kind.partition("-")
    rows = {"gru": 3, "lstm": 4}.get(name, 1) * UNITS
    inner: dict[str, Any] = {"norm": norm(rows)} if layernorm else {}
    width = 3 if option == "projection" else UNITS
    both = (matrix(rows, inputs), matrix(rows, width))
    if name == "gru":
        return GRU(*both, some(rows), some(rows), reset_after=option != "before", **inner)
    if name == "lstm":
        return LSTM(*both, some(rows), some(rows), matrix(width, UNITS) if option else None, **inner)
    if name == "rnn":
        return RNN(*both, some(rows), some(rows), option or "tanh", **inner)
    if name == "fastrnn":
        return FastRNN(*both, some(rows), 0.3, 0.65, **inner)
    return FastGRNN(*both, some(rows), some(rows), 0.8, 0.1, **inner)


KIND = ("gru", "gru-before", "lstm", "lstm-projection", "rnn", "rnn-relu", "fastrnn", "fastgrnn")
VARIANTS = [(kind, rank, inside) for kind in KIND for rank in (False, True) for inside in (False, True)]


def model_of(*layers: Layer, outputs: int = 3, inputs: int = INPUTS, **options: Any) -> FloatModel:
    symbols = isinstance(layers[0], Embedding)
    return FloatModel(
        task="classification",
        when="last",
        mean=np.zeros(inputs) if symbols else some(inputs),
        std=np.ones(inputs) if symbols else 0.5 + some(inputs) ** 2,
        layers=layers,
        head=Linear(some(outputs, layers[-1].units), some(outputs)),
        labels=tuple(f"class{i}" for i in range(outputs)),
        channels=tuple(f"c{i}" for i in range(inputs)),
        target_mean=np.zeros(outputs),
        target_std=np.ones(outputs),
        calibration=Calibration(np.full(inputs, -3.0), np.full(inputs, 3.0), False, some(8, inputs)),
        **options,
    )


def sequences(inputs: int = INPUTS, steps: int = 40) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(4, steps, inputs))


def fill(module: torch.nn.Module, **arrays: np.ndarray) -> torch.nn.Module:
    """The module in float64 with these parameters, all of them."""
    module = module.double()
    with torch.no_grad():
        assert set(dict(module.named_parameters())) == set(arrays)
        for name, array in arrays.items():
            module.get_parameter(name).copy_(torch.from_numpy(array))
    return module


def parameters(layer: Layer, *names: str) -> dict[str, np.ndarray]:
    return {f"{name}_l0": getattr(layer, name) for name in names}


FOUR = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


# --- against torch's own ---


@pytest.mark.parametrize("kind", ["gru", "lstm", "lstm-projection", "rnn", "rnn-relu"])
def test_cell_is_torch_s_own(kind: str) -> None:
    layer = cell(kind)
    names = FOUR
    if kind == "gru":
        module = torch.nn.GRU(INPUTS, UNITS, batch_first=True)
    elif kind.startswith("lstm"):
        module = torch.nn.LSTM(INPUTS, UNITS, batch_first=True, proj_size=3 if "-" in kind else 0)
        names += ("weight_hr",) if "-" in kind else ()
    else:
        module = torch.nn.RNN(INPUTS, UNITS, batch_first=True, nonlinearity=layer.nonlinearity)
    if kind == "rnn-relu":  # keep it from growing without bound
        layer = replace(layer, weight_hh=layer.weight_hh * 0.3)
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
    """One sequence (T, I) -> (T, units), written anew from the papers for one unit and one number at a time."""
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
        else:
            z = [sigma(a[j] + b[j] + layer.bias_z[j]) for j in range(count)]
            n = [tanh(a[j] + b[j] + layer.bias_h[j]) for j in range(count)]
            h = [(layer.zeta * (1 - z[j]) + layer.nu) * n[j] + z[j] * h[j] for j in range(count)]
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


def every_kind() -> FloatModel:
    """Layers of every kind but the table, options among them, and two heads."""
    layers: list[Layer] = [BatchNorm(some(INPUTS), some(INPUTS), some(INPUTS), some(INPUTS) ** 2)]
    width = INPUTS
    for number, (kind, rank, inside) in enumerate(VARIANTS):
        layer = cell(kind, width, rank, inside)
        width = layer.units
        small = 0.2 if kind == "rnn-relu" else 1.0
        if small != 1 and isinstance(layer.weight_hh, np.ndarray):
            layer = replace(layer, weight_hh=layer.weight_hh * small)
        elif small != 1:
            layer = replace(layer, weight_hh=Factors(layer.weight_hh.a * small, layer.weight_hh.b))
        layers += [layer, LayerNorm(some(width), some(width))] if number % 3 == 0 else [layer]
        following = VARIANTS[(number + 1) % len(VARIANTS)]
        if number % 3 == 1 and not following[2]:  # a cell that normalises W x cannot take one up
            layers.append(BatchNorm(some(width), some(width), some(width), some(width) ** 2))
    heads = (Head("gesture", 2, "classification"), Head("strength", 1, "regression"))
    return model_of(*layers, heads=heads)


def test_stacked_layers_of_every_kind_and_heads() -> None:
    model = every_kind()
    assert {layer.kind for layer in model.layers} == set(KINDS) - {"embedding"}
    x = sequences()
    y = (x - model.mean) / model.std
    for layer in model.layers:
        y = layer.run(y)
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
        with pytest.raises(ModelError, match=f"a {layer.kind} layer cannot take up the scale"):
            model_of(batch, layer, cell("gru", layer.units)).folded()


def test_reach_is_what_the_cells_reach() -> None:
    x = sequences()
    lengths = np.array([40, 1, 17, 25])
    for kind, rank, inside in VARIANTS:
        layer = cell(kind, rank=rank, layernorm=inside)
        if kind == "rnn-relu":
            layer = replace(layer, weight_hh=dense(layer.weight_hh) * 0.3)
        model = model_of(LayerNorm(some(INPUTS), some(INPUTS)), layer)
        (reach,) = model.reach(x, lengths)
        want = {part.name: 0.0 for part in fields(reach)}
        inputs = model.layers[0].run((x - model.mean) / model.std)
        for sequence, length in zip(inputs, lengths, strict=True):
            state = np.zeros((1, layer.state_size))
            for t in range(length):
                after = layer.step(sequence[None, t], state)
                h = layer.output(state)
                u = h @ dense(layer.weight_hh).T
                if kind == "gru-before":  # r from the definition: a candidate of U (r * h) alone
                    r = np.array([gate_r(layer, sequence[t], h[0])])
                    u[:, 2 * UNITS :] = (r * h) @ dense(layer.weight_hh)[2 * UNITS :].T
                seen = {"state": after, "ih": sequence[None, t] @ dense(layer.weight_ih).T, "hh": u}
                want = {name: np.maximum(want[name], np.abs(seen[name][0])) for name in want}
                state = after
        for name, value in want.items():
            assert np.allclose(getattr(reach, name), value, rtol=1e-12, atol=1e-12), (kind, name)


def gate_r(layer: GRU, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    a, b = dense(layer.weight_ih) @ x, dense(layer.weight_hh)[: 2 * UNITS] @ h
    if layer.norm:
        eps = layer.norm.eps
        a = layer.norm.gain_ih * (a - a.mean()) / np.sqrt(a.var() + eps)
        b = layer.norm.gain_hh[: 2 * UNITS] * (b - b.mean()) / np.sqrt(b.var() + eps)
    return 1 / (1 + np.exp(-(a[:UNITS] + b[:UNITS] + layer.bias_ih[:UNITS] + layer.bias_hh[:UNITS])))


# --- the file ---


def identical(a: Any, b: Any) -> bool:
    """Field by field, arrays by ==."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(identical(p, q) for p, q in zip(a, b, strict=True))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(identical(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)


@pytest.mark.parametrize(("kind", "rank", "inside"), VARIANTS)
def test_round_trip_of_a_cell(tmp_path: Path, kind: str, rank: bool, inside: bool) -> None:
    model = model_of(cell(kind, rank=rank, layernorm=inside), info={"seed": 3, "note": ["a", {"b": 1.5}]})
    model = replace(model, calibration=replace(model.calibration, reach=model.reach(sequences())))
    floatmodel.save(model, tmp_path / "model.pt")
    again = floatmodel.load(tmp_path / "model.pt")
    assert identical(model, again)
    assert (again.forward(sequences()) == model.forward(sequences())).all()
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_round_trip_of_every_kind_and_of_symbols(tmp_path: Path) -> None:
    for model in (every_kind(), model_of(Embedding(some(9, 4)), cell("lstm", 4), inputs=1)):
        floatmodel.save(model, tmp_path / "model.pt")
        assert identical(model, floatmodel.load(tmp_path / "model.pt"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written") as caught:
        floatmodel.save(model_of(cell("gru")), tmp_path / "absent" / "model.pt")
    assert "\n" not in str(caught.value)


def test_files_of_the_first_format_are_read(tmp_path: Path) -> None:
    """As tinyrnn 0.1 wrote them: layers without kind, no heads, no reach."""
    model = model_of(cell("gru"), cell("gru", UNITS))
    floatmodel.save(model, tmp_path / "model.pt")
    raw = torch.load(tmp_path / "model.pt", weights_only=True)
    raw["format"] = "tinyrnn-float-1"
    raw["model"]["layers"] = [{name: layer[name] for name in FOUR} for layer in raw["model"]["layers"]]
    del raw["model"]["heads"], raw["model"]["calibration"]["reach"]
    torch.save(raw, tmp_path / "old.pt")
    assert identical(model, floatmodel.load(tmp_path / "old.pt"))


def put(*path: Any) -> Callable[[dict[str, Any]], Any]:
    """put(key, ..., value): set it in the model's dictionary."""

    def change(raw: dict[str, Any]) -> None:
        place: Any = raw["model"]
        for key in path[:-2]:
            place = place[key]
        place[path[-2]] = path[-1]

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], Any]:
    def change(raw: dict[str, Any]) -> None:
        place: Any = raw["model"]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


NAN = torch.full((4 * UNITS,), float("nan"))
DAMAGE = {
    "other format": (lambda raw: raw.update(format="tinyrnn-float-9"), "holds 'tinyrnn-float-9'"),
    "no model": (lambda raw: raw.pop("model"), "field is missing or of the wrong type"),
    "model a list": (lambda raw: raw.update(model=[1, 2]), "field is missing or of the wrong type"),
    "no layers": (drop("layers"), "no 'layers'"),
    "layers a number": (put("layers", 3), "field is missing or of the wrong type"),
    "empty layers": (put("layers", []), "no recurrent layer"),
    "layer a text": (put("layers", ["lstm"]), "field is missing or of the wrong type"),
    "unknown kind": (put("layers", 0, "kind", "transformer"), "unknown kind 'transformer'"),
    "kind a list": (put("layers", 0, "kind", ["lstm"]), "wrong type"),
    "unknown field": (put("layers", 0, "peephole", torch.ones(3)), "LSTM has no 'peephole'"),
    "missing matrix": (drop("layers", 0, "weight_hh"), "LSTM without weight_hh"),
    "matrix none": (put("layers", 0, "weight_hh", None), "weight_hh is NoneType"),
    "matrix a number": (put("layers", 0, "weight_hh", 5), "weight_hh is int"),
    "matrix of texts": (put("layers", 0, "weight_hh", ["a"]), "wrong type"),
    "matrix 3-d": (put("layers", 0, "weight_ih", torch.ones(28, 5, 1)), r"weight_ih has shape \(28, 5, 1\)"),
    "wrong columns": (put("layers", 0, "weight_ih", torch.ones(28, 6)), "takes 6 inputs; expected 5"),
    "wrong gates": (put("layers", 0, "weight_ih", torch.ones(27, 5)), "multiple of 4"),
    "empty": (put("layers", 0, "weight_ih", torch.ones(0, 5)), r"shape \(0, 5\)"),
    "short bias": (put("layers", 0, "bias_ih", torch.ones(27)), r"bias_ih has shape \(27,\); expected \(28\)"),
    "nan": (put("layers", 0, "bias_ih", NAN), "bias_ih holds NaN"),
    "complex": (put("layers", 0, "bias_ih", torch.ones(28, dtype=torch.complex64)), "expected an ordinary one"),
    "sparse": (put("layers", 0, "weight_ih", torch.ones(28, 5).to_sparse()), "expected an ordinary one"),
    "huge": (put("layers", 0, "weight_ih", torch.ones(1).expand(1 << 40)), "on fewer numbers"),
    "factors": (put("layers", 0, "weight_ih", {"a": torch.ones(28, 2), "b": torch.ones(3, 5)}), "factors of rank 2 and 3"),
    "half factors": (put("layers", 0, "weight_ih", {"a": torch.ones(28, 2)}), "Factors without b"),
    "norm": (put("layers", 0, "norm", {"gain_ih": torch.ones(3), "gain_hh": torch.ones(28)}), "norm gain_ih has shape"),
    "eps": (
        put("layers", 0, "norm", {"gain_ih": torch.ones(28), "gain_hh": torch.ones(28), "eps": float("nan")}),
        "norm eps is nan",
    ),
    "projection": (put("layers", 0, "weight_hr", torch.ones(7, 9)), r"weight_hr has shape \(7, 9\); expected \(any, 7\)"),
    "std zero": (put("std", torch.zeros(5)), "standard deviation is not positive"),
    "std nan": (put("std", torch.full((5,), float("nan"))), "std holds NaN"),
    "labels": (put("labels", ["a", 2, "c"]), "int where a text is expected"),
    "more labels": (put("labels", ["a", "b", "c", "d"]), r"head weight has shape \(3, 7\)"),
    "task": (put("task", "magic"), "task 'magic'"),
    "heads": (put("heads", [{"name": "a", "outputs": 2, "task": "classification"}]), "heads have 2 outputs; expected 3"),
    "heads a text": (put("heads", "abc"), "wrong type"),
    "calibration": (put("calibration", "sample", torch.ones(8, 4)), "calibration sample"),
    "reach": (put("calibration", "reach", [{"state": torch.ones(3), "ih": NAN, "hh": NAN}]), "calibration of cell 0"),
    "info": (put("info", 7), "wrong type"),
    "extra": (put("surprise", 7), "wrong type"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_give_one_line(tmp_path: Path, name: str) -> None:
    change, words = DAMAGE[name]
    path = tmp_path / "model.pt"
    floatmodel.save(model_of(cell("lstm")), path)
    raw = torch.load(path, weights_only=True)
    change(raw)
    torch.save(raw, path)
    with pytest.raises(ModelError, match=words) as caught:
        floatmodel.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 260


NUMBERS = {
    "alpha above 1": (lambda: replace(cell("fastrnn"), alpha=1.5), "alpha is 1.5; expected a number from 0 to 1"),
    "beta nan": (lambda: replace(cell("fastrnn"), beta=float("nan")), "beta is nan"),
    "zeta an array": (lambda: replace(cell("fastgrnn"), zeta=some(7)), "zeta is ndarray"),
    "nu a text": (lambda: replace(cell("fastgrnn"), nu="0.1"), "nu is '0.1'"),
    "nonlinearity": (lambda: replace(cell("rnn"), nonlinearity="sin"), "nonlinearity is 'sin'"),
    "reset after": (lambda: replace(cell("gru"), reset_after=None), "reset_after is None"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_options_out_of_range_are_refused(name: str) -> None:
    make, words = NUMBERS[name]
    with pytest.raises(ModelError, match=words) as caught:
        model_of(make())
    assert "\n" not in str(caught.value)


def test_layers_that_do_not_fit_together() -> None:
    with pytest.raises(ModelError, match="layer 1 lstm takes 5 inputs; expected 7"):
        model_of(cell("gru"), cell("lstm"))
    with pytest.raises(ModelError, match="layer 1 embedding takes 1 inputs; expected 7"):
        model_of(cell("gru"), Embedding(some(9, 4)), cell("gru", 4))
    model = model_of(Embedding(some(9, 4)), cell("gru", 4), inputs=1)
    with pytest.raises(ModelError, match="symbol is normalised; expected mean 0, std 1"):
        replace(model, mean=np.ones(1))
    with pytest.raises(ModelError, match="variance of -1"):
        model_of(BatchNorm(some(5), some(5), some(5), np.full(5, -1.0)), cell("gru"))


def test_a_pickle_bomb_and_a_zip_bomb_are_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    buffer = io.BytesIO()
    torch.save({"format": "tinyrnn-float-2", "model": Bomb()}, buffer)
    (tmp_path / "inside.pt").write_bytes(buffer.getvalue())
    floatmodel.save(model_of(cell("gru")), tmp_path / "model.pt")
    with (
        zipfile.ZipFile(tmp_path / "model.pt") as archive,
        zipfile.ZipFile(tmp_path / "zip.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in archive.namelist():
            packed.writestr(entry, archive.read(entry))
    for name, words in (("bomb", "cannot be read"), ("inside", "cannot be read"), ("zip", "its archive is compressed")):
        with pytest.raises(ModelError, match=words) as caught:
            floatmodel.load(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    floatmodel.save(model_of(cell("fastgrnn")), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError) as caught:
            floatmodel.load(path)
        assert "\n" not in str(caught.value)


# --- the document ---


def test_the_document_names_every_kind_field_and_cell_of_the_trainer() -> None:
    text = (Path(__file__).parents[1] / "docs" / "cells.md").read_text()
    listed = [line.split("|") for line in text.splitlines() if re.match(r"\| `[a-z]+`[ ,]", line)]
    listed = [line for line in listed if line[1] != " `kind` "]
    assert {line[1].strip(" `") for line in listed if "," not in line[1]} == set(KINDS)
    trained = {line[7].split("`")[1] for line in listed if len(line) == 9}
    assert trained == set(CELLS)
    for make in (GRU, LSTM, RNN, FastRNN, FastGRNN, CellNorm):
        for part in fields(make):
            assert re.search(rf"\b{part.name}\b", text), f"docs/cells.md does not speak of {make.__name__}.{part.name}"


@pytest.mark.parametrize("gates", [("i", "f", "g", "o"), ("r", "z", "n")])
def test_the_document_s_gate_order(gates: tuple[str, ...]) -> None:
    """A large bias on one block opens one gate: what the cell then does is what the document says of that gate."""
    kind = "lstm" if len(gates) == 4 else "gru"
    text = (Path(__file__).parents[1] / "docs" / "cells.md").read_text()
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


# --- into torch and back ---


@pytest.mark.parametrize(("kind", "rank", "inside"), VARIANTS)
def test_module_is_the_cell_and_gives_it_back(kind: str, rank: bool, inside: bool) -> None:
    layer = cell(kind, rank=rank, layernorm=inside)
    if kind == "rnn-relu":
        layer = replace(layer, weight_hh=low(UNITS, UNITS) if rank else layer.weight_hh * 0.3)
    module = build(layer)
    again = export(module)
    x = sequences()
    # float32 parameters: what comes back is the layer rounded, and running it is running the module
    for part in fields(layer):
        before, after = getattr(layer, part.name), getattr(again, part.name)
        if isinstance(before, np.ndarray):
            assert (after == before.astype(np.float32)).all()
        elif isinstance(before, float):
            assert after == pytest.approx(before, abs=1e-6)
        elif isinstance(before, Factors):
            assert (after.a == before.a.astype(np.float32)).all()
        elif before is not None and not isinstance(before, CellNorm):
            assert after == before
    with torch.no_grad():
        got = module(torch.from_numpy(x.astype(np.float32)))
    got = (got[0] if isinstance(got, tuple) else got).numpy()
    want = again.run(x.astype(np.float32).astype(np.float64))
    assert np.abs(got - want).max() <= 1e-5 * max(1.0, np.abs(want).max())
    with torch.no_grad():  # and without rounding it is the very cell
        got = module.double()(torch.from_numpy(x))
    want = export(module).run(x)
    assert np.abs((got[0] if isinstance(got, tuple) else got).numpy() - want).max() <= 1e-10 * max(1.0, np.abs(want).max())
    native = not rank and not inside and kind in ("gru", "lstm", "lstm-projection", "rnn", "rnn-relu")
    assert isinstance(module, Stepped) != native


def test_own_loop_is_torch_s_own_and_so_are_its_gradients() -> None:
    """The stepped twin of each cell that torch has, on the same weights."""
    from tinyrnn.torchcells import STEPPED

    x = torch.from_numpy(sequences(steps=15).astype(np.float32))
    for kind in ("gru", "lstm", "lstm-projection", "rnn"):
        layer = cell(kind)
        native, stepped = build(layer), STEPPED[type(layer)](layer)
        results = []
        for module in (native, stepped):
            y = module(x)
            y = y[0] if isinstance(y, tuple) else y
            y.square().sum().backward()
            results.append(y.detach())
        assert torch.allclose(*results, atol=2e-6)
        gradient = {name.removesuffix("_l0"): p.grad for name, p in native.named_parameters()}
        for name, p in stepped.named_parameters():
            assert torch.allclose(p.grad, gradient[name.removesuffix(".w")], rtol=1e-3, atol=1e-3), (kind, name)


PLANS = [
    *(Plan((name,), 6) for name in CELLS),
    *(Plan((name,), 12, rank=2, layernorm=True) for name in CELLS),
    Plan(("lstm",), 8, projection=3),
    Plan(("lstm", "gru", "fastgrnn"), 8, projection=3, layernorm_between=True),
    Plan(("rnn", "rnn-relu"), 8, layernorm_between=True),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.title}-{plan.rank}-{plan.projection}-{len(plan.cells)}")
def test_plan_to_network_to_float_model(plan: Plan) -> None:
    generator = torch.Generator().manual_seed(1)
    layers, head = initial(plan, INPUTS, 3, generator, memory=20)
    again, _ = initial(plan, INPUTS, 3, torch.Generator().manual_seed(1), memory=20)
    assert identical(layers, again)
    model = replace(model_of(*layers), head=head)
    network = from_floatmodel(model).double()  # a norm of a small state amplifies what float32 rounds
    with torch.no_grad():
        for parameter in network.parameters():  # as a training would
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).double())
        cells, dense_head = network.parts()
        trained = replace(model, layers=cells, head=dense_head, mean=np.zeros(INPUTS), std=np.ones(INPUTS))
        x = sequences()
        got = network(torch.from_numpy(x)).numpy()
    want = trained.forward(x)
    assert np.abs(got - want).max() <= 1e-10 * max(1.0, np.abs(want).max())
    kinds = [name.split("-")[0] for name in plan.cells]
    assert [layer.kind for layer in trained.cells] == kinds
    assert [isinstance(layer.weight_hh, Factors) for layer in trained.cells] == [plan.rank > 0] * len(kinds)
    assert [layer.norm is not None for layer in trained.cells] == [plan.layernorm] * len(kinds)
    assert len(trained.layers) == len(kinds) * 2 - 1 if plan.layernorm_between else len(kinds)


def test_what_is_not_trained_is_refused() -> None:
    with pytest.raises(ModelError, match="a embedding layer cannot be trained"):
        Network((Embedding(some(9, 4)), cell("gru", 4)), Linear(some(3, 7), some(3)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": ()}, "0 layers"),
        ({"cells": ("transformer",)}, "no cell is called 'transformer'; expected one of gru, gru-reset-before, lstm"),
        ({"units": 0}, "units is 0"),
        ({"projection": 4}, "outputs of a gru; expected an lstm"),
        ({"cells": ("lstm",), "projection": 32}, "a projection to 32 outputs of 32 units"),
        ({"rank": 24}, "a rank of 24 saves nothing"),
        ({"layernorm_between": True}, "with 1 layer; expected 2 layers or more"),
    ],
)
def test_plans_that_make_no_sense(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Plan(**options)
