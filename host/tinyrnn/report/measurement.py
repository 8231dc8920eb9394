# SPDX-License-Identifier: MIT
"""Runs the float and the integer model over sequences and keeps what the report shows.

N sequences, T_i steps, C channels, O outputs (classes or targets), M outputs that count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.evaluation import groups
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.report.saturation import Saturation

ROOM = 100_000  # padded steps in a batch: tens of megabytes
BINS = 50  # most points of a curve over time

Batched = Callable[[np.ndarray, np.ndarray], np.ndarray]  # x (B, T, C), lengths (B,) -> outputs (B, T, O)


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The points of the curves over time: steps if all sequences are equally long, otherwise tenths of a sequence.

    edges: (P + 1,) from 0 to the number of steps, or to 100 %.
    """

    edges: np.ndarray
    relative: bool

    @staticmethod
    def of(lengths: np.ndarray) -> TimeAxis:
        """The axis for sequences of these lengths (N,)."""
        if lengths.min() < lengths.max():
            return TimeAxis(np.linspace(0, 100, min(20, int(lengths.min())) + 1), True)
        steps = int(lengths.max())
        return TimeAxis(np.linspace(0, steps, min(BINS, steps) + 1), False)

    def points(self, steps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The number of the point, 0..P - 1, for each step of sequences of these lengths. The arguments broadcast."""
        where = 100 * (steps + 0.5) / lengths if self.relative else steps + 0.5
        return np.clip(np.searchsorted(self.edges, where, side="right") - 1, 0, len(self.edges) - 2)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a model says about the sequences."""

    outputs: np.ndarray  # (M, O) that count, in the order of Sequences.all_y(): logits, or in the target's unit
    over_time: np.ndarray  # (P,) share of right decisions, or (P, O) RMSE of each target; nan where nothing counts


def measure_float(model: FloatModel, recording: Recording, sequences: Sequences, axis: TimeAxis) -> Measured:
    """Run the float model."""
    return _measure(model.forward, recording, sequences, axis)


def measure_integers(
    network: Network, recording: Recording, sequences: Sequences, axis: TimeAxis
) -> tuple[Measured, Saturation]:
    """Run the integer model, and count how its integers use their range."""
    simulator = Simulator(network)
    saturation = Saturation(simulator)

    def run(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        raw = network.raw(x)
        outputs, states = simulator.run(raw, saturation.observer(lengths))
        saturation.add(raw, states, lengths)
        return simulator.values(outputs)

    return _measure(run, recording, sequences, axis), saturation


def _measure(run: Batched, recording: Recording, sequences: Sequences, axis: TimeAxis) -> Measured:
    outputs: list[np.ndarray] = [np.empty(0)] * len(sequences)
    classification = recording.task == "classification"
    width = 1 if classification else len(recording.labels)
    total = np.zeros((len(axis.edges) - 1, width))
    count = np.zeros(len(axis.edges) - 1)
    for numbers, x, lengths in groups(sequences.x, ROOM):
        found = run(x, lengths)
        for number, output, steps in zip(numbers, found, lengths, strict=True):
            outputs[number] = output[steps - 1 : steps] if recording.when == "last" else output[:steps]
            y = np.asarray(sequences.y[number])
            if classification:
                error = (output[:steps].argmax(axis=1) == y)[:, None]  # a label of the sequence is that of each step
            else:
                error = np.square(output[:steps] - y)
            points = axis.points(np.arange(steps), np.array(steps))
            np.add.at(total, points, error)
            np.add.at(count, points, 1)
    mean = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
    return Measured(np.concatenate(outputs), mean[:, 0] if classification else np.sqrt(mean))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    power = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = power / power.sum(axis=-1, keepdims=True)
    return found
