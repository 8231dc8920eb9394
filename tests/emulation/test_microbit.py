# SPDX-License-Identifier: MIT
"""Assembler on a Cortex-M0 under real MicroPython: the micro:bit's firmware in QEMU computes the host's integers."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest
import urnn
from helpers.machine_code import ASSEMBLER
from helpers.missing_runtimes import needed
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.emulation import microbit, step_cycles
from tinyrnn.emulation.core_board import CoreBoard
from tinyrnn.emulation.microbit import MicroBit, MicroBitError
from tinyrnn.errors import RuntimeMissing, TinyrnnError

DOT = DEVICE_SCRIPTS / "thumb_dot.py"
SCRATCH = 256  # bytes for arguments: the micro:bit's heap is small


def test_assembler_as_source(micro_bit: MicroBit) -> None:
    source = "import array\n" + microbit.assembler_source(DOT, "dot")
    assert "#" not in source
    chance = random.Random(1)
    for n in (1, 7, 30):
        w = [chance.randrange(256) for _ in range(n)]
        x = [chance.randrange(-32767, 32768) for _ in range(n)]
        want = sum(a * b for a, b in zip(w, x, strict=True))
        assert micro_bit.run(source, f"dot(bytearray({w}),array.array('i',{x}),{n})") == want
        source = ""  # it is there


def test_recorded_calls_of_machine_code(micro_bit: MicroBit) -> None:
    """The bytes that mpy-cross makes, called on two independent cores."""
    with needed():
        core = CoreBoard(scratch_bytes=SCRATCH)
    module = core.module(DOT)
    core.record = []
    y = array("i", bytes(4 * 20))
    module.dot(bytearray(range(100, 120)), array("i", range(-32767, 32768, 3276))[:20], 20)
    module.scale(bytearray(range(120, 140)), y, 20)
    module.total([(5, -(1 << 29), 1 << 28)])
    assert y.tolist() == [-2 * ((v ^ 128) - 128) for v in range(120, 140)]
    assert [call.name for call in core.record] == ["dot", "scale", "total"]
    for call in core.record:
        assert micro_bit.replay(call) == (call.result, call.after), call.name


@pytest.mark.parametrize("kernels", ASSEMBLER)
def test_a_step_of_a_network(micro_bit: MicroBit, kernels: str) -> None:
    """All assembler calls in some steps of a small network, each with the memory that it had on the other core."""
    size = step_cycles.Size(2, 5, 3)
    data = size.file()
    with needed():
        core = CoreBoard(scratch_bytes=SCRATCH)
    net = core.load(data, kernels)
    plain = urnn.load(bytearray(data), kernels="plain")
    core.record = []
    for number, sample in enumerate(size.samples(3)):
        net.step(sample)
        plain.step(sample)
        step_cycles.check(kernels, number, [*net.output, *net.state], [*plain.output, *plain.state])
    assert core.record
    for call in core.record:
        assert micro_bit.replay(call) == (call.result, call.after), call.name


def test_what_it_says_when_it_fails(micro_bit: MicroBit) -> None:
    with pytest.raises(MicroBitError, match="ZeroDivisionError"):
        micro_bit.execute("1 // 0")
    with pytest.raises(MicroBitError, match="MemoryError"):
        micro_bit.execute("b = bytearray(20000)")
    assert micro_bit.execute("print(6 * 7)") == "42\n"
    data = bytes(random.Random(2).randrange(256) for _ in range(1000))
    micro_bit.send("b", data)
    assert micro_bit.receive("b") == data


def test_a_missing_micro_bit_names_the_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYRNN_CACHE", str(tmp_path))
    with pytest.raises(RuntimeMissing, match=r"python3 tools/runtimes\.py microbit"):
        MicroBit()
    with pytest.raises(TinyrnnError, match="has dot, scale, total, expected dots"):
        microbit.assembler_source(DOT, "dots")
