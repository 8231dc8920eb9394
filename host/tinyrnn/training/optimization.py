# SPDX-License-Identifier: MIT
"""One run of the optimizer: AdamW over the epochs, with validation, the best weights, early stopping and a checkpoint."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import ModelError
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.augmentation import Augmentation
from tinyrnn.training.batches import Batches
from tinyrnn.training.checkpoint import Checkpoint, Progressed
from tinyrnn.training.hyperparameters import Hyperparameters, rate
from tinyrnn.training.initialization import initial
from tinyrnn.training.losses import Loss
from tinyrnn.training.torch_model import TorchNetwork


@dataclass(frozen=True)
class Progress:
    """The argument of the progress callback, after each epoch."""

    epoch: int  # epochs done, including those of an interrupted run
    epochs: int  # most that there will be
    loss: float  # mean over the epoch's training sequences, with augmentation, dropout and label smoothing
    validation_loss: float | None = None  # of this epoch; None without validation sequences
    best_epoch: int = 0  # the epoch with the lowest validation loss so far
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
        self.validation = self._batches(recording.validation)
        self.loss = Loss(recording, hyperparameters.class_weights)
        self.augment = Augmentation(hyperparameters, recording, self.symbols)
        inputs, outputs, memory = len(recording.channels), len(recording.labels), self.train.memory
        start = initial(architecture, inputs, outputs, self.generator, memory, symbols)
        self.network = TorchNetwork(*start).to(device)
        self.average = copy.deepcopy(self.network)
        self.optimizer = _optimizer(self.network, hyperparameters)

    def _batches(self, sequences: Sequences | None) -> Batches | None:
        return None if sequences is None else Batches(self.recording, sequences, self.symbols)

    def run(
        self,
        checkpoint: Checkpoint | None,
        checkpoint_every_s: float,
        progress: Callable[[Progress], None] | None,
        stop: int | None = None,
    ) -> Progressed:
        """Train, and leave the best weights in ``average``. stop: the last epoch, if that is earlier than in the settings.

        Raises ModelError if the training diverges.
        """
        settings, objects = self.settings, (self.network, self.average, self.optimizer, self.generator)
        done = checkpoint.resume(self.name, *objects) if checkpoint else None
        state = done or Progressed(_weights(self.average))
        last = stop or settings.epochs
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
                entry += self.validate()
                if entry[2] < state.validation_loss:
                    state.best, state.best_epoch, state.validation_loss = _weights(self.average), epoch, entry[2]
            state.history.append(entry)
            patient = not settings.patience or self.validation is None or epoch - state.best_epoch < settings.patience
            state.finished = epoch >= last or not patient
            if checkpoint and (state.finished or time.monotonic() - written_s >= checkpoint_every_s):
                checkpoint.write(self.name, state, *objects)
                written_s = time.monotonic()
            if progress:
                validation = entry[2] if self.validation else None
                progress(Progress(epoch, last, training, validation, state.best_epoch, self.name, steps_per_s))
        self.average.load_state_dict(state.best)
        return state

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
            output = self.network(batch.x, settings.dropout, self.generator)
            early = 0.0 if self.train.every else settings.early
            sums, weights = self.loss(output, batch, early, settings.label_smoothing)
            error = sums / weights
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

    def validate(self) -> list[float]:
        """The loss on the validation sequences, and the accuracy in percent or the RMSE in the targets' unit."""
        assert self.validation is not None, "there are validation sequences"
        loss, right, squares, count = self.measure(self.validation)
        if self.train.classes:
            return [loss, 100 * right / count]
        return [loss, math.sqrt(float(squares.mean()) / count)]

    @torch.no_grad()
    def measure(self, batches: Batches) -> tuple[float, float, Tensor, float]:
        """The averaged weights on sequences, without augmentation, dropout and label smoothing.

        Returns the mean loss, the number of right decisions, the sums of squared errors (O,) in the targets' unit, and the
        number of steps that count.
        """
        sums = weights = right = count = 0.0
        std = torch.tensor(self.recording.target_std)
        squares = torch.zeros(len(std), dtype=torch.float64)
        for batch in batches.whole(self.settings.batch):
            batch = batch.to(self.device)
            output = self.average(batch.x)
            error, weight = self.loss(output, batch)
            sums, weights, count = sums + error.item(), weights + weight.item(), count + float(batch.weight.sum())
            if batches.classes:
                y = batch.y if batch.y.ndim == 2 else batch.y[:, None]
                right += float(((output.argmax(dim=2) == y) * batch.weight).sum())
            else:
                y = batch.y if batch.y.ndim == 3 else batch.y[:, None]
                errors = (output - y).double().square() * batch.weight[..., None]
                squares += errors.sum(dim=(0, 1)).cpu() * std.square()
        return sums / weights, right, squares, count


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
