# SPDX-License-Identifier: MIT
"""A summary of a .urnn file as plain values, for `tinyrnn info`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from urnn import format as frame

from tinyrnn.integer_model.device_program import DeviceProgram
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network, assemble
from tinyrnn.integer_model.urnn_file import UrnnFile


def describe(file: UrnnFile) -> dict[str, Any]:
    """The summary: names, layers, inputs, matrices with their bounds, bytes of sections and buffers, MACs."""
    network, data = file.network, file.data
    sections = [{"tag": tag.decode("latin-1"), "bytes": stop - start} for tag, start, stop in frame.unseal(data)]
    channel = network.input
    names = network.channels or tuple(f"channel {i}" for i in range(network.inputs))
    return {
        "file": str(file.path),
        "name": network.name,
        "bytes": len(data),
        "arithmetic": frame.ARITHMETIC,
        "task": network.task,
        "when": network.when,
        "window": network.window,
        "labels": list(network.labels),
        "heads": [{"name": head.name, "outputs": head.outputs} for head in network.heads],
        "layers": [
            {"kind": cell.tag.decode(), "inputs": cell.inputs, "units": cell.units, "state": cell.state_size}
            for cell in network.cells
        ],
        "inputs": [
            {
                "name": names[i],
                "exponent": int(network.input_exponents[i]),
                "low": int(channel.low[i]),
                "high": int(channel.high[i]),
                "offset": int(channel.offset[i]),
            }
            for i in range(network.inputs)
        ],
        "matrices": _matrices(network),
        "output_exponents": [int(e) for e in network.exponents],
        "nearness": {**asdict(near), "words": str(near)} if (near := network.nearness) else None,
        "sections": sections,
        "frame_bytes": len(data) - sum(section["bytes"] for section in sections),
        "buffer_bytes": buffer_bytes(network),
        "macs": macs(network),
        "units": network.units,
        "vectors": len(network.vectors.samples) if network.vectors else 0,
    }


def macs(network: Network) -> int:
    """The multiply-accumulates of one step."""
    return sum(matrix.weight.size for _, matrix in _named(network))


def buffer_bytes(network: Network) -> int:
    """Bytes of the vectors that load() allocates: input, intermediate values and states, output; 4 bytes a number."""
    return 4 * sum(DeviceProgram(assemble(network)).lengths)


def _named(network: Network) -> list[tuple[str, Matrix]]:
    named: list[tuple[str, Matrix]] = []
    for number, cell in enumerate(network.cells):
        kind = cell.tag.decode()
        named += [(f"layer {number} {kind} {name}", matrix) for name, matrix in cell.matrices]
    return named + [(f"head{name}", matrix) for name, matrix in network.head.matrices]


def _matrices(network: Network) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "rows": matrix.weight.shape[0],
            "cols": matrix.weight.shape[1],
            "shift_min": int(matrix.shift.min()),
            "shift_max": int(matrix.shift.max()),
            "bound": int(matrix.bounds().max()),
            "bytes": frame.matrix_bytes(*matrix.weight.shape),
        }
        for name, matrix in _named(network)
    ]
