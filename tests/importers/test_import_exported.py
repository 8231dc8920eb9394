# SPDX-License-Identifier: MIT
"""torch.export programs: decomposed, with hand-written cells, streaming, parametrized; and the messages."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from helpers import importing
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers import float_conversion, framework_check
from tinyrnn.importers.source_model import Options, SourceModel
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune


def export(net: nn.Module, given: Any, path: Path, decomposed: bool = False, **more: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net.eval(), given if isinstance(given, tuple) else (given,), **more)
        torch.export.save(program.run_decompositions() if decomposed else program, path)


def imported(path: Path, options: Options | None = None) -> tuple[SourceModel, FloatModel]:
    return importing.read(path, options, ranges=((-2, 2),))


def agree(net: nn.Module, path: Path, x: Any) -> list[str]:
    """Compare the imported model and the user's module on inputs that the import has not seen; return its layers' kinds."""
    source, model = imported(path)
    with torch.no_grad():
        want = net(x).numpy()
    got = model.forward(x.numpy())
    np.testing.assert_allclose(got[:, -1] if source.when == "last" else got, want, atol=1e-5)
    return [layer.kind for layer in model.layers]


class Stacked(nn.Module):
    """Batch norm, recurrent layers, layer norm and head."""

    def __init__(self, kind: str, layers: int, first: bool, take: str, **more: Any) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(3, 4, layers, batch_first=first, **more)
        self.bn, self.norm, self.head = nn.BatchNorm1d(3), nn.LayerNorm(4), nn.Linear(4, 2)
        self.first, self.take = first, take
        with torch.no_grad():
            self.bn.running_mean.copy_(torch.randn(3))

    def forward(self, x: Any) -> Any:
        x = self.bn(x.transpose(1, 2)).transpose(1, 2)
        y, h = self.rnn(x if self.first else x.transpose(0, 1))
        y = y if self.first else y.transpose(0, 1)
        if self.take == "h_n":
            y = (h[0] if isinstance(h, tuple) else h)[-1]
        return self.head(self.norm(y[:, -1] if self.take == "last" else y))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(
    ("kind", "layers", "first", "take", "more"),
    [
        ("GRU", 1, True, "last", {}),
        ("GRU", 2, False, "every", {}),
        ("GRU", 2, True, "h_n", {}),
        ("GRU", 1, True, "every", {"bias": False}),
        ("LSTM", 1, True, "last", {}),
        ("LSTM", 2, True, "h_n", {}),
        ("LSTM", 1, False, "every", {"bias": False}),
        ("RNN", 1, True, "last", {}),
        ("RNN", 2, False, "h_n", {}),
        ("RNN", 1, True, "every", {"nonlinearity": "relu"}),
    ],
)
def test_decomposed(kind: str, layers: int, first: bool, take: str, more: Any, batch: int, tmp_path: Path) -> None:
    """run_decompositions() leaves matrices, sigmoids and products. The importer finds the cells in them."""
    torch.manual_seed(layers)
    net, x = Stacked(kind, layers, first, take, **more), torch.randn(batch, 5, 3)
    export(net, x, tmp_path / "m.pt2", decomposed=True)
    assert agree(net, tmp_path / "m.pt2", x) == ["batchnorm", *[kind.lower()] * layers, "layernorm"]


class Loop(nn.Module):
    """Two stacked cells."""

    def __init__(self, make: Any, take: str) -> None:
        super().__init__()
        self.a, self.b, self.head, self.take = make(3, 5), make(5, 4), nn.Linear(4, 2), take

    def forward(self, x: Any) -> Any:
        a = b = None
        steps = []
        for t in range(x.shape[1]):
            a = self.a(x[:, t], a)
            b = self.b(a[0] if isinstance(a, tuple) else a, b)
            steps.append(b[0] if isinstance(b, tuple) else b)
        return self.head(torch.stack(steps, 1) if self.take == "every" else steps[-1])


@pytest.mark.slow
@pytest.mark.parametrize("take", ["last", "every"])
@pytest.mark.parametrize("make", [nn.GRUCell, nn.LSTMCell, nn.RNNCell])
def test_decomposed_cells(make: Any, take: str, tmp_path: Path) -> None:
    net, x = Loop(make, take), torch.randn(2, 5, 3)
    export(net, x, tmp_path / "m.pt2", decomposed=True)
    assert agree(net, tmp_path / "m.pt2", x) == [make.__name__[:-4].lower()] * 2


def by_hand(kind: str) -> nn.Module:
    """A cell as people write it from the formulas."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w, self.u = nn.Linear(3, 16), nn.Linear(4, 16, bias=False)
            self.wr, self.wz, self.wn = (nn.Linear(3, 4) for _ in range(3))
            self.ur, self.uz, self.un = (nn.Linear(4, 4) for _ in range(3))
            self.both, self.all, self.head = nn.Linear(7, 4), nn.Linear(7, 16), nn.Linear(4, 2)

        def step(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
            if kind == "rnn":
                return torch.tanh(self.both(torch.cat([x, h], 1))), c
            if kind.startswith("lstm"):
                gates = self.all(torch.cat((x, h), dim=-1)) if kind == "lstm-cat" else self.w(x) + self.u(h)
                i, f, g, o = gates.chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                return torch.sigmoid(o) * torch.tanh(c), c
            r, z = torch.sigmoid(self.wr(x) + self.ur(h)), torch.sigmoid(self.wz(x) + self.uz(h))
            if kind == "gru-before":
                return (1 - z) * h + z * torch.tanh(self.wn(x) + self.un(r * h)), c
            n = torch.tanh(self.wn(x) + r * self.un(h))
            if kind == "decay":
                return 0.9 * h + 0.1 * n, c
            return (1 - z) * n + z * h, c

        def forward(self, x: Any) -> Any:
            h = c = torch.zeros(x.shape[0], 4)
            steps = []
            for t in range(x.shape[1]):
                h, c = self.step(x[:, t], h, c)
                steps.append(h)
            return self.head(torch.stack(steps, 1))

    return Made()


@pytest.mark.parametrize("kind", ["gru", "gru-before", "rnn", "lstm", "lstm-cat"])
def test_cells_by_hand(kind: str, tmp_path: Path) -> None:
    net, x = by_hand(kind), torch.randn(2, 6, 3)
    export(net, x, tmp_path / "m.pt2")
    assert agree(net, tmp_path / "m.pt2", x) == [kind.split("-")[0]]


def test_other_cells_are_refused(tmp_path: Path) -> None:
    """A cell that is not a GRU, LSTM or RNN is refused."""
    export(by_hand("decay"), torch.randn(2, 6, 3), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"uses a state in a way that no GRU, LSTM or RNN does; expected nn\.GRU"):
        imported(tmp_path / "m.pt2")


class FoldedLayers(nn.Module):
    """Layers for a function to use as forward()."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.gru, self.lstm, self.deep = (
            nn.GRU(3, 6, batch_first=True),
            nn.LSTM(3, 6, batch_first=True),
            nn.GRU(6, 6, 2, batch_first=True),
        )
        self.plain, self.cell, self.lstm_cell = nn.GRU(3, 6), nn.GRUCell(3, 6), nn.LSTMCell(3, 6)
        self.single, self.table, self.head = nn.GRU(1, 6, batch_first=True), nn.Embedding(9, 3), nn.Linear(6, 2)
        self.rows, self.columns = nn.Linear(3, 18), nn.Linear(6, 18)
        self.start = nn.Parameter(torch.zeros(1, 1, 6))

    def forward(self, *given: Any) -> Any:
        return self.function(self, *given)


def returned(m: FoldedLayers, y: Any, *states: Any) -> Any:
    return (m.head(y), *states)


def stepped(m: FoldedLayers, x: Any, h: Any, back: Callable[[Any, Any], Any] = lambda new, old: new) -> Any:
    y, new = m.gru(x, h)
    return returned(m, y, back(new, h))


def lstm_cell(m: FoldedLayers, x: Any, h: Any, c: Any) -> Any:
    h, c = m.lstm_cell(x, (h, c))
    return returned(m, torch.relu(h), h, c)


def cell(m: FoldedLayers, x: Any, h: Any) -> Any:
    h = m.cell(x, h)
    return returned(m, h, h)


def gru_by_hand(m: FoldedLayers, x: Any, h: Any) -> Any:
    of_x, of_h = m.rows(x).chunk(3, -1), m.columns(h).chunk(3, -1)
    r, z = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
    h = (1 - z) * torch.tanh(of_x[2] + r * of_h[2]) + z * h
    return returned(m, h, h)


def two(m: FoldedLayers, x: Any, a: Any, b: Any) -> Any:
    y, a = m.gru(x, a)
    y, b = m.deep(y, b)
    return returned(m, y, b, a)


def packed(m: FoldedLayers, x: Any, s: Any) -> Any:
    y, s = m.lstm(x, (s[0], s[1]))
    return returned(m, y, torch.stack(s))


def zeros(*size: int) -> Any:
    return torch.zeros(size)


STREAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "one step": (stepped, (zeros(1, 1, 3), zeros(1, 1, 6))),
    "four steps": (stepped, (zeros(1, 4, 3), zeros(1, 1, 6))),
    "the last of four steps": (
        lambda m, x, h: (lambda y: returned(m, y[0][:, -1], y[1]))(m.gru(x, h)),
        (zeros(1, 4, 3), zeros(1, 1, 6)),
    ),
    "clamped to where it always is": (
        lambda m, x, h: stepped(m, x, h, lambda new, old: new.clamp(-1, 1)),
        (zeros(1, 4, 3), zeros(1, 1, 6)),
    ),
    "lstm": (
        lambda m, x, h, c: (lambda y: returned(m, y[0], *y[1]))(m.lstm(x, (h, c))),
        (zeros(1, 1, 3), zeros(1, 1, 6), zeros(1, 1, 6)),
    ),
    "lstm, c in front": (
        lambda m, x, h, c: (lambda y: returned(m, y[0], y[1][1], y[1][0]))(m.lstm(x, (h, c))),
        (zeros(1, 1, 3), zeros(1, 1, 6), zeros(1, 1, 6)),
    ),
    "a policy: observation (1, F)": (
        lambda m, x, hc: (lambda y: returned(m, y[0].squeeze(1), *y[1]))(m.lstm(x.unsqueeze(1), hc)),
        (zeros(1, 3), (zeros(1, 1, 6), zeros(1, 1, 6))),
    ),
    "a policy without batch_first": (
        lambda m, x, h: (lambda y: returned(m, y[0].squeeze(0), y[1]))(m.plain(x.unsqueeze(0), h)),
        (zeros(1, 3), zeros(1, 1, 6)),
    ),
    "observation (F,)": (
        lambda m, x, h: (lambda y: returned(m, y[0].squeeze(), y[1]))(m.plain(x.view(1, 1, -1), h)),
        (zeros(3), zeros(1, 1, 6)),
    ),
    "GRUCell": (cell, (zeros(1, 3), zeros(1, 6))),
    "LSTMCell": (lstm_cell, (zeros(1, 3), zeros(1, 6), zeros(1, 6))),
    "GRU by hand": (gru_by_hand, (zeros(1, 3), zeros(1, 6))),
    "h and c in one tensor": (packed, (zeros(1, 1, 3), zeros(2, 1, 1, 6))),
    "two layers with a state each": (two, (zeros(1, 1, 3), zeros(1, 1, 6), zeros(2, 1, 6))),
    "symbols": (lambda m, x, h: stepped(m, m.table(x), h), (torch.zeros(1, 1, dtype=torch.long), zeros(1, 1, 6))),
}


PACKED = ("h and c in one tensor", "two layers with a state each")


@pytest.mark.parametrize(("name", "decomposed"), [(n, d) for n in STREAMS for d in (False, True) if not (d and n in PACKED)])
def test_streams(name: str, decomposed: bool, tmp_path: Path) -> None:
    """A program that takes and returns its states, run for many steps, equals one run of the model."""
    torch.manual_seed(5)
    function, given = STREAMS[name]
    export(FoldedLayers(function), given, tmp_path / "m.pt2", decomposed)
    source, model = imported(tmp_path / "m.pt2")
    assert source.stream is not None
    rng = np.random.default_rng(1)
    symbols = model.layers[0].kind == "embedding"
    x = rng.integers(0, 9, (1, 40, 1)) * 1.0 if symbols else rng.uniform(-2, 2, (1, 40, 3))
    got = source.stream(x)
    want = model.forward(x)
    piece = 40 // got.shape[1]
    np.testing.assert_allclose(got, want[:, piece - 1 :: piece], atol=1e-9)
    assert source.when == ("last" if "last" in name else "every")
    assert not name.startswith(("one", "a policy", "obs", "GRUCell")) or source.time == 1


def test_one_tensor_for_h_and_c(tmp_path: Path) -> None:
    """A program exported with the same zeros as h and c has one input for both. The import makes two of it and says so."""
    z = zeros(1, 1, 6)
    net = FoldedLayers(lambda m, x, hc: (lambda y: returned(m, y[0], *y[1]))(m.lstm(x, hc)))
    export(net, (zeros(1, 1, 3), (z, z)), tmp_path / "m.pt2")
    source, model = imported(tmp_path / "m.pt2")
    assert source.notes[0].startswith("h and c were one tensor when lstm was exported: ")
    assert source.stream is not None
    x = np.random.default_rng(2).uniform(-1, 1, (1, 30, 3))
    h = c = z
    want = []
    with torch.no_grad():
        for t in range(30):
            y, h, c = net(torch.from_numpy(x[:, t : t + 1]).float(), (h, c))
            want.append(y[:, 0].numpy())
    np.testing.assert_allclose(model.forward(x)[0], np.concatenate(want), atol=1e-5)
    np.testing.assert_allclose(source.stream(x), model.forward(x), atol=1e-9)


CHANGED: dict[str, Callable[[Any, Any], Any]] = {
    "decayed": lambda new, old: new * 0.5,
    "older": lambda new, old: old,
    "averaged": lambda new, old: 0.9 * old + 0.1 * new,
    "clamped": lambda new, old: new.clamp(-0.2, 0.2),
    "another step's": lambda new, old: new.roll(1, -1),
}


@pytest.mark.slow
@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("name", CHANGED)
def test_changed_states_are_refused(name: str, steps: int, decomposed: bool, tmp_path: Path) -> None:
    """The first piece is right and the second is not, so the program is refused."""
    torch.manual_seed(6)
    net = FoldedLayers(lambda m, x, h: stepped(m, x, h, CHANGED[name]))
    export(net, (zeros(1, steps, 3), zeros(1, 1, 6)), tmp_path / "m.pt2", decomposed)
    source = importers.read(tmp_path / "m.pt2")
    model = float_conversion.build(source, float_conversion.Settings(ranges=((-2, 2),)), None)
    with pytest.raises(ModelError, match="fed with its own states, the file differs"):
        framework_check.compare(source, model)
    assert source.stream is not None
    x = np.random.default_rng(1).uniform(-2, 2, (1, 40, 3))
    assert np.abs(source.stream(x) - model.forward(x)).max() > 0.01


def test_states_that_cannot_stream(tmp_path: Path) -> None:
    """A state that is not returned, or changed before its layer, gives a line whose cure works."""
    given = (zeros(1, 4, 3), zeros(1, 1, 6))
    export(FoldedLayers(lambda m, x, h: m.head(m.gru(x, h)[0])), given, tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"takes the state .* returns none of its shape; .*: return y, h_n"):
        imported(tmp_path / "m.pt2")
    export(FoldedLayers(lambda m, x, h: stepped(m, x, h * 0.5)), given, tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"changes the initial state .*; expected the state as it is returned"):
        imported(tmp_path / "m.pt2")
    export(FoldedLayers(stepped), given, tmp_path / "m.pt2")
    imported(tmp_path / "m.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("decomposed", [False, True])
def test_spellings(decomposed: bool, tmp_path: Path) -> None:
    """Other exports: strict, with a free batch, with one channel without its axis, with symbols as floats."""
    x = torch.randn(2, 5, 3)
    cases: list[tuple[Any, Any, dict[str, Any]]] = [
        (lambda m, x: m.head(m.gru(x, zeros(1, x.size(0), 6).to(x.device))[0][:, -1]), x, {"strict": True}),
        (lambda m, x: m.head(m.gru(x * torch.tensor([1.0, 2.0, 3.0]) - torch.tensor(0.5))[0]), x, {}),
        (lambda m, x: m.head(m.single(x.unsqueeze(-1))[0][:, -1]), torch.randn(2, 5), {}),
        (lambda m, x: m.head(m.gru(m.table(x.long()))[0][:, -1]), torch.randint(0, 9, (2, 5)).float(), {}),
        (lambda m, x: m.head(m.gru(x, m.start.expand(-1, x.shape[0], -1))[0][:, -1]), x, {}),
        (lambda m, x: m.gru(x)[0] @ m.head.weight.t() + m.head.bias, x, {}),
        (lambda m, x: m.head(m.gru(x.clone().mul_(2).add_(1))[0]), x, {}),
    ]
    for function, given, more in cases:
        torch.manual_seed(7)
        net = FoldedLayers(function)
        export(net, given, tmp_path / "m.pt2", decomposed, **more)
        symbols = "long" in str(function.__code__.co_names)
        source, model = imported(tmp_path / "m.pt2")
        with torch.no_grad():
            want = net(given).numpy()
        got = model.forward(given.numpy()[..., None] if given.dim() == 2 else given.numpy())
        np.testing.assert_allclose(got[:, -1] if source.when == "last" else got, want, atol=1e-5)
        assert (model.layers[0].kind == "embedding") == symbols


def test_free_batch(tmp_path: Path) -> None:
    """Symbolic sizes and arithmetic with them."""
    net = FoldedLayers(lambda m, x: m.head(m.gru(x, zeros(1, x.shape[0] * 2 // 2, 6))[0][torch.arange(x.size(0)), -1]))
    batch = torch.export.Dim("batch", min=2, max=64)
    export(net, torch.randn(4, 5, 3), tmp_path / "m.pt2", dynamic_shapes={"given": ({0: batch},)})
    agree(net, tmp_path / "m.pt2", torch.randn(7, 5, 3))
    assert importers.read(tmp_path / "m.pt2").batch is None


@pytest.mark.slow
def test_messages_name_the_source(tmp_path: Path) -> None:
    """The message has the line of the user's file and the module's path, and no control characters of the file."""
    (tmp_path / "mymodel.py").write_text(
        "import torch\nfrom torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.rnn, self.act = nn.GRU(3, 4), nn.Sequential(nn.Linear(4, 4), nn.GELU())\n\n"
        "    def forward(self, x):\n        y = self.rnn(x)[0]\n"
        "        return torch.erf(y) if x.shape[0] == 9 else self.act(y)\n"
    )
    code = (
        "import sys, torch, mymodel\n"
        "for n, t in (('a', 9), ('b', 5)):\n"
        "    program = torch.export.export(mymodel.Net().eval(), (torch.zeros(t, 1, 3),))\n"
        "    torch.export.save(program, n + '.pt2')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True, capture_output=True)
    with pytest.raises(ModelError) as caught:
        imported(tmp_path / "a.pt2")
    line = "mymodel.py, line 12: return torch.erf(y) if x.shape[0] == 9 else self.act(y)"
    known = "expected RNN, LSTM, GRU, their cells, Linear, Embedding, LayerNorm, BatchNorm1d, and reshaping between them"
    assert str(caught.value) == f"erf ({line}): is torch's erf, which cannot be imported; {known}"
    with pytest.raises(ModelError) as caught:
        imported(tmp_path / "b.pt2")
    assert str(caught.value) == f"act.1 ({line}): is torch's gelu, which cannot be imported; expected relu, tanh or sigmoid"


@pytest.mark.parametrize(
    ("function", "message", "cure"),
    [
        (
            lambda m, x: torch.sigmoid(m.head(m.gru(x)[0][:, -1])[:, :1]) > 0.5,
            "is torch's gt.*; expected the probability itself, which becomes two classes",
            lambda m, x: torch.sigmoid(m.head(m.gru(x)[0][:, -1])[:, :1]),
        ),
        (
            lambda m, x: m.head(m.gru(x, torch.randn(1, 2, 6))[0]),
            "makes random numbers .*torch's randn.*; expected constants, such as torch.zeros",
            lambda m, x: m.head(m.gru(x, torch.zeros(1, 2, 6))[0]),
        ),
        (
            lambda m, x: doubled_in_place(m, x),
            r"changes a part of the data in place \(torch's .*; expected a new tensor, torch.cat",
            lambda m, x: m.head(m.gru(torch.cat([x[..., :1] * 2, x[..., 1:]], -1))[0]),
        ),
        (
            lambda m, x: m.head(m.gru(x)[0]).max(-1)[0],
            r"takes the largest value of all classes; expected the class, torch.max\(y, 1\)\[1\]",
            lambda m, x: m.head(m.gru(x)[0][:, -1]).max(1)[1],
        ),
        (
            lambda m, x: m.head(F.silu(m.gru(x)[0])),
            "is torch's silu, which cannot be imported; expected relu, tanh or sigmoid",
            lambda m, x: m.head(torch.tanh(m.gru(x)[0])),
        ),
        (
            lambda m, x: m.head(m.gru(x.flip(1))[0]),
            "flips axis 1 of .* a stream has no future: expected time in order",
            lambda m, x: m.head(m.gru(x)[0]),
        ),
    ],
)
def test_cures(function: Any, message: str, cure: Any, tmp_path: Path) -> None:
    """A refused network, and the same network with what the message advises."""
    x = torch.randn(2, 5, 3)
    export(FoldedLayers(function), x, tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=message) as caught:
        imported(tmp_path / "m.pt2")
    assert "\n" not in str(caught.value)
    export(FoldedLayers(cure), x, tmp_path / "m.pt2")
    imported(tmp_path / "m.pt2")


def doubled_in_place(m: FoldedLayers, x: Any) -> Any:
    x = x.clone()
    x[:, :, 0] *= 2
    return m.head(m.gru(x)[0])


def parametrized(kind: str, where: str) -> nn.Module:
    """A GRU and a Linear, with one weight stored in factors."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.gru(x)[0])

    torch.manual_seed(8)
    net = Made()
    module, name = (net.head, "weight") if where == "head" else (net.gru, where)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apply: dict[str, Callable[[], Any]] = {
            "weight_norm, old": lambda: nn.utils.weight_norm(module, name),
            "weight_norm, old, dim=1": lambda: nn.utils.weight_norm(module, name, dim=1),
            "weight_norm, old, dim=None": lambda: nn.utils.weight_norm(module, name, dim=None),
            "weight_norm": lambda: parametrizations.weight_norm(module, name),
            "spectral_norm, old": lambda: nn.utils.spectral_norm(module, name),
            "spectral_norm": lambda: parametrizations.spectral_norm(module, name),
            "pruning": lambda: prune.l1_unstructured(module, name, 0.4),
            "pruning, twice": lambda: [prune.random_unstructured(module, name, 0.3) for _ in range(2)],
        }
        apply[kind]()
        with torch.no_grad():
            for key, p in net.named_parameters():
                if key.endswith(("_g", "original0")):
                    p.mul_(1.7)
        for _ in range(3):
            net(torch.randn(2, 5, 3))  # spectral norm moves its vectors, as in training
    return net.eval()


@pytest.mark.parametrize("where", ["head", "weight_ih_l0", "weight_hh_l0"])
@pytest.mark.parametrize(
    "kind",
    [
        "weight_norm, old",
        "weight_norm, old, dim=1",
        "weight_norm, old, dim=None",
        "weight_norm",
        "spectral_norm, old",
        "spectral_norm",
        "pruning",
        "pruning, twice",
    ],
)
def test_parametrized(kind: str, where: str, tmp_path: Path) -> None:
    """weight_norm, spectral_norm and pruning are multiplied out as torch does, in a state_dict and in a program."""
    net = parametrized(kind, where)
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        net(x)  # old hooks set the weight when forward() runs
    torch.save(net.state_dict(), tmp_path / "m.pt")
    source, model = imported(tmp_path / "m.pt")
    weight = "head.weight" if where == "head" else f"gru.{where}"
    said = f"{weight}: {kind.split(',')[0]} folded into the weight, as in eval mode"
    assert source.notes[0] == said
    with torch.no_grad():
        np.testing.assert_allclose(model.forward(x.numpy()), net(x).numpy(), atol=1e-5)
    export(net, x, tmp_path / "m.pt2")
    agree(net, tmp_path / "m.pt2", x)


def test_other_parametrizations(tmp_path: Path) -> None:
    """The message names the call that removes them, and the call works."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.fc = nn.GRU(3, 4, batch_first=True), parametrizations.orthogonal(nn.Linear(4, 4))

        def forward(self, x: Any) -> Any:
            return self.fc(self.gru(x)[0])

    model = Made().eval()
    torch.save(model.state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError) as caught:
        imported(tmp_path / "m.pt")
    call = 'torch.nn.utils.parametrize.remove_parametrizations(model.fc, "weight")'
    assert str(caught.value).endswith(f"remove it before saving: {call}")
    eval(call)  # the call as it is printed
    torch.save(model.state_dict(), tmp_path / "m.pt")
    x = torch.randn(2, 5, 3)
    with torch.no_grad():
        np.testing.assert_allclose(imported(tmp_path / "m.pt")[1].forward(x.numpy()), model(x).numpy(), atol=1e-5)


def test_torchscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TorchScript has its own message, whose advice works as printed."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.gru(x)[0][:, -1])

    net = Made().eval()
    monkeypatch.chdir(tmp_path)
    x = torch.randn(2, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net, x), "m.pt")
        with pytest.raises(ModelError) as caught:
            imported(Path("m.pt"))
        assert "is a TorchScript program (torch.jit.save), with code; expected its weights: torch.save(" in str(caught.value)
        eval(str(caught.value).split("its weights: ")[1])  # the call as it is printed
    _, model = imported(tmp_path / "weights.pt")
    with torch.no_grad():
        np.testing.assert_allclose(model.forward(x.numpy())[:, -1], net(x).numpy(), atol=1e-5)


def test_names_of_files(tmp_path: Path) -> None:
    """A program under the name of a state_dict, and the reverse."""
    net = parametrized("pruning", "head")
    export(net, torch.randn(2, 5, 3), tmp_path / "program.pt")
    torch.save(net.state_dict(), tmp_path / "weights.pt2")
    with pytest.raises(ModelError, match=r"is a torch.export program; expected a name that ends in .pt2"):
        imported(tmp_path / "program.pt")
    with pytest.raises(ModelError, match=r"not a torch.export program; expected a name that ends in .pt"):
        imported(tmp_path / "weights.pt2")
    (tmp_path / "program.pt").rename(tmp_path / "program.pt2")
    (tmp_path / "weights.pt2").rename(tmp_path / "weights.pt")
    imported(tmp_path / "program.pt2")
    imported(tmp_path / "weights.pt")
