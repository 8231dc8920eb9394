# SPDX-License-Identifier: MIT
"""Fixtures for all tests: the runtimes of this machine, and the project's own pytest options."""

from __future__ import annotations

import os

# A run has a process for each core, and numpy and torch would start as many threads in each one: so they would in the
# commands that tests start. Both read this when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import float_models, missing_runtimes
from helpers.missing_runtimes import needed
from helpers.runtimes import each, need_runtime, open_port
from tinyrnn.emulation import serial_ports
from tinyrnn.emulation.microbit import MicroBit
from tinyrnn.runtimes import NAMES, Runtime

# Fixtures that start a MicroPython. Parameters of the other ones have the mark themselves (helpers/runtimes.py).
STARTS_MICROPYTHON = {"need_runtime", "port", "fresh_port", "make_port", "uf2", "micro_bit"}

# For one answer of an emulated board, here and in the commands that tests start: a machine may have ten times the load
os.environ.setdefault("TINYRNN_TIMEOUT_S", "120")

# A shell starts what it puts in the background with SIGINT ignored, and the commands that tests interrupt would inherit that
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--port",
        metavar="PORT",
        default=None,
        help="serial port of a board that runs MicroPython, for the tests that need one",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(missing_runtimes)


@pytest.hookimpl(tryfirst=True)  # before pytest looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if STARTS_MICROPYTHON.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.runtime)


@pytest.fixture(autouse=True)
def the_same_weights_each_time() -> None:
    """Random numbers start anew in each test, whatever ran before."""
    float_models.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file can be written completely."""

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


@pytest.fixture(scope="session", name="need_runtime")
def runtime_by_name() -> Callable[[str], Runtime]:
    """``need_runtime(name)`` returns the runtime, or skips the test with the cure.

    With TINYRNN_REQUIRE_RUNTIMES=1 a missing runtime is a failure: where all are provided, a skip would hide a fault.
    """

    return need_runtime


@pytest.fixture(scope="session", params=each(NAMES))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Each runtime in turn: a test that asks for it runs on all of them."""
    return need_runtime(request.param)


@pytest.fixture(scope="session", params=each(name for name in NAMES if name != "cpython"))
def micropython(request: pytest.FixtureRequest) -> Runtime:
    """Each MicroPython in turn."""
    return need_runtime(request.param)


@pytest.fixture(scope="session", params=each(["unix-i386", "unix-armhf"]))
def bounded32(request: pytest.FixtureRequest) -> Runtime:
    """The 32-bit runtimes with viper and a bounded heap, which decide about integers and memory."""
    return need_runtime(request.param)


@pytest.fixture(scope="session")
def uf2() -> Path:
    """MicroPython's firmware for the emulated RP2040, which no package brings."""
    with needed(optional=True):
        return serial_ports.find_uf2()


@pytest.fixture
def micro_bit() -> Iterator[MicroBit]:
    """A micro:bit in QEMU, with MicroPython's firmware."""
    with needed():
        started = MicroBit()
    with started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``port`` and ``fresh_port`` take each of serial_ports.NAMES in turn, or the real board of --port."""
    for name in ("port", "fresh_port"):
        if name in metafunc.fixturenames:
            boards = ["board"] if metafunc.config.getoption("--port") else list(serial_ports.NAMES)
            metafunc.parametrize(name, boards, indirect=True, scope="function")


@pytest.fixture
def make_port(tmp_path: Path) -> Iterator[Callable[..., serial_ports.Port]]:
    """``make_port(name, heapsize=None, real_time=False)`` starts a port with an empty flash, which ends with the test."""
    made: list[serial_ports.Port] = []

    def make(name: str, heapsize: str | None = None, real_time: bool = False) -> serial_ports.Port:
        made.append(open_port(name, tmp_path / f"{name}-{len(made)}", heapsize, real_time))
        return made[-1]

    yield make
    for port in made:
        port.close()


@pytest.fixture
def fresh_port(request: pytest.FixtureRequest, make_port: Callable[..., serial_ports.Port]) -> serial_ports.Port:
    """Each port in turn with an empty flash, for tests that cut the power, fill the flash or count files."""
    if request.param == "board":
        pytest.skip("this test wipes or restarts its board: run it without --port, on the emulated ones")
    return make_port(request.param)


@pytest.fixture(scope="session")
def shared_ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, serial_ports.Port]]:
    """The ports that ``port`` has started so far."""
    started: dict[str, serial_ports.Port] = {}
    yield started
    for port in started.values():
        port.close()


@pytest.fixture
def port(
    request: pytest.FixtureRequest, shared_ports: dict[str, serial_ports.Port], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[serial_ports.Port]:
    """Each port in turn, shared by the session. It may hold files of earlier tests and has to stay usable."""
    name = request.param
    if name == "board":
        yield serial_ports.RealBoard(request.config.getoption("--port"))
        return
    if name not in shared_ports:
        shared_ports[name] = open_port(name, tmp_path_factory.mktemp(name))
    if not shared_ports[name].alive:
        shared_ports[name].restart()
    shared_ports[name].resume()
    yield shared_ports[name]
    shared_ports[name].pause()
