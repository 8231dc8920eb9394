# SPDX-License-Identifier: MIT
"""Tests that lack a runtime are skipped and counted, or fail where all runtimes are required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import missing_runtimes

CONFTEST = """
from helpers import missing_runtimes

def pytest_configure(config):
    config.pluginmanager.register(missing_runtimes)
"""
TESTS = """
import pytest
from helpers.missing_runtimes import needed
from tinyrnn.errors import RuntimeMissing

@pytest.fixture(scope="session")
def board():
    with needed(optional=True):
        raise RuntimeMissing("rp2040: no firmware")

@pytest.mark.parametrize("n", range(3))
def test_board(board, n):
    assert False

def test_runtime():
    with needed():
        raise RuntimeMissing("unix-i386: make runtimes")

def test_other():
    pytest.skip("rp2040: takes minutes")

def test_here():
    with needed():
        pass
"""


def run(folder: Path, *arguments: str, required: str) -> tuple[int, list[str]]:
    """Exit status and lines of pytest on TESTS."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_some.py").write_text(TESTS)
    place = str(Path(missing_runtimes.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": place, "TINYRNN_REQUIRE_RUNTIMES": required, "COLUMNS": "200"}
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "two processes"])
def test_missing_runtimes_are_listed_with_the_number_of_tests(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    status, lines = run(tmp_path, *arguments, required="0")
    assert status == 0
    at = next(number for number, line in enumerate(lines) if "runtimes that are missing here" in line)
    assert lines[at + 1 : at + 3] == ["    3 rp2040: no firmware", "    1 unix-i386: make runtimes"]
    assert "short test summary" in lines[at + 3]
    assert "1 passed, 5 skipped" in lines[-1]


def test_only_an_optional_runtime_may_be_missing_where_all_are_required(tmp_path: Path) -> None:
    status, lines = run(tmp_path, required="1")
    assert status == 1
    assert "FAILED test_some.py::test_runtime - Failed: TINYRNN_REQUIRE_RUNTIMES=1, and unix-i386: make runtimes" in lines
    assert "    3 rp2040: no firmware" in lines
    assert "1 failed, 1 passed, 4 skipped" in lines[-1]
