# SPDX-License-Identifier: MIT
"""The machine code of the matrix kernels against the plain kernels, integer by integer.

It runs on a Cortex-M0+ core without firmware, and on an emulated RP2040 with MicroPython.
"""

from __future__ import annotations

import os
import random
import shutil
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urnn
from helpers.integer_models import random_network, random_samples
from helpers.machine_code import EDGES, SETS, TOP, Board, compare_steps
from helpers.missing_runtimes import needed
from tinyrnn.emulation import rp2040_firmware, thumb_cores
from tinyrnn.emulation.core_board import PACKAGE, Call, CoreBoard
from tinyrnn.emulation.mpy_file import compile_module
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import Network, pack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import SCRIPTS, verification
from urnn import kernels_plain
from urnn.program import GRU, MATVEC, NORMALISE

SHAPES = ((1, 2), (2, 1), (3, 5), (4, 8))  # odd and even columns, odd and even pairs of them
MODELS = 200
STEPS = 6
BOARD_MODELS = int(os.environ.get("TINYRNN_BOARD_MODELS", "5"))
FLASH_BYTES, FLASH_BLOCK = 1 << 20, 4096  # of models and cases on the board at a time; it has 1.4 MB


def kernels(board: Board) -> Any:
    return board[0].urnn.module(f"kernels_{board[1]}")


def execute(board: Board, steps: list[tuple[Any, ...]], sample: Any = 0) -> Any:
    """Run steps of program.py on the core and return what run() returns."""
    module = kernels(board)
    program = module.pack(steps)
    return module.run(program, program, [sample, array("i", (0,))])


