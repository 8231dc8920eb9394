# SPDX-License-Identifier: MIT
"""Runs a float model on sequences: accuracy and error, ranges of its values, calibration for the quantizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields

import numpy as np

from tinyrnn.data import figures
from tinyrnn.data.figures import Figures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.model import Calibration, FloatModel, ValueRanges

ROOM = 100_000  # padded steps that are run at once: tens of megabytes
KEPT = 100_000  # numbers of the test recording kept in the model, to measure the integer error
SAMPLE_STEPS = 12  # steps of training data kept in the model, for the vectors of selftest()


def evaluate(model: FloatModel, sequences: Sequences) -> Figures:
    """The figures of FloatModel.forward() on sequences whose channels and labels are the model's, in the same order."""
    return figures.of(model.task, model.labels, predict(model, sequences), sequences.all_y())


def predict(model: FloatModel, sequences: Sequences) -> np.ndarray:
    """The outputs that count: (N, O) for "last"; for "every" those of all steps, concatenated, (sum of T_i, O)."""
    return predict_with(model.forward, sequences, model.when)


def predict_with(run: Callable[[np.ndarray, np.ndarray], np.ndarray], sequences: Sequences, when: str) -> np.ndarray:
    """As predict(), of anything that turns x (B, T, C) and lengths (B,) into outputs (B, T, O)."""
    outputs: list[np.ndarray] = [np.empty(0)] * len(sequences)
    for numbers, x, lengths in groups(sequences.x, ROOM):
        for number, output, steps in zip(numbers, run(x, lengths), lengths, strict=True):
            outputs[number] = output[steps - 1 : steps] if when == "last" else output[:steps]
    return np.concatenate(outputs)


def measure_value_ranges(model: FloatModel, sequences: Sequences) -> tuple[ValueRanges, ...]:
    """FloatModel.value_ranges() over all sequences. Long ones are cut; each piece starts from the zero state."""
    return value_ranges_over(model, sequences.x)


def value_ranges_over(model: FloatModel, xs: Sequence[np.ndarray]) -> tuple[ValueRanges, ...]:
    """measure_value_ranges() over sequences (T, C) in the user's unit."""
    pieces = [x[start : start + 10_000] for x in xs for start in range(0, len(x), 10_000)]
    found = [model.value_ranges(x, lengths) for _, x, lengths in groups(pieces, 20_000)]
    return tuple(
        ValueRanges(
            *(np.max([getattr(value_ranges, each.name) for value_ranges in cell], axis=0) for each in fields(ValueRanges))
        )
        for cell in zip(*found, strict=True)
    )


def counting(values: np.ndarray, lengths: np.ndarray, when: str) -> np.ndarray:
    """The rows (M, O) of values (N, T, O) that count: the last of each sequence, or all without padding."""
    if when == "last":
        return values[np.arange(len(values)), lengths - 1]
    return np.concatenate([row[:n] for row, n in zip(values, lengths, strict=True)])


def groups(xs: Sequence[np.ndarray], room: int = ROOM) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
    """Batches of sequences of similar length, at most `room` padded steps each: their numbers, padded x, lengths."""
    order = np.argsort([len(x) for x in xs], kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(xs[order[stop]]) <= room:
            stop += 1
        numbers = [int(i) for i in order[start:stop]]
        x, lengths = Sequences([xs[i] for i in numbers], np.zeros(len(numbers))).padded()
        yield numbers, x, lengths
        start = stop


def calibrate(recording: Recording) -> Calibration:
    """Ranges of the training values, and the SAMPLE_STEPS consecutive steps in which they vary most.

    The measure is the sum of the channels' variances after normalisation; of equals, the first is taken. The sample is
    shorter if all sequences are.
    """
    steps = min(SAMPLE_STEPS, int(recording.train.lengths.max()))
    best, sample = -1.0, recording.train.x[0][:steps]
    for x in recording.train.x:
        if len(x) < steps:
            continue
        windows = np.lib.stride_tricks.sliding_window_view((x - recording.mean) / recording.std, steps, axis=0)
        spreads = windows.var(axis=2).sum(axis=1)
        first = int(spreads.argmax())
        if spreads[first] > best:
            best, sample = float(spreads[first]), x[first : first + steps]
    return Calibration(
        recording.minimum, recording.maximum, recording.integer, sample.copy(), sequences=_kept(recording.test)
    )


def _kept(sequences: Sequences) -> tuple[np.ndarray, ...]:
    """The first whole sequences, at most KEPT numbers in all; the beginning of the first one if it is longer."""
    found: list[np.ndarray] = []
    room = KEPT
    for x in sequences.x:
        if x.size > room and found:
            break
        found.append(x[: max(1, room // x.shape[1])].copy())
        room -= found[-1].size
    return tuple(found)
