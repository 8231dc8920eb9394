# SPDX-License-Identifier: MIT
"""Baselines: predictions that need no model. They are fitted on the training sequences only.

A classification has the majority class. A regression has the mean, the last value and the seasonal naive forecast
(R. J. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.2).

C channels, O targets, K classes, M outputs that count, T_i steps of sequence i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tinyrnn.data import figures
from tinyrnn.data.figures import ClassificationFigures, Figures, RegressionFigures
from tinyrnn.data.recording import Recording, Sequences, listed

MEAN = "mean of training"
NEAR = 1.5  # a channel of the target's unit and variance has 2 if they have nothing in common, and less if they have
ROOM = 1_000_000  # steps that are handled at once: some hundred megabytes
ALIKE = 1.01  # mean squared errors within this factor count as equal
TINY = 1e-12  # share of the largest error that is rounding
MOST_SEARCHED = 64  # channels that are tried at every step for a target that none is near: a second each at most

Channels = tuple[int | None, ...]  # (O,) for each target the channel that stands in for it

# Tried on a forecast that 2 epochs do not learn
CURE = "try more --epochs, or more recordings if the model is good on those of the training"


@dataclass(frozen=True)
class Baseline:
    """A prediction without a model."""

    name: str  # "majority class", "mean", "last value" or "seasonal naive"
    words: tuple[str, ...]  # (O,) what it predicts for each target, such as "last value of OT"; (1,) for a classification
    outputs: Callable[[Sequences], np.ndarray]  # as a model's: logits (M, K), or (M, O) in the targets' units

    @property
    def description(self) -> str:
        """What it predicts, such as "last value of OT"."""
        return listed(dict.fromkeys(self.words))


Rivals = list[tuple[Baseline, Figures]]  # baselines with their figures


def baselines(recording: Recording) -> list[Baseline]:
    """The baselines that suit the recording. Those of a channel are absent if no channel resembles a target."""
    if recording.task == "classification":
        return [_majority(recording)]
    mean = recording.train.all_y().mean(axis=0)
    found = [Baseline("mean", (MEAN,) * len(mean), lambda sequences: np.tile(mean, (_count(sequences), 1)))]
    channels, lags = _seasons(recording)
    if any(channel is not None for channel in channels):
        found.append(_earlier("last value", recording, channels, (0,) * len(channels), mean))
    if any(lags):
        found.append(_earlier("seasonal naive", recording, channels, lags, mean))
    return found


def measured(recording: Recording, sequences: Sequences) -> Rivals:
    """The figures of each baseline on some sequences of the recording."""
    answers = sequences.all_y()
    return [
        (baseline, figures.of(recording.task, recording.labels, baseline.outputs(sequences), answers))
        for baseline in baselines(recording)
    ]


def entries(rivals: Rivals) -> list[dict[str, float | str]]:
    """The baselines as an entry of FloatModel.info: a dictionary with name, description and the main figures of each."""
    return [{"name": baseline.name, "description": baseline.description, **found.entries("")} for baseline, found in rivals]


def verdict(found: Figures, rivals: Rivals, bits: bool = False, who: str = "the model") -> str | None:
    """A sentence if a model with these figures does not beat its best baseline, for at least one target; otherwise None.

    rivals: from measured() on the same sequences. bits: compare the cross-entropy instead of the accuracy, as for text.
    """
    if isinstance(found, RegressionFigures):
        lost = []
        for target, name in enumerate(found.targets):
            best, its = min(rivals, key=lambda rival: rival[1].rmse[target])  # type: ignore[union-attr]
            assert isinstance(its, RegressionFigures), "baselines are of the recording's kind"
            if found.rmse[target] >= its.rmse[target]:
                of = f" of {name}" * (len(found.targets) > 1)
                lost.append(f"RMSE{of} {found.rmse[target]:.4g}, {best.words[target]} {its.rmse[target]:.4g}")
        return f"{who} does not beat its baseline: {listed(lost, '; ')}; expected less: {CURE}" if lost else None
    best, its = min(rivals, key=lambda rival: _loss(rival[1], bits))
    assert isinstance(its, ClassificationFigures), "baselines are of the recording's kind"
    if bits:
        if found.cross_entropy_bits < its.cross_entropy_bits:
            return None
        seen = f"{found.cross_entropy_bits:.3f} bits, {best.description} {its.cross_entropy_bits:.3f}"
        return f"{who} does not beat its baseline: {seen}; expected less: {CURE}"
    if found.accuracy_pct > its.accuracy_pct:
        return None
    seen = f"accuracy {found.accuracy_pct:.2f} %, {best.description} {its.accuracy_pct:.2f} %"
    if found.balanced_accuracy_pct > its.balanced_accuracy_pct:  # right for those who weigh their classes
        balanced = f"{found.balanced_accuracy_pct:.2f} % against {its.balanced_accuracy_pct:.2f} %"
        return f"{who} beats its baseline only in balanced accuracy, {balanced}: {seen}"
    return f"{who} does not beat its baseline: {seen}; expected more: {CURE}"


def _loss(found: Figures, bits: bool) -> float:
    assert isinstance(found, ClassificationFigures), "the caller has a classification"
    return found.cross_entropy_bits if bits else -found.accuracy_pct


def last_value_channels(recording: Recording) -> Channels:
    """For each target of a regression, the channel whose value at the same step is nearest to it.

    In a forecast with a known horizon it is the channel of the target's name. Otherwise it has the smallest RMSE on the
    training sequences. None if its mean squared error is not below NEAR times the variance of the target, as for a target
    in another unit.
    """
    y = recording.train.all_y()
    columns = (_at(recording.train, 0, channel) for channel in range(len(recording.channels)))
    errors = np.array([np.square(y - x[:, None]).mean(axis=0) for x in columns])  # (C, O)
    nearest = errors.argmin(axis=0)
    close = errors.min(axis=0) < NEAR * y.var(axis=0)
    found = [int(channel) if near else None for channel, near in zip(nearest, close, strict=True)]
    if recording.horizon:
        known = {name: number for number, name in enumerate(recording.channels)}
        found = [known.get(label, channel) for label, channel in zip(recording.labels, found, strict=True)]
    return tuple(found)


def _majority(recording: Recording) -> Baseline:
    """The most frequent class of the training outputs. The logits are the logarithms of all classes' shares."""
    counts = np.bincount(recording.train.all_y(), minlength=len(recording.labels))
    logits = np.log(np.maximum(counts, 1) / counts.sum())
    label = recording.labels[int(counts.argmax())]
    return Baseline("majority class", (f"always {label}",), lambda sequences: np.tile(logits, (_count(sequences), 1)))


