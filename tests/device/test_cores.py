# SPDX-License-Identifier: MIT
"""A net on two cores computes the integers of one core, on an emulated RP2040 with MicroPython's firmware (TINYRNN_UF2).

The emulator's fast build gives both cores one interrupt controller (rp2040py 1.0.0b1). MicroPython interrupts the other core
for a write to the flash, so such a write hangs there while any thread runs. The slow build has two controllers, and the test
of writes uses it.
"""

from __future__ import annotations

import inspect
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urnn
from helpers.integer_models import random_network, random_samples
from helpers.runtimes import open_port
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.board.link import Link
from tinyrnn.emulation import mpy_file, rp2040_firmware, step_cycles
from tinyrnn.emulation.core_board import CoreBoard
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.errors import BoardError
from tinyrnn.integer_model.network import pack
from tinyrnn.runtimes import Runtime, verification

SCRIPT = DEVICE_SCRIPTS / "two_cores.py"
SEEDS = (1, 3, 5, 7)  # of GRU: 1 to 3 layers, units that are a multiple of 4 and others
MIXED = (2, 5, 10)  # other cells, whose steps take turns between the assembler and viper
FILES = "from two_cores_files import *"
HANG_S = 300.0  # guards against a hang only: what is waited for takes seconds, on a busy machine a minute
SAME = 'same("h32.urnn", 3)'


def install(port: Port) -> None:
    """Copy the package, the script and the models to the board."""
    models = {f"h{h}": step_cycles.Size(6, h, 4).file() for h in (4, 8, 32, 64)}
    models |= {f"gru{seed}": pack(random_network(seed)) for seed in SEEDS}
    models |= {f"mixed{seed}": pack(random_network(seed, "mixed", plain=False)) for seed in MIXED}
    with Link(port.path) as link:
        link.exec("import os; os.mkdir('urnn')")
        for path, data in rp2040_firmware.package_files(compiled=True).items():
            link.write(path, data)
        for script in (SCRIPT, SCRIPT.with_name("two_cores_files.py")):
            link.write(script.name, script.read_bytes())
        for name, data in models.items():
            link.write(f"{name}.urnn", data)


@pytest.fixture(scope="module")
def flash(tmp_path_factory: pytest.TempPathFactory, uf2: Path) -> Path:
    """A folder with the flash of a board that has everything installed."""
    folder = tmp_path_factory.mktemp("cores")
    port = open_port("rp2040", folder)
    try:
        install(port)
    finally:
        port.close()
    return folder


@pytest.fixture(scope="module")
def board(flash: Path) -> Iterator[Link]:
    port = open_port("rp2040", flash)
    try:
        with Link(port.path, timeout_s=HANG_S) as link:
            if call(link, "sys.implementation.version < (1, 25)", "import sys") == "True":
                pytest.skip("two cores need MicroPython 1.25: set TINYRNN_UF2 to a newer RPI_PICO UF2 file")
            yield link
    finally:
        port.close()


def call(link: Link, expression: str, first: str = "from two_cores import *") -> str:
    return link.exec(f"{first}\nprint({expression})").strip()


@pytest.mark.parametrize("name", ["h4", "h8", "h32", *(f"gru{s}" for s in SEEDS), *(f"mixed{s}" for s in MIXED)])
def test_every_integer_is_that_of_one_core(board: Link, name: str) -> None:
    assert call(board, f"same('{name}.urnn', 20)") == "20"


def test_a_thousand_steps(board: Link) -> None:
    assert call(board, "same('h64.urnn', 1000)") == "1000"


def test_the_work_is_divided(board: Link) -> None:
    """Simulated time is the same in each run, to the cycle. It changes only with the kernels or the emulator."""
    one, two = (int(word) for word in call(board, "cost('h64.urnn')").split())
    assert 1.5 < one / two < 2


def test_a_step_allocates_nothing(board: Link) -> None:
    assert call(board, "allocated('h64.urnn')") == "0"


def test_garbage_collections_between_steps(board: Link) -> None:
    assert call(board, "same('h32.urnn', 200, garbage)") == "200"


def test_samples_that_are_refused(board: Link) -> None:
    assert call(board, "refused('h32.urnn')") == "7 values, not 6."


@pytest.mark.parametrize("name", ["h32", "mixed2"])
def test_core_1_is_given_away_and_taken_back(board: Link, name: str) -> None:
    assert call(board, f"stopped('{name}.urnn')") == "cores: core 1 is busy with a thread"


def test_steps_in_an_interrupt_in_the_middle_of_steps(board: Link) -> None:
    assert int(call(board, "interrupted('h32.urnn')")) > 100


