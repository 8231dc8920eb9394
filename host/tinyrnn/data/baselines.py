# SPDX-License-Identifier: MIT
"""Baselines: predictions that need no model. They are fitted on the training sequences only.

A classification has the majority class, and for text also what follows each symbol. A regression has the mean, the last
value and the seasonal naive forecast (R. J. Hyndman and G. Athanasopoulos, Forecasting: Principles and Practice, 3rd
edition, section 5.2).

C channels, O targets, K classes, M outputs that count, T_i steps of sequence i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tinyrnn.data import figures
from tinyrnn.data.figures import Figures
from tinyrnn.data.recording import Recording, Sequences, listed

MEAN = "mean of training"
NEAR = 1.5  # a channel of the target's unit and variance has 2 if they have nothing in common, and less if they have
ROOM = 1_000_000  # steps that are handled at once: some hundred megabytes
CLEARLY = 0.95  # a mean squared error below this share of the variance is no chance of the step with the best fit
ALIKE = 1.01  # mean squared errors within this factor count as equal
TINY = 1e-12  # share of the largest error that is rounding
MOST_SEARCHED = 20  # channels that are tried at every step for a target that none is near
SEARCHED_STEPS = 50_000  # of them, about: hundredths of a second for each channel

Channels = tuple[int | None, ...]  # (O,) for each target the channel that stands in for it


@dataclass(frozen=True)
class Baseline:
    """A prediction without a model."""

    name: str  # "majority class", "pairs", "mean", "last value" or "seasonal naive"
    words: tuple[str, ...]  # (O,) what it predicts for each target, such as "last value of flow"; (1,) for a classification
    outputs: Callable[[Sequences], np.ndarray]  # as a model's: logits (M, K), or (M, O) in the targets' units

    @property
    def description(self) -> str:
        """What it predicts, such as "last value of flow"."""
        return listed(dict.fromkeys(self.words))


Rivals = list[tuple[Baseline, Figures]]  # baselines with their figures


def baselines(recording: Recording) -> list[Baseline]:
    """The baselines that suit the recording. Those of a channel are absent if no channel resembles a target."""
    if recording.task == "classification":
        return [_majority(recording), _after_symbol(recording)] if recording.symbols else [_majority(recording)]
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


def last_value_channels(recording: Recording) -> Channels:
    """For each target of a regression, the channel whose value at the same step is nearest to it.

    In a forecast with a known horizon it is the channel of the target's name. Otherwise it has the smallest RMSE on the
    training sequences. None if its mean squared error is not below NEAR times the variance of the target, as for a target
    in another unit.
    """
    x_mean, x_square, y_mean, y_square, product, count = _moments(recording.train)
    # Of x - y, from the moments of x and of y: one pass, whatever the number of channels
    spread = np.maximum(x_square[:, None] + y_square - 2 * product, 0)
    errors = spread / count + np.square(x_mean[:, None] - y_mean)  # (C, O)
    nearest = errors.argmin(axis=0)
    close = errors.min(axis=0) < NEAR * y_square / count
    found = [int(channel) if near else None for channel, near in zip(nearest, close, strict=True)]
    if recording.horizon:
        known = {name: number for number, name in enumerate(recording.channels)}
        found = [known.get(label, channel) for label, channel in zip(recording.labels, found, strict=True)]
    return tuple(found)


def _moments(sequences: Sequences) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Of the steps that count: the means (C,) and (O,) of x and y, the centred sums of x^2 (C,), y^2 (O,) and x y (C, O).

    Returns the mean and sum of x, those of y, the sum of x y, and the number of steps M.
    """
    if isinstance(sequences.y, np.ndarray):
        blocks = [(np.stack([x[-1] for x in sequences.x]), sequences.y)]
    else:
        blocks = list(zip(sequences.x, sequences.y, strict=True))
    count = _count(sequences)
    x_mean = np.sum([x.sum(axis=0) for x, _ in blocks], axis=0) / count
    y_mean = np.sum([y.sum(axis=0) for _, y in blocks], axis=0) / count
    x_square, y_square, product = np.zeros(len(x_mean)), np.zeros(len(y_mean)), np.zeros((len(x_mean), len(y_mean)))
    for x, y in blocks:
        centred, wanted = x - x_mean, y - y_mean
        x_square += np.square(centred).sum(axis=0)
        y_square += np.square(wanted).sum(axis=0)
        product += centred.T @ wanted
    return x_mean, x_square, y_mean, y_square, product, count


def _majority(recording: Recording) -> Baseline:
    """The most frequent class of the training outputs. The logits are the logarithms of all classes' shares."""
    counts = np.bincount(recording.train.all_y(), minlength=len(recording.labels))
    logits = np.log(np.maximum(counts, 1) / counts.sum())
    label = recording.labels[int(counts.argmax())]
    return Baseline("majority class", (f"always {label}",), lambda sequences: np.tile(logits, (_count(sequences), 1)))


def _after_symbol(recording: Recording) -> Baseline:
    """For text: the shares of the classes after each symbol. All classes' shares count as one more occurrence of it."""
    train, classes = recording.train, len(recording.labels)
    y = train.all_y()
    shares = np.bincount(y, minlength=classes) / len(y)
    counts = np.zeros((len(recording.symbols), classes))
    np.add.at(counts, (_at(train, 0, 0).astype(np.int64), y), 1)
    logits = np.log((counts + shares) / (counts.sum(axis=1, keepdims=True) + 1))
    words = "most frequent after each symbol"
    return Baseline("pairs", (words,), lambda sequences: logits[_at(sequences, 0, 0).astype(np.int64)])


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
    target although the same channel a period before is near. So a channel counts if it is clearly nearer than the mean
    at any step, or if it is the target's own past.
    """
    channels, lags = [], []
    y = recording.train.all_y()
    for target, channel in enumerate(last_value_channels(recording)):
        errors = np.full(1, np.inf) if channel is None else _errors(recording.train, channel, target)
        own = channel is not None and recording.horizon and recording.channels[channel] == recording.labels[target]
        if not own and errors.min() > CLEARLY * y[:, target].var():
            channel = _near_at_another_step(recording, target)
            errors = np.zeros(1) if channel is None else _errors(recording.train, channel, target)
        channels.append(channel)
        # The first that is practically the best: two periods before may be better by chance, or by a rounding error
        lags.append(int((errors <= ALIKE * errors.min() + TINY * errors.max()).argmax()))
    return tuple(channels), tuple(lags)


def _near_at_another_step(recording: Recording, target: int) -> int | None:
    """The channel that is nearest to a target some steps before; None if the mean is nearer. Of much data, some suffice."""
    train = recording.train
    chosen = range(0, len(train), -(-int(train.lengths.sum()) // SEARCHED_STEPS))
    some = Sequences(
        [train.x[i] for i in chosen], [train.y[i] for i in chosen] if isinstance(train.y, list) else train.y[chosen]
    )
    y = train.all_y()[:, target]
    # What no shift in time removes, except at the ends of the sequences
    apart = np.square(recording.mean - y.mean()) + np.square(recording.std - y.std())
    likely = np.argsort(apart, kind="stable")[:MOST_SEARCHED]
    tried = {int(c): float(_errors(some, int(c), target).min()) for c in likely if apart[c] < y.var()}
    best = min(tried, key=lambda c: tried[c], default=None)
    return None if best is None or tried[best] > CLEARLY * y.var() else best


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
