# SPDX-License-Identifier: MIT
"""Fixtures for the tests of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import serving
from tinyrnn.emulation.serial_ports import Port


@pytest.fixture
def model(port: Port, tmp_path: Path) -> Path:
    """The tiny model, deployed to the port."""
    path = serving.write_tiny(tmp_path)
    serving.put_model(port, path)
    return path
