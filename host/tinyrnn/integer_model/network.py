# SPDX-License-Identifier: MIT
"""The integer network as numpy arrays. The quantizer produces it and the .urnn file holds it.

``pack()`` proves the 31-bit range of every row before it returns the file's bytes. ``unpack()`` reads a file.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import urnn
from urnn import format as frame

from tinyrnn.errors import ModelError
from tinyrnn.integer_model import cells as cell_kinds
from tinyrnn.integer_model.cells.base import IntegerCell
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.device_program import DeviceProgram
from tinyrnn.integer_model.limits import ACTIVATION_MAX, LIMIT, U16_MAX
from tinyrnn.integer_model.matrices import ExtendedProduct, Matrix, Product, read_product
from tinyrnn.integer_model.overflow_proof import Bounds
from tinyrnn.text import counted

__all__ = ["GRU", "Channels", "IntegerHead", "Matrix", "Network", "Vectors", "assemble", "pack", "unpack"]


@dataclass(frozen=True)
class Channels:
    """The conversion of raw integers to the net's input format, for each channel; docs/numerics.md, equations 5 and 6."""

    low: np.ndarray  # int32 (C,): a sample is limited to low..high
    high: np.ndarray  # int32 (C,)
    offset: np.ndarray  # int32 (C,)
    factor: np.ndarray  # int32 (C,) > 0
    shift: np.ndarray  # int32 (C,) 0..15

    def to_bytes(self) -> bytes:
        table = np.stack([self.low, self.high, self.offset, self.factor, self.shift], axis=1).astype("<i4")
        return table.tobytes()

    @staticmethod
    def from_bytes(data: memoryview) -> Channels:
        return Channels(*np.frombuffer(data, "<i4").reshape(-1, 5).T.copy())


@dataclass(frozen=True)
class IntegerHead:
    """One of several heads: a name for some consecutive outputs."""

    name: str
    outputs: int
    regression: bool


@dataclass(frozen=True)
class Vectors:
    """The self-test vectors: raw samples, and the output and state after the last of them."""

    samples: np.ndarray  # int32 (T, C)
    output: np.ndarray  # int32 (O,)
    state: np.ndarray  # int16 (S,)


@dataclass(frozen=True)
class Nearness:
    """The integer error that was measured when the network was quantized, as stored in the file."""

    largest_share: float  # largest difference of an output, as share of the range of the float model's outputs
    mean_share: float  # mean difference, likewise
    equal_share: float | None  # share of equal decisions; None for a regression
    outputs: int  # number of output vectors that were compared
    recorded: bool  # measured on the user's recording; otherwise on probing sequences

    def to_bytes(self) -> bytes:
        equal = math.nan if self.equal_share is None else self.equal_share
        count = 2 * min(self.outputs, 0x7FFFFFFF) + self.recorded
        return struct.pack("<3fI", self.largest_share, self.mean_share, equal, count)

    @staticmethod
    def from_bytes(data: memoryview) -> Nearness | None:
        """The inverse of ``to_bytes``; None for a section of another size."""
        if len(data) != 16:
            return None
        largest, mean, equal, count = struct.unpack("<3fI", data)
        return Nearness(largest, mean, None if math.isnan(equal) else equal, count >> 1, bool(count & 1))

    def __str__(self) -> str:
        source = "the recording" if self.recorded else "probing sequences"
        text = f"largest difference {100 * self.largest_share:.3g} % of the range, mean {100 * self.mean_share:.3g} %"
        equal = "" if self.equal_share is None else f", equal decisions {100 * self.equal_share:.5g} %"
        return f"{text}{equal}, on {source} ({counted(self.outputs, 'output')})"


