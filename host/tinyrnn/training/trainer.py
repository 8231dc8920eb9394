# SPDX-License-Identifier: MIT
"""The trainer: ``fit()`` trains a float model on a recording. The same seed gives the same weights on a CPU.

The validation sequences choose the best epoch, and whether a forecast learns differences. The test sequences are used
once, after all training, for the figures in ``FloatModel.info``.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from tinyrnn import __version__
from tinyrnn.data.baselines import last_value_channels
from tinyrnn.data.recording import Recording, joined
from tinyrnn.errors import ModelError
from tinyrnn.float_model.evaluation import calibrate, evaluate, measure_value_ranges
from tinyrnn.float_model.model import WINDOW_MAX, FloatModel
from tinyrnn.quantization.cells.embedding import SYMBOLS_MOST
from tinyrnn.text import counted
from tinyrnn.training.architecture import Architecture
from tinyrnn.training.checkpoint import Checkpoint
from tinyrnn.training.difference import Channels, differenced, shares, with_last_value
from tinyrnn.training.hyperparameters import DIFFERENCE, Hyperparameters, default_hyperparameters, with_settings
from tinyrnn.training.optimization import Optimization, Progress

__all__ = ["Progress", "fit"]

EMBEDDING = 16  # numbers that stand for a symbol of a text, if the architecture does not say
CLEARLY = 0.25  # without validation, differences are learnt if their variance is below this share of the targets'


def fit(
    recording: Recording,
    *,
    units: int = 32,
    layers: int = 1,
    architecture: Architecture | None = None,
    epochs: int | None = None,
    seed: int = 0,
    lr: float | None = None,
    settings: Mapping[str, Any] | None = None,
    hyperparameters: Hyperparameters | None = None,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every_s: float = 2.0,
    notice: Callable[[str], None] = lambda text: None,
) -> FloatModel:
    """Train a GRU with `layers` layers of `units` units, or the network of an architecture, on recording.train.

    architecture: the whole network, instead of units and layers.
    epochs, lr, settings: hyperparameters to change, by name; the defaults depend on the recording. hyperparameters: all.
    device: of PyTorch, such as "cuda". Only "cpu" repeats a training bit for bit.
    progress: called after each epoch; an exception in it ends the training.
    checkpoint: a file to resume from, if it belongs to the same training. It is written every checkpoint_every_s seconds
    and at the end. The caller deletes it after saving the model.
    notice: called with a line that says that the checkpoint is used, or why it is not.

    recording.validation chooses the epoch, and whether a forecast learns differences; then the network is trained again on
    all training sequences, unless the hyperparameters say no. Runs in one thread, with its own random generator; the
    caller's is not touched. The model's info holds the course of the training and the figures on recording.test. Raises
    ModelError if the training diverges or an option is out of range.
    """
    given: dict[str, Any] = {key: value for key, value in (("epochs", epochs), ("lr", lr)) if value is not None}
    chosen = with_settings(hyperparameters or default_hyperparameters(recording), {**(settings or {}), **given})
    architecture = architecture or Architecture(("gru",) * layers, units)
    symbols = _symbols(recording, architecture)
    if symbols and not architecture.embedding:
        architecture = replace(architecture, embedding=EMBEDDING)
    where = _device(device)
    resumable = None
    if checkpoint is not None:
        resumable = Checkpoint(checkpoint, _options(recording, architecture, seed, chosen, device), notice)

    def trained(data: Recording, name: str, epochs: int = chosen.epochs) -> Optimization:
        made = Optimization(data, architecture, replace(chosen, epochs=epochs), seed, where, symbols, name)
        made.run(resumable, checkpoint_every_s, progress)
        return made

    with _repeatable(where):
        channels = _channels(recording, chosen.difference)
        share = np.ones(len(recording.labels))
        if channels is None:
            best = trained(recording, "")
            loss = best.state.validation_loss
        else:
            best = trained(differenced(recording, channels), "difference")
            if recording.validation is not None:
                outputs, answers = best.validated()
                share = shares(outputs, answers, channels)
                # In units of the targets' variance, as the loss of a network that learns them directly
                loss = float(np.square((share * outputs - answers) / recording.target_std).mean())
                if chosen.difference == "auto":
                    direct = trained(recording, "")
                    if direct.state.validation_loss < loss:
                        best, channels, loss = direct, None, direct.state.validation_loss
        state = best.state
        if chosen.refit and recording.validation is not None:
            merged = replace(recording, train=joined([recording.train, recording.validation]), validation=None)
            merged = merged if channels is None else differenced(merged, channels)
            # The learning rate falls to zero within these epochs: they are fewer, but as well annealed
            best = trained(merged, "all sequences", state.best_epoch)
        training_loss = best.training_loss()
    cells, head = best.average.export()
    data, target_mean = best.recording, best.recording.target_mean
    if channels is not None:
        cells, head, target_mean = with_last_value(cells, head, data, channels, share)
    model = FloatModel(
        task=data.task,
        when=data.when,
        mean=np.zeros(1) if symbols else data.mean,
        std=np.ones(1) if symbols else data.std,
        layers=cells,
        head=head,
        labels=data.labels,
        channels=data.channels,
        target_mean=target_mean,
        target_std=data.target_std,
        calibration=calibrate(recording),
        name=data.name,
        # If every step counts, training cuts the recording anywhere: that is a stream
        window=min(int(data.train.lengths.max()), WINDOW_MAX) if data.when == "last" else 0,
    )
    calibration = replace(model.calibration, value_ranges=measure_value_ranges(model, data.train))
    info: dict[str, Any] = {
        "dataset": recording.name,
        "horizon": recording.horizon,
        "seed": seed,
        "epochs": len(state.history),
        "best_epoch": state.best_epoch,
        **_described(architecture),
        "training_loss": training_loss,
        "difference": channels is not None,
        "settings": asdict(chosen),
        "history": state.history,
        **evaluate(model, recording.test).entries(),
        "tinyrnn": __version__,
    }
    if recording.validation is not None:
        info["validation_loss"] = loss
        info["validation_figure"] = state.history[state.best_epoch - 1][3]  # accuracy in percent, or RMSE
    return replace(model, info=info, calibration=calibration)


def _symbols(recording: Recording, architecture: Architecture) -> int:
    """The number of symbols of the input, 0 if it is numbers. Raises ModelError if it cannot be embedded."""
    if recording.symbols:
        return len(recording.symbols)
    if not architecture.embedding:
        return 0
    if len(recording.channels) != 1 or not recording.integer or recording.minimum[0] < 0:
        seen = f"{len(recording.channels)} channels" if len(recording.channels) != 1 else "values that are no symbols"
        raise ModelError(
            f"--embedding {architecture.embedding}: the recording has {seen}; expected one channel of whole numbers from 0"
        )
    parts = [recording.train, recording.test, *([recording.validation] if recording.validation else [])]
    most = int(max(x.max() for part in parts for x in part.x))
    if most >= SYMBOLS_MOST:
        raise ModelError(f"--embedding {architecture.embedding}: symbol {most}; expected at most {SYMBOLS_MOST - 1}")
    return most + 1


def _channels(recording: Recording, difference: str) -> Channels | None:
    """The channels whose last values are subtracted from the targets, or None."""
    if difference not in DIFFERENCE:
        raise ModelError(f"--difference is {difference!r}; expected one of {', '.join(DIFFERENCE)}")
    if recording.task != "regression":
        if difference == "yes":
            raise ModelError("--difference yes for a classification; expected a regression")
        return None
    channels = last_value_channels(recording)
    if difference == "no" or all(channel is None for channel in channels):
        if difference == "yes":
            raise ModelError(
                "--difference yes: no input resembles a target, so there is no last value; expected the target's own past "
                "as an input: --target COLUMN --horizon N"
            )
        return None
    if difference == "auto" and recording.validation is None:
        apart = differenced(recording, channels).target_std / recording.target_std
        if float(np.square(apart).mean()) > CLEARLY:
            return None
    return channels


def _device(name: str) -> torch.device:
    """The device of that name. Raises ModelError if PyTorch cannot use it here."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device) + 1
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"--device {name}: PyTorch cannot use it here ({reason:.80}); expected cpu, or cuda with an NVIDIA GPU and a "
            "PyTorch built for it"
        ) from None
    return device


