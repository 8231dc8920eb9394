# SPDX-License-Identifier: MIT
"""Runs the float and the integer model over sequences and keeps what the report shows.

N sequences, T_i steps, C channels, O outputs (classes or targets), M outputs that count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyrnn.data.matching import Match
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.evaluation import groups
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.report.saturation import Saturation

BINS = 50  # most points of a curve over time

Batched = Callable[[np.ndarray, np.ndarray], np.ndarray]  # x (B, T, C), lengths (B,) -> outputs (B, T, O)


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The points of the curves over time: steps, or parts of a sequence where only the end of each is alike.

    edges: (P + 1,) from 0 to the number of steps, or to 100 %.
    """

    edges: np.ndarray
    relative: bool

    @staticmethod
    def of(lengths: np.ndarray, when: str) -> TimeAxis:
        """The axis for sequences of these lengths (N,) whose last or every output counts."""
        steps = int(lengths.max())
        if when == "last" and lengths.min() < 0.9 * steps:
            return TimeAxis(np.linspace(0, 100, min(20, int(lengths.min())) + 1), True)
        return TimeAxis(np.linspace(0, steps, min(BINS, steps) + 1), False)

    def points(self, steps: np.ndarray, length: int) -> np.ndarray:
        """The number of the point, 0..P - 1, for each of the steps of a sequence of this length."""
        where = 100 * (steps + 0.5) / length if self.relative else steps + 0.5
        return np.clip(np.searchsorted(self.edges, where, side="right") - 1, 0, len(self.edges) - 2)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a model says about the sequences."""

    outputs: np.ndarray  # (M, O) that count, in the order of Sequences.all_y(): logits, or in the target's unit
    over_time: np.ndarray  # (P,) share of right decisions, or (P, O) RMSE of each target; nan where nothing counts


def run_float(model: FloatModel, x: np.ndarray) -> np.ndarray:
    """The outputs (T, O) after each step of one sequence (T, C)."""
    return model.forward(x[None])[0]


def run_integers(network: Network, x: np.ndarray) -> np.ndarray:
    """The outputs (T, O) after each step of one sequence (T, C), in the user's unit."""
    simulator = Simulator(network)
    return simulator.values(simulator.outputs(network.raw(x[None])))[0]


def measure_float(model: FloatModel, match: Match, recording: Recording, sequences: Sequences, axis: TimeAxis) -> Measured:
    """Run the float model over sequences in its own order of channels."""
    return _measure(model.forward, match, recording, sequences, axis)


def measure_integers(
    network: Network, match: Match, recording: Recording, sequences: Sequences, axis: TimeAxis
) -> tuple[Measured, Saturation]:
    """Run the integer model over sequences in its own order of channels, and count how its integers use their range."""
    simulator = Simulator(network)
    saturation = Saturation(simulator)

    def run(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        raw = network.raw(x)
        outputs, states = simulator.run(raw, saturation.observer(lengths))
        saturation.add(raw, states, lengths)
        return simulator.values(outputs)

    return _measure(run, match, recording, sequences, axis), saturation


def _measure(run: Batched, match: Match, recording: Recording, sequences: Sequences, axis: TimeAxis) -> Measured:
    outputs: list[np.ndarray] = [np.empty(0)] * len(sequences)
    classification = recording.task == "classification"
    points_count = len(axis.edges) - 1
    total = np.zeros((points_count, 1 if classification else len(match.labels)))
    count = np.zeros(points_count)
    for numbers, x, lengths in groups(sequences.x):
        found = run(x, lengths)
        for number, values, steps in zip(numbers, found, lengths, strict=True):
            output = match.decided(values[:steps])
            outputs[number] = output[-1:] if recording.when == "last" else output
            y = np.asarray(sequences.y[number])  # a label of the whole sequence is that of each step
            error = (output.argmax(axis=1) == y)[:, None] if classification else np.square(output - y)
            points = axis.points(np.arange(steps), steps)
            np.add.at(total, points, error)
            np.add.at(count, points, 1)
    mean = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
    return Measured(np.concatenate(outputs), mean[:, 0] if classification else np.sqrt(mean))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis."""
    power = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: np.ndarray = power / power.sum(axis=-1, keepdims=True)
    return found
