# SPDX-License-Identifier: MIT
"""The hyperparameters of a training, with one default for all data sets; batches, augmentation and loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from tinyrnn.data.recording import Recording

PIECE = 192  # most steps of a training piece if every step has a label; longer sequences are cut
UPDATES = 1500  # updates of the weights for a small recording


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of a training. Inputs are normalised, so 1 is a channel's standard deviation."""

    batch: int  # sequences or pieces in a batch
    epochs: int
    lr: float  # peak learning rate
    noise: float  # standard deviation of the noise added to each input value
    jitter: float  # standard deviation of a random offset and a random relative gain for each sequence and channel
    dropout: float  # share of each layer's outputs that are set to zero
    smoothing: float  # label smoothing
    early: float  # share of the loss on the second half of a sequence if only the last step counts
    weight_decay: float = 0.01
    clip: float = 1.0  # largest norm of a gradient
    warmup: float = 0.1  # share of the updates during which the learning rate rises


class Batches:
    """The training sequences as normalised float32 tensors, drawn in batches from a generator."""

    def __init__(self, recording: Recording) -> None:
        self.every = recording.when == "every"
        self.classes = recording.task == "classification"
        self.x = [torch.from_numpy(((x - recording.mean) / recording.std).astype(np.float32)) for x in recording.train.x]
        y: list[np.ndarray] = list(recording.train.y)  # an array (N, ...) becomes N rows
        if self.classes:
            self.y = [torch.as_tensor(answers, dtype=torch.long) for answers in y]
        else:
            mean, std = recording.target_mean, recording.target_std
            self.y = [torch.from_numpy(((answers - mean) / std).astype(np.float32)) for answers in y]
        self.pieces = sum(len(self._cut(len(x), 0)) for x in self.x)

    def _cut(self, steps: int, offset: int) -> list[slice]:
        """The pieces of a sequence: all of it if the last step counts, otherwise runs of at most PIECE steps."""
        if not self.every or steps <= PIECE:
            return [slice(0, steps)]
        edges = [0, *range(PIECE - offset, steps, PIECE), steps]
        return [slice(a, b) for a, b in pairwise(edges)]

    def epoch(self, size: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The batches of an epoch in random order: x (B, T, C), y, and the weight of each step (B, T), with sum 1.

        Long sequences are cut at different places in each epoch. A piece from the middle of a sequence starts from the
        zero state, so its first quarter has no weight: the state must settle first.
        """
        pieces: list[tuple[int, slice]] = []
        for number, x in enumerate(self.x):
            offset = int(torch.randint(PIECE // 2, (), generator=generator)) if self.every and len(x) > PIECE else 0
            pieces += [(number, cut) for cut in self._cut(len(x), offset)]
        order = torch.randperm(len(pieces), generator=generator)
        # Batches of equal size: the gradient of a last batch of one or two sequences would be too noisy
        chosen = torch.tensor_split(order, self.count(size))
        return [self._collate([pieces[int(i)] for i in numbers]) for numbers in chosen]

    def whole(self, size: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """All sequences in their own order, in batches as from epoch(). The result is always the same."""
        pieces = [(number, cut) for number, x in enumerate(self.x) for cut in self._cut(len(x), 0)]
        return [self._collate(pieces[start : start + size]) for start in range(0, len(pieces), size)]

    @property
    def memory(self) -> float:
        """Steps in a typical sequence or piece, the time that the network may have to remember."""
        median = float(np.median([len(x) for x in self.x]))
        return min(median, float(PIECE)) if self.every else median

    def count(self, size: int) -> int:
        """The number of batches in an epoch. It does not depend on where long sequences are cut."""
        return math.ceil(self.pieces / size)

    def _collate(self, pieces: list[tuple[int, slice]]) -> tuple[Tensor, Tensor, Tensor]:
        pad = pad_sequence
        x = pad([self.x[number][cut] for number, cut in pieces], batch_first=True)
        weight = torch.zeros(x.shape[:2])
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
        return x, y, weight / weight.sum()


def default_hyperparameters(recording: Recording) -> Hyperparameters:
    """The default hyperparameters, which depend only on the size and the task of the recording.

    Little data needs many epochs and strong noise. Above 300 sequences, the noise decreases with their number. The
    constants were chosen on parts of the bundled training sets and on other data sets, with several seeds. The test sets
    of the bundled recordings were not used.
    """
    batches = Batches(recording)
    batch = 16 if batches.pieces <= 100 else 32 if batches.pieces <= 2000 else 64
    epochs = min(max(round(UPDATES / batches.count(batch)), 30), 400)
    if recording.task == "regression":  # noise and dropout would limit the accuracy of a regression
        return Hyperparameters(batch, epochs, lr=0.01, noise=0.02, jitter=0.0, dropout=0.0, smoothing=0.0, early=0.0)
    scarce = min(1.0, max(0.3, math.sqrt(300 / batches.pieces)))
    return Hyperparameters(batch, epochs, 0.005, 0.3 * scarce, 0.25 * scarce, dropout=0.2, smoothing=0.1, early=0.1)


def augment(x: Tensor, hyperparameters: Hyperparameters, generator: torch.Generator) -> Tensor:
    """x (B, T, C) with random noise, offsets and gains, like another recording of the same activity."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    batch, _, channels = x.shape
    if hyperparameters.jitter:
        x = x * (1 + hyperparameters.jitter * normal(batch, 1, channels)) + hyperparameters.jitter * normal(
            batch, 1, channels
        )
    if hyperparameters.noise:
        x = x + hyperparameters.noise * normal(*x.shape)
    return x


def spread(weight: Tensor, early: float) -> Tensor:
    """Weights (B, T) that are on the last steps, with the share `early` moved to the second half of each sequence.

    This shortens the path of the gradient, and the network learns to decide before the end of the sequence.
    """
    if not early:
        return weight
    steps = torch.arange(weight.shape[1])
    last = weight.argmax(dim=1, keepdim=True)
    half = ((steps >= last // 2) & (steps <= last)).float()
    return (1 - early) * weight + early * half / half.sum(dim=1, keepdim=True) * weight.sum(dim=1, keepdim=True)


def loss(output: Tensor, y: Tensor, weight: Tensor, classes: bool, smoothing: float = 0.0) -> Tensor:
    """Weighted cross entropy or squared error. output: (B, T, O). y: (B,), (B, O), (B, T) or (B, T, O)."""
    if classes:
        if y.ndim == 1:
            y = y[:, None].expand(output.shape[:2])
        each = functional.cross_entropy(output.flatten(0, 1), y.flatten(), reduction="none", label_smoothing=smoothing)
        return (each.view(weight.shape) * weight).sum()
    if y.ndim == 2:
        y = y[:, None]
    return ((output - y).square().mean(dim=2) * weight).sum()


def rate(update: int, updates: int, hyperparameters: Hyperparameters) -> float:
    """The learning rate of an update: a linear rise, then half a cosine down to zero."""
    rise = max(1, round(updates * hyperparameters.warmup))
    if update < rise:
        return hyperparameters.lr * (update + 1) / rise
    return hyperparameters.lr * 0.5 * (1 + math.cos(math.pi * (update - rise) / max(1, updates - rise)))
