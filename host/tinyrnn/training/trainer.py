# SPDX-License-Identifier: MIT
"""The trainer: ``fit()`` trains a float model on a recording. The same seed gives the same weights.

The test sequences are used once, after the last epoch, for the figures in ``FloatModel.info``. They neither stop the
training nor choose a model.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from tinyrnn import __version__
from tinyrnn.data.recording import Recording
from tinyrnn.errors import ModelError
from tinyrnn.float_model.evaluation import calibrate, evaluate, measure_value_ranges
from tinyrnn.float_model.model import WINDOW_MAX, FloatModel
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.checkpoint import Checkpoint
from tinyrnn.training.hyperparameters import Batches, Hyperparameters, augment, default_hyperparameters, loss, rate, spread
from tinyrnn.training.initialization import initial
from tinyrnn.training.torch_model import TorchNetwork


@dataclass(frozen=True)
class Progress:
    """The argument of the progress callback, after each epoch."""

    epoch: int  # epochs done, including those of an interrupted run
    epochs: int
    loss: float  # mean over the epoch's batches, with noise, dropout and smoothing


def fit(
    recording: Recording,
    *,
    units: int = 32,
    layers: int = 1,
    architecture: Architecture | None = None,
    epochs: int | None = None,
    seed: int = 0,
    lr: float | None = None,
    hyperparameters: Hyperparameters | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = 2.0,
    notice: Callable[[str], None] = lambda text: None,
) -> FloatModel:
    """Train a GRU with `layers` layers of `units` units, or the network of an architecture, on recording.train.

    architecture: the whole network, instead of units and layers.
    epochs, lr: hyperparameters to change; the defaults depend on the recording. hyperparameters: all of them.
    progress: called after each epoch; an exception in it ends the training.
    checkpoint: a file to resume from, if it belongs to the same training. It is written every checkpoint_every_s seconds
    and at the end. The caller deletes it after saving the model.
    notice: called with a line that says that the checkpoint is used, or why it is not.

    Runs in one thread, with its own random generator; the caller's is not touched. The model's info holds the figures on
    recording.test. Raises ModelError if the training diverges or an option is out of range.
    """
    if hyperparameters is None:
        hyperparameters = default_hyperparameters(recording)
    given: dict[str, Any] = {key: value for key, value in (("epochs", epochs), ("lr", lr)) if value is not None}
    hyperparameters = replace(hyperparameters, **given)
    architecture = architecture or Architecture(("gru",) * layers, units)
    if hyperparameters.epochs < 1:
        raise ModelError(f"epochs is {hyperparameters.epochs}; expected at least 1")
    if not (math.isfinite(hyperparameters.lr) and hyperparameters.lr > 0):
        raise ModelError(f"learning rate is {hyperparameters.lr}; expected more than 0, such as 0.005")
    with _repeatable():
        generator = torch.Generator().manual_seed(seed)
        batches = Batches(recording)
        start = initial(architecture, len(recording.channels), len(recording.labels), generator, batches.memory)
        network = TorchNetwork(*start)
        optimizer = _optimizer(network, hyperparameters)
        resumable = None
        done = 0
        if checkpoint is not None:
            resumable = Checkpoint(checkpoint, _options(recording, architecture, seed, hyperparameters), notice)
            done = resumable.read(network, optimizer, generator)
        updates = hyperparameters.epochs * batches.count(hyperparameters.batch)
        written_s = time.monotonic()
        for epoch in range(done, hyperparameters.epochs):
            total = count = 0.0
            for x, y, weight in batches.epoch(hyperparameters.batch, generator):
                update = epoch * batches.count(hyperparameters.batch) + int(count)
                for group in optimizer.param_groups:
                    group["lr"] = rate(update, updates, hyperparameters)
                output = network(augment(x, hyperparameters, generator), hyperparameters.dropout, generator)
                if not batches.every:
                    weight = spread(weight, hyperparameters.early)
                error = loss(output, y, weight, batches.classes, hyperparameters.smoothing)
                optimizer.zero_grad()
                error.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), hyperparameters.clip)
                optimizer.step()
                total += error.item()
                count += 1
            if not math.isfinite(total):
                seen = f"training diverged in epoch {epoch + 1} (loss {total})"
                raise ModelError(f"{seen}; expected a finite loss: try a learning rate below {hyperparameters.lr:g}")
            if resumable and (epoch + 1 == hyperparameters.epochs or time.monotonic() - written_s >= checkpoint_every_s):
                resumable.write(epoch + 1, network, optimizer, generator)
                written_s = time.monotonic()
            if progress:
                progress(Progress(epoch + 1, hyperparameters.epochs, total / count))
        training_loss = _clean_loss(network, batches, hyperparameters.batch)
    cells, head = network.export()
    model = FloatModel(
        task=recording.task,
        when=recording.when,
        mean=recording.mean,
        std=recording.std,
        layers=cells,
        head=head,
        labels=recording.labels,
        channels=recording.channels,
        target_mean=recording.target_mean,
        target_std=recording.target_std,
        calibration=calibrate(recording),
        name=recording.name,
        # If every step counts, training cuts the recording anywhere: that is a stream
        window=min(int(recording.train.lengths.max()), WINDOW_MAX) if recording.when == "last" else 0,
    )
    calibration = replace(model.calibration, value_ranges=measure_value_ranges(model, recording.train))
    info = {
        "dataset": recording.name,
        "seed": seed,
        "epochs": hyperparameters.epochs,
        **_described(architecture),
        "training_loss": training_loss,
        **evaluate(model, recording.test).entries(),
        "tinyrnn": __version__,
    }
    return replace(model, info=info, calibration=calibration)


def _optimizer(network: TorchNetwork, hyperparameters: Hyperparameters) -> torch.optim.Optimizer:
    """AdamW with weight decay for matrices only, which keeps the weights small enough for int8."""
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": hyperparameters.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=hyperparameters.lr)


@torch.no_grad()
def _clean_loss(network: TorchNetwork, batches: Batches, size: int) -> float:
    """The loss on the training set without noise, dropout or smoothing, by which seeds are compared."""
    total = 0.0
    whole = batches.whole(size)
    for x, y, weight in whole:
        total += loss(network(x), y, weight, batches.classes).item()
    return total / len(whole)


def _options(
    recording: Recording, architecture: Architecture, seed: int, hyperparameters: Hyperparameters
) -> dict[str, Any]:
    """Everything that the weights depend on, as plain values, the most informative first."""
    digest = hashlib.sha256()
    train = recording.train
    for array in (*train.x, *train.y, np.array(train.lengths)):
        digest.update(np.ascontiguousarray(array).tobytes())
    options = {"dataset": recording.name, "seed": seed, **_described(architecture), **asdict(hyperparameters)}
    kind = f"{recording.task}, {recording.when}, {len(recording.labels)} outputs"
    return {
        **options,
        "task": kind,
        "data": digest.hexdigest(),
        "torch": str(torch.__version__),
        "tinyrnn": __version__,
    }


def _described(architecture: Architecture) -> dict[str, Any]:
    """The architecture as plain values, with only those options that are in use."""
    options = {key: value for key, value in asdict(architecture).items() if value and key not in ("cells", "units")}
    return {"cell": architecture.title, "units": architecture.units, "layers": len(architecture.cells), **options}


@contextmanager
def _repeatable() -> Iterator[None]:
    """Use one thread, because sums depend on the number of threads, and deterministic algorithms. Restores both."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with warnings.catch_warnings():
            # The warning is about how torch computes a projection; the user need not act
            warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
