# SPDX-License-Identifier: MIT
"""The accuracy of the integer network, and how often it makes the same decision as the float model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrnn.data.recording import Sequences
from tinyrnn.float_model.evaluation import counting
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator


@dataclass(frozen=True)
class Comparison:
    """Float and integer model on the same sequences, over the outputs that count (of the last step, or of every step)."""

    float_accuracy_pct: float  # of a classification; nan for a regression
    int_accuracy_pct: float
    agreement_pct: float  # share of equal decisions
    float_rmse: float  # of a regression, in the target's unit; nan for a classification
    int_rmse: float
    largest_difference: float  # between the outputs of the models: logits, or the target's unit


def compare(model: FloatModel, network: Network, sequences: Sequences) -> Comparison:
    """Run both models over the sequences."""
    x, lengths = sequences.padded()
    simulator = Simulator(network)
    float_values = counting(model.forward(x), lengths, model.when)
    int_values = counting(simulator.values(simulator.run(network.raw(x))[0]), lengths, model.when)
    largest = float(np.abs(float_values - int_values).max())
    y = sequences.all_y()
    nan = float("nan")
    if model.task == "classification":
        decided, wanted = int_values.argmax(axis=1), float_values.argmax(axis=1)
        rates = [100.0 * float(np.mean(a == b)) for a, b in ((wanted, y), (decided, y), (decided, wanted))]
        return Comparison(rates[0], rates[1], rates[2], nan, nan, largest)
    errors = [float(np.sqrt(np.mean((values - y) ** 2))) for values in (float_values, int_values)]
    return Comparison(nan, nan, nan, errors[0], errors[1], largest)


def raw_sequences(network: Network, sequences: Sequences) -> list[np.ndarray]:
    """The sequences (T, C) as raw integers for step()."""
    return [network.raw(x) for x in sequences.x]
