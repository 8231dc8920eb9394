# SPDX-License-Identifier: MIT
"""The most common ways to write a recurrent network in PyTorch, each as a function for Net.forward: docs/import.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Turned(nn.Module):
    """(B, T, F) to (T, B, F), for nn.Sequential."""

    def forward(self, x: Any) -> Any:
        return x.permute(1, 0, 2)


class Last(nn.Module):
    """The last step of a recurrent layer's output, for nn.Sequential."""

    def forward(self, found: Any) -> Any:
        return found[0][-1]


class Net(nn.Module):
    """A GRU, an LSTM and a head for forward() to use, and constants of a normalisation."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.gru, self.lstm = nn.GRU(3, 6, batch_first=True), nn.LSTM(3, 6, batch_first=True)
        self.deep, self.plain = nn.GRU(3, 6, 2, batch_first=True, dropout=0.2), nn.GRU(3, 6)
        self.head, self.one, self.drop = nn.Linear(6, 2), nn.Linear(6, 1), nn.Dropout(0.3)
        self.norm, self.hidden = nn.BatchNorm1d(6), nn.Linear(6, 5)
        self.out = nn.Linear(5, 2)
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3]))
        self.register_buffer("std", torch.tensor([0.5, 1.5, 2.0]))
        self.cell, self.lstm_cell = nn.GRUCell(3, 6), nn.LSTMCell(3, 6)
        self.first_last = nn.Sequential(Turned(), nn.GRU(3, 6), Last(), nn.Linear(6, 2))
        self.body = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, 2))

    def forward(self, x: Any) -> Any:
        return self.function(self, x)


def h0(x: Any, layers: int = 1) -> Any:
    return torch.zeros(layers, x.size(0), 6)


def decided(m: Net, x: Any) -> Any:
    """The head on the last step."""
    return m.head(m.gru(x)[0][:, -1])


def last(m: Net, y: Any) -> Any:
    return m.head(y[:, -1])


def no_grad(m: Net, x: Any) -> Any:
    with torch.no_grad():
        y = m.gru(x)[0]
    return last(m, y)


def autocast(m: Net, x: Any) -> Any:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return decided(m, x)


def cell_loop(m: Net, x: Any) -> Any:
    h = torch.zeros(x.size(0), 6).to(x.device)
    for t in range(x.size(1)):
        h = m.cell(x[:, t], h)
    return m.head(h)


def lstm_cell_loop(m: Net, x: Any) -> Any:
    h = c = torch.zeros(x.size(0), 6)
    steps = []
    for part in x.unbind(1):
        h, c = m.lstm_cell(part, (h, c))
        steps.append(h)
    return m.head(torch.stack(steps, dim=1))


IDIOMS: dict[str, Callable[[Net, Any], Any]] = {
    # the initial state
    "h0 = torch.zeros(...).to(x.device)": lambda m, x: last(m, m.gru(x, h0(x).to(x.device))[0]),
    "h0 = torch.zeros(..., dtype=x.dtype, device=x.device)": lambda m, x: last(
        m, m.gru(x, torch.zeros(1, x.size(0), 6, dtype=x.dtype, device=x.device))[0]
    ),
    "h0 = torch.zeros(...).float()": lambda m, x: last(m, m.gru(x, h0(x).float())[0]),
    "h0 = torch.zeros(...).requires_grad_()": lambda m, x: last(m, m.gru(x, h0(x).requires_grad_())[0]),
    "h0 = torch.zeros(...).detach()": lambda m, x: last(m, m.gru(x, h0(x).detach())[0]),
    "h0 = Variable(torch.zeros(...))": lambda m, x: last(m, m.gru(x, torch.autograd.Variable(h0(x)))[0]),
    "h0 = weight.new_zeros(...)": lambda m, x: last(m, m.gru(x, next(m.parameters()).new_zeros(1, x.size(0), 6))[0]),
    "h0 = x.new_zeros(...)": lambda m, x: last(m, m.gru(x, x.new_zeros(1, x.size(0), 6))[0]),
    "h0 = torch.zeros_like(...)": lambda m, x: last(m, m.gru(x, torch.zeros_like(h0(x)))[0]),
    "h0 = torch.full(..., 0.0)": lambda m, x: last(m, m.gru(x, torch.full((1, x.size(0), 6), 0.0))[0]),
    "h0 = torch.randn(...)": lambda m, x: last(m, m.gru(x, torch.randn(1, x.size(0), 6))[0]),
    "(h0, c0) = two torch.zeros(...).to(x.device)": lambda m, x: last(
        m, m.lstm(x, (h0(x).to(x.device), h0(x).to(x.device)))[0]
    ),
    "h0 of two layers": lambda m, x: last(m, m.deep(x, h0(x, 2).to(x))[0]),
    # the answer of the last step
    "y[:, -1]": decided,
    "y[:, -1, :]": lambda m, x: m.head(m.gru(x)[0][:, -1, :]),
    "y[..., -1, :]": lambda m, x: m.head(m.gru(x)[0][..., -1, :]),
    "y[:, -1:, :].squeeze(1)": lambda m, x: m.head(m.gru(x)[0][:, -1:, :].squeeze(1)),
    "y[:, x.size(1) - 1]": lambda m, x: m.head(m.gru(x)[0][:, x.size(1) - 1]),
    "y[:, -1].detach()": lambda m, x: m.head(m.gru(x)[0][:, -1].detach()),
    "y.select(1, -1)": lambda m, x: m.head(m.gru(x)[0].select(1, -1)),
    "y.narrow(1, T - 1, 1)": lambda m, x: m.head(m.gru(x)[0].narrow(1, x.size(1) - 1, 1).squeeze(1)),
    "y.unbind(1)[-1]": lambda m, x: m.head(m.gru(x)[0].unbind(1)[-1]),
    "y.permute(1, 0, 2)[-1]": lambda m, x: m.head(m.gru(x)[0].permute(1, 0, 2)[-1]),
    "y.contiguous().view(-1, 6), then y[:, -1]": lambda m, x: last(
        m, m.gru(x)[0].contiguous().view(-1, 6).view(x.size(0), -1, 6)
    ),
    "head(y)[:, -1]": lambda m, x: m.head(m.gru(x)[0])[:, -1],
    "index_select(1, tensor([T - 1]))": lambda m, x: m.head(
        m.gru(x)[0].index_select(1, torch.tensor([x.size(1) - 1])).squeeze(1)
    ),
    "y.gather(1, lengths - 1) with constant lengths": lambda m, x: m.head(
        m.gru(x)[0].gather(1, torch.full((x.size(0), 1, 6), x.size(1) - 1)).squeeze(1)
    ),
    "y[torch.arange(B), lengths - 1] with constant lengths": lambda m, x: m.head(
        m.gru(x)[0][torch.arange(x.size(0)), torch.full((x.size(0),), x.size(1) - 1)]
    ),
    "torch.chunk(y, T, 1)[-1]": lambda m, x: m.head(m.gru(x)[0].chunk(x.size(1), 1)[-1].squeeze(1)),
    # the last state
    "h_n[-1]": lambda m, x: m.head(m.gru(x)[1][-1]),
    "h_n.squeeze(0)": lambda m, x: m.head(m.gru(x)[1].squeeze(0)),
    "h_n.view(-1, 6)": lambda m, x: m.head(m.gru(x)[1].view(-1, 6)),
    "h_n.permute(1, 0, 2).reshape(B, -1)": lambda m, x: m.head(m.gru(x)[1].permute(1, 0, 2).reshape(x.size(0), -1)),
    "torch.cat([h_n[-1]], dim=1)": lambda m, x: m.head(torch.cat([m.gru(x)[1][-1]], dim=1)),
    "h_n.view(layers, 1, B, 6)[-1].squeeze(0)": lambda m, x: m.head(m.deep(x)[1].view(2, 1, x.size(0), 6)[-1].squeeze(0)),
    "h_n.transpose(0, 1)[:, -1] of two layers": lambda m, x: m.head(m.deep(x)[1].transpose(0, 1)[:, -1]),
    "an LSTM's h_n[-1]": lambda m, x: m.head(m.lstm(x)[1][0][-1]),
    # the input
    "x.float()": lambda m, x: decided(m, x.float()),
    "x.to(device)": lambda m, x: decided(m, x.to("cpu")),
    "x.to(torch.float32)": lambda m, x: decided(m, x.to(torch.float32)),
    "x.to(weight.dtype)": lambda m, x: decided(m, x.to(m.head.weight.dtype)),
    "x.type(torch.FloatTensor)": lambda m, x: decided(m, x.type(torch.FloatTensor)),
    "x / 255": lambda m, x: decided(m, x / 255),
    "x * 0.1": lambda m, x: decided(m, x * 0.1),
    "-x": lambda m, x: decided(m, -x),
    "1 - x": lambda m, x: decided(m, 1 - x),
    "(x - mean) / std": lambda m, x: decided(m, (x - m.mean) / m.std),
    "(x - mean.view(1, 1, -1)) / (std + 1e-8)": lambda m, x: decided(m, (x - m.mean.view(1, 1, -1)) / (m.std + 1e-8)),
    "x.permute(1, 0, 2), batch_first=False": lambda m, x: m.head(m.plain(x.permute(1, 0, 2))[0][-1]),
    "x.transpose(0, 1), batch_first=False": lambda m, x: m.head(m.plain(x.transpose(0, 1))[0].transpose(0, 1)[:, -1]),
    "x.view(B, T, 3)": lambda m, x: decided(m, x.view(x.size(0), x.size(1), 3)),
    "x[:, :, :3]": lambda m, x: decided(m, x[:, :, :3]),
    "torch.cat([x[..., :2], x[..., 2:] * 0.1], -1)": lambda m, x: decided(m, torch.cat([x[..., :2], x[..., 2:] * 0.1], -1)),
    # functions on the way
    "F.relu between layers": lambda m, x: m.out(F.relu(m.hidden(m.gru(x)[0][:, -1]))),
    "torch.clamp(y, min=0)": lambda m, x: m.out(torch.clamp(m.hidden(m.gru(x)[0][:, -1]), min=0)),
    "F.relu6": lambda m, x: m.out(F.relu6(m.hidden(m.gru(x)[0][:, -1]))),
    "F.hardtanh": lambda m, x: m.out(F.hardtanh(m.hidden(m.gru(x)[0][:, -1]))),
    "F.leaky_relu": lambda m, x: m.out(F.leaky_relu(m.hidden(m.gru(x)[0][:, -1]))),
    "nn.Sequential with Dropout": lambda m, x: m.body(m.gru(x)[0][:, -1]),
    "F.dropout(y, training=self.training)": lambda m, x: m.head(F.dropout(m.gru(x)[0][:, -1], 0.5, m.training)),
    "BatchNorm1d on the last step": lambda m, x: m.head(m.norm(m.gru(x)[0][:, -1])),
    "BatchNorm1d between transposes": lambda m, x: last(m, m.norm(m.gru(x)[0].transpose(1, 2)).transpose(1, 2)),
    "with torch.no_grad()": no_grad,
    "with torch.autocast(...)": autocast,
    "nn.Sequential with modules that permute and select": lambda m, x: m.first_last(x),
    "a loop over nn.GRUCell": cell_loop,
    "a loop over nn.LSTMCell, torch.stack": lstm_cell_loop,
    # the output
    "F.softmax(y, dim=1)": lambda m, x: F.softmax(decided(m, x), dim=1),
    "F.log_softmax(y, dim=-1)": lambda m, x: F.log_softmax(decided(m, x), dim=-1),
    "softmax(y / temperature)": lambda m, x: F.softmax(decided(m, x) / 2.0, dim=-1),
    "torch.log(softmax(y))": lambda m, x: torch.log(F.softmax(decided(m, x), dim=-1)),
    "softmax(y, dim=1)[:, 1]": lambda m, x: F.softmax(decided(m, x), dim=1)[:, 1],
    "torch.sigmoid(y).squeeze(-1)": lambda m, x: torch.sigmoid(m.one(m.gru(x)[0][:, -1])).squeeze(-1),
    "y.topk(1)[1]": lambda m, x: decided(m, x).topk(1)[1],
    "y.argmax(1)": lambda m, x: decided(m, x).argmax(1),
    "torch.max(y, 1)[1]": lambda m, x: torch.max(decided(m, x), 1)[1],
    "y.squeeze(-1)": lambda m, x: m.one(m.gru(x)[0][:, -1]).squeeze(-1),
    "y.squeeze()": lambda m, x: m.one(m.gru(x)[0][:, -1]).squeeze(),
    "y[:, 0]": lambda m, x: decided(m, x)[:, 0],
    "y.unsqueeze(1)": lambda m, x: decided(m, x).unsqueeze(1),
    "y.flatten()": lambda m, x: m.one(m.gru(x)[0][:, -1]).flatten(),
    "y * 10 + 3": lambda m, x: decided(m, x) * 10 + 3,
    "return a tuple with the state": lambda m, x: (decided(m, x), m.gru(x)[1]),
    "return a dict": lambda m, x: {"logits": decided(m, x)},
    "an answer at every step": lambda m, x: m.head(m.gru(x)[0]),
    "Linear on x.reshape(-1, 6)": lambda m, x: m.head(m.gru(x)[0].reshape(-1, 6)).view(x.size(0), x.size(1), 2),
}
