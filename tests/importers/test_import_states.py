# SPDX-License-Identifier: MIT
"""ONNX files that take and return their states: the states are those of the layers, or the file is refused."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")
need_package("onnx")
need_package("onnxruntime")

from helpers.importing import imported
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers import float_conversion, framework_check
from torch import nn

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
Change = Callable[[list[Any], list[Any]], Sequence[Any]]


class Policy(nn.Module):
    """One step of a network, or a piece of a sequence, with its states as inputs and outputs, in one of several forms."""

    def __init__(
        self,
        kind: str = "lstm",
        layers: int = 1,
        obs: str = "TBF",
        state: str = "LBH",
        change: Change | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.rnn = KINDS[kind](5, 8, layers, batch_first=batch_first)
        self.head = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
        self.mean, self.deviation = nn.Parameter(torch.randn(5)), nn.Parameter(torch.rand(5) + 0.5)
        self.obs, self.state, self.change, self.axis = obs, state, change, 1 if batch_first else 0
        self.pair = kind == "lstm"
        self.layers = layers

    def forward(self, x: Any, *given: Any) -> Any:
        x = (x - self.mean) / self.deviation
        x = {"F": lambda: x[None, None], "BF": lambda: x.unsqueeze(self.axis)}.get(self.obs, lambda: x)()
        states = {
            "BH": lambda: [a.unsqueeze(0) for a in given],
            "H": lambda: [a[None, None] for a in given],
            "two": lambda: [given[0][:1], given[0][1:]],
            "joined": lambda: [given[0][:, 0:1, :, 0], given[0][:, 1:2, :, 0]],
        }.get(self.state, lambda: list(given))()
        y, after = self.rnn(x, tuple(states) if self.pair else states[0])
        after = list(after) if self.pair else [after]
        y = self.head(y)
        y = {"F": lambda: y[0, 0], "BF": lambda: y.squeeze(self.axis), "last": lambda: y[:, -1]}.get(self.obs, lambda: y)()
        after = list(self.change(after, states)) if self.change else after
        after = {
            "BH": lambda: [a.squeeze(0) for a in after],
            "H": lambda: [a[0, 0] for a in after],
            "two": lambda: [torch.cat(after)],
            "joined": lambda: [torch.stack([a[0] for a in after], -1).permute(0, 2, 1)[..., None]],
        }.get(self.state, lambda: after)()
        return (y, *after)

    def start(self, time: int = 1) -> tuple[Any, ...]:
        """Inputs of the right shapes, with zero states."""
        shape = {"F": (5,), "BF": (1, 5)}.get(self.obs, (1, time, 5) if self.axis else (time, 1, 5))
        state = {"BH": (1, 8), "H": (8,), "two": (2, 1, 8), "joined": (1, 2, 8, 1)}.get(self.state, (self.layers, 1, 8))
        count = 2 if self.pair and self.state not in ("two", "joined") else 1
        return (torch.zeros(shape), *(torch.zeros(state) for _ in range(count)))


WITHOUT_AND_WITH_FREE_TIME: tuple[dict[str, Any], ...] = ({}, {"dynamic_axes": {"x": {1: "t"}}})


def export(net: Policy, path: Path, time: int = 1, names: Sequence[str] = ("y", "hn", "cn"), **more: Any) -> Path:
    inputs = net.eval().start(time)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            count = len(net(*inputs))
            torch.onnx.export(
                net,
                inputs,
                str(path),
                dynamo=False,
                input_names=["x", "h", "c"][: len(inputs)],
                output_names=list(names)[:count],
                **more,
            )
    finally:
        logging.disable(logging.NOTSET)
    return path


def agree(net: Policy, model: FloatModel) -> None:
    """60 steps of the network itself, with its own states fed back, equal one run of the model."""
    x = torch.randn(60, 5)
    _, *states = net.start()
    answers = []
    with torch.no_grad():
        for row in x:
            y, *states = net(row.reshape(net.start()[0].shape), *states)
            answers.append(y.reshape(-1).numpy())
    assert model.when == "every"
    np.testing.assert_allclose(model.forward(x.numpy().astype(np.float64)[None])[0], answers, atol=1e-5)


@pytest.mark.parametrize("obs", ["F", "BF", "TBF", "last"])
@pytest.mark.parametrize("state", ["LBH", "BH", "H", "two", "joined"])
def test_one_step_in_every_form(obs: str, state: str, tmp_path: Path) -> None:
    """Observations (F,), (1, F), (1, 1, F); h and c apart or in one tensor. Each step has an answer."""
    for batch_first in (False, True):
        if obs == "last" and not batch_first:
            continue
        net = Policy(obs=obs, state=state, batch_first=batch_first)
        agree(net, imported(export(net, tmp_path / "m.onnx")))


@pytest.mark.parametrize(("kind", "layers"), [("gru", 1), ("rnn", 1), ("gru", 2), ("lstm", 3)])
def test_cells_and_layers(kind: str, layers: int, tmp_path: Path) -> None:
    for obs in ("BF", "TBF"):
        net = Policy(kind, layers, obs)
        agree(net, imported(export(net, tmp_path / "m.onnx")))


def test_free_batch_and_longer_pieces(tmp_path: Path) -> None:
    net = Policy(obs="BF", batch_first=True)
    model = imported(export(net, tmp_path / "m.onnx", dynamic_axes={"x": {0: "b"}, "h": {1: "b"}, "c": {1: "b"}}))
    agree(net, model)
    for more in WITHOUT_AND_WITH_FREE_TIME:
        net = Policy(batch_first=True)
        source = importers.read(export(net, tmp_path / "m.onnx", time=6, **more))
        assert source.stream is not None
        assert source.when == "every"
        x = np.random.default_rng(0).standard_normal((1, 24, 5))
        want = float_conversion.build(source, float_conversion.Settings(), None).forward(x)
        np.testing.assert_allclose(source.stream(x), want, atol=1e-5)
    net = Policy(batch_first=True, obs="last")
    source = importers.read(export(net, tmp_path / "m.onnx", time=6))
    assert source.stream is not None
    assert source.when == "last"
    np.testing.assert_allclose(source.stream(x), want_of(source, x)[:, 5::6], atol=1e-5)
    framework_check.compare(source, float_conversion.build(source, float_conversion.Settings(), None))


def want_of(source: Any, x: np.ndarray) -> np.ndarray:
    return float_conversion.build(source, float_conversion.Settings(), None).forward(x)


def factor(n: list[Any], s: list[Any]) -> list[Any]:
    return [n[0] * 0.5, *n[1:]]


CHANGES: dict[str, tuple[Change, str]] = {
    "decay": (factor, "h: starts the state h of LSTM .*, but hn is changed by Mul"),
    "older": (lambda n, s: s, "hn is the state of the previous step, h"),
    "average": (lambda n, s: [0.9 * a + 0.1 * b for a, b in zip(s, n, strict=True)], "hn is changed by Add"),
    "clamp": (lambda n, s: [a.clamp(-0.3, 0.3) for a in n], "hn is changed by Clip"),
    "clamp of c": (lambda n, s: [n[0], n[1].clamp(-10, 10)], "cn is changed by Clip"),
    "exchanged": (lambda n, s: n[::-1], "hn is the state c of LSTM .*, which belongs there by its name"),
    "h twice": (lambda n, s: [n[0], n[0]], "c: starts the state c of LSTM .*, but cn is the state h"),
    "negative": (lambda n, s: [-a for a in n], "hn is changed by Neg"),
    "zero": (lambda n, s: [torch.zeros_like(a) for a in n], "no output returns it"),
    "shifted": (lambda n, s: [torch.cat([a[..., 1:], a[..., :1]], -1) for a in n], "hn has the numbers of .* another order"),
    "h alone": (lambda n, s: n[:1], "c: starts the state c of LSTM .*, but no output returns it"),
    "none": (lambda n, s: [], "h: starts the state h of LSTM .*, but no output returns it"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_state_is_refused(name: str, tmp_path: Path) -> None:
    """The message says what was seen and a cure: the same network is imported if it returns its states unchanged."""
    change, message = CHANGES[name]
    net = Policy(change=change)
    with pytest.raises(ModelError, match=message) as caught:
        imported(export(net, tmp_path / "m.onnx"))
    assert "return the state" in str(caught.value)
    assert "\n" not in str(caught.value)
    net.change = None
    agree(net, imported(export(net, tmp_path / "m.onnx")))


def test_a_changed_state_of_a_file_for_sequences(tmp_path: Path) -> None:
    """Its pieces would start from another state. Without the states it is an ordinary file."""
    for more in WITHOUT_AND_WITH_FREE_TIME:
        path = export(Policy("gru", change=factor, batch_first=True), tmp_path / "m.onnx", time=6, **more)
        with pytest.raises(
            ModelError, match=r"hn is changed by Mul .* or export it for whole sequences, without the input h"
        ):
            imported(path)
    net = Policy("gru", change=lambda n, s: [], batch_first=True)
    assert importers.read(export(net, tmp_path / "m.onnx", time=6)).stream is None
    imported(tmp_path / "m.onnx")


def test_layers_are_not_exchanged(tmp_path: Path) -> None:
    net = Policy("gru", 2, change=lambda n, s: [n[0].flip(0)])
    with pytest.raises(ModelError, match=r"hn has the numbers of .* in another order"):
        imported(export(net, tmp_path / "m.onnx"))


def test_harmless_changes_are_accepted(tmp_path: Path) -> None:
    harmless: list[Change] = [
        lambda n, s: [a * 1.0 for a in n],
        lambda n, s: [a.detach().clone() for a in n],
        lambda n, s: [n[0].clamp(-1, 1), n[1] + 0.0],  # an LSTM's h is never larger
    ]
    for change in harmless:
        net = Policy(change=change)
        agree(net, imported(export(net, tmp_path / "m.onnx")))


def test_names_and_order(tmp_path: Path) -> None:
    """Another order with the right names is accepted. With names that say nothing it is refused."""
    net = Policy(change=lambda n, s: n[::-1])
    imported(export(net, tmp_path / "m.onnx", names=("y", "cn", "hn")))
    with pytest.raises(ModelError, match=r"o2 is the state c of LSTM .*, which belongs there by its position"):
        imported(export(net, tmp_path / "m.onnx", names=("o1", "o2", "o3")))
    net.change = None
    agree(net, imported(export(net, tmp_path / "m.onnx", names=("o1", "o2", "o3"))))
    with pytest.raises(ModelError, match=r"h: starts the state h .*, but hn is the state c"):
        imported(export(net, tmp_path / "m.onnx", names=("y", "cn", "hn")))


def test_a_state_changed_before_its_layer(tmp_path: Path) -> None:
    class Masked(Policy):
        def forward(self, x: Any, *given: Any) -> Any:
            return super().forward(x, given[0] * 0.9, *given[1:])

    with pytest.raises(ModelError, match="starts from h after other nodes changed it; expected the state as the layer"):
        imported(export(Masked(), tmp_path / "m.onnx"))


def test_without_a_recurrent_node(tmp_path: Path) -> None:
    """The message for a decomposed cell says what to do, and that works."""

    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(5, 8), nn.Linear(8, 3)

        def forward(self, x: Any, h: Any) -> Any:
            h = self.cell(x, h)
            return self.head(h), h

    net = Cells().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, 5), torch.zeros(1, 8)), str(tmp_path / "m.onnx"), dynamo=False)
    with pytest.raises(ModelError, match=r"has no RNN, LSTM or GRU node; .* for cells save the state_dict as .pt"):
        imported(tmp_path / "m.onnx")
    torch.save(net.state_dict(), tmp_path / "m.pt")
    model, x, h = imported(tmp_path / "m.pt"), torch.randn(20, 5), torch.zeros(1, 8)
    with torch.no_grad():
        for row in x:
            y, h = net(row[None], h)
    np.testing.assert_allclose(model.forward(x.numpy().astype(np.float64)[None])[0, -1], y[0].numpy(), atol=1e-5)


def test_a_single_step_without_states(tmp_path: Path) -> None:
    """Such a file always starts from zero, and a board does not. The import says so."""

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Plain().eval(), (torch.zeros(1, 1, 3),), str(tmp_path / "m.onnx"), dynamo=False)
    assert "one step from the zero state" in importers.read(tmp_path / "m.onnx").notes[0]


def test_the_stream_itself_is_compared(tmp_path: Path) -> None:
    """The comparison runs the stream, so it finds one that forgets between its pieces."""
    source = importers.read(export(Policy(), tmp_path / "m.onnx"))
    model = float_conversion.build(source, float_conversion.Settings(), None)
    framework_check.compare(source, model)

    def forgetful(x: np.ndarray) -> np.ndarray:
        return np.concatenate([source.run(x[:, t : t + 1]) for t in range(x.shape[1])], axis=1)

    with pytest.raises(ModelError, match=r"fed with its own states, the file differs by .* on 400 steps of held inputs"):
        framework_check.compare(replace(source, stream=forgetful), model)