def _earlier(name: str, recording: Recording, channels: Channels, lags: tuple[int, ...], mean: np.ndarray) -> Baseline:
    """The value of each target's channel a number of steps before; the mean (O,) of a target that has no channel."""
    words = []
    for channel, lag in zip(channels, lags, strict=True):
        # Counted from the moment that is predicted: that is the period, which people know
        earlier = f"{lag + recording.horizon} steps earlier"
        title = "" if channel is None else recording.channels[channel]
        words.append(MEAN if channel is None else f"{title} {earlier}" if lag else f"last value of {title}")

    def outputs(sequences: Sequences) -> np.ndarray:
        found = np.tile(mean, (_count(sequences), 1))
        for target, (channel, lag) in enumerate(zip(channels, lags, strict=True)):
            if channel is not None:
                found[:, target] = _at(sequences, lag, channel)
        return found

    return Baseline(name, tuple(words), outputs)


def _count(sequences: Sequences) -> int:
    return len(sequences.all_y())


def _at(sequences: Sequences, lag: int, channel: int) -> np.ndarray:
    """(M,) the channel's value `lag` steps before each output that counts; at the same step where that is too early."""
    if isinstance(sequences.y, np.ndarray):
        return np.array([x[-1 - lag if lag < len(x) else -1, channel] for x in sequences.x])
    return np.concatenate([np.concatenate([x[:lag, channel], x[: max(0, len(x) - lag), channel]]) for x in sequences.x])


