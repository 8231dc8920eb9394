# SPDX-License-Identifier: MIT
"""Small recordings in files, and what data.load() says of those that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tinyrnn import data
from tinyrnn.errors import DataError


def write(path: Path, text: str | bytes) -> Path:
    """Write a file, with the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def save(path: Path, **entries: Any) -> Path:
    """Write an .npz file."""
    np.savez(path, **entries)
    return path


def complaint(*args: Any, **options: Any) -> str:
    """The one-line message of the DataError that load() raises."""
    with pytest.raises(DataError) as caught:
        data.load(*(str(arg) for arg in args), **options)
    message = str(caught.value)
    assert "\n" not in message
    return message
