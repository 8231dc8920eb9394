# SPDX-License-Identifier: MIT
"""The simulator gives the device package's integers for whole batches, and states stay in their range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import urnn
from helpers.integer_models import NETWORKS, random_network, random_samples, ready
from helpers.types import instance
from tinyrnn.integer_model.cells.embedding import Embedding
from tinyrnn.integer_model.cells.lstm import LSTM
from tinyrnn.integer_model.cells.rnn import RNN
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network, pack
from tinyrnn.integer_model.simulator import Simulator

STEPS = 5


def compare(network: Network, seed: int) -> None:
    """Compare simulator and definition step by step. Every number of every vector stays in the 31-bit range."""
    samples = random_samples(network, seed, STEPS)
    outputs, states = Simulator(network).run(samples[None])
    net = urnn.load(pack(network), kernels="plain")
    for t, sample in enumerate(samples.tolist()):
        net.step(sample)
        assert list(net.output) == outputs[0, t].tolist()
        assert list(net.state) == states[0, t].tolist()
        for _, _, _, c, _ in net.program:
            assert min(c) >= -LIMIT
            assert max(c) < LIMIT


@pytest.mark.parametrize("seed", range(1000, 1040))
def test_equals_the_definition(seed: int) -> None:
    compare(ready(seed), seed)


@pytest.mark.parametrize("cell", NETWORKS)
def test_equals_the_definition_for_every_cell(cell: str) -> None:
    for seed in range(1000, 1012):
        compare(ready(seed, cell, plain=False), seed)


def test_padding_does_not_matter() -> None:
    """Each sequence of a batch of unequal lengths gives what it gives alone."""
    network = ready(5)
    short, long = random_samples(network, 1, 3), random_samples(network, 2, 7)
    batch = np.zeros((2, 7, network.inputs), np.int64)
    batch[0, :3], batch[1] = short, long
    assert (Simulator(network).run(batch)[0][0, :3] == Simulator(network).run(short[None])[0][0]).all()


def test_unbounded_states_saturate() -> None:
    """LSTM's c and ReLU's h stay at the end of their range, with the right sign."""
    ones = Matrix(np.zeros((4, 1), np.int8), np.full(4, 32767, np.int32), np.zeros(4, np.uint8))
    none = Matrix(np.zeros((4, 1), np.int8), np.zeros(4, np.int32), np.zeros(4, np.uint8))
    down = Matrix(np.zeros((4, 1), np.int8), np.array([32767, 32767, 32767, -32767], np.int32), np.zeros(4, np.uint8))
    network = random_network(4)
    channels = network.input
    one = type(channels)(*(getattr(channels, name)[:1] for name in ("low", "high", "offset", "factor", "shift")))
    head = Matrix(np.array([[1]], np.int8), np.zeros(1, np.int32), np.zeros(1, np.uint8))
    network = replace(network, input=one, head=head, exponents=np.zeros(1), input_exponents=np.zeros(1))
    for w, want in ((ones, 32767), (down, -32767)):
        _, states = Simulator(replace(network, cells=(LSTM(w, none, None, 2),))).run(np.zeros((1, 3000, 1), np.int64))
        assert states[0, -1, 1] == want
        assert (np.abs(states) <= 32767).all()
    grow = Matrix(np.array([[127]], np.int8), np.array([900], np.int32), np.zeros(1, np.uint8))
    first = Matrix(np.array([[0]], np.int8), np.array([1], np.int32), np.zeros(1, np.uint8))
    _, states = Simulator(replace(network, cells=(RNN(first, grow, True),))).run(np.zeros((1, 50, 1), np.int64))
    assert states[0, -1, 0] == 32767


def test_symbols_outside_the_table_are_limited() -> None:
    network = next(n for n in (ready(5 * i, "gru", plain=False) for i in range(9)) if isinstance(n.cells[0], Embedding))
    last = len(instance(Embedding, network.cells[0]).table) - 1
    simulator = Simulator(network)

    def after(symbol: int) -> list[int]:
        return simulator.run(np.array([[[symbol]]]))[0][0, 0].tolist()

    assert after(last + 1) == after(last) == after(1 << 29)
    assert after(-1) == after(0)
