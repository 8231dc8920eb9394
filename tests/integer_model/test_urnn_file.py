# SPDX-License-Identifier: MIT
"""The .urnn file: unpacking gives what was packed, and what the format cannot hold is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.integer_models import NETWORKS, ready
from tinyrnn.errors import ModelError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import IntegerHead, pack, unpack
from tinyrnn.quantization.quantizer import quantize


@pytest.mark.parametrize("cell", NETWORKS)
def test_round_trip(cell: str) -> None:
    for seed in range(20):
        for plain in (True, False):
            data = pack(replace(ready(seed, cell, plain), name="x"))
            assert pack(unpack(data)) == data


@pytest.mark.parametrize("sizes", [[2, 6], [2, 4], [7, 0], [0, 7]])
def test_heads_that_do_not_fit_are_refused(sizes: list[int]) -> None:
    network = quantize(random_float_model(np.random.default_rng(3), 4, (8,), 7))
    heads = tuple(IntegerHead(f"h{i}", size, False) for i, size in enumerate(sizes))
    with pytest.raises(ModelError, match="HEAD: out of range"):
        pack(replace(network, heads=heads))
