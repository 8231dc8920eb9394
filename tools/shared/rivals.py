# SPDX-License-Identifier: MIT
"""Plain torch training loops, as one writes them by hand: what tools/experiments.py compares the trainer with."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import torch
from tinyrnn.data.recording import Recording, Sequences
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

RATES = (0.003, 0.01)
EPOCHS, PATIENCE, BATCH = 200, 25, 32


class Gru(nn.Module):
    """One GRU and a dense head; with `difference`, the head's output is added to one input channel."""

    def __init__(self, channels: int, units: int, outputs: int, difference: int | None = None) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, units, batch_first=True)
        self.head = nn.Linear(units, outputs)
        self.difference = difference

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.gru(x)[0])
        return y if self.difference is None else y + x[..., self.difference : self.difference + 1]


def tuned(recording: Recording, validation: Sequences, units: int, seed: int) -> tuple[np.ndarray, float]:
    """The test outputs (M, O) of the best of a small grid by validation, and CPU seconds of the whole grid.

    Adam, early stopping on the validation loss, learning rates of RATES. A forecast is tried with and without the
    difference from the last value of the first channel with the target's name. Inputs and targets are normalised.
    """
    started = time.process_time()
    differences: list[int | None] = [None]
    if recording.labels[0] in recording.channels:
        differences.append(recording.channels.index(recording.labels[0]))
    runs = [_run(recording, validation, units, seed, lr, difference) for lr, difference in product(RATES, differences)]
    best = min(runs, key=lambda run: run[0])
    return best[1], time.process_time() - started


def _run(
    recording: Recording, validation: Sequences, units: int, seed: int, lr: float, difference: int | None
) -> tuple[float, np.ndarray]:
    """(smallest validation loss, test outputs with those weights in the user's unit)."""
    torch.manual_seed(seed)
    classes = recording.task == "classification"
    mean, std = recording.mean, recording.std
    y_mean, y_std = recording.target_mean, recording.target_std
    if difference is not None:  # one scale for the target and its channel
        y_mean, y_std = mean[difference : difference + 1], std[difference : difference + 1]

    def tensors(part: Sequences) -> list[tuple[Tensor, Tensor]]:
        x = [torch.from_numpy(((each - mean) / std).astype(np.float32)) for each in part.x]
        if classes:
            return [(each, torch.tensor(int(label))) for each, label in zip(x, part.y, strict=True)]
        return [
            (each, torch.from_numpy(((np.atleast_2d(y) - y_mean) / y_std).astype(np.float32)))
            for each, y in zip(x, part.y, strict=True)
        ]

    train, held, test = tensors(recording.train), tensors(validation), tensors(recording.test)
    network = Gru(len(recording.channels), units, len(recording.labels), difference)
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)

    def outputs(part: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """For each sequence the rows that count."""
        found: list[Tensor] = []
        for start in range(0, len(part), 256):
            some = part[start : start + 256]
            out = network(pad_sequence([x for x, _ in some], batch_first=True))
            lengths = [len(x) for x, _ in some]
            every = recording.when == "every"
            found += [row[:n] if every else row[n - 1 : n] for row, n in zip(out, lengths, strict=True)]
        return found

    def loss(part: list[tuple[Tensor, Tensor]]) -> Tensor:
        out = torch.cat(outputs(part))
        if classes:
            return nn.functional.cross_entropy(out, torch.stack([y for _, y in part]))
        return nn.functional.mse_loss(out, torch.cat([y for _, y in part]))

    best, waited = float("inf"), 0
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    for _ in range(EPOCHS):
        network.train()
        for numbers in torch.randperm(len(train)).split(BATCH):
            error = loss([train[int(number)] for number in numbers])
            optimizer.zero_grad()
            error.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        with torch.no_grad():
            now = float(loss(held))
        waited += 1
        if now < best:
            best, waited = now, 0
            kept = {key: value.clone() for key, value in network.state_dict().items()}
        if waited >= PATIENCE:
            break
    network.load_state_dict(kept)
    with torch.no_grad():
        found = torch.cat(outputs(test)).double().numpy()
    # The loss in the user's unit: the scale differs with the difference
    return best * float(np.square(y_std).mean()), found if classes else found * y_std + y_mean


def plain_epoch_s(recording: Recording, units: int, batch: int, epochs: int = 3) -> float:
    """CPU seconds of an epoch of the shortest loop: random batches, padded, Adam, the loss on the last step."""
    torch.manual_seed(0)
    x = [torch.from_numpy(((each - recording.mean) / recording.std).astype(np.float32)) for each in recording.train.x]
    y = torch.as_tensor(np.asarray(recording.train.y), dtype=torch.long)
    network = Gru(len(recording.channels), units, len(recording.labels))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003)
    seconds = []
    for _ in range(epochs):
        started = time.process_time()
        for numbers in torch.randperm(len(x)).split(batch):
            chosen = [x[int(number)] for number in numbers]
            last = torch.tensor([len(each) - 1 for each in chosen])
            out = network(pad_sequence(chosen, batch_first=True))[torch.arange(len(chosen)), last]
            error = nn.functional.cross_entropy(out, y[numbers])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        seconds.append(time.process_time() - started)
    return min(seconds)
