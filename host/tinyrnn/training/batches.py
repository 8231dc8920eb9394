# SPDX-License-Identifier: MIT
"""Batches of normalised sequences in torch. Sequences of similar length share a batch where padding would cost much.

B sequences in a batch, T steps, C channels, O outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.training.hyperparameters import PIECE

WASTE = 1.25  # padded steps for each real step above which batches are made of similar lengths
MIXING = 0.05  # deviation of the logarithm by which a length is blurred, so that batches differ between epochs
RAMP = 0.4  # a batch of the longest sequences has this share more of them than the mean, one of the shortest less
WIDE = 100.0  # ranges of training by which validation values may leave it: their squares must stay finite in float32


@dataclass(frozen=True)
class Batch:
    """A batch on the training's device."""

    x: Tensor  # (B, T, C) float32, padded at the end with zeros
    y: Tensor  # class indices (B,) or (B, T); normalised targets (B, O) or (B, T, O)
    lengths: Tensor  # (B,) real steps
    weight: Tensor  # (B, T) 1 for each step that counts, else 0
    share: float = 1.0  # its number of sequences, relative to the mean of all batches

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("x", "y", "lengths", "weight")}
        return replace(self, **moved)


class Batches:
    """Some sequences of a recording, normalised as its training sequences, drawn in batches from a generator."""

    def __init__(self, recording: Recording, sequences: Sequences, symbols: bool = False) -> None:
        """symbols: the only channel holds the number of a symbol, which is not normalised."""
        self.every = recording.when == "every"
        self.classes = recording.task == "classification"
        mean, std = (0.0, 1.0) if symbols else (recording.mean, recording.std)
        # A board limits its inputs too; a glitch of 1e9 would only fill the gradients. Other sequences than those of
        # training may leave its range, as a trend does
        wide = 0.0 if sequences is recording.train else WIDE
        low, high = (-np.inf, np.inf) if symbols else _widened(recording.limits, wide)
        self.x = [torch.from_numpy(((x.clip(low, high) - mean) / std).astype(np.float32)) for x in sequences.x]
        y: list[np.ndarray] = list(sequences.y)  # an array (N, ...) becomes N rows
        if self.classes:
            self.y = [torch.as_tensor(answers, dtype=torch.long) for answers in y]
        else:
            mean, std = recording.target_mean, recording.target_std
            low, high = _widened(recording.target_limits, wide)
            self.y = [torch.from_numpy(((answers.clip(low, high) - mean) / std).astype(np.float32)) for answers in y]
        self.pieces = sum(len(self._cut(len(x), 0)) for x in self.x)
        self.steps = sum(len(x) for x in self.x)

    def _cut(self, steps: int, offset: int) -> list[slice]:
        """The pieces of a sequence: all of it if the last step counts, otherwise runs of at most PIECE steps."""
        if not self.every or steps <= PIECE:
            return [slice(0, steps)]
        edges = [0, *range(PIECE - offset, steps, PIECE), steps]
        return [slice(a, b) for a, b in pairwise(edges)]

    def epoch(self, size: int, generator: torch.Generator) -> list[Batch]:
        """The batches of an epoch in random order.

        Long sequences are cut at different places in each epoch. A piece from the middle of a sequence starts from the
        zero state, so its first quarter has no weight: the state must settle first.
        """
        pieces: list[tuple[int, slice]] = []
        for number, x in enumerate(self.x):
            offset = int(torch.randint(PIECE // 2, (), generator=generator)) if self.every and len(x) > PIECE else 0
            pieces += [(number, cut) for cut in self._cut(len(x), offset)]
        order = torch.randperm(len(pieces), generator=generator)
        # Batches of equal size: the gradient of a last batch of one or two sequences would be too noisy
        chosen = list(torch.tensor_split(order, self.count(size)))
        steps = torch.tensor([cut.stop - cut.start for _, cut in pieces], dtype=torch.float32)
        padded = sum(len(numbers) * float(steps[numbers].max()) for numbers in chosen)
        if padded > WASTE * float(steps.sum()):
            blurred = steps.log() + MIXING * torch.randn(len(pieces), generator=generator)
            # A step takes as long for few sequences as for many, so the longest ones should be together
            sizes = torch.linspace(1 - RAMP, 1 + RAMP, len(chosen)).cumsum(0) / len(chosen)
            edges = (sizes[:-1] * len(pieces)).round().long()
            chosen = [numbers for numbers in torch.tensor_split(blurred.argsort(), edges) if len(numbers)]
            chosen = [chosen[int(i)] for i in torch.randperm(len(chosen), generator=generator)]
        mean = len(pieces) / len(chosen)
        return [self._collate([pieces[int(i)] for i in numbers], len(numbers) / mean) for numbers in chosen]

    def whole(self, size: int) -> list[Batch]:
        """All sequences in batches as from epoch(), ordered by length. The result is always the same."""
        pieces = [(number, cut) for number, x in enumerate(self.x) for cut in self._cut(len(x), 0)]
        pieces.sort(key=lambda piece: piece[1].stop - piece[1].start)
        return [self._collate(pieces[start : start + size]) for start in range(0, len(pieces), size)]

    @property
    def memory(self) -> float:
        """Steps in a typical sequence or piece, the time that the network may have to remember."""
        median = float(np.median([len(x) for x in self.x]))
        return min(median, float(PIECE)) if self.every else median

    def count(self, size: int) -> int:
        """The number of batches in an epoch. It does not depend on where long sequences are cut."""
        return math.ceil(self.pieces / size)

    def _collate(self, pieces: list[tuple[int, slice]], share: float = 1.0) -> Batch:
        pad = pad_sequence
        x = pad([self.x[number][cut] for number, cut in pieces], batch_first=True)
        weight = torch.zeros(x.shape[:2])
        lengths = torch.tensor([cut.stop - cut.start for _, cut in pieces])
        for row, (_, cut) in enumerate(pieces):
            steps = cut.stop - cut.start
            if self.every:
                weight[row, PIECE // 4 if cut.start and steps > PIECE // 2 else 0 : steps] = 1
            else:
                weight[row, steps - 1] = 1
        if self.every:
            y = pad([self.y[number][cut] for number, cut in pieces], batch_first=True)
        else:
            y = torch.stack([self.y[number] for number, _ in pieces])
        return Batch(x, y, lengths, weight, share)


def _widened(limits: tuple[np.ndarray, np.ndarray], times: float) -> tuple[np.ndarray, np.ndarray]:
    """The limits, (C,) and (C,), moved apart by some ranges on either side."""
    low, high = limits
    return low - times * (high - low), high + times * (high - low)
