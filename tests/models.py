"""Random networks for the bit-exact suite: shapes, weights and inputs that a trained model never shows."""

from __future__ import annotations

import numpy as np
from tinyrnn.network import GRU, LIMIT, Channels, Matrix, Network, pack


def random_matrix(rng: np.random.Generator, rows: int, cols: int, kind: str) -> Matrix:
    """Any matrix that the law allows; `kind` says how wild."""
    if kind == "extreme":
        weight = rng.choice([-127, 127], (rows, cols))
    elif kind == "sparse":
        weight = np.where(rng.random((rows, cols)) < 0.8, 0, rng.integers(-127, 128, (rows, cols)))
    else:
        weight = rng.integers(-127, 128, (rows, cols))
    shift = rng.integers(*{"extreme": (0, 31), "sparse": (0, 12)}.get(kind, (5, 14)), rows)
    room = LIMIT - 1 - np.abs(weight).sum(axis=1) * 32767
    size = room if kind == "extreme" else np.minimum(room, 1 << 24)
    bias = (rng.uniform(-1, 1, rows) * size).astype(np.int64)
    if kind == "extreme":  # right at the bound, on both sides
        bias = rng.choice([-1, 1], rows) * room
        # The sum of a gate's two parts must stay within the law as well
        shift = np.maximum(shift, 2)
    else:
        shift = np.maximum(shift, 1 if cols < 120 else 2)
    return Matrix(weight.astype(np.int8), bias.astype(np.int32), shift.astype(np.uint8))


def random_network(seed: int) -> Network:
    """1-3 layers, 1-64 inputs and units, 1-12 outputs. The same seed gives the same network."""
    rng = np.random.default_rng(seed)
    kind = ("ordinary", "extreme", "sparse")[seed % 3]
    inputs = int(rng.integers(1, 65)) if seed % 4 else int(rng.integers(1, 9))
    layers = int(rng.integers(1, 4))
    # Half of them small: the plain kernels under emulation are slow
    units = [int(rng.integers(1, 65 if seed % 2 else 13)) for _ in range(layers)]
    cells = []
    width = inputs
    for n in units:
        cells.append(GRU(random_matrix(rng, 3 * n, width, kind), random_matrix(rng, 3 * n, n, kind)))
        width = n
    outputs = int(rng.integers(1, 13))
    shift = rng.integers(1, 15, inputs)
    factor = rng.integers(1, 1 << 14, inputs)
    offset = rng.integers(-(1 << 20), 1 << 20, inputs)
    half = (1 << shift) >> 1
    room = ((32767 << shift) + half - 1) // factor
    channels = Channels(*(v.astype(np.int32) for v in (offset - room, offset + room, offset, factor, shift)))
    return Network(
        task="classification",
        when="every",
        input=channels,
        cells=tuple(cells),
        head=random_matrix(rng, outputs, width, kind),
        exponents=np.full(outputs, -12),
        input_exponents=np.zeros(inputs, np.int8),
    )


def random_samples(network: Network, seed: int, steps: int) -> np.ndarray:
    """(T, C) raw samples: within the range that counts, at its ends, and at the ends of the small integers."""
    rng = np.random.default_rng(seed)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    shape = (steps, network.inputs)
    ordinary = rng.integers(low, high + 1, shape)
    ends = np.where(rng.random(shape) < 0.5, low, high)
    extreme = rng.choice([-LIMIT, LIMIT - 1, 0, 1, -1], shape)
    pick = rng.random(shape)
    return np.where(pick < 0.7, ordinary, np.where(pick < 0.85, ends, extreme))


def ready(seed: int) -> Network:
    """The network of a seed, proven lawful."""
    network = random_network(seed)
    pack(network)
    return network
