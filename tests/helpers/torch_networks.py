# SPDX-License-Identifier: MIT
"""A PyTorch network with optional layers around its cell, for the tests of the importers."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.packages import need_package

torch = need_package("torch")

from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers.source_model import Options
from torch import nn

KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
    "lstm-projected": (nn.LSTM, {"proj_size": 3}),
    "rnn-tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn-relu": (nn.RNN, {"nonlinearity": "relu"}),
}


class Net(nn.Module):
    """[embedding] [batch norm] recurrent layers [layer norm] [hidden linear and relu] head."""

    def __init__(
        self, kind: str, layers: int = 1, bias: bool = True, parts: str = "", take: str = "last", first: bool = True
    ):
        super().__init__()
        make, more = KINDS[kind]
        inputs, units = 3, int(more.get("proj_size", 5))
        self.parts, self.take, self.first = parts, take, first
        if "embedding" in parts:
            self.table = nn.Embedding(7, inputs)
        if "batchnorm" in parts:
            self.bn = nn.BatchNorm1d(inputs)
        self.rnn = make(inputs, 5, layers, bias=bias, batch_first=first, **more)
        if "layernorm" in parts:
            self.norm = nn.LayerNorm(units)
        if "hidden" in parts:
            self.hidden = nn.Linear(units, 4)
            units = 4
        self.head = nn.Linear(units, 2)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape) * 0.6)
            if "batchnorm" in parts:
                self.bn.running_mean.copy_(torch.randn(inputs))
                self.bn.running_var.copy_(torch.rand(inputs) + 0.5)
        self.eval()

    def forward(self, x: Any) -> Any:
        if "embedding" in self.parts:
            x = self.table(x)
        if "batchnorm" in self.parts:
            x = self.bn(x.transpose(1, 2)).transpose(1, 2)
        y, h = self.rnn(x if self.first else x.transpose(0, 1))
        y = y if self.first else y.transpose(0, 1)
        if self.take == "last":
            y = y[:, -1]
        elif self.take == "h_n":
            y = (h[0] if isinstance(h, tuple) else h)[-1]
        y = self.norm(y) if "layernorm" in self.parts else y
        y = torch.relu(self.hidden(y)) if "hidden" in self.parts else y
        return self.head(y)


def options_of(kind: str, parts: str) -> Options:
    return Options(
        nonlinearity=kind.split("-")[1] if kind.startswith("rnn") else None,
        activation="relu" if "hidden" in parts else None,
    )


def inputs(net: Net, batch: int = 2, time: int = 6) -> Any:
    if "embedding" in net.parts:
        return torch.randint(0, 7, (batch, time))
    return torch.randn(batch, time, 3)


def agree(net: nn.Module, model: FloatModel, x: Any) -> None:
    """Compare the user's own module and the imported model on inputs that the import has not seen."""
    with torch.no_grad():
        want = net(x).numpy()
    got = model.forward(x.numpy()[..., None] if x.dtype == torch.int64 else x.numpy())
    np.testing.assert_allclose(got if want.ndim == 3 else got[:, -1], want, atol=1e-5)
