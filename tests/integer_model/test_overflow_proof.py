# SPDX-License-Identifier: MIT
"""The overflow proof: every sum stays in the 31-bit range for every input, or the network is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.integer_models import random_network, ready
from helpers.types import instance
from tinyrnn.errors import ModelError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.cells.rnn import RNN
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.integer_model.matrices import ExtendedProduct, Matrix
from tinyrnn.integer_model.network import pack, prove
from tinyrnn.quantization.quantizer import quantize


def test_a_row_that_could_overflow_is_refused() -> None:
    """A bias that reaches the last integer of the range is accepted, and one more is not."""
    network = random_network(0)
    cell = instance(GRU, network.cells[0])
    w, u = instance(Matrix, cell.w), instance(Matrix, cell.u)
    rows = len(w.weight)
    room = LIMIT - np.abs(w.weight.astype(np.int64)).sum(axis=1) * 32767
    just = Matrix(w.weight, (room - 1).astype(np.int32), np.full(rows, 8, np.uint8))
    small = Matrix(np.zeros_like(u.weight), np.zeros(rows, np.int32), np.full(rows, 8, np.uint8))
    prove(replace(network, cells=(GRU(just, small), *network.cells[1:])))
    bias = just.bias.copy()
    bias[rows - 1] += 1
    with pytest.raises(ModelError, match=rf"layer 0 W row {rows - 1}: the accumulator can reach 1073741824"):
        pack(replace(network, cells=(GRU(replace(just, bias=bias), small), *network.cells[1:])))


def test_a_gate_that_could_overflow_is_refused() -> None:
    network = next(n for n in (random_network(s, "rnn") for s in range(20)) if len(n.cells) == 1)
    cell = instance(RNN, network.cells[0])
    bias = np.full(cell.units, LIMIT - 1, np.int32)
    w, u = (
        Matrix(np.zeros_like(instance(Matrix, product).weight), bias, np.full(cell.units, 1, np.uint8))
        for product in (cell.w, cell.u)
    )
    with pytest.raises(ModelError, match="layer 0 row 0: the gate's sum can reach 1073741824; expected below 2"):
        prove(replace(network, cells=(replace(cell, w=w, u=u),)))


def test_factors_are_proven_to_have_16_bits() -> None:
    """The quantizer gives the inner product a format that holds every result, so that LIMIT has nothing to do."""
    rng = np.random.default_rng(2)
    for cell in ("gru", "rnn", "lstm"):
        network = quantize(random_float_model(rng, 9, (24, 24), 3, cell, rank=4))
        products = [product for each in network.cells for _, product in each.products]
        lows = [product.low for product in products if isinstance(product, ExtendedProduct) and product.low]
        assert len(lows) == 4
        for low in lows:
            assert (low.bounds() <= 32767 << low.shift.astype(np.int64)).all()
            used = low.bounds() / (32767.0 * 2.0**low.shift)
            assert used.min() > 0.49


def test_random_networks_reach_the_bound() -> None:
    """The networks of the bit-exact tests are as hard as they claim: some sums come within 0.1 % of 2^30."""
    products = [dict(cell.products)["W"] for seed in range(1, 200, 3) for cell in ready(seed).cells]
    closest = max(int(instance(Matrix, product).bounds().max()) for product in products)
    assert 0.999 * LIMIT < closest < LIMIT
