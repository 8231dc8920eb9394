# SPDX-License-Identifier: MIT
"""`tinyrnn import` of PyTorch files: every cell and option against torch itself, state_dicts and exported programs."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from helpers.importing import imported
from helpers.torch_networks import KINDS, Net, agree, inputs, options_of
from helpers.types import instance
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.layers import BatchNorm, Embedding, Factors, dense
from tinyrnn.importers import float_conversion, framework_check
from tinyrnn.importers.source_model import Options
from torch import nn

PARTS = ["", "embedding", "batchnorm", "layernorm", "hidden", "batchnorm layernorm hidden", "embedding layernorm"]


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict(kind: str, tmp_path: Path) -> None:
    """Layers, bias and every layer around the cell: 42 files a kind."""
    for seed, (layers, bias, parts) in enumerate(itertools.product((1, 2, 3), (True, False), PARTS)):
        torch.manual_seed(seed)
        net = Net(kind, layers, bias, parts, take="every")
        torch.save(net.state_dict(), tmp_path / "m.pt")
        model = imported(tmp_path / "m.pt", options_of(kind, parts))
        agree(net, model, inputs(net))
        assert model.when == "last"
        kinds = [layer.kind for layer in model.layers]
        assert ("embedding" in kinds, "layernorm" in kinds) == ("embedding" in parts, "layernorm" in parts)


@pytest.mark.parametrize("kind", KINDS)
def test_exported(kind: str, tmp_path: Path) -> None:
    """torch.export programs: layers, batch_first, how the last step is taken, layers around the cell."""
    cases = [
        (1, True, "last", ""),
        (2, False, "h_n", "layernorm"),
        (2, True, "every", "batchnorm"),
        (1, True, "h_n", "embedding hidden"),
    ]
    for seed, (layers, first, take, parts) in enumerate(cases):
        torch.manual_seed(seed)
        net = Net(kind, layers, seed != 1, parts, take, first)
        x = inputs(net)
        export(net, x, tmp_path / "m.pt2")
        model = imported(tmp_path / "m.pt2")
        agree(net, model, x)
        assert model.when == ("every" if take == "every" else "last")


def export(net: nn.Module, x: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(net, x if isinstance(x, tuple) else (x,)), path)


class Loop(nn.Module):
    """Two stacked cells in a loop, as nn.GRUCell's documentation shows it."""

    def __init__(self, make: Any, take: str, **more: Any):
        super().__init__()
        self.a, self.b = make(3, 5, **more), make(5, 4, **more)
        self.head = nn.Linear(4, 2)
        self.take = take

    def forward(self, x: Any) -> Any:
        def h_of(s: Any) -> Any:
            return s[0] if isinstance(s, tuple) else s

        a = b = None
        out = []
        for t in range(x.shape[1]):
            a = self.a(x[:, t], a)
            b = self.b(h_of(a), b)
            out.append(h_of(b))
        return self.head(torch.stack(out, dim=1) if self.take == "every" else out[-1])


@pytest.mark.parametrize("take", ["last", "every"])
@pytest.mark.parametrize(
    ("make", "more"),
    [
        (nn.GRUCell, {}),
        (nn.LSTMCell, {}),
        (nn.RNNCell, {}),
        (nn.RNNCell, {"nonlinearity": "relu"}),
        (nn.GRUCell, {"bias": False}),
    ],
)
def test_cells(make: Any, more: dict[str, Any], take: str, tmp_path: Path) -> None:
    """The state_dict of nn.GRUCell, LSTMCell and RNNCell, and the loop unrolled by torch.export."""
    torch.manual_seed(3)
    net = Loop(make, take, **more).eval()
    x = torch.randn(2, 4, 3)
    torch.save(net.state_dict(), tmp_path / "m.pt")
    model = imported(tmp_path / "m.pt", Options(nonlinearity=more.get("nonlinearity", "tanh")))
    agree(net, model, x)
    export(net, x, tmp_path / "m.pt2")
    model = imported(tmp_path / "m.pt2")
    assert [layer.units for layer in model.layers] == [5, 4]
    agree(net, model, x)


@pytest.mark.parametrize("tail", ["softmax", "log_softmax", "argmax", "sigmoid"])
def test_tails(tail: str, tmp_path: Path) -> None:
    class Tailed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1 if tail == "sigmoid" else 3)

        def forward(self, x: Any) -> Any:
            y = self.head(self.rnn(x)[0][:, -1])
            return torch.sigmoid(y) if tail == "sigmoid" else getattr(torch, tail)(y, dim=-1)

    torch.manual_seed(4)
    net = Tailed().eval()
    export(net, torch.zeros(2, 5, 3), tmp_path / "m.pt2")
    model = imported(tmp_path / "m.pt2")
    assert model.task == "classification"
    assert len(model.labels) == (2 if tail == "sigmoid" else 3)
    x = torch.randn(2, 5, 3)
    logits = model.forward(x.numpy())[:, -1]
    with torch.no_grad():
        want = net(x).numpy()
    decided = {"argmax": lambda: want, "sigmoid": lambda: (want[:, 0] > 0.5) * 1}.get(tail, lambda: want.argmax(1))()
    assert logits.argmax(1).tolist() == decided.tolist()


