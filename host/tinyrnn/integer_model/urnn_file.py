# SPDX-License-Identifier: MIT
"""Reads and writes .urnn files on this computer. A file is written completely or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tinyrnn import files
from tinyrnn.errors import ModelError
from tinyrnn.integer_model.network import Network, pack, unpack

LARGEST_BYTES = 16 << 20  # far more than any board holds; prevents reading a huge file by mistake


@dataclass(frozen=True)
class UrnnFile:
    """A file that was read once, and the network in it."""

    path: Path
    data: bytes
    network: Network


def load(path: str | os.PathLike[str]) -> UrnnFile:
    """Read a .urnn file and prove its 31-bit range. Raises ModelError."""
    data = read_bytes(path)
    if data[:2] == b"PK":  # an archive, as written by torch.save() and Keras
        cure = f"tinyrnn quantize {path}" if files.FLOAT_MARK in data else f"tinyrnn import {path} -o NEW.urnn"
        raise ModelError(f"{path}: is an archive, perhaps a float model; expected a .urnn file: {cure}")
    try:
        return UrnnFile(Path(path), data, unpack(data))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of the file. Raises ModelError if it cannot be read or is too large."""
    try:
        return files.read(path, LARGEST_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; expected a .urnn file: write one with `tinyrnn quantize`") from None


def write(network: Network, path: str | os.PathLike[str]) -> int:
    """Write the file, completely or not at all, and return its size in bytes. Raises ModelError."""
    data = pack(network)
    target = Path(path)
    try:
        files.write(target, data)
    except OSError as error:
        raise ModelError(
            f"{target}: {error.strerror}; expected a writable folder with enough room; an existing file is unchanged"
        ) from None
    return len(data)
