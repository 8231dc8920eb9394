# SPDX-License-Identifier: MIT
"""Check whether the model on the board is a given file, by its size and the CRC-32 at its end."""

from __future__ import annotations

from pathlib import Path

from tinyrnn.errors import BoardError
from tinyrnn.integer_model import urnn_file


def cure(model: str, port: str) -> str:
    """The command that puts this model on the board, for error messages."""
    return f"`tinyrnn deploy {model} --port {port}`"


def require(port: str, model: str, size: int, crc: int) -> None:
    """Raise BoardError unless the file ``model`` has the size and the CRC-32 of the board's file."""
    path = Path(model)
    data = urnn_file.read_bytes(path)
    want = int.from_bytes(data[-4:], "little")
    if (size, crc) != (len(data), want):
        raise BoardError(
            f"{port}: another {path.name} is there ({size} bytes, CRC {crc:08x}); expected {model} "
            f"({len(data)} bytes, CRC {want:08x}): {cure(model, port)}"
        )
