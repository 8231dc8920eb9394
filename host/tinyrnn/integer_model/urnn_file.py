"""The .urnn file on the host's disk: read with a clear error, written whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tinyrnn import files
from tinyrnn.errors import ModelError
from tinyrnn.integer_model.network import Network, pack, unpack

LARGEST_BYTES = 16 << 20  # far above what any board has; guards against reading a film by mistake


@dataclass(frozen=True)
class UrnnFile:
    """A file as it was read, once, and the network that is in it."""

    path: Path
    data: bytes
    network: Network


def load(path: str | os.PathLike[str]) -> UrnnFile:
    """Read a .urnn file and prove its 31-bit range. Raises ModelError."""
    data = read_bytes(path)
    if data[:2] == b"PK":  # an archive, as torch.save() and Keras write it
        cure = f"tinyrnn quantize {path}" if files.FLOAT_MARK in data else f"tinyrnn import {path} -o NEW.urnn"
        raise ModelError(f"{path}: not a .urnn file but an archive, perhaps a float model; expected a .urnn file: {cure}")
    try:
        return UrnnFile(Path(path), data, unpack(data))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file as it is. Raises ModelError when it cannot be read, or is too large to be one."""
    try:
        return files.read(path, LARGEST_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; expected a .urnn file, make one with `tinyrnn quantize`") from None


def write(network: Network, path: str | os.PathLike[str]) -> int:
    """Write the file beside its place, then rename it; returns its bytes. Raises ModelError."""
    data = pack(network)
    target = Path(path)
    try:
        files.write(target, data)
    except OSError as error:
        raise ModelError(
            f"{target}: {error.strerror}; expected a folder that is there, writable, with room; the file there is as it was"
        ) from None
    return len(data)
