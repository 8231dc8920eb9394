"""Fixtures for all tests: the runtimes of this machine, and this project's own options of pytest."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing
from tinyrnn.runtimes import Runtime


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--port",
        metavar="PORT",
        default=None,
        help="serial port of a board that runs MicroPython, for the tests that need one",
    )


@pytest.fixture(scope="session")
def need_runtime() -> Callable[[str], Runtime]:
    """``need_runtime(name)``: the runtime, or the test is skipped with the cure.

    With TINYRNN_REQUIRE_RUNTIMES=1 a missing runtime is a failure: where all are provided, a skip is a fault.
    """

    def need(name: str) -> Runtime:
        try:
            return runtimes.get(name)
        except RuntimeMissing as error:
            cure = str(error)
        if os.environ.get("TINYRNN_REQUIRE_RUNTIMES") == "1":
            pytest.fail(f"TINYRNN_REQUIRE_RUNTIMES=1, and {cure}", pytrace=False)
        pytest.skip(cure)

    return need


@pytest.fixture(scope="session", params=runtimes.NAMES)
def runtime(request: pytest.FixtureRequest, need_runtime: Callable[[str], Runtime]) -> Runtime:
    """Each runtime in turn: a test that asks for it runs on all of them."""
    return need_runtime(request.param)


@pytest.fixture(scope="session", params=[name for name in runtimes.NAMES if name != "cpython"])
def micropython(request: pytest.FixtureRequest, need_runtime: Callable[[str], Runtime]) -> Runtime:
    """Each MicroPython in turn."""
    return need_runtime(request.param)


@pytest.fixture(scope="session", params=["unix-i386", "unix-armhf"])
def bounded32(request: pytest.FixtureRequest, need_runtime: Callable[[str], Runtime]) -> Runtime:
    """The 32-bit runtimes with viper and a heap that has a bound: the judges of integers and of memory."""
    return need_runtime(request.param)
