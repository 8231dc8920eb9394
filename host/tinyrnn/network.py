"""The integer network: what the quantizer produces and the model file holds, as numpy arrays.

``pack()`` proves the law of the arithmetic for every row before it writes a byte; ``unpack()`` reads a file back.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import urnn
from urnn import format as frame

from tinyrnn.errors import ModelError

LIMIT = 1 << 30  # every intermediate v satisfies -LIMIT <= v < LIMIT
ACTIVATION_MAX = 32767  # of inputs after normalisation, states and saturated gates


@dataclass(frozen=True)
class Matrix:
    """Rows of ``(bias + sum(weight * x)) >> shift``; docs/numerics.md, equation 7."""

    weight: np.ndarray  # int8 (R, C), -127..127
    bias: np.ndarray  # int32 (R,), in the accumulator's scale, the rounding half included
    shift: np.ndarray  # uint8 (R,), 0..30

    def bounds(self) -> np.ndarray:
        """The proven bound of every partial sum of each row, int64 (R,): |bias| + sum |w| * 32767 (equation 8)."""
        weight = np.abs(self.weight.astype(np.int64)).sum(axis=1)
        return np.abs(self.bias.astype(np.int64)) + weight * ACTIVATION_MAX

    def to_bytes(self) -> bytes:
        """The matrix as the file holds it: blocks of four rows, the weights of a block column by column."""
        rows, cols = self.weight.shape
        blocks = (rows + 3) // 4
        weight = np.zeros((blocks * 4, cols), np.int64)
        weight[:rows] = self.weight
        bias = np.zeros(blocks * 4, "<i4")
        bias[:rows] = self.bias
        shift = np.zeros(blocks * 4, np.uint8)
        shift[:rows] = self.shift
        stored = (weight + 128).astype(np.uint8).reshape(blocks, 4, cols).transpose(0, 2, 1)
        parts = [struct.pack("<HH", rows, cols)]
        for b in range(blocks):
            rows4 = slice(4 * b, 4 * b + 4)
            parts += [bias[rows4].tobytes(), shift[rows4].tobytes(), stored[b].tobytes()]
        data = b"".join(parts)
        assert len(data) == frame.matrix_bytes(rows, cols)
        return data

    @staticmethod
    def from_bytes(data: memoryview) -> tuple[Matrix, int]:
        """The inverse of ``to_bytes``; returns the matrix and its length in bytes."""
        rows, cols = struct.unpack_from("<HH", data)
        size = frame.matrix_bytes(rows, cols)
        blocks = np.frombuffer(data[4:size], np.uint8).reshape(-1, 20 + 4 * cols)
        weight = blocks[:, 20:].reshape(-1, cols, 4).transpose(0, 2, 1).reshape(-1, cols)
        return (
            Matrix(
                weight=(weight.astype(np.int16) - 128).astype(np.int8)[:rows],
                bias=np.ascontiguousarray(blocks[:, :16]).view("<i4").reshape(-1)[:rows],
                shift=np.ascontiguousarray(blocks[:, 16:20]).reshape(-1)[:rows],
            ),
            size,
        )


@dataclass(frozen=True)
class Channels:
    """Raw integers to the net's input format, each channel on its own; docs/numerics.md, equations 5 and 6."""

    low: np.ndarray  # int32 (C,): the sample is limited to low..high
    high: np.ndarray
    offset: np.ndarray  # int32 (C,)
    factor: np.ndarray  # int32 (C,) > 0
    shift: np.ndarray  # int32 (C,) 0..15

    def to_bytes(self) -> bytes:
        table = np.stack([self.low, self.high, self.offset, self.factor, self.shift], axis=1).astype("<i4")
        return struct.pack("<I", len(table)) + table.tobytes()

    @staticmethod
    def from_bytes(data: memoryview) -> Channels:
        return Channels(*np.frombuffer(data[4:], "<i4").reshape(-1, 5).T.copy())


@dataclass(frozen=True)
class GRU:
    """A GRU layer: W (3H, I) on the layer's input, U (3H, H) on the state; rows r, z, n; both give Q3.12."""

    w: Matrix
    u: Matrix

    @property
    def units(self) -> int:
        return int(self.u.weight.shape[1])

    @property
    def inputs(self) -> int:
        return int(self.w.weight.shape[1])


