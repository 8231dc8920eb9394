# SPDX-License-Identifier: MIT
"""Each torch module of the trainer equals its float cell, can be converted back, and equals torch's own module if there is
one.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from helpers.float_models import INPUTS, VARIANTS, cell, identical, model_of, sequences, some, tamed
from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model.layers import BatchNorm, CellNorm, Embedding, Factors, Linear, Skip
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.cells import build, export, known
from tinyrnn.training.cells.base import Stepped
from tinyrnn.training.initialization import initial
from tinyrnn.training.torch_model import TorchNetwork, from_floatmodel

# torch tells, once, how it computes a projection
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


@pytest.mark.parametrize(("kind", "rank", "inside"), VARIANTS)
def test_module_is_the_cell_and_gives_it_back(kind: str, rank: bool, inside: bool) -> None:
    layer = tamed(cell(kind, rank=rank, layernorm=inside), kind)
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
    limit = 1e-4 if inside else 1e-5  # a norm of a small product amplifies what float32 rounds, step after step
    assert np.abs(got - want).max() <= limit * max(1.0, np.abs(want).max())
    with torch.no_grad():  # and without rounding it is the very cell
        got = module.double()(torch.from_numpy(x))
    want = export(module).run(x)
    assert np.abs((got[0] if isinstance(got, tuple) else got).numpy() - want).max() <= 1e-10 * max(1.0, np.abs(want).max())
    native = not rank and not inside and kind in ("gru", "lstm", "lstm-projection", "rnn", "rnn-relu")
    assert isinstance(module, Stepped) != native


def test_own_loop_is_torch_s_own_and_so_are_its_gradients() -> None:
    """The stepped form of each cell that torch has, with the same weights."""
    x = torch.from_numpy(sequences(steps=15).astype(np.float32))
    for kind in ("gru", "lstm", "lstm-projection", "rnn"):
        layer = cell(kind)
        native, stepped = build(layer), known()[type(layer)].STEPPED(layer)
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


ARCHITECTURES = [
    *(Architecture((name,), 6) for name in float_cells.names()),
    *(Architecture((name,), 12, rank=2, layernorm=True) for name in float_cells.names()),
    Architecture(("lstm",), 8, projection=3),
    Architecture(("lstm", "gru", "fastgrnn"), 8, projection=3, layernorm_between=True),
    Architecture(("rnn", "rnn-relu"), 8, layernorm_between=True),
]


@pytest.mark.parametrize(
    "architecture",
    ARCHITECTURES,
    ids=lambda architecture: f"{architecture.title}-{architecture.rank}-{architecture.projection}-{len(architecture.cells)}",
)
def test_architecture_to_network_to_float_model(architecture: Architecture) -> None:
    generator = torch.Generator().manual_seed(1)
    layers, head = initial(architecture, INPUTS, 3, generator, memory=20)
    again, _ = initial(architecture, INPUTS, 3, torch.Generator().manual_seed(1), memory=20)
    assert identical(layers, again)
    model = replace(model_of(*layers), head=head)
    network = from_floatmodel(model).double()  # a norm of a small state amplifies what float32 rounds
    with torch.no_grad():
        for parameter in network.parameters():  # as a training would
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator).double())
        cells, dense_head = network.export()
        trained = replace(model, layers=cells, head=dense_head, mean=np.zeros(INPUTS), std=np.ones(INPUTS))
        x = sequences()
        got = network(torch.from_numpy(x)).numpy()
    want = trained.forward(x)
    assert np.abs(got - want).max() <= 1e-10 * max(1.0, np.abs(want).max())
    kinds = [name.split("-")[0] for name in architecture.cells]
    assert [layer.kind for layer in trained.cells] == kinds
    assert [isinstance(layer.weight_hh, Factors) for layer in trained.cells] == [architecture.rank > 0] * len(kinds)
    assert [layer.norm is not None for layer in trained.cells] == [architecture.layernorm] * len(kinds)
    assert len(trained.layers) == len(kinds) * 2 - 1 if architecture.layernorm_between else len(kinds)


def test_what_is_not_trained_is_refused() -> None:
    with pytest.raises(ModelError, match="a batchnorm layer cannot be trained"):
        TorchNetwork((BatchNorm(*(some(5) ** 2 for _ in range(4))), cell("gru")), Linear(some(3, 7), some(3)))


def test_embedding_and_skip_are_those_of_the_float_model() -> None:
    symbols = model_of(Embedding(some(9, 4)), cell("gru", 4), inputs=1)
    x = np.random.default_rng(1).integers(0, 9, (2, 6, 1)).astype(np.float64)
    skipped = model_of(cell("lstm"), Skip(7, np.array([4.0, 1.0])))
    for model, values in ((symbols, x), (skipped, sequences())):
        network = from_floatmodel(model)
        normal = (values - model.mean) / model.std
        with torch.no_grad():
            got = network(torch.from_numpy(normal.astype(np.float32))).numpy()
        assert np.abs(got - model.forward(values)).max() < 1e-5
        layers, head = network.export()
        again = replace(model, layers=layers, head=head)
        assert np.abs(again.forward(values) - model.forward(values)).max() < 1e-6
        assert [layer.kind for layer in layers] == [layer.kind for layer in model.layers]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cells": ()}, "0 layers"),
        (
            {"cells": ("transformer",)},
            "no cell is called 'transformer'; expected one of gru, fastgrnn, fastrnn, gru-reset-before, lstm",
        ),
        ({"units": 0}, "units is 0"),
        ({"projection": 4}, "outputs of a gru; expected an lstm"),
        ({"cells": ("lstm",), "projection": 32}, "a projection to 32 outputs of 32 units"),
        ({"rank": 24}, "a rank of 24 saves nothing"),
        ({"layernorm_between": True}, "with 1 layer; expected at least 2"),
    ],
)
def test_architectures_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        Architecture(**options)