@dataclass(frozen=True)
class Network:
    """Everything that a .urnn file holds."""

    task: str  # "classification" or "regression"; that of the first head if there are several
    when: str  # the steps whose output counts: "last" of a sequence, or "every"
    input: Channels
    cells: tuple[IntegerCell, ...]
    head: Product
    exponents: np.ndarray  # int8 (O,): output i in the user's unit is output[i] * 2^exponents[i]
    labels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    input_exponents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))  # (C,) raw = round(user * 2^e)
    name: str = ""
    vectors: Vectors | None = None
    heads: tuple[IntegerHead, ...] = ()  # () if all outputs are one head
    nearness: Nearness | None = None
    window: int = 0  # steps of the longest training sequence, at most 65535; 0: not known, or a stream

    @property
    def inputs(self) -> int:
        return len(self.input.low)

    @property
    def outputs(self) -> int:
        return len(self.exponents)

    @property
    def units(self) -> int:
        """The length of the state, of all layers together."""
        return sum(cell.state_size for cell in self.cells)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Samples in the user's unit (..., C) -> the raw integers for step(), int32, rounded half up."""
        scaled = np.floor(np.asarray(x, np.float64) * 2.0 ** self.input_exponents.astype(np.float64) + 0.5)
        return np.clip(scaled, -LIMIT, LIMIT - 1).astype(np.int32)


def prove(network: Network) -> None:
    """Prove that every intermediate value of every step, for any input, is in [-2^30, 2^30). Raises ModelError.

    Accumulators and sums of gates depend on the weights. All other values are in range by construction (docs/numerics.md).
    """
    _prove(network, assemble(network))


def _prove(network: Network, data: bytes) -> None:
    for number, cell in enumerate(network.cells):
        for name, matrix in cell.matrices:
            _prove_matrix(f"layer {number} {name}", matrix)
    for name, matrix in network.head.matrices:
        _prove_matrix(f"head{name}", matrix)
    channel = network.input
    half = (1 << channel.shift.astype(np.int64)) >> 1
    for end in (channel.low, channel.high):
        product = (end.astype(np.int64) - channel.offset) * channel.factor + half
        outside = (channel.factor < 1) | (channel.shift < 0) | (channel.shift > 15)
        outside |= (product < -LIMIT) | (product >= LIMIT) | (np.abs(product >> channel.shift) > ACTIVATION_MAX)
        if outside.any():
            raise ModelError(
                f"input channel {int(outside.argmax())}: its normalisation exceeds 16 bits; expected -32767..32767"
            )
    try:
        program = DeviceProgram(data)
    except ValueError as error:
        raise ModelError(f"the device's loader refuses the file: {error}") from None
    layers = [i for i, tag in enumerate(program.tags) if tag in cell_kinds.known()]
    Bounds(program, lambda section: f"layer {layers.index(section)}" if section in layers else "head").prove()


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
    """The bytes of the .urnn file. Raises ModelError if the 31-bit range cannot be proven or a dimension is too large."""
    data = assemble(network)
    _prove(network, data)
    return data


def assemble(network: Network) -> bytes:
    """The bytes that pack() returns, without the proof. Raises ModelError if a dimension is too large."""
    matrices = [matrix for cell in network.cells for _, matrix in cell.matrices]
    matrices += [matrix for _, matrix in network.head.matrices]
    if max([network.inputs, network.outputs, *(max(matrix.shape) for matrix in matrices)]) > U16_MAX:
        raise ModelError(f"a layer has more than {U16_MAX} rows or columns; expected fewer")
    if network.vectors and len(network.vectors.samples) > U16_MAX:
        raise ModelError(f"the self-test has {len(network.vectors.samples)} steps; expected at most {U16_MAX}")
    sections = [(b"INPT", network.input.to_bytes())]
    for cell in network.cells:
        if any(isinstance(product, ExtendedProduct) for _, product in cell.products):
            _announce_products(sections)
        sections.append((cell.tag, cell.to_bytes()))
    if isinstance(network.head, ExtendedProduct):
        _announce_products(sections)
    exponents = network.exponents.astype(np.int8).tobytes()
    meaning = network.task == "regression", network.when == "every"
    head = struct.pack("<HHBBH", network.outputs, network.window, *meaning, 0) + exponents + bytes(-len(exponents) & 3)
    sections.append((b"DENS", head + network.head.to_bytes()))
    if network.heads:
        sizes = b"".join(struct.pack("<HH", head.outputs, head.regression) for head in network.heads)
        names = _names(tuple(head.name for head in network.heads))
        sections.append((b"HEAD", struct.pack("<HH", len(network.heads), 0) + sizes + names))
    if network.labels:
        sections.append((b"labl", _names(network.labels)))
    if network.channels or len(network.input_exponents):
        exponents = network.input_exponents.astype(np.int8).tobytes()
        sections.append((b"unit", struct.pack("<H", len(exponents)) + exponents + _names(network.channels)))
    if network.name:
        sections.append((b"name", _utf8(network.name)))
    if network.nearness:
        sections.append((b"near", network.nearness.to_bytes()))
    if network.vectors:
        sections.append((b"test", _pack_vectors(network.vectors)))
    return frame.seal(sections)