def _options(
    recording: Recording, architecture: Architecture, seed: int, hyperparameters: Hyperparameters, device: str
) -> dict[str, Any]:
    """Everything that the weights depend on, as plain values, the most informative first."""
    digest = hashlib.sha256()
    for part in (recording.train, recording.validation):
        for array in (*part.x, *part.y, np.array(part.lengths)) if part else ():
            digest.update(np.ascontiguousarray(array).tobytes())
    options = {"dataset": recording.name, "seed": seed, **_described(architecture), **asdict(hyperparameters)}
    kind = f"{recording.task}, {recording.when}, {counted(len(recording.labels), 'output')}"
    return {
        **options,
        "task": kind,
        "data": digest.hexdigest(),
        "device": device,
        "torch": str(torch.__version__),
        "tinyrnn": __version__,
    }


def _described(architecture: Architecture) -> dict[str, Any]:
    """The architecture as plain values, with only those options that are in use."""
    options = {key: value for key, value in asdict(architecture).items() if value and key not in ("cells", "units")}
    return {"cell": architecture.title, "units": architecture.units, "layers": len(architecture.cells), **options}


@contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """Use one thread, because sums depend on the number of threads, and deterministic algorithms. Restores both."""
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(device.type == "cpu")  # a GPU has none for some of the operations
    try:
        with warnings.catch_warnings():
            # The warning is about how torch computes a projection; the user need not act
            warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
