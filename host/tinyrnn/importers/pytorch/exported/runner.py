# SPDX-License-Identifier: MIT
"""Runs a torch.export program node by node in torch, on whole sequences or as a stream. An import is compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyrnn.errors import TinyrnnError
from tinyrnn.importers.axis_tracking import TrackedArray
from tinyrnn.importers.pytorch.exported.archive import Node, names_in
from tinyrnn.importers.pytorch.exported.torch_calls import LARGEST, Folder, call, tensor_of
from tinyrnn.importers.source_model import refuse

MOST_CALLS = 2_000_000  # most calls of operators for one stream


@dataclass(frozen=True)
class Runner:
    """The program itself, in float64. Call it with x (B, T, C): it returns (B, T, O), or (B, O) for the last step only."""

    nodes: Sequence[Node]
    weights: dict[str, np.ndarray]
    data: str  # the input that is the sequence
    answer: str  # the output that counts
    start: TrackedArray  # axes of the input
    tracked: TrackedArray  # axes of the answer
    states: dict[str, list[int | None]]  # initial states that are inputs: their sizes, None for the batch
    feeds: dict[str, str]  # the output to feed back into each of them
    whole: bool  # whether the input holds whole numbers
    bounded: frozenset[str]  # values that are computed within bounds: constants, and those that cannot be imported
    every: bool  # whether there is an answer for each step
    piece: int  # steps of one run within a stream

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._answer(x, self._zeros(len(x)))[0]

    def stream(self, x: np.ndarray) -> np.ndarray:
        """Run x (B, T, C) piece by piece, each from the states of the one before. Returns the answers, concatenated."""
        states = self._zeros(len(x))
        if len(self.nodes) * -(-x.shape[1] // self.piece) > MOST_CALLS:
            seen = f"passes through {len(self.nodes)} calls at each of many steps"
            raise refuse(self.data, seen, "expected a network for a board")
        answers = []
        for start in range(0, x.shape[1], self.piece):
            y, values = self._answer(x[:, start : start + self.piece], states)
            answers.append(y if y.ndim == 3 else y[:, None])
            for name, output in self.feeds.items():
                if output not in values:
                    raise refuse(
                        name,
                        f"is returned as {output}, which cannot be computed here",
                        "expected each layer's last state, unchanged: return y, h_n",
                    )
                states[name] = values[output].reshape(states[name].shape)
        return np.concatenate(answers, axis=1)

    def _zeros(self, batch: int) -> dict[str, Any]:
        import torch

        for name, sizes in self.states.items():
            if int(np.prod([n or batch for n in sizes], dtype=object)) > LARGEST:
                raise refuse(name, f"is an initial state of shape {sizes}", "export it again")
        return {name: torch.zeros([n or batch for n in sizes], dtype=torch.float64) for name, sizes in self.states.items()}

    def _answer(self, x: np.ndarray, states: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        import torch

        batch, time = x.shape[:2]
        values: dict[str, Any] = {name: tensor_of(a).clone() for name, a in self.weights.items()} | states
        order = ["BTF".index(axis[0]) for axis in self.start.axes]
        missing = [i for i in range(3) if i not in order]
        moved = np.ascontiguousarray(x.transpose(order + missing).reshape([x.shape[i] for i in order]))
        values[self.data] = torch.from_numpy(moved.astype(np.int64) if self.whole else moved.copy())
        fold = Folder()
        for node in self.nodes:
            if node.outputs and self.bounded.issuperset(node.outputs):
                names = {name for _, item in node.inputs.values() for name in names_in(item)}
                if not names <= set(values):
                    continue
                try:
                    results = fold(node, {name: values[name] for name in names})
                except TinyrnnError:  # an unsupported operator, or too much work; the answer does not need it
                    continue
                if node.mutates:
                    values.update((name, results[0]) for name in names_in(node.inputs["self"][1]))
            else:
                results = call(node, values)
            values.update(zip(node.outputs, results, strict=False))
        y = self.tracked.arrange(values[self.answer].numpy(), batch, time, self.answer)
        return (y[:, None] if self.every and y.ndim == 2 else y), values