def test_a_state_as_input(tmp_path: Path) -> None:
    """A streaming program takes its state as an input and returns it. The import recognises both."""

    class Stream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.LSTM(3, 4, 2, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Any, h: Any, c: Any) -> Any:
            y, (h, c) = self.rnn(x, (h, c))
            return self.head(y), h, c

    net = Stream().eval()
    x = torch.randn(1, 5, 3)
    zero, zero2 = torch.zeros(2, 1, 4), torch.zeros(2, 1, 4)
    export(net, (x, zero, zero2), tmp_path / "m.pt2")
    source = importers.read(tmp_path / "m.pt2")
    assert [note.split()[3] for note in source.notes] == ["c", "h"]
    model = float_conversion.build(source, float_conversion.Settings(), None)
    assert framework_check.compare(source, model)[0] <= framework_check.LIMIT
    with torch.no_grad():
        np.testing.assert_allclose(model.forward(x.numpy()), net(x, zero, zero2)[0].numpy(), atol=1e-5)


def test_checkpoints_and_prefixes(tmp_path: Path) -> None:
    """In a trainer's checkpoint the import finds the entry with tensors, or a key chooses it."""
    net = Net("gru")
    plain = {f"module.{key}": value for key, value in net.state_dict().items()}
    torch.save({"epoch": 3, "model": plain, "optimizer": {"lr": 0.1}}, tmp_path / "m.pt")
    model = imported(tmp_path / "m.pt")
    x = torch.randn(2, 5, 3)
    agree(net, model, x)
    torch.save({"model": plain, "ema": plain}, tmp_path / "m.pt")
    with pytest.raises(ModelError, match="holds state_dicts model, ema; expected one: choose with --key"):
        imported(tmp_path / "m.pt")
    agree(net, imported(tmp_path / "m.pt", Options(key="ema")), x)


def test_order(tmp_path: Path) -> None:
    """A head registered before the layers breaks the chain, and --order mends it."""

    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.b, self.a = nn.Linear(4, 2), nn.LSTM(5, 4, batch_first=True), nn.GRU(3, 5, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.head(self.b(self.a(x)[0])[0])

    net = Mixed().eval()
    torch.save(net.state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"--activation|--order"):
        imported(tmp_path / "m.pt")
    model = imported(tmp_path / "m.pt", Options(order=("a", "b", "head")))
    assert [layer.kind for layer in model.layers] == ["gru", "lstm"]
    agree(net, model, torch.randn(2, 5, 3))


def test_linear_in_front(tmp_path: Path) -> None:
    """A Linear without activation in front of a cell is folded into its weights, as factors where that is smaller."""

    class Front(nn.Module):
        def __init__(self, middle: int) -> None:
            super().__init__()
            self.front, self.rnn, self.head = nn.Linear(12, middle), nn.GRU(middle, 6, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(self.front(x))[0])

    for middle, kind in ((2, Factors), (11, np.ndarray)):
        net = Front(middle).eval()
        torch.save(net.state_dict(), tmp_path / "m.pt")
        model = imported(tmp_path / "m.pt", Options(activation="none"))
        assert isinstance(instance(GRU, model.layers[0]).weight_ih, kind)
        agree(net, model, torch.randn(2, 5, 12))


class Other(nn.Module):
    """A GRU and one more module."""

    def __init__(self, module: nn.Module, **more: Any) -> None:
        super().__init__()
        self.rnn, self.other, self.head = nn.GRU(3, 4, **more), module, nn.Linear(4, 2)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: Other(nn.Identity(), bidirectional=True), "rnn: is bidirectional; a stream has no future"),
        (lambda: Other(nn.MultiheadAttention(4, 2)), "other: is attention"),
        (lambda: Other(nn.Conv1d(4, 4, 3)), r"other: is a convolution, weight \(4, 4, 3\)"),
        (lambda: Other(nn.RMSNorm(4)), "other: has a weight .* not RMSNorm or PReLU"),
        (lambda: Other(nn.Linear(4, 4)), "other: is a Linear that is not the last module; .*--activation"),
        (
            lambda: Other(nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))),
            r'other.weight: has a parametrization that is neither .*remove_parametrizations\(model.other, "weight"\)',
        ),
        (lambda: nn.Linear(3, 2), "has no weights of nn.RNN, nn.LSTM or nn.GRU"),
        (lambda: nn.RNN(3, 2), "is an nn.RNN with tanh or relu; a state_dict does not say which: give --nonlinearity"),
    ],
)
def test_refused_modules(net: Any, message: str, tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=message) as caught:
        imported(tmp_path / "m.pt")
    assert "\n" not in str(caught.value)