def _announce_products(sections: list[tuple[bytes, bytes]]) -> None:
    if (b"PRODUCTS", b"") not in sections:
        sections.append((b"PRODUCTS", b""))


def unpack(data: bytes) -> Network:
    """Read a .urnn file. The device's own loader checks it, and the 31-bit range is proven again. Raises ModelError."""
    try:
        network = parse(data)
    except (ValueError, struct.error) as error:  # includes text that is not UTF-8 and sections that are too short
        raise ModelError(f"not a model that this version can read: {error}") from None
    prove(network)
    return network


def parse(data: bytes) -> Network:
    """unpack() without the proof of the 31-bit range. Raises ValueError or struct.error."""
    net = urnn.load(data, kernels="plain")
    view = memoryview(data)
    values: dict[str, Any] = {}
    cells: list[IntegerCell] = []
    for tag, start, stop in frame.unseal(data):
        payload = view[start:stop]
        if tag == b"INPT":
            values["input"] = Channels.from_bytes(payload)
        elif tag in cell_kinds.known():
            cells.append(cell_kinds.known()[tag].from_bytes(payload))
        elif tag == b"DENS":
            outputs = int.from_bytes(payload[:2], "little")
            values["exponents"] = np.frombuffer(payload[8 : 8 + outputs], np.int8)
            values["head"] = read_product(payload[8 + ((outputs + 3) & -4) :])[0]
        elif tag == b"HEAD":
            values["heads"] = tuple(
                IntegerHead(name, stop - start, payload[6 + 4 * i] == 1) for i, (name, start, stop) in enumerate(net.heads)
            )
        elif tag == b"unit":
            count = int.from_bytes(payload[:2], "little")
            values["input_exponents"] = np.frombuffer(payload[2 : 2 + count], np.int8)
            names = tuple(str(payload[2 + count :], "utf-8").split("\n"))
            values["channels"] = names if len(names) == net.inputs and any(names) else ()
        elif tag == b"name":
            values["name"] = str(payload, "utf-8")
        elif tag == b"near":
            values["nearness"] = Nearness.from_bytes(payload)
        elif tag == b"test":
            values["vectors"] = _unpack_vectors(payload, net)
    if len(values.get("input_exponents", ())) != net.inputs:
        values["input_exponents"] = np.zeros(net.inputs, np.int8)
    return Network(
        task="regression" if net.regression else "classification",
        when="every" if net.every_step else "last",
        window=net.window,
        cells=tuple(cells),
        labels=tuple(net.labels),
        **values,
    )


def with_vectors(network: Network, samples: np.ndarray) -> Network:
    """The network with self-test vectors: these raw samples (T, C) and the answers of the plain kernels."""
    net = urnn.load(pack(replace(network, vectors=None)), kernels="plain")
    for sample in samples.tolist():
        net.step(sample)
    output, state = np.array(net.output, np.int32), np.array(net.state, np.int16)
    return replace(network, vectors=Vectors(samples.astype(np.int32), output, state))


def _names(names: tuple[str, ...]) -> bytes:
    # One name a line, so a line break within a name is replaced
    return b"\n".join(_utf8(name.replace("\n", " ")) for name in names)


def _utf8(name: str) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise ModelError(f"name {name!r} is not valid text; expected UTF-8: rename it") from None


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
