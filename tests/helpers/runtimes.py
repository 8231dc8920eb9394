# SPDX-License-Identifier: MIT
"""Runtimes and ports for tests: each is started, or the test is skipped with the cure.

Tests that start a MicroPython have the mark ``runtime``, by which ``make test-fast`` leaves them out. Parameters made here
bring it; conftest.py gives it to tests that ask for a fixture that starts one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tinyrnn import runtimes
from tinyrnn.emulation import serial_ports
from tinyrnn.runtimes import Runtime

from helpers.missing_runtimes import needed

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet


def need_runtime(name: str) -> Runtime:
    with needed():
        return runtimes.get(name)


def each(names: Iterable[str]) -> list[ParameterSet]:
    """Runtimes as parameters, all but CPython marked."""
    return [pytest.param(name, id=name, marks=mark(name)) for name in names]


def mark(name: str) -> tuple[pytest.MarkDecorator, ...]:
    return () if name == "cpython" else (pytest.mark.runtime,)


def open_port(name: str, folder: Path, heapsize: str | None = None, real_time: bool = False) -> serial_ports.Port:
    """The emulated RP2040 needs firmware that no package brings: it may be missing even where all runtimes are required."""
    with needed(optional=name == "rp2040"):
        return serial_ports.open_port(name, folder, heapsize, real_time)