def _seasons(recording: Recording) -> tuple[Channels, tuple[int, ...]]:
    """For each target the channel that stands in for it, and the number of steps before at which that fits best.

    The number is 0 if no earlier value fits better than the last one. Half a period ahead, the last value is far from the
    target although the same channel a period before is near. So a channel also counts if it has the target's name, or if
    it is near at another step.
    """
    channels, lags = [], []
    for target, channel in enumerate(last_value_channels(recording)):
        if channel is None and recording.horizon and recording.labels[target] in recording.channels:
            channel = recording.channels.index(recording.labels[target])
        if channel is not None:
            errors = _errors(recording.train, channel, target)
        elif len(recording.channels) <= MOST_SEARCHED:
            tried = [_errors(recording.train, c, target) for c in range(len(recording.channels))]
            channel = int(np.argmin([errors.min() for errors in tried]))
            errors = tried[channel]
            if errors.min() >= recording.train.all_y()[:, target].var():
                channel = None
        channels.append(channel)
        # The first that is practically the best: two periods before may be better by chance, or by a rounding error
        lags.append(0 if channel is None else int((errors <= ALIKE * errors.min() + TINY * errors.max()).argmax()))
    return tuple(channels), tuple(lags)


def _errors(sequences: Sequences, channel: int, target: int) -> np.ndarray:
    """(T,) mean squared error of the channel at each number of steps before, as prediction of the target. See _at()."""
    every = not isinstance(sequences.y, np.ndarray)
    shift = float(sequences.x[0][:, channel].mean())  # keeps the rounding of the sums below small
    total = np.zeros(int(sequences.lengths.max()))
    for numbers in _alike(sequences.lengths):
        x = np.stack([sequences.x[i][:, channel] for i in numbers]) - shift
        y = np.stack([sequences.y[i][..., target] for i in numbers]) - shift
        part = _errors_at_each_step(x, y) if every else _errors_at_the_last(x, y)
        total[: len(part)] += part
        total[len(part) :] += part[0]  # these sequences are too short: their last value stands in
    return total / _count(sequences)


def _alike(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of sequences of the same length, at most ROOM steps together."""
    for length in np.unique(lengths):
        numbers = np.flatnonzero(lengths == length)
        yield from np.array_split(numbers, -(-len(numbers) * int(length) // ROOM))


def _errors_at_the_last(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T,) squared error of x (B, T) at each number of steps before the last, as prediction of y (B,)."""
    found: np.ndarray = np.square(x[:, ::-1] - y[:, None]).sum(axis=0)
    return found


def _errors_at_each_step(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(T,) squared error of x (B, T) at each number of steps before, as prediction of y (B, T). See _at().

    The sum of (y[t] - x[t - lag])^2 over t >= lag is that of y^2, plus that of x^2, minus twice the correlation, which
    an FFT gives for all lags at once.
    """
    steps = x.shape[1]
    size = 1 << (2 * steps - 1).bit_length()
    spectrum = np.fft.rfft(y, size) * np.fft.rfft(x, size).conj()
    correlation = np.fft.irfft(spectrum, size)[:, :steps].sum(axis=0)
    squares_x = np.square(x).sum(axis=0).cumsum()[::-1]  # of the steps before T - lag
    squares_y = np.square(y).sum(axis=0)[::-1].cumsum()[::-1]  # of the steps from lag on
    now = np.square(y - x).sum(axis=0).cumsum()
    early = np.concatenate([[0.0], now[:-1]])  # of the steps before lag, where the last value stands in
    found: np.ndarray = squares_y + squares_x - 2 * correlation + early
    found[0] = now[-1]  # without rounding, so that a season must really be better
    return found
