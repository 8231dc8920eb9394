# SPDX-License-Identifier: MIT
"""Forecasts as differences from the last value: y = x_c + d. The network learns d, and a skip connection adds x_c.

The value now is most of the answer for a slow signal, and learning it wastes a small network. c is the channel that
resembles the target (tinyrnn.data.baselines.last_value_channels()).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.layers import Layer, Linear, Skip, dense

Channels = tuple[int | None, ...]  # (O,) for each target the channel whose last value is subtracted


def differenced(recording: Recording, channels: Channels) -> Recording:
    """The recording with targets that are differences from the last value. Targets without a channel stay as they are."""
    used = np.array([target for target, channel in enumerate(channels) if channel is not None])
    source = np.array([channel for channel in channels if channel is not None])

    def part(sequences: Sequences) -> Sequences:
        if isinstance(sequences.y, np.ndarray):
            y = sequences.y.copy()
            y[:, used] -= np.stack([x[-1, source] for x in sequences.x])
            return replace(sequences, y=y)
        answers = [y.copy() for y in sequences.y]
        for y, x in zip(answers, sequences.x, strict=True):
            y[:, used] -= x[:, source]
        return replace(sequences, y=answers)

    validation = None if recording.validation is None else part(recording.validation)
    return replace(recording, train=part(recording.train), validation=validation, test=part(recording.test))


def shares(outputs: np.ndarray, answers: np.ndarray, channels: Channels) -> np.ndarray:
    """(O,) the share of each learnt difference that predicts best, 0 to 1, by least squares; 1 without a channel.

    A network that is too sure of its differences would be worse than the last value. outputs, answers: (M, O) differences
    of the validation sequences.
    """
    size = np.square(outputs).sum(axis=0)
    best = (outputs * answers).sum(axis=0) / np.where(size > 0, size, 1)
    return np.where([channel is None for channel in channels], 1.0, np.clip(best, 0, 1))


def with_last_value(
    layers: tuple[Layer, ...], head: Linear, recording: Recording, channels: Channels, share: np.ndarray
) -> tuple[tuple[Layer, ...], Linear, np.ndarray]:
    """Layers and head of a network that learnt differences, with the last value added, and the new target_mean (O,).

    recording: the differenced one. The target's deviation stays that of the difference. share: from shares().
    """
    chosen = sorted({channel for channel in channels if channel is not None})
    weight = np.zeros((len(channels), len(chosen)))
    mean = recording.target_mean.copy()
    for target, channel in enumerate(channels):
        if channel is not None:
            weight[target, chosen.index(channel)] = recording.std[channel] / recording.target_std[target]
            mean[target] += recording.mean[channel]
    skip = Skip(layers[-1].units, np.array(chosen, np.float64))
    rows = share[:, None] * dense(head.weight)
    bias = share * head.bias + (share - 1) * recording.target_mean / recording.target_std
    return (*layers, skip), Linear(np.hstack([rows, weight]), bias), mean
