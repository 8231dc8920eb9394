# SPDX-License-Identifier: MIT
"""Is the model on the board this file? Size and the CRC-32 at its end tell."""

from __future__ import annotations

from pathlib import Path

from tinyrnn.errors import BoardError
from tinyrnn.integer_model import urnn_file


def cure(model: str, port: str) -> str:
    """What to type when it is not."""
    return f"`tinyrnn deploy {model} --port {port}`"


def require(port: str, model: str, size: int, crc: int) -> None:
    """Raises BoardError unless the board's file, of that size and with that CRC-32, is the one at ``model``."""
    path = Path(model)
    data = urnn_file.read_bytes(path)
    want = int.from_bytes(data[-4:], "little")
    if (size, crc) != (len(data), want):
        raise BoardError(
            f"{port}: another {path.name} is there ({size} bytes, CRC {crc:08x}); expected {model} "
            f"({len(data)} bytes, CRC {want:08x}): {cure(model, port)}"
        )
