# SPDX-License-Identifier: MIT
"""One run of the optimizer: AdamW over the epochs, with validation, the best weights, early stopping and a checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyrnn.data.recording import Recording
from tinyrnn.errors import ModelError
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.augmentation import Augmentation
from tinyrnn.training.batches import Batch, Batches
from tinyrnn.training.checkpoint import Checkpoint, Progressed
from tinyrnn.training.hyperparameters import Hyperparameters, rate
from tinyrnn.training.initialization import initial
from tinyrnn.training.losses import Loss, answers, spread
from tinyrnn.training.torch_model import TorchNetwork

FEW = 20  # validation answers of classes; by fewer, the choice of an epoch is luck (docs/training.md)


@dataclass(frozen=True)
class Progress:
    """The argument of the progress callback, after each epoch."""

    epoch: int  # epochs done, including those of an interrupted run
    epochs: int  # most that there will be
    loss: float  # mean over the epoch's training sequences, with augmentation, dropout and label smoothing
    validation_loss: float | None = None  # of this epoch; None without validation sequences
    best_epoch: int = 0  # the epoch whose weights would be kept now
    run: str = ""  # what is trained: "", "difference", "all sequences"
    steps_per_s: float = 0.0  # training steps of this epoch, without padding and validation


class Optimization:
    """The network, the data and the settings of one run."""

    def __init__(
        self,
        recording: Recording,
        architecture: Architecture,
        hyperparameters: Hyperparameters,
        seed: int,
        device: torch.device,
        symbols: int,
        name: str,
    ) -> None:
        """symbols: rows of the embedding at the input, 0 without one. name: of the run, for progress and checkpoint."""
        self.settings = hyperparameters
        self.device = device
        self.name = name
        self.recording = recording
        self.symbols = bool(symbols)
        self.generator = torch.Generator().manual_seed(seed)
        self.train = Batches(recording, recording.train, self.symbols)
        self.validation: list[Batch] | None = None  # always the same, so they are made once
        if recording.validation is not None:
            self.validation = self._whole(Batches(recording, recording.validation, self.symbols))
        self.loss = Loss(recording, hyperparameters.class_weights)
        self.augment = Augmentation(hyperparameters, recording, self.symbols)
        inputs, outputs, memory = len(recording.channels), len(recording.labels), self.train.memory
        start = initial(architecture, inputs, outputs, self.generator, memory, symbols)
        self.network = TorchNetwork(*start).to(device)
        self.average = copy.deepcopy(self.network)
        self.optimizer = _optimizer(self.network, hyperparameters)
        self.state = Progressed(_weights(self.average))

    def _whole(self, batches: Batches) -> list[Batch]:
        return [batch.to(self.device) for batch in batches.whole(self.settings.batch)]

    def run(
        self,
        checkpoint: Checkpoint | None,
        checkpoint_every_s: float,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        """Train, and leave the best weights in ``average`` and the course in ``state``. Raises ModelError if it diverges."""
        settings, objects = self.settings, (self.network, self.average, self.optimizer, self.generator)
        done = checkpoint.resume(self.name, *objects) if checkpoint else None
        self.state = state = done or self.state
        last, few = settings.epochs, too_few(self.recording)
        written_s = time.monotonic()
        while not state.finished:
            epoch = len(state.history) + 1
            began_s = time.perf_counter()
            training = self._epoch(epoch)
            steps_per_s = self.train.steps / max(time.perf_counter() - began_s, 1e-9)
            entry = [float(epoch), training]
            if self.validation is None:
                state.best, state.best_epoch = _weights(self.average), epoch
            else:
                found = self._measure(self.validation)
                entry += [found.loss, found.figure]
                better = not len(state.losses) or found.loss < float(state.losses.mean())
                if better:
                    state.losses = found.losses
                # Later weights are better annealed, so they win where the loss does not tell. A regression overfits at once
                if better or (self.train.classes and (few or found.as_good_as(state.losses))):
                    state.best, state.best_epoch, state.validation_loss = _weights(self.average), epoch, found.loss
            state.history.append(entry)
            patient = not settings.patience or self.validation is None or epoch - state.best_epoch < settings.patience
            state.finished = epoch >= last or not patient
            if checkpoint and (state.finished or time.monotonic() - written_s >= checkpoint_every_s):
                checkpoint.write(self.name, state, *objects)
                written_s = time.monotonic()
            if progress:
                validation = None if self.validation is None else entry[2]
                progress(Progress(epoch, last, training, validation, state.best_epoch, self.name, steps_per_s))
        self.average.load_state_dict(state.best)

    def _epoch(self, epoch: int) -> float:
        """All updates of an epoch. Returns the mean loss."""
        settings = self.settings
        count = self.train.count(settings.batch)
        total = 0.0
        for number, batch in enumerate(self.train.epoch(settings.batch, self.generator)):
            update = (epoch - 1) * count + number
            for group in self.optimizer.param_groups:
                group["lr"] = rate(update, settings.epochs * count, settings)
            batch = self.augment(batch.to(self.device), self.generator)
            weight = spread(batch.weight, 0.0 if self.train.every else settings.early, self.generator)
            output = self.network(batch.x, settings.dropout, self.generator, weight > 0)
            sums, weights = self.loss(output, batch, weight, settings.label_smoothing)
            error = batch.share * sums.sum() / weights.sum()
            self.optimizer.zero_grad()
            error.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
            self.optimizer.step()
            self._average(update)
            total += error.item()
        if not math.isfinite(total):
            seen = f"training diverged in epoch {epoch} (loss {total})"
            raise ModelError(f"{seen}; expected a finite loss: try a learning rate below {settings.lr:g}")
        return total / count

    @torch.no_grad()
    def _average(self, update: int) -> None:
        """Follow the weights with their exponential moving average, quickly at first."""
        decay = min(self.settings.ema, (1 + update) / (10 + update))
        for average, weight in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)

    def training_loss(self) -> float:
        """The mean loss of the training sequences, without augmentation, dropout and label smoothing."""
        return self._measure(self._whole(self.train)).loss

    @torch.no_grad()
    def _measure(self, batches: list[Batch]) -> Measured:
        """The averaged weights on sequences, without augmentation, dropout and label smoothing."""
        losses, weights = [], []
        right = count = 0.0
        std = torch.tensor(self.recording.target_std)
        squares = torch.zeros(len(std), dtype=torch.float64)
        for batch in batches:
            output = self.average(batch.x, chosen=batch.weight > 0)
            sums, weight = self.loss(output, batch, batch.weight)
            losses.append(sums.cpu())
            weights.append(weight.cpu())
            y = answers(batch, *batch.weight.nonzero(as_tuple=True))
            count += len(y)
            if self.train.classes:
                right += float((output.argmax(dim=1) == y).sum())
            else:
                squares += (output - y).double().square().sum(dim=0).cpu() * std.square()
        total = torch.cat(weights).mean()
        figure = 100 * right / count if self.train.classes else math.sqrt(float(squares.mean()) / count)
        return Measured(torch.cat(losses) / total, figure)

    @torch.no_grad()
    def validated(self) -> tuple[np.ndarray, np.ndarray]:
        """The outputs and the answers of a regression on the validation sequences, both (M, O) in the targets' unit."""
        assert self.validation is not None, "the caller has validation sequences"
        found = []
        for batch in self.validation:
            y = answers(batch, *batch.weight.nonzero(as_tuple=True))
            found.append(torch.stack([self.average(batch.x, chosen=batch.weight > 0), y]))
        both = torch.cat(found, dim=1).double().cpu().numpy() * self.recording.target_std + self.recording.target_mean
        return both[0], both[1]


@dataclass(frozen=True)
class Measured:
    """The figures of a network on some sequences."""

    losses: Tensor  # (N,) float32 of each sequence or piece, weighted so that their mean is the loss
    figure: float  # accuracy in percent, or RMSE in the targets' unit

    @property
    def loss(self) -> float:
        return float(self.losses.mean())

    def as_good_as(self, best: Tensor) -> bool:
        """Whether the losses are at most a standard error worse than the best (N,), sequence by sequence."""
        apart = (self.losses - best).double()
        return float(apart.mean()) <= float(apart.std()) / math.sqrt(len(best)) if len(best) > 1 else float(apart) <= 0


def too_few(recording: Recording) -> bool:
    """Whether there are too few validation answers of classes to choose an epoch by: the last one is then kept."""
    kept = recording.validation
    return kept is not None and recording.task == "classification" and len(kept.all_y()) < FEW


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _optimizer(network: TorchNetwork, hyperparameters: Hyperparameters) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices only, which keeps the weights small enough for int8."""
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": hyperparameters.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=hyperparameters.lr)
