# SPDX-License-Identifier: MIT
"""Random networks for the bit-exact tests: shapes, weights and inputs that no trained model has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tinyrnn.integer_model import cells
from tinyrnn.integer_model.cells.base import IntegerCell, Recurrent
from tinyrnn.integer_model.cells.embedding import Embedding
from tinyrnn.integer_model.cells.layer_norm import LayerNorm
from tinyrnn.integer_model.cells.skip import Skip
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.integer_model.matrices import ExtendedProduct, Matrix, Norm, Product
from tinyrnn.integer_model.network import Channels, Network, pack
from tinyrnn.quantization.row_scaling import FINE_MAX, fine_matrix

KINDS = ("ordinary", "extreme", "sparse")
# Cells with a state, each in all its forms; each is a class of its own in the suite
KNOWN = {
    tag.decode().lower().replace("_", "-") + f"-{option}" * bool(option): (cell, option)
    for tag, cell in cells.known().items()
    for option in cell.options
    if issubclass(cell, Recurrent)
}
CELLS = tuple(sorted(KNOWN, key=lambda name: (name != "gru", name)))
NETWORKS = (*CELLS, "mixed")  # what random_network() makes


def random_matrix(rng: np.random.Generator, rows: int, cols: int, kind: str) -> Matrix:
    """Any matrix in the 31-bit range; `kind` is one of KINDS."""
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
        # The sum of a gate's two parts must stay within the 31-bit range as well
        shift = np.maximum(shift, 2)
    else:
        shift = np.maximum(shift, 1 if cols < 120 else 2)
    return Matrix(weight.astype(np.int8), bias.astype(np.int32), shift.astype(np.uint8))


def bounded_matrix(rng: np.random.Generator, rows: int, cols: int, kind: str) -> Matrix:
    """A matrix with results of 16 bits by proof. Each shift is the smallest that gives them."""
    wild = random_matrix(rng, rows, cols, kind)
    bias = np.clip(wild.bias, -(1 << 20), 1 << 20)
    matrix = Matrix(wild.weight, bias, wild.shift)
    shift = np.array([next(s for s in range(31) if bound <= 32767 << s) for bound in matrix.bounds().tolist()])
    return Matrix(wild.weight, bias, shift.astype(np.uint8))


def random_norm(rng: np.random.Generator, n: int, kind: str) -> Norm:
    """Any table of scale() that the loader accepts."""
    if kind == "extreme":
        gain, bias = rng.choice([-32768, 32767], (2, n))
        return Norm(gain.astype(np.int16), bias.astype(np.int16), int(rng.choice([1, 32768])), int(rng.choice([0, 15])))
    gain, bias = rng.integers(-32768, 32768, (2, n))
    return Norm(gain.astype(np.int16), (bias >> 3).astype(np.int16), int(rng.integers(1, 3000)), int(rng.integers(10, 16)))


def random_fine(rng: np.random.Generator, rows: int, cols: int, kind: str) -> ExtendedProduct:
    """A matrix with some rows of 15-bit weights. In extreme ones the sums reach the bound."""
    wild = random_matrix(rng, rows, cols, kind)
    chosen = np.flatnonzero(rng.random(rows) < 0.5) if rows > 1 else np.zeros(1, np.int64)
    chosen = chosen if len(chosen) else np.array([rows - 1])
    weight = wild.weight.astype(np.int64)
    most = min(FINE_MAX, 32000 // cols)
    size = len(chosen), cols
    weight[chosen] = rng.choice([-most, most], size) if kind == "extreme" else rng.integers(-most, most + 1, size)
    shift = wild.shift.astype(np.int64)
    shift[chosen] = rng.integers(2, 14, len(chosen))  # so that the sum of a gate's two parts stays within the 31-bit range
    bias = wild.bias.astype(np.int64) - ((1 << shift) >> 1)
    room = LIMIT - 1 - np.abs(weight).sum(axis=1) * 32767 - (1 << shift)
    return fine_matrix(weight, np.clip(bias, -room, room), shift, chosen)


def random_product(rng: np.random.Generator, rows: int, cols: int, kind: str, plain: bool) -> Product:
    """A matrix. Unless plain, two of three have low rank, a norm, both, or finer rows."""
    low = norm = None
    choice = 0 if plain else int(rng.integers(0, 6))
    if choice == 4:
        return random_fine(rng, rows, cols, kind)
    inner = cols
    if choice in (1, 3):
        inner = int(rng.integers(1, 9))
        low = bounded_matrix(rng, inner, cols, kind)
    if choice in (2, 3):
        norm = random_norm(rng, rows, kind)
    matrix = random_matrix(rng, rows, inner, kind)
    return ExtendedProduct(matrix, low, norm) if choice in (1, 2, 3) else matrix


@dataclass(frozen=True)
class Drawing:
    """Draws what cells consist of; kind is one of KINDS. plain: without low rank, norms and finer rows."""

    rng: np.random.Generator
    kind: str
    plain: bool

    def product(self, rows: int, cols: int) -> Product:
        return random_product(self.rng, rows, cols, self.kind, self.plain)

    def matrix(self, rows: int, cols: int) -> Matrix:
        return random_matrix(self.rng, rows, cols, self.kind)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.choice([low, high]) if self.rng.random() < 0.5 else self.rng.integers(low, high + 1))

    def vector(self, length: int, most: int) -> np.ndarray:
        if self.kind == "extreme":
            return self.rng.choice([-most, most], length).astype(np.int32)
        size = min(most, 1 << 15)
        return self.rng.integers(-size, size, length).astype(np.int32)


def random_cell(rng: np.random.Generator, name: str, inputs: int, n: int, kind: str, plain: bool = False) -> IntegerCell:
    """A cell of CELLS with n units. plain: without low rank, norms and finer rows."""
    cell, option = KNOWN[name]
    return cell.drawn(Drawing(rng, kind, plain), inputs, n, option)


def random_network(seed: int, cell: str = "gru", plain: bool = True) -> Network:
    """A network of 1-3 layers, 1-64 inputs and units, 1-12 outputs. The same seed gives the same network.

    cell: one of NETWORKS. plain: False adds low rank and norms in the cells, norms between some of them, and sometimes an
    embedding in front or a skip connection at the end.
    """
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % 3]
    inputs = int(rng.integers(1, 65)) if seed % 4 else int(rng.integers(1, 9))
    layers = int(rng.integers(1, 4))
    # Half of them small: the plain kernels under emulation are slow
    units = [int(rng.integers(1, 65 if seed % 2 else 13)) for _ in range(layers)]
    made: list[IntegerCell] = []
    width = inputs
    if not plain and seed % 5 == 0:
        width, inputs = inputs, 1
        made.append(Embedding(rng.integers(-32767, 32768, (int(rng.integers(1, 30)), width)).astype(np.int16)))
    for n in units:
        name = str(rng.choice(CELLS)) if cell == "mixed" else cell
        made.append(random_cell(rng, name, width, n, kind, plain))
        width = made[-1].units
        if not plain and rng.random() < 0.3:
            made.append(LayerNorm(random_norm(rng, width, kind)))
    if not plain and seed % 3 == 1 and not isinstance(made[0], Embedding):
        chosen = rng.permutation(inputs)[: int(rng.integers(1, 5))]
        made.append(Skip(width, chosen.astype(np.uint16)))
        width = made[-1].units
    outputs = int(rng.integers(1, 13))
    shift = rng.integers(1, 15, inputs)
    factor = rng.integers(1, 1 << 14, inputs)
    offset = rng.integers(-(1 << 20), 1 << 20, inputs)
    half = (1 << shift) >> 1
    room = ((32767 << shift) + half - 1) // factor
    channels = Channels(*(v.astype(np.int32) for v in (offset - room, offset + room, offset, factor, shift)))
    if isinstance(made[0], Embedding):  # symbols on both sides of those there are, in range and out
        size = len(made[0].table)
        channels = Channels(*(np.array([v], np.int32) for v in (-3, size + 2, 0, 1, 0)))
    return Network(
        task="classification",
        when="every",
        input=channels,
        cells=tuple(made),
        head=random_matrix(rng, outputs, width, kind),
        exponents=np.full(outputs, -12),
        input_exponents=np.zeros(inputs, np.int8),
    )


def random_samples(network: Network, seed: int, steps: int) -> np.ndarray:
    """(T, C) raw samples: within each channel's range, at its ends, and at the ends of the small integers."""
    rng = np.random.default_rng(seed)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    shape = (steps, network.inputs)
    ordinary = rng.integers(low, high + 1, shape)
    ends = np.where(rng.random(shape) < 0.5, low, high)
    extreme = rng.choice([-LIMIT, LIMIT - 1, 0, 1, -1], shape)
    pick = rng.random(shape)
    return np.where(pick < 0.7, ordinary, np.where(pick < 0.85, ends, extreme))


def ready(seed: int, cell: str = "gru", plain: bool = True) -> Network:
    """The network of a seed, with its 31-bit range proven."""
    network = random_network(seed, cell, plain)
    pack(network)
    return network
