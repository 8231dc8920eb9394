"""The facts about a .urnn file, as plain values: what `tinyrnn info` prints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from urnn import format as frame

from tinyrnn import modelfile
from tinyrnn.network import Matrix, Network

KERNELS = ("viper", "plain")


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything about the file. Raises ModelError when it cannot be read."""
    network = modelfile.read(path)
    data = Path(path).read_bytes()
    sections = [{"tag": tag.decode("latin-1"), "bytes": stop - start} for tag, start, stop in frame.unseal(data)]
    channel = network.input
    names = network.channels or tuple(f"channel {i}" for i in range(network.inputs))
    return {
        "file": str(path),
        "name": network.name,
        "bytes": len(data),
        "arithmetic": frame.ARITHMETIC,
        "task": network.task,
        "when": network.when,
        "labels": list(network.labels),
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
        "sections": sections,
        "frame_bytes": len(data) - sum(section["bytes"] for section in sections),
        "buffer_bytes": buffer_bytes(network),
        "macs": macs(network),
        "units": network.units,
        "kernels": list(KERNELS),
        "vectors": len(network.vectors.samples) if network.vectors else 0,
    }


def macs(network: Network) -> int:
    """Multiply-accumulates of one step."""
    return int(sum(cell.w.weight.size + cell.u.weight.size for cell in network.cells) + network.head.weight.size)


def buffer_bytes(network: Network) -> int:
    """Bytes of the arrays that load() makes: input, gates and state of each layer, output; 4 bytes a number."""

    def array(n: int) -> int:
        return 4 * ((n + 3) & -4)

    cells = sum(2 * array(3 * cell.units) + array(cell.units) for cell in network.cells)
    return array(network.inputs) + cells + array(network.outputs)


def _matrices(network: Network) -> list[dict[str, Any]]:
    named: list[tuple[str, Matrix]] = []
    for number, cell in enumerate(network.cells):
        named += [(f"layer {number} GRU W", cell.w), (f"layer {number} GRU U", cell.u)]
    named.append(("head", network.head))
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
        for name, matrix in named
    ]