def interrupt(board: Link, expression: str, dots: int, pause_s: float) -> str:
    """Run call(), send Ctrl-C a little after this many dots, and return what it printed after them."""
    seen = b""
    with board._line():
        board._send(f"from two_cores import *\nprint({expression})")
        while seen.count(b".") < dots:
            byte = board._read_until(b".", HANG_S)
            assert byte.endswith(b"."), f"no dot within {HANG_S:g} s, seen: {seen + byte!r}"
            seen += byte
        time.sleep(pause_s)
        board.serial.write(b"\x03")
        out, err = board._follow(HANG_S)
    assert not err, err.decode()
    return out.decode().strip().lstrip(".")


def test_ctrl_c(board: Link) -> None:
    """At any point of a step: no core waits for the other, and the state is that of complete steps."""
    for dots in (1, 2, 5):
        for pause_s in (0.0, 0.003, 0.007, 0.011):
            assert interrupt(board, "forever('h32.urnn')", dots, pause_s) == "True"


def test_ctrl_c_while_a_program_is_divided(board: Link) -> None:
    """Ctrl-C ends load(), and the next load() has both cores."""
    for pause_s in (0.0, 0.01, 0.02, 0.04, 0.08):
        assert interrupt(board, "load_until_stopped('h32.urnn')", 1, pause_s) == "True"
        assert call(board, SAME) == "3"
        one, two = (int(word) for word in call(board, "cost('h64.urnn')").split())
        assert 1.5 < one / two < 2


def test_soft_resets(board: Link) -> None:
    for _ in range(20):
        board.soft_reset()
        assert call(board, SAME) == "3"


@pytest.mark.slow
def test_files_are_written_while_core_1_waits(flash: Path, board: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a soft reset that ended core 1, before it runs again. Takes two minutes."""
    slow = flash.parent / "slow"
    slow.mkdir()
    (slow / "flash.img").write_bytes((flash / "flash.img").read_bytes())
    monkeypatch.setenv("RP2040PY_SKIP_CYTHON", "1")
    net = urnn.load(bytearray(step_cycles.Size(6, 8, 4).file()), kernels="plain")
    for value in range(4):
        net.step((100 * value,) * 6)
    port = open_port("rp2040", slow)
    try:
        with Link(port.path, timeout_s=HANG_S) as link:
            assert call(link, "steps('h8.urnn')", FILES) == str(list(net.state))
            link.soft_reset()
            assert call(link, "write(7)", FILES) == "True"
    finally:
        port.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [("cores=3", "cores=3: not on this board"), ("cores=2, kernels='viper'", "cores=2: kernels 'viper', not 'asm_thumb'")],
)
def test_what_cannot_be(board: Link, arguments: str, said: str) -> None:
    with pytest.raises(BoardError, match=said):
        call(board, f"urnn.load('h8.urnn', {arguments})")


def test_a_board_with_one_core(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "m.urnn").write_bytes(pack(random_network(1)))
    out = runtime.run(SCRIPT.with_name("one_core.py"), "m.urnn", cwd=tmp_path, path=[verification.DEVICE], timeout=60)
    assert out.strip() == "cores=2: not on this board"


# Without firmware: the segments, executed by the assembler on one core as after cores.stop()


def without_core_1(monkeypatch: pytest.MonkeyPatch) -> CoreBoard:
    """A core with the package that cores.py takes for an RP2040 without core 1."""
    board = CoreBoard()
    function = board.function

    def callable_of(module: mpy_file.Module, code: mpy_file.Function, namespace: dict[str, Any]) -> Callable[..., Any]:
        made = function(module, code, namespace)
        if code.name == "_arguments":
            return lambda assembler: 3
        if code.name == "_code":  # the address, which the board's callable keeps
            return lambda assembler: inspect.getclosurevars(assembler).nonlocals["entry"]
        return made

    monkeypatch.setattr(board, "function", callable_of)
    version = types.SimpleNamespace(**vars(sys.implementation), _mpy=0)
    version.version = (1, 25)
    with monkeypatch.context() as rp2040:
        rp2040.setattr(sys, "platform", "rp2")
        rp2040.setattr(sys, "implementation", version)
        cores = board.urnn.module("cores")
    assert cores, board.urnn.kernel_sets(True)["cores"]
    monkeypatch.setattr(cores, "start", lambda: None)
    return board


def test_the_segments_give_the_same_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    board = without_core_1(monkeypatch)
    networks = [(seed, random_network(seed)) for seed in SEEDS]
    networks += [(seed, random_network(seed, "mixed", plain=False)) for seed in MIXED]
    for seed, network in networks:
        data = bytearray(pack(network))
        two, plain = board.urnn.load(data, "asm_thumb", cores=2), urnn.load(data, "plain")
        for sample in random_samples(network, seed, 3).tolist():
            two.step(tuple(sample))
            plain.step(sample)
            assert [*two.output, *two.state] == [*plain.output, *plain.state]
    with pytest.raises(ValueError, match="cores=2: kernels 'viper', not 'asm_thumb'"):
        board.urnn.load(data, "viper", cores=2)
