# SPDX-License-Identifier: MIT
"""Fixtures of the tests of training."""

from __future__ import annotations

import math

import pytest
from tinyrnn.cli import train


@pytest.fixture(autouse=True)
def no_lines_of_a_long_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine, a short training would take long enough for a line on standard error."""
    monkeypatch.setattr(train, "PAUSE_S", math.inf)