def matrix(chance: random.Random, rows: int, cols: int) -> memoryview:
    """A matrix as the file has it, in the 31-bit range for |x| <= 32767."""
    data = bytearray(rows.to_bytes(2, "little") + cols.to_bytes(2, "little"))
    for _ in range((rows + 3) // 4):
        most = min(127, TOP // 2 // 32767 // cols)
        biases = [chance.randint(-TOP // 2, TOP // 2) for _ in range(4)]
        data += b"".join(bias.to_bytes(4, "little", signed=True) for bias in biases)
        data += bytes(chance.choice((0, 1, 7, 12, 30)) for _ in range(4))
        data += bytes(128 + chance.choice((-most, most, 0, chance.randint(-most, most))) for _ in range(4 * cols))
    return memoryview(data)


def vector(chance: random.Random, n: int) -> array[int]:
    """n integers of 16 bits, padded to a multiple of four with numbers that must not matter."""
    values = [chance.choice((-32767, 32767, 0, chance.randint(-32767, 32767))) for _ in range(n)]
    return array("i", values + [chance.randint(-TOP, TOP) for _ in range(-n % 4)])


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 12])
def test_matrices_of_every_width(board: Board, rows: int) -> None:
    """The widths leave each possible number of columns to the code after the unrolled loops."""
    chance = random.Random(rows)
    for cols in (*range(1, 36), 64, 71, 130, 258):
        m, x, y = matrix(chance, rows, cols), vector(chance, cols), vector(chance, rows)
        want = array("i", bytes(4 * rows))
        kernels_plain.matvec(m, x, want, rows)
        execute(board, [(MATVEC, m, x, y, rows)])
        assert y[:rows].tolist() == want.tolist(), f"{rows} x {cols}"


@pytest.mark.parametrize("seed", range(6))
def test_gates(board: Board, seed: int) -> None:
    """All pairs of edges, then random values: saturation, both ends of the table, ties of the rounding."""
    chance = random.Random(seed)
    n = 60

    def parts() -> array[int]:
        edge = [chance.choice(EDGES) for _ in range(3 * n)]
        near = [chance.randint(-40000, 40000) for _ in range(3 * n)]
        return array("i", [chance.choice(pair) for pair in zip(edge, near, strict=True)])

    a, b, h = parts(), parts(), vector(chance, n)
    want_a, want_h = array("i", a), array("i", h)
    kernels_plain.gru(want_a, b, want_h, n)
    execute(board, [(GRU, a, b, h, n)])
    assert h.tolist() == want_h.tolist()


@pytest.mark.slow
def test_every_argument_of_the_functions(board: Board) -> None:
    """sigmoid and tanh over their whole range, through the gates: with the smallest z, h is nearly n."""
    n = 1024
    a, b, h = array("i", bytes(12 * n)), array("i", bytes(12 * n)), array("i", bytes(4 * n))
    before = vector(random.Random(1), n)
    for start in range(-33000, 33000, n):
        sweep = range(start, start + n)
        # r = sigmoid(v), z = sigmoid(-32767), n = tanh(v); then z = sigmoid(v)
        for parts in ([*sweep, *[-40000] * n, *sweep], [*[0] * n, *sweep, *[40000] * n]):
            a[:] = array("i", parts)
            h[:] = before
            want = array("i", before)
            kernels_plain.gru(array("i", a), b, want, n)
            execute(board, [(GRU, a, b, h, n)])
            assert h.tolist() == want.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_sums_out_of_range_read_no_wild_address(board: Board, seed: int) -> None:
    """a, b and h hold any 32 bits, as a hostile file may give them. The core faults on a wild access."""
    chance = random.Random(seed)
    n = 50
    words = (-(1 << 31), (1 << 31) - 1, -(1 << 30), 0x8000, -0x8000)

    def wild(count: int) -> array[int]:
        return array("i", [chance.choice((*words, chance.getrandbits(32) - (1 << 31))) for _ in range(count)])

    execute(board, [(GRU, wild(3 * n), wild(3 * n), wild(n), n)])


def channels(rows: list[tuple[int, int, int, int, int]]) -> memoryview:
    data = b""
    for row in rows:
        data += b"".join(v.to_bytes(4, "little", signed=True) for v in row)
    return memoryview(bytearray(data))


TABLE = [(-8, 7, 1, 4096, 1), (-30000, 30000, 0, 1, 0), (-100, 5000, 100, 3000, 9), (-TOP, TOP, 0, 1, 15), (0, 0, 0, TOP, 3)]


@pytest.mark.parametrize("kind", [tuple, list, lambda v: array("i", v), lambda v: array("h", v), lambda v: array("q", v)])
def test_normalise_takes_every_kind_of_sample(board: Board, kind: Callable[[list[int]], Any]) -> None:
    table, n = channels(TABLE), len(TABLE)
    for values in ([3, -4, 101, 32767, 9], [-9, 30001, -101, -32768, 0], [8, -30001, 5001, 1, -1], [-8, 7, 5000, -1, 1]):
        sample = kind(values)
        want = array("i", bytes(4 * n))
        kernels_plain.normalise(table, sample, want, n)
        x = array("i", bytes(4 * n))
        if execute(board, [(NORMALISE, table, None, x, n)], sample):
            assert getattr(sample, "typecode", "") == "q", "refused"
            x[:] = array("i", values)  # as Net.step() does
            assert not execute(board, [(NORMALISE, table, None, x, n)], x)
        assert x[:n].tolist() == want.tolist()


def test_samples_of_a_step(board: Board) -> None:
    """Every sequence of integers gives the same step. A wrong length is an error and changes nothing."""
    network = random_network(7)
    n = network.inputs
    values = [v % 128 for v in range(n)]
    net = board[0].load(pack(network), board[1])
    seen = []
    for sample in (
        tuple(values),
        values,
        array("h", values),
        array("i", values),
        array("b", values),
        bytes(values),
        range(n),
    ):
        net.reset()
        net.step(sample)
        net.step(sample)
        seen.append([*net.output, *net.state])
    assert all(each == seen[0] for each in seen)
    before = list(net.state)
    for wrong in ((), (1,) * (n + 1), [1] * (n - 1), array("h", [1] * (n + 1)), array("i"), bytes(n + 1)):
        with pytest.raises(ValueError, match=f"{len(wrong)} values, not {n}"):
            net.step(wrong)
    assert list(net.state) == before
    with pytest.raises((TypeError, ValueError)):
        net.step(("1",) * n)


@pytest.mark.parametrize("cell", ["gru", "mixed"])
@pytest.mark.parametrize("seed", range(0, MODELS, 8))
def test_random_models(board: Board, seed: int, cell: str) -> None:
    network = random_network(seed, cell, cell == "gru")
    compare_steps(board, network, random_samples(network, seed, 3).tolist())


@pytest.mark.slow
def test_a_thousand_steps(board: Board) -> None:
    network = random_network(3028)
    compare_steps(board, network, random_samples(network, 1, 1000).tolist())


def test_a_file_at_an_odd_address_is_refused(board: Board) -> None:
    """The core faults on a word at an odd address, as the chip does."""
    data = memoryview(bytearray(b"\0\0" + pack(random_network(1))))[2:]
    with pytest.raises(ValueError, match="multiple of 4"):
        board[0].urnn.load(data, kernels=board[1])


def test_firmware_with_another_object_layout_has_no_assembler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Firmware with one more word in a tuple, or with integers of 30 bits, has no set asm_thumb."""
    with needed():
        assert "asm_thumb" in CoreBoard().urnn.kernel_sets()
    layout, to_word = CoreBoard._layout, CoreBoard.to_word

    def longer(self: CoreBoard, value: Any) -> list[int]:
        words = layout(self, value)
        return [words[0], 0, *words[1:]] if isinstance(value, tuple) else words

    with monkeypatch.context() as patch:
        patch.setattr(CoreBoard, "_layout", longer)
        assert "asm_thumb" not in CoreBoard().urnn.kernel_sets()

    def shorter(self: CoreBoard, value: Any) -> int:
        return (value << 2 | 1) & 0xFFFFFFFF if type(value) is int and value in (-3, 30001) else to_word(self, value)

    with monkeypatch.context() as patch:
        patch.setattr(CoreBoard, "to_word", shorter)
        assert "asm_thumb" not in CoreBoard().urnn.kernel_sets()


@pytest.mark.runtime
@pytest.mark.parametrize("core", thumb_cores.CORES)
def test_assembler_on_larger_cores(core: str) -> None:
    """The machine code of a step on the cores of other boards, with the Cortex-M0+'s memory."""
    with needed():
        board = CoreBoard(scratch_bytes=256)
    network = random_network(4)
    net = board.load(pack(network), "asm_thumb")
    board.record = []
    for row in random_samples(network, 1, 2).tolist():
        net.step(tuple(row))
    assert len(board.record) == 2
    for call in board.record:
        assert call.before != call.after
        with needed():
            assert thumb_cores.replay(call, core) == (call.result, call.after)


class WithDsp(CoreBoard):
    """A board that runs the asm_dsp kernels on a core with these instructions, and all other code on its own core."""

    def __init__(self, package: Path, core: str) -> None:
        self.dsp = compile_module(package / "kernels_asm_dsp.py").functions["run"].code
        self.core, self.replays = core, 0
        super().__init__(package, scratch_bytes=256)

    def run(self, name: str, entry: int, *arguments: int) -> int:
        if self.machine.read(entry & ~1, len(self.dsp)) != self.dsp:
            return super().run(name, entry, *arguments)
        self.copy_in()
        low, before = self.machine.image()
        program = next((place - low, len(whole)) for _, whole, place in self._buffers.values() if place == arguments[0])
        call = Call(name, low, self.machine.scratch_bytes, before, before, self.dsp, arguments[:2], (program,), 0)
        result, after = thumb_cores.replay(call, self.core)
        self.machine.write(low, after)
        self.copy_out()
        self.replays += 1
        return result


@pytest.mark.runtime
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_dual_multiplications(core: str, tmp_path: Path) -> None:
    """Whole steps with their products on a core that has smlad. A board with another core does not have the set."""
    shutil.copytree(PACKAGE, tmp_path / "urnn")
    module = tmp_path / "urnn" / "kernels_asm_dsp.py"
    text = module.read_text(encoding="utf-8")
    check = "not in (0xC24, 0xC27, 0xD21)"  # the core's number, which the Cortex-M0+ does not have
    assert check in text
    module.write_text(text.replace(check, "== 1"), encoding="utf-8")
    networks = [*map(random_network, range(4)), random_network(10, "lstm", plain=False)]
    networks += [quantize(random_float_model(np.random.default_rng(0), inputs, (units,), 3)) for inputs, units in SHAPES]
    with needed():
        with pytest.raises(ValueError, match="no kernels 'asm_dsp'"):
            CoreBoard().load(pack(networks[0]), "asm_dsp")
        board = WithDsp(tmp_path / "urnn", core)
        for network in networks:
            net, plain = board.load(pack(network), "asm_dsp"), urnn.load(pack(network), "plain")
            before = board.replays
            for row in random_samples(network, 1, 2).tolist():
                net.step(tuple(row))
                plain.step(row)
                assert (list(net.output), list(net.state)) == (list(plain.output), list(plain.state))
            assert board.replays > before


def replay(uf2: Path, name: str, cases: list[tuple[Network, int]]) -> None:
    """Replay this many steps of each network on the emulated RP2040 and compare every integer.

    The largest network comes first, since it needs the heap in one piece.
    """
    cases = sorted(cases, key=lambda case: -len(pack(case[0])))
    files: dict[str, bytes] = {}
    for number, (network, steps) in enumerate(cases):
        files[f"{number}.urnn"] = pack(network)
        files[f"{number}.cases"] = verification.expected(network, [random_samples(network, number, steps)])
    text = rp2040_firmware.run(uf2, files, SCRIPTS / "replay.py", [name, *files])
    done = [line.split() for line in text.splitlines() if line.startswith("DONE")]
    assert "DIFFER" not in text, text
    assert [int(words[2]) for words in done] == [steps for _, steps in cases]
    assert {words[-1].split("+")[0] for words in done} == {name}


@pytest.mark.parametrize("name", [*SETS, "bytecode"])
def test_random_models_on_the_emulated_rp2040(uf2: Path, name: str) -> None:
    """A selection of the models. TINYRNN_BOARD_MODELS=200 takes all and half an hour."""
    batch: list[tuple[Network, int]] = []
    size = 0
    for seed in range(0, MODELS, max(1, MODELS // BOARD_MODELS)):
        network = random_network(seed)
        files = pack(network), verification.expected(network, [random_samples(network, seed, STEPS)])
        taken = sum(-(-len(data) // FLASH_BLOCK) * FLASH_BLOCK for data in files)
        if size + taken > FLASH_BYTES:
            replay(uf2, name, batch)
            batch, size = [], 0
        batch.append((network, STEPS))
        size += taken
    replay(uf2, name, batch)


@pytest.mark.parametrize("name", [*SETS, "bytecode"])
def test_a_thousand_steps_on_the_emulated_rp2040(uf2: Path, name: str) -> None:
    replay(uf2, name, [(random_network(3012), 1000)])


@pytest.mark.parametrize("name", [*SETS, "bytecode"])
def test_other_cells_on_the_emulated_rp2040(uf2: Path, name: str) -> None:
    """The steps alternate between the assembler and viper."""
    replay(uf2, name, [(random_network(seed, "mixed", plain=False), 3) for seed in (2, 10, 20)])
