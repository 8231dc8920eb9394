# SPDX-License-Identifier: MIT
"""Fixtures for the device package's tests."""

from __future__ import annotations

import pytest
from helpers.machine_code import SETS, Board
from helpers.missing_runtimes import needed
from tinyrnn.emulation.core_board import CoreBoard


@pytest.fixture(params=SETS)
def board(request: pytest.FixtureRequest) -> Board:
    """A Cortex-M0+ core with the package, and each kernel set in turn."""
    with needed():
        return CoreBoard(), request.param
