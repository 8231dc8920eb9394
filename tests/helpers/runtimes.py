# SPDX-License-Identifier: MIT
"""Runtimes and ports for tests: each is started, or the test is skipped with the cure.

Tests that start a MicroPython have the mark ``runtime``, and ``make test-fast`` leaves them out. The parameters made here
carry it, and conftest.py adds it to tests that ask for a fixture that starts one.
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
    """The runtimes as parameters. All but CPython have the mark."""
    return [pytest.param(name, id=name, marks=mark(name)) for name in names]


def mark(name: str) -> tuple[pytest.MarkDecorator, ...]:
    return () if name == "cpython" else (pytest.mark.runtime,)


def open_port(name: str, folder: Path, heapsize: str | None = None, real_time: bool = False) -> serial_ports.Port:
    """Start a port. The emulated RP2040 needs firmware that no package provides, so it is always optional."""
    with needed(optional=name == "rp2040"):
        return serial_ports.open_port(name, folder, heapsize, real_time)
