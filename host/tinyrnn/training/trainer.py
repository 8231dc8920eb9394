"""The trainer: ``fit()`` a float model to a recording. The same seed gives the same weights.

Test sequences are looked at once, after the last epoch, for the figures in ``FloatModel.info``: they stop
nothing and choose nothing.
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
from tinyrnn.float_model.evaluation import calibrate, evaluate, measure_reach
from tinyrnn.float_model.model import WINDOW_MAX, FloatModel
from tinyrnn.training.architecture import Plan
from tinyrnn.training.checkpoint import Checkpoint
from tinyrnn.training.hyperparameters import Batches, Recipe, augment, default_recipe, loss, rate, spread
from tinyrnn.training.initialization import initial
from tinyrnn.training.torch_model import Network


@dataclass(frozen=True)
class Progress:
    """What a progress callback is told after each epoch."""

    epoch: int  # epochs done, those of an interrupted run included
    epochs: int
    loss: float  # mean over the epoch's batches, with noise, dropout and smoothing


def fit(
    recording: Recording,
    *,
    units: int = 32,
    layers: int = 1,
    plan: Plan | None = None,
    epochs: int | None = None,
    seed: int = 0,
    lr: float | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = 2.0,
    notice: Callable[[str], None] = lambda text: None,
) -> FloatModel:
    """Train a GRU of `layers` layers with `units` units each on recording.train, or the cells of a plan.

    plan: all of the network, instead of units and layers.
    epochs, lr: of the recipe, default derived from the recording; recipe: all of it, for experiments.
    progress: called after each epoch; an exception in it ends the training.
    checkpoint: file to go on from when it was made for this very training; it is written every
    checkpoint_every_s seconds and at the end, and the caller deletes it once the model is saved.
    notice: told, in one line, when that file is used or why it is not.

    Runs on one core, with a generator of its own: the caller's random numbers are not touched. The model's
    info holds the figures on recording.test. Raises ModelError when the training diverges or an option is out
    of range.
    """
    if recipe is None:
        recipe = default_recipe(recording)
    given: dict[str, Any] = {key: value for key, value in (("epochs", epochs), ("lr", lr)) if value is not None}
    recipe = replace(recipe, **given)
    plan = plan or Plan(("gru",) * layers, units)
    if recipe.epochs < 1:
        raise ModelError(f"epochs is {recipe.epochs}; expected 1 or more")
    if not (math.isfinite(recipe.lr) and recipe.lr > 0):
        raise ModelError(f"learning rate is {recipe.lr}; expected more than 0, such as 0.005")
    with _repeatable():
        generator = torch.Generator().manual_seed(seed)
        batches = Batches(recording)
        start = initial(plan, len(recording.channels), len(recording.labels), generator, batches.memory)
        network = Network(*start)
        optimizer = _optimizer(network, recipe)
        part = None
        done = 0
        if checkpoint is not None:
            part = Checkpoint(checkpoint, _options(recording, plan, seed, recipe), notice)
            done = part.read(network, optimizer, generator)
        updates = recipe.epochs * batches.count(recipe.batch)
        written_s = time.monotonic()
        for epoch in range(done, recipe.epochs):
            total = count = 0.0
            for x, y, weight in batches.epoch(recipe.batch, generator):
                update = epoch * batches.count(recipe.batch) + int(count)
                for group in optimizer.param_groups:
                    group["lr"] = rate(update, updates, recipe)
                output = network(augment(x, recipe, generator), recipe.dropout, generator)
                if not batches.every:
                    weight = spread(weight, recipe.early)
                error = loss(output, y, weight, batches.classes, recipe.smoothing)
                optimizer.zero_grad()
                error.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
                optimizer.step()
                total += error.item()
                count += 1
            if not math.isfinite(total):
                seen = f"training diverged in epoch {epoch + 1} (loss {total})"
                raise ModelError(f"{seen}; try a learning rate below {recipe.lr:g}")
            if part and (epoch + 1 == recipe.epochs or time.monotonic() - written_s >= checkpoint_every_s):
                part.write(epoch + 1, network, optimizer, generator)
                written_s = time.monotonic()
            if progress:
                progress(Progress(epoch + 1, recipe.epochs, total / count))
        training_loss = _clean_loss(network, batches, recipe.batch)
    cells, head = network.parts()
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
        # Where every step counts, training cuts the recording anywhere: that is a stream
        window=min(int(recording.train.lengths.max()), WINDOW_MAX) if recording.when == "last" else 0,
    )
    calibration = replace(model.calibration, reach=measure_reach(model, recording.train))
    info = {
        "dataset": recording.name,
        "seed": seed,
        "epochs": recipe.epochs,
        **_described(plan),
        "training_loss": training_loss,
        **evaluate(model, recording.test).figures(),
        "tinyrnn": __version__,
    }
    return replace(model, info=info, calibration=calibration)


def _optimizer(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; only matrices decay, which keeps the weights small for int8 and the biases free."""
    parameters = list(network.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr)


@torch.no_grad()
def _clean_loss(network: Network, batches: Batches, size: int) -> float:
    """The loss over the training set without noise, dropout or smoothing: what seeds are compared by."""
    total = 0.0
    parts = batches.whole(size)
    for x, y, weight in parts:
        total += loss(network(x), y, weight, batches.classes).item()
    return total / len(parts)


def _options(recording: Recording, plan: Plan, seed: int, recipe: Recipe) -> dict[str, Any]:
    """Everything the weights depend on, as plain values, most telling first."""
    digest = hashlib.sha256()
    train = recording.train
    for array in (*train.x, *train.y, np.array(train.lengths)):
        digest.update(np.ascontiguousarray(array).tobytes())
    options = {"dataset": recording.name, "seed": seed, **_described(plan), **asdict(recipe)}
    kind = f"{recording.task}, {recording.when}, {len(recording.labels)} outputs"
    return {
        **options,
        "task": kind,
        "data": digest.hexdigest(),
        "torch": str(torch.__version__),
        "tinyrnn": __version__,
    }


def _described(plan: Plan) -> dict[str, Any]:
    """The plan as plain values; of its options only those in use."""
    options = {key: value for key, value in asdict(plan).items() if value and key not in ("cells", "units")}
    return {"cell": plan.title, "units": plan.units, "layers": len(plan.cells), **options}


@contextmanager
def _repeatable() -> Iterator[None]:
    """One thread, as sums depend on the number of threads, and deterministic algorithms; restored after."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with warnings.catch_warnings():
            # torch tells how it computes a projection, which is no fault of the user's
            warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