@dataclass(frozen=True)
class Vectors:
    """What selftest() replays: raw samples, and the outputs and state that must stand after the last of them."""

    samples: np.ndarray  # int32 (T, C)
    output: np.ndarray  # int32 (O,)
    state: np.ndarray  # int16 (sum of units,)


@dataclass(frozen=True)
class Network:
    """All that a .urnn file says."""

    task: str
    when: str
    input: Channels
    cells: tuple[GRU, ...]
    head: Matrix
    exponents: np.ndarray  # int8 (O,): output i in the user's unit is output[i] * 2^exponents[i]
    labels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    input_exponents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))  # (C,) raw = round(user * 2^e)
    name: str = ""
    vectors: Vectors | None = None

    @property
    def inputs(self) -> int:
        return len(self.input.low)

    @property
    def outputs(self) -> int:
        return len(self.exponents)

    @property
    def units(self) -> int:
        """All units of all layers: the length of the state."""
        return sum(cell.units for cell in self.cells)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Samples in the user's unit (..., C) -> the integers that step() takes, int32; rounded half up."""
        scaled = np.floor(np.asarray(x, np.float64) * 2.0 ** self.input_exponents.astype(np.float64) + 0.5)
        return np.clip(scaled, -LIMIT, LIMIT - 1).astype(np.int32)


def prove(network: Network) -> None:
    """Prove the law: every intermediate of every step, for any input, in [-2^30, 2^30). Raises ModelError.

    Gates, state and tables keep it by construction (docs/numerics.md); the accumulators depend on the weights.
    """
    for number, cell in enumerate(network.cells):
        _prove_matrix(f"layer {number} W", cell.w)
        _prove_matrix(f"layer {number} U", cell.u)
        both = (cell.w.bounds() >> cell.w.shift) + (cell.u.bounds() >> cell.u.shift) + 2
        if (both >= LIMIT).any():
            row = int(both.argmax())
            raise ModelError(f"layer {number} row {row}: the gate's sum can reach {both[row]}; expected below 2^30")
    _prove_matrix("head", network.head)
    channel = network.input
    half = (1 << channel.shift.astype(np.int64)) >> 1
    for end in (channel.low, channel.high):
        product = (end.astype(np.int64) - channel.offset) * channel.factor + half
        outside = (channel.factor < 1) | (channel.shift < 0) | (channel.shift > 15)
        outside |= (product < -LIMIT) | (product >= LIMIT) | (np.abs(product >> channel.shift) > ACTIVATION_MAX)
        if outside.any():
            raise ModelError(f"input channel {int(outside.argmax())}: its normalisation leaves 16 bits")


def _prove_matrix(what: str, matrix: Matrix) -> None:
    bounds = matrix.bounds()
    if (bounds >= LIMIT).any():
        row = int(bounds.argmax())
        raise ModelError(
            f"{what} row {row}: the accumulator can reach {bounds[row]}, expected below 2^30 = {LIMIT}; "
            "use fewer units or inputs, or smaller weights"
        )
    if matrix.shift.max(initial=0) > 30 or matrix.weight.min(initial=0) < -127:
        raise ModelError(f"{what}: a shift above 30 or a weight of -128; expected 0..30 and -127..127")


def pack(network: Network) -> bytes:
    """The bytes of the .urnn file. Raises ModelError when the law cannot be proven or a dimension has no room."""
    prove(network)
    if max([network.inputs, network.outputs, *(3 * cell.units for cell in network.cells)]) > 0xFFFF:
        raise ModelError("a layer has more than 65535 rows; expected fewer")
    sections = [
        (b"TASK", bytes([network.task == "regression", network.when == "every", 0, 0])),
        (b"INPT", network.input.to_bytes()),
    ]
    for cell in network.cells:
        head = struct.pack("<HH", cell.inputs, cell.units)
        sections.append((b"GRU ", head + cell.w.to_bytes() + cell.u.to_bytes()))
    exponents = network.exponents.astype(np.int8).tobytes()
    head = struct.pack("<HH", network.outputs, 0) + exponents + bytes(-len(exponents) & 3)
    sections.append((b"DENS", head + network.head.to_bytes()))
    if network.labels:
        sections.append((b"labl", _names(network.labels)))
    if network.channels or len(network.input_exponents):
        exponents = network.input_exponents.astype(np.int8).tobytes()
        sections.append((b"unit", struct.pack("<H", len(exponents)) + exponents + _names(network.channels)))
    if network.name:
        sections.append((b"name", network.name.encode()))
    if network.vectors:
        sections.append((b"test", _pack_vectors(network.vectors)))
    return frame.seal(sections)


