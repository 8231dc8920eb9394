# SPDX-License-Identifier: MIT
"""How much of their range the integers of a network use, and how often they reach its end."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tinyrnn.integer_model.device_program import Instruction
from tinyrnn.integer_model.limits import ACTIVATION_MAX
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Batch, Before, Simulator, activation_sums

BINS = 32  # of 2048 numbers each: -32768..32767
NEAR = ACTIVATION_MAX * 99 // 100  # a state from here on counts as being at its limit


@dataclass
class Histogram:
    """How often 16-bit values occurred. Values beyond the 16 bits are in the first and the last bin."""

    name: str
    limit: int  # values with at least this magnitude count as being at the limit
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    at_limit: int = 0

    def add(self, values: np.ndarray) -> None:
        """Count int64 values of any shape."""
        bins = np.clip((values.ravel() + 32768) >> 11, 0, BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)
        self.at_limit += int(np.count_nonzero(np.abs(values) >= self.limit))

    @property
    def share(self) -> float:
        """The share of values at the limit, 0 to 1."""
        return self.at_limit / max(int(self.counts.sum()), 1)


@dataclass
class Layer:
    """The histograms of one layer: its state, the memory of an LSTM, and the sums before its activation functions."""

    title: str
    states: list[Histogram]
    sums: Histogram | None  # None for a layer without sigmoid and tanh


class Saturation:
    """Histograms of a network's integers over sequences.

    inputs: (C,) share of samples of each channel that the network limits to its input range.
    """

    def __init__(self, simulator: Simulator) -> None:
        network, program = simulator.network, simulator.program
        self.layers: list[Layer] = []
        self._steps = 0
        self._clipped = np.zeros(network.inputs, np.int64)
        self._network: Network = network
        lengths = [state.length for state in program.states]
        for number, cell in enumerate(network.cells):
            states: list[Histogram] = []
            left = cell.state_size
            while left > 0:
                states.append(Histogram(("state h", "memory c")[min(len(states), 1)], NEAR))
                left -= lengths.pop(0)
            self.layers.append(Layer(f"layer {number}: {cell.title} {cell.units}", states, None))
        # The sections of the layers, in order, are those with a cell's tag
        tags = {cell.tag for cell in network.cells}
        sections = [i for i, tag in enumerate(program.tags) if tag in tags]
        self._layer_of = dict(zip(sections, self.layers, strict=True))
        self._spans = [state.length for state in program.states]

    @property
    def inputs(self) -> np.ndarray:
        return self._clipped / max(self._steps, 1)

    def observer(self, lengths: np.ndarray) -> Before:
        """What Simulator.run() calls before each instruction of a batch, whose sequences have these lengths (B,)."""

        def before(t: int, instruction: Instruction, vector: Batch) -> None:
            for sums in activation_sums(instruction, vector):
                layer = self._layer_of[instruction.section]
                if layer.sums is None:
                    layer.sums = Histogram("sums of the gates", ACTIVATION_MAX + 1)
                layer.sums.add(sums[t < lengths])

        return before

    def add(self, raw: np.ndarray, states: np.ndarray, lengths: np.ndarray) -> None:
        """Count the samples (B, T, C) and the states (B, T, S) of a batch."""
        real = np.arange(raw.shape[1]) < lengths[:, None]
        samples = raw[real]
        channels = self._network.input
        self._clipped += ((samples < channels.low) | (samples > channels.high)).sum(axis=0)
        self._steps += len(samples)
        kept = states[real]
        histograms = [histogram for layer in self.layers for histogram in layer.states]
        at = np.cumsum([0, *self._spans])
        for histogram, start, stop in zip(histograms, at[:-1], at[1:], strict=True):
            histogram.add(kept[:, start:stop])
