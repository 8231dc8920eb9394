"""The .urnn file on the host's disk: read with a clear error, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from tinyrnn import atomic
from tinyrnn.errors import ModelError
from tinyrnn.network import Network, pack, unpack

LARGEST_BYTES = 16 << 20  # far above what any board has; guards against reading a film by mistake


def read(path: str | os.PathLike[str]) -> Network:
    """The network in a .urnn file. Raises ModelError."""
    try:
        size = os.path.getsize(path)
        if size > LARGEST_BYTES:
            raise ModelError(f"{path}: has {size} bytes; expected a .urnn file made by `tinyrnn quantize`")
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror}; expected a .urnn file, make one with `tinyrnn quantize`"
        ) from None
    try:
        return unpack(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def write(network: Network, path: str | os.PathLike[str]) -> int:
    """Write the file beside its place, then rename it; returns its bytes. Raises ModelError."""
    data = pack(network)
    target = Path(path)
    if not target.parent.is_dir():
        raise ModelError(f"{target}: No such file or directory; expected a folder that exists and is writable")
    try:
        atomic.write(target, data)
    except OSError as error:
        raise ModelError(
            f"{target}: {error.strerror}; expected a folder that is writable and has room; the file there is as it was"
        ) from None
    return len(data)