def unpack(data: bytes) -> Network:
    """Read a .urnn file; the device's own loader checks it first, and the law is proven again. Raises ModelError."""
    try:
        network = parse(data)
    except (ValueError, struct.error) as error:  # text that is no UTF-8, a section too short for its fields
        raise ModelError(f"not a model this version can read: {error}") from None
    prove(network)
    return network


def parse(data: bytes) -> Network:
    """unpack() without proving the law. Raises ValueError or struct.error."""
    net = urnn.load(data, kernels="plain")
    view = memoryview(data)
    values: dict[str, Any] = {}
    cells: list[GRU] = []
    for tag, start, stop in frame.unseal(data):
        payload = view[start:stop]
        if tag == b"INPT":
            values["input"] = Channels.from_bytes(payload)
        elif tag == b"GRU ":
            w, size = Matrix.from_bytes(payload[4:])
            cells.append(GRU(w, Matrix.from_bytes(payload[4 + size :])[0]))
        elif tag == b"DENS":
            outputs = int.from_bytes(payload[:2], "little")
            values["exponents"] = np.frombuffer(payload[4 : 4 + outputs], np.int8)
            values["head"] = Matrix.from_bytes(payload[4 + ((outputs + 3) & -4) :])[0]
        elif tag == b"unit":
            count = int.from_bytes(payload[:2], "little")
            values["input_exponents"] = np.frombuffer(payload[2 : 2 + count], np.int8)
            values["channels"] = tuple(str(payload[2 + count :], "utf-8").split("\n"))
        elif tag == b"name":
            values["name"] = str(payload, "utf-8")
        elif tag == b"test":
            values["vectors"] = _unpack_vectors(payload, net)
    if len(values.get("input_exponents", ())) != net.inputs:
        values["input_exponents"] = np.zeros(net.inputs, np.int8)
    return Network(
        task="regression" if net.regression else "classification",
        when="every" if net.every_step else "last",
        cells=tuple(cells),
        labels=tuple(net.labels),
        **values,
    )


def with_vectors(network: Network, samples: np.ndarray) -> Network:
    """The network with vectors for selftest(): these raw samples (T, C), answered by the plain kernels."""
    net = urnn.load(pack(replace(network, vectors=None)), kernels="plain")
    for sample in samples.tolist():
        net.step(sample)
    output, state = np.array(net.output, np.int32), np.array(net.state, np.int16)
    return replace(network, vectors=Vectors(samples.astype(np.int32), output, state))


def _names(names: tuple[str, ...]) -> bytes:
    # One name a line; a name's own line break would make two of it
    return "\n".join(name.replace("\n", " ") for name in names).encode()


def _pack_vectors(vectors: Vectors) -> bytes:
    small = np.abs(vectors.samples.astype(np.int64)).max(initial=0) < 1 << 15
    samples = vectors.samples.astype("<i2" if small else "<i4").tobytes()
    return (
        struct.pack("<HH", len(vectors.samples), 2 if small else 4)
        + samples
        + bytes(-len(samples) & 3)
        + vectors.output.astype("<i4").tobytes()
        + vectors.state.astype("<i2").tobytes()
    )


def _unpack_vectors(payload: memoryview, net: urnn.Net) -> Vectors | None:
    steps, width = struct.unpack_from("<HH", payload)
    size = steps * net.inputs * width
    last = 4 + ((size + 3) & -4)
    outputs = len(net.output)
    if width not in (2, 4) or len(payload) != last + 4 * outputs + 2 * len(net.state):
        return None
    return Vectors(
        samples=np.frombuffer(payload[4 : 4 + size], f"<i{width}").reshape(steps, -1).astype(np.int32),
        output=np.frombuffer(payload[last : last + 4 * outputs], "<i4"),
        state=np.frombuffer(payload[last + 4 * outputs :], "<i2"),
    )
