# SPDX-License-Identifier: MIT
"""The kernels' machine code on the Cortex-M0+ core gives the host's integers and repeatable cycles."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest
from helpers.integer_models import random_network
from helpers.machine_code import SETS, compare_steps
from helpers.missing_runtimes import needed
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.emulation import c_baseline, mpy_file, step_cycles
from tinyrnn.emulation.core_board import CoreBoard
from tinyrnn.emulation.cortex_m0plus import Machine
from tinyrnn.emulation.memory import MachineFault
from tinyrnn.emulation.mpy_file import ASM, MpyError

DOT = DEVICE_SCRIPTS / "thumb_dot.py"
SMALL, LARGE = step_cycles.Size(3, 8, 2), step_cycles.Size(3, 24, 2)


@pytest.fixture(autouse=True)
def needs_the_core() -> None:
    with needed():
        Machine()
        mpy_file.installed_compiler()


def dot_module(board: CoreBoard) -> Any:
    return board.module(DOT)


@pytest.mark.parametrize("kernels", SETS)
@pytest.mark.parametrize("seed", [1, 2, 3, 5, 9])
def test_the_core_computes_the_plain_kernels_integers(kernels: str, seed: int) -> None:
    network = random_network(seed)
    compare_steps((CoreBoard(), kernels), network, samples(network))


def samples(network: Any) -> list[tuple[int, ...]]:
    """Both ends of each channel's range, and points between."""
    low, high = network.input.low.tolist(), network.input.high.tolist()
    between = [tuple(lo + (hi - lo) * n // 7 for lo, hi in zip(low, high, strict=True)) for n in (2, 3, 5)]
    return [tuple(low), *between, tuple(high)]


@pytest.mark.parametrize("kernels", SETS)
def test_cycles_repeat_exactly_and_grow_with_the_network(kernels: str) -> None:
    first = step_cycles.on_core(kernels, SMALL, 2)
    assert step_cycles.on_core(kernels, SMALL, 2) == first
    assert first.step == sum(cycles for cycles, _ in first.parts.values())
    assert all(calls == int(calls) for _, calls in first.parts.values())
    # No multiply-accumulate is cheaper than a load, a multiplication and an addition, no step dearer than the plain loop
    large = step_cycles.on_core(kernels, LARGE, 2).step
    assert 4 < (large - first.step) / (LARGE.macs - SMALL.macs) < 200


def test_a_fit_gives_back_the_coefficients_of_its_figures() -> None:
    sizes = step_cycles.Size(6, 32, 4).others(step_cycles.HIDDEN)
    fitted = step_cycles.fit(sizes, lambda size: 1000 + 5 * size.macs + 70 * size.hidden)
    assert (fitted.fixed, fitted.per_mac, fitted.per_unit) == pytest.approx((1000, 5, 70))
    small, large = step_cycles.Size(6, 64, 4), step_cycles.Size(6, 96, 4)
    assert fitted.slope == pytest.approx(5 + 70 * 32 / (large.macs - small.macs))
    assert fitted.step(large) == pytest.approx(1000 + 5 * 96 * (3 * 102 + 4) + 70 * 96)


def test_an_assembler_function_on_the_core() -> None:
    board = CoreBoard()
    module = dot_module(board)
    w, x = bytearray([1, 2, 255]), array("i", [10, -20, 3])
    assert module.dot(w, x, 3) == 735
    # 11 a turn: two loads of 2, a multiplication, four sums, a taken branch of 2; the last branch is not taken
    one = board.cycles["dot"]
    board.start()
    assert module.dot(w, x, 2) == -30
    assert one - board.cycles["dot"] == 11
    y = array("i", bytes(12))
    module.scale(w, y, 3)
    assert y.tolist() == [-2, -4, 2]
    box = [(1, -2, 1000)]
    assert module.total(box) == 999


def test_the_code_in_the_mpy_file() -> None:
    compiled = mpy_file.compile_module(DOT)
    assert list(compiled.functions) == ["dot", "scale", "total"]
    assert {function.kind for function in compiled.functions.values()} == {ASM}
    dot = compiled.functions["dot"].code
    # push {r1, r4-r7, lr}; movs r3, 0; ldrb r4, [r0]; ldr r5, [r1]; muls r4, r5; ... pop {r1, r4-r7, pc}
    assert dot[:10] == bytes.fromhex("f2b5 0023 0478 0d68 6c43")
    assert dot[-2:] == bytes.fromhex("f2bd")


def test_a_damaged_mpy_file_is_refused(tmp_path: Path) -> None:
    names = [("f", ASM)]
    with pytest.raises(MpyError, match=r"expected \.mpy version 6"):
        mpy_file.read(b"M\x05\x13\x1f", names)
    with pytest.raises(MpyError, match="ends at byte 4"):
        mpy_file.read(b"M\x06\x13\x1f", names)
    source = tmp_path / "wrong.py"
    source.write_text("import micropython\n@micropython.asm_thumb\ndef f(r0):\n    nonsense(r0)\n")
    with pytest.raises(MpyError, match="unsupported Thumb instruction"):
        mpy_file.compile_module(source)


def thumb(*opcodes: int) -> bytes:
    return b"".join(code.to_bytes(2, "little") for code in opcodes)


@pytest.mark.parametrize(
    ("code", "r0", "words"),
    [
        pytest.param(thumb(0x6800, 0x4770), 0x30000000, "invalid memory", id="read-outside"),  # ldr r0, [r0]; bx lr
        pytest.param(thumb(0x6800, 0x4770), 0x20000001, "not 32 bit aligned", id="read-odd"),
        pytest.param(thumb(0xBE07, 0x4770), 0, "break 7", id="break"),  # bkpt 7
        pytest.param(thumb(0x2400, 0x4770), 0, "did not restore", id="r4"),  # movs r4, 0; bx lr
    ],
)
def test_forbidden_actions_of_machine_code_are_faults(code: bytes, r0: int, words: str) -> None:
    machine = Machine()
    entry = machine.place(code + bytes(4), code=True)
    machine._r[4] = 1
    with pytest.raises(MachineFault, match=words):
        machine.call(entry, r0)


def test_a_store_behind_the_buffer_is_seen() -> None:
    board = CoreBoard()
    module = dot_module(board)
    y = array("i", bytes(16))
    with pytest.raises(MachineFault, match="outside of its buffers"):
        module.scale(bytearray(5), y, 5)
    with pytest.raises(MachineFault, match="take a smaller model"):
        Machine().place(bytes(300 * 1024))


@pytest.mark.parametrize("variant", c_baseline.VARIANTS)
def test_the_same_step_in_c_gives_the_same_integers(variant: str) -> None:
    with needed(optional=True):  # a rival to compare with, not a runtime of the project
        c_baseline.compiler()
    took = step_cycles.in_c(variant, LARGE, 3)  # compares each step
    assert took == step_cycles.in_c(variant, LARGE, 3)
    assert took > 4 * LARGE.macs


def test_whole_steps_with_firmware_agree(uf2: Path) -> None:
    kernels = SETS[-1]
    timed = step_cycles.on_firmware(uf2, kernels, [SMALL, LARGE])
    shares = [timed[size].cycles - step_cycles.on_core(kernels, size).step for size in (SMALL, LARGE)]
    # The interpreter's share: the same for every size, up to the clock's microseconds and the data of the steps
    assert 0 < shares[0] < 20000
    assert abs(shares[0] - shares[1]) < 300
    assert timed[SMALL].allocated == timed[LARGE].allocated == 0
