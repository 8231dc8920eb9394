# SPDX-License-Identifier: MIT
"""A torch.export program run node by node in torch: what an import is compared with, in one go or as a stream."""

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

MOST_CALLS = 2_000_000  # operators called for one stream


@dataclass(frozen=True)
class Runner:
    """The program itself, float64. Called: x (B, T, C) -> (B, T, O), or (B, O) where only the last step is answered."""

    nodes: Sequence[Node]
    weights: dict[str, np.ndarray]
    data: str  # the input that is the sequence
    answer: str  # the output that counts
    start: TrackedArray  # the input's axes
    tracked: TrackedArray  # the answer's axes
    states: dict[str, list[int | None]]  # initial states that are inputs: their sizes, None for the batch
    feeds: dict[str, str]  # the output that goes back into each of them
    whole: bool  # the input holds whole numbers
    bounded: frozenset[str]  # values that are computed within bounds: constants, and what cannot be imported
    every: bool  # the answer is one for each step
    piece: int  # steps of one run within a stream

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._answer(x, self._zeros(len(x)))[0]

    def stream(self, x: np.ndarray) -> np.ndarray:
        """Piece by piece, each from the states that the one before gave; answers as of the pieces, one after the other."""
        states = self._zeros(len(x))
        if len(self.nodes) * -(-x.shape[1] // self.piece) > MOST_CALLS:
            seen = f"goes through {len(self.nodes)} calls at each of many steps"
            raise refuse(self.data, seen, "expected a network for a board")
        answers = []
        for start in range(0, x.shape[1], self.piece):
            y, values = self._answer(x[:, start : start + self.piece], states)
            answers.append(y if y.ndim == 3 else y[:, None])
            for name, output in self.feeds.items():
                if output not in values:
                    raise refuse(
                        name,
                        f"is handed back as {output}, which cannot be computed here",
                        "expected each layer's last state as it is: return y, h_n",
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
                except TinyrnnError:  # an operator that is not run here, or too much: nothing that the answer needs
                    continue
                if node.mutates:
                    values.update((name, results[0]) for name in names_in(node.inputs["self"][1]))
            else:
                results = call(node, values)
            values.update(zip(node.outputs, results, strict=False))
        y = self.tracked.arrange(values[self.answer].numpy(), batch, time, self.answer)
        return (y[:, None] if self.every and y.ndim == 2 else y), values
