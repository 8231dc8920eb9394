# SPDX-License-Identifier: MIT
"""The hyperparameters of a training: their meaning, their ranges and their defaults. Imports neither numpy nor torch.

The defaults were chosen by an ablation over data sets and seeds: docs/training.md, tools/experiments.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from tinyrnn.errors import ModelError

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

PIECE = 192  # most steps of a training piece if every step has a label; longer sequences are cut
UPDATES = 1500  # updates of the weights for a small recording
DIFFERENCE = ("auto", "yes", "no")


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of a training. Inputs are normalised, so 1 is a channel's standard deviation. SETTINGS describes each."""

    batch: int
    epochs: int
    patience: int
    lr: float
    weight_decay: float = 0.01
    clip: float = 1.0
    warmup: float = 0.1
    noise: float = 0.0
    scaling: float = 0.0
    offset: float = 0.0
    time_shift: float = 0.0
    time_warp: float = 0.0
    rotation: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    early: float = 0.0
    class_weights: str = "none"
    ema: float = 0.0
    refit: bool = False
    difference: str = "auto"

    def __post_init__(self) -> None:
        for each in SETTINGS:
            each.check(getattr(self, each.name))


@dataclass(frozen=True)
class Setting:
    """A field of Hyperparameters: its range, and its help for the command line."""

    name: str
    help: str
    low: float = 0.0
    high: float = math.inf
    example: float = 0.0
    exclusive: bool = False  # low itself is not allowed
    whole: bool = False

    @property
    def option(self) -> str:
        """As it is typed: --time-warp."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: float) -> None:
        """Raise ModelError unless the value is in range."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        inside = number and (self.low < value if self.exclusive else self.low <= value) and value <= self.high
        if not inside or (self.whole and value != int(value)):
            raise ModelError(f"{self.option} is {value}; expected {self.expected}, such as {self.example:g}")

    @property
    def expected(self) -> str:
        """The range in words."""
        least = f"more than {self.low:g}" if self.exclusive else f"{self.low:g} or more"
        if self.high < math.inf:
            least = f"{'above ' if self.exclusive else ''}{self.low:g} to {self.high:g}"
        return f"a {'whole ' * self.whole}number, {least}"


SETTINGS = (
    Setting("batch", "sequences, or pieces of them, in a batch", 1, example=32, whole=True),
    Setting("epochs", "most passes over the training sequences", 1, example=200, whole=True),
    Setting("patience", "stop after N epochs without a better validation loss; 0: never", example=40, whole=True),
    Setting("lr", "peak learning rate", 0, 1, 0.01, exclusive=True),
    Setting("weight_decay", "decay of the matrices (AdamW), which keeps weights small", 0, 1, 0.01),
    Setting("clip", "largest norm of a gradient", 0, example=1, exclusive=True),
    Setting("warmup", "share of the updates during which the learning rate rises", 0, 0.9, 0.1),
    Setting("noise", "standard deviation of noise added to each value", 0, 10, 0.2),
    Setting("scaling", "standard deviation of a random relative gain of each channel in each sequence", 0, 10, 0.2),
    Setting("offset", "standard deviation of a random offset of each channel in each sequence", 0, 10, 0.2),
    Setting(
        "time_shift", "most that a sequence is moved in time, as share of its length (classes at the last step)", 0, 0.9, 0.1
    ),
    Setting("time_warp", "how much the speed varies within a sequence: deviation of its logarithm", 0, 2, 0.2),
    Setting("rotation", "standard deviation of a random rotation of 3-axis sensors, in degrees", 0, 180, 15),
    Setting("dropout", "share of each layer's outputs that are set to zero", 0, 0.95, 0.2),
    Setting("label_smoothing", "share of a class's probability that is spread over all classes", 0, 0.95, 0.1),
    Setting("early", "share of the loss on the second half of a sequence, if only the last step counts", 0, 1, 0.1),
    Setting("ema", "decay of the moving average of the weights, which is kept; 0: no average", 0, 0.99999, 0.99),
)


def default_hyperparameters(recording: Recording) -> Hyperparameters:
    """The default hyperparameters, which depend only on the size and the task of the recording.

    Little data needs many epochs and strong noise. Above 300 sequences, the noise decreases with their number. The
    constants were chosen on the sets in docs/training.md, with several seeds. The test sequences of your recording are
    never used.
    """
    lengths = recording.train.lengths.tolist()
    pieces = sum(math.ceil(n / PIECE) for n in lengths) if recording.when == "every" else len(lengths)
    batch = 16 if pieces <= 100 else 32 if pieces <= 2000 else 64
    epochs = min(max(round(UPDATES / math.ceil(pieces / batch)), 30), 400)
    patience = max(20, epochs // 3)
    common: dict[str, Any] = {"batch": batch, "epochs": epochs, "patience": patience, "lr": 0.01, "ema": 0.98, "refit": True}
    if recording.task == "regression":  # noise and dropout would limit the accuracy of a regression
        return Hyperparameters(**common, noise=0.02)
    if recording.symbols:  # noise has no meaning, and probabilities matter: no label smoothing
        return Hyperparameters(**common, dropout=0.1)
    scarce = min(1.0, max(0.3, math.sqrt(300 / pieces)))
    return Hyperparameters(
        **common,
        noise=0.3 * scarce,
        scaling=0.25 * scarce,
        offset=0.25 * scarce,
        dropout=0.2,
        label_smoothing=0.1,
        early=0.1,
    )


def with_settings(hyperparameters: Hyperparameters, given: Mapping[str, Any]) -> Hyperparameters:
    """The hyperparameters with some fields replaced. Raises ModelError for an unknown name or a value out of range."""
    known = {each.name for each in fields(Hyperparameters)}
    for name in given:
        if name not in known:
            raise ModelError(f"unknown hyperparameter {name!r}; expected one of {', '.join(sorted(known))}")
    return replace(hyperparameters, **given)


def rate(update: int, updates: int, hyperparameters: Hyperparameters) -> float:
    """The learning rate of an update: a linear rise, then half a cosine down to zero."""
    rise = max(1, round(updates * hyperparameters.warmup))
    if update < rise:
        return hyperparameters.lr * (update + 1) / rise
    return hyperparameters.lr * 0.5 * (1 + math.cos(math.pi * (update - rise) / max(1, updates - rise)))