def forward(function: Any, inputs: int = 3) -> nn.Module:
    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(inputs, 4, batch_first=True), nn.Linear(4, 2)
            self.both, self.h0 = nn.GRU(inputs, 4, batch_first=True, bidirectional=True), nn.Parameter(torch.ones(1, 2, 4))
            self.conv, self.attention = nn.Conv1d(inputs, 4, 3), nn.MultiheadAttention(4, 2, batch_first=True)

        def forward(self, x: Any) -> Any:
            return function(self, x)

    return Made().eval()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda m, x: m.both(x)[0], "is bidirectional; a stream has no future"),
        (lambda m, x: m.conv(x.transpose(1, 2)), "is torch's conv1d.*without convolution"),
        (lambda m, x: m.attention(*[m.rnn(x)[0]] * 3)[0], "cannot be imported|combines|attention"),
        (lambda m, x: m.head(m.rnn(x)[0].mean(1)), "is torch's mean.* instead of an average"),
        (lambda m, x: m.head(m.rnn(x)[0] + m.rnn(x)[0]), "combines two paths"),
        (lambda m, x: m.head(m.rnn(x, m.h0)[0]), "initial state that is not zero"),
        (lambda m, x: m.head(m.rnn(x.flip(1))[0]), "flips axis 1 of .*a stream has no future"),
        (lambda m, x: m.head(m.rnn(x)[0][:, 2]), "takes step 2 of 6; expected the last step"),
        (lambda m, x: m.head(m.rnn(x)[0][:, ::2]), "slices steps"),
        (lambda m, x: m.head(nn.functional.gelu(m.rnn(x)[0])), "gelu.*expected relu, tanh or sigmoid"),
        (lambda m, x: m.rnn(x)[1][0] * m.rnn(x)[0][:, 0], "combines two paths|takes step 0"),
        (lambda m, x: m.head(torch.softmax(m.rnn(x)[0], -1)), "comes after softmax"),
        (lambda m, x: m.head(torch.softmax(m.rnn(x)[0], 1)), "softmax over axis 1|softmax"),
    ],
)
def test_refused_programs(function: Any, message: str, tmp_path: Path) -> None:
    """Each message names the operator and what helps."""
    export(forward(function), torch.randn(2, 6, 3), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=message) as caught:
        imported(tmp_path / "m.pt2")
    assert "\n" not in str(caught.value)


def test_a_wrong_reading_is_refused(tmp_path: Path) -> None:
    """Gates in another order do not pass the comparison with the framework, nor does a slight difference."""
    torch.manual_seed(1)  # answers below 1: the difference is told as it is, not in parts of the largest
    net = Net("gru")
    export(net, torch.randn(2, 6, 3), tmp_path / "m.pt2")
    source = importers.read(tmp_path / "m.pt2")
    model = float_conversion.build(source, float_conversion.Settings(), None)
    gru = instance(GRU, model.layers[0])
    order = [*range(5, 10), *range(5), *range(10, 15)]
    wrong = replace(model, layers=(replace(gru, weight_ih=dense(gru.weight_ih)[order]),))
    with pytest.raises(ModelError, match=r"differs from PyTorch by .*; expected at most 1e-05, nothing is written"):
        framework_check.compare(source, wrong)
    slight = replace(model, head=replace(model.head, bias=model.head.bias + 2e-5))
    with pytest.raises(ModelError, match="differs from PyTorch by 2e-05"):
        framework_check.compare(source, slight)


def test_layers_stay_in_their_places(tmp_path: Path) -> None:
    """A BatchNorm stays a layer, and an Embedding takes symbols with an exact range."""
    net = Net("gru", parts="batchnorm")
    torch.save(net.state_dict(), tmp_path / "m.pt")
    model = imported(tmp_path / "m.pt", channels=("a", "b", "c"), labels=("no", "yes"), name="net")
    assert isinstance(model.layers[0], BatchNorm)
    assert (model.name, model.labels, model.channels, model.task) == (
        "net",
        ("no", "yes"),
        ("a", "b", "c"),
        "classification",
    )
    net = Net("gru", parts="embedding")
    torch.save(net.state_dict(), tmp_path / "m.pt")
    model = imported(tmp_path / "m.pt")
    assert isinstance(model.layers[0], Embedding)
    assert (model.calibration.minimum[0], model.calibration.maximum[0], model.calibration.integer) == (0, 6, True)
