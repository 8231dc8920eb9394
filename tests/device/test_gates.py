# SPDX-License-Identifier: MIT
"""The machine code of the gates against gates_plain.py, integer by integer.

It runs on a Cortex-M0+ core without firmware, on the cores of other boards, and on an emulated RP2040 with MicroPython.
"""

from __future__ import annotations

import random
from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.integer_models import CELLS, random_network, random_norm, random_samples
from helpers.machine_code import EDGES, SETS, Board, compare_steps
from helpers.missing_runtimes import needed
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.emulation import rp2040_firmware, thumb_cores
from tinyrnn.emulation.core_board import CoreBoard
from tinyrnn.emulation.microbit import MicroBit
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import SCRIPTS, verification
from urnn import gates_plain
from urnn.program import ADD, BLEND, EMBED, FINE, LEAK, LIMIT, MEMORY, MIX, MUL, RELU, SCALE, SIGMOID, TANH

OTHERS = CELLS[1:]  # cells without a kernel of their own
MODELS = 48
WORDS = (-(1 << 31), (1 << 31) - 1, -(1 << 30), 0x8000, -0x8000)
MICROBIT_BYTES = 256  # for arguments: its heap is small


def gates(board: Board) -> Any:
    return board[0].urnn.module(f"gates_{board[1]}")


def words(*values: int) -> memoryview:
    return memoryview(bytearray(b"".join(value.to_bytes(4, "little", signed=True) for value in values)))


class Case:
    """Arguments of a kernel in their ranges, some at the ends. c has guards on both sides, which must not change."""

    GUARD = 3

    def __init__(self, code: int, seed: int, n: int) -> None:
        self.code, self.n = code, n
        self.chance = chance = random.Random(f"{code} {seed} {n}")
        self.k = chance.randrange(13 if code == MEMORY else 16)
        self.a = self.table(seed)
        self.b = {
            MEMORY: lambda: array("i", [*self.part(3 * n), *self.signed(n)]),
            BLEND: lambda: array("i", [*self.part(n), *self.signed(n)]),
            EMBED: lambda: array("i", [chance.choice((-1, 0, 1, 4, 5, 1 << 29, -(1 << 29)))]),
        }.get(code, lambda: self.sum(n) if code in (SIGMOID, TANH, RELU, ADD, SCALE, LIMIT) else self.signed(n))()
        self.c = array("i", [*self.signed(self.GUARD), *self.signed(n), *self.signed(self.GUARD)])

    def table(self, seed: int) -> Any:
        """The argument a: the constants of a kernel that has some."""
        n, chance = self.n, self.chance
        if self.code == MEMORY:
            return memoryview(bytearray((self.k, 0, 0, 0)))
        if self.code in (LEAK, BLEND):
            most = 32768 if self.code == LEAK else 16384
            return words(*(chance.choice((0, most, chance.randint(0, most))) for _ in range(2)), self.k)
        if self.code == ADD:
            return words(*(chance.choice((-(1 << 24), (1 << 24) - 1, chance.randint(-9999, 9999))) for _ in range(n)))
        if self.code == SCALE:
            norm = random_norm(np.random.default_rng(seed), n, chance.choice(("ordinary", "extreme")))
            return memoryview(bytearray(norm.to_bytes()))
        if self.code == EMBED:
            table = bytes(chance.randrange(256) for _ in range(2 * 5 * n - 2)) + b"\x00\x80"
            return memoryview(bytearray(b"\x05\x00" + n.to_bytes(2, "little") + table + bytes(-len(table) % 4)))
        if self.code == LIMIT:
            return None
        if self.code == FINE:
            rows = sorted(chance.sample(range(n), n))
            return memoryview(bytearray(b"".join(bytes((*r.to_bytes(2, "little"), chance.randrange(31), 0)) for r in rows)))
        return self.part(n) if self.code in (MUL, MIX) else self.sum(n)

    def part(self, n: int) -> array[int]:
        return array("i", [self.chance.choice((0, 32767, 11, 32757, self.chance.randint(0, 32767))) for _ in range(n)])

    def signed(self, n: int) -> array[int]:
        return array("i", [self.chance.choice((-32767, 32767, 0, self.chance.randint(-32767, 32767))) for _ in range(n)])

    def sum(self, n: int) -> array[int]:
        return array(
            "i", [self.chance.choice((self.chance.choice(EDGES), self.chance.randint(-40000, 40000))) for _ in range(n)]
        )

    def check(self, board: Board) -> None:
        """The set's kernel and the definition on the same arguments give the same results and change nothing else."""
        want_b, want_c = array("i", self.b), array("i", self.c)
        (kernel, *_) = gates_plain.pack([(self.code, None, None, None, 0)])[0]
        kernel(self.a, want_b, memoryview(want_c)[self.GUARD : self.GUARD + self.n], self.n)
        self.run(board)
        assert self.b.tolist() == want_b.tolist()
        assert self.c.tolist() == want_c.tolist()

    def run(self, board: Board) -> None:
        module = gates(board)
        step = self.code, self.a, self.b, memoryview(self.c)[self.GUARD : self.GUARD + self.n], self.n
        program = module.pack([step])
        assert not module.run(program, program, [0])


def test_kernels(board: Board) -> None:
    for code in gates(board).CODES:
        for n in (1, 2, 3, 4, 5, 9, 60):
            for seed in range(4):
                Case(code, seed, n).check(board)


def test_each_module_has_its_kernels() -> None:
    """deploy and load() decide by the assembler's CODES which kernels viper computes."""
    with needed():
        core = CoreBoard().urnn
    assert core.module("gates_viper").CODES == gates_plain.CODES
    assert set(gates_plain.CODES) - set(core.module("gates_asm_thumb").CODES) == {SCALE, EMBED, FINE}


def test_every_shift(board: Board) -> None:
    for code, shifts in ((MEMORY, 13), (LEAK, 16), (BLEND, 16)):
        for k in range(shifts):
            case = Case(code, k, 40)
            case.a[0 if code == MEMORY else 8] = k
            case.check(board)


def test_results_in_the_place_of_an_argument(board: Board) -> None:
    """c is a or b, as the cells use it."""
    module = gates(board)
    for code in (SIGMOID, TANH, RELU, MUL):
        for place in (0, 1):
            case = Case(code, 1, 21)
            vectors = [case.a, case.b]
            want = [array("i", v) for v in vectors]
            (kernel, *_) = gates_plain.pack([(code, None, None, None, 0)])[0]
            kernel(*want, want[place], case.n)
            program = module.pack([(code, *vectors, vectors[place], case.n)])
            module.run(program, program, [0])
            assert vectors == want
    for code in (ADD, SCALE, LIMIT):
        case = Case(code, 1, 21)
        if code in module.CODES:
            x = case.b
            want = [array("i", x)]
            (kernel, *_) = gates_plain.pack([(code, None, None, None, 0)])[0]
            kernel(case.a, want[0], want[0], case.n)
            program = module.pack([(code, case.a, x, x, case.n)])
            module.run(program, program, [0])
            assert [x] == want


def test_every_argument_of_the_functions(board: Board) -> None:
    """sigmoid and tanh over their whole range and beyond, and tanh of an LSTM's c with every shift."""
    n = 2048
    functions = [Case(code, 0, n) for code in (SIGMOID, TANH)]
    for start in range(-33000, 33000, n):
        for case in functions:
            case.a[:], case.b[:] = array("i", range(start, start + n)), array("i", bytes(4 * n))
            case.check(board)
    cells = array("i", range(-32767, 32768, 331))
    for k in range(13):
        case = Case(MEMORY, k, len(cells))
        case.a[0] = k
        case.b[: 2 * case.n] = array("i", [0] * case.n + [32757] * case.n)
        case.c[3:-3] = cells
        case.check(board)


def test_an_empty_vector_is_left_alone(board: Board) -> None:
    for code in gates(board).CODES:
        case = Case(code, 2, 4)
        case.n = 0
        before = case.c.tolist()
        case.run(board)
        assert case.c.tolist() == before


@pytest.mark.parametrize("seed", range(4))
def test_vectors_out_of_range_read_no_wild_address(board: Board, seed: int) -> None:
    """The vectors hold any 32 bits, as a hostile file may give them. The core faults on a wild access."""
    chance = random.Random(seed)

    def wild(count: int) -> array[int]:
        return array("i", [chance.choice((*WORDS, chance.getrandbits(32) - (1 << 31))) for _ in range(count)])

    for code in gates(board).CODES:
        case = Case(code, seed, 50)
        if code in (SIGMOID, TANH, RELU, MUL, MIX):
            case.a = wild(50)
        case.b = wild(len(case.b))
        case.c[3:-3] = wild(50)
        guards = case.c[:3] + case.c[-3:]
        case.run(board)
        assert case.c[:3] + case.c[-3:] == guards
        if code not in (MUL, MIX, ADD, FINE):  # whose results are sums and products of what is saturated before
            assert min(case.c) >= -32767
            assert max(case.c) <= 32767


def test_steps_of_all_kernels_in_one_call(board: Board) -> None:
    """In any order, no kernel leaves anything behind that changes another."""
    module = gates(board)
    for seed in range(6):
        cases = [Case(code, seed, random.Random(seed * 50 + code).randint(1, 9)) for code in module.CODES] * 2
        random.Random(seed).shuffle(cases)
        steps = [(case.code, case.a, case.b, memoryview(case.c)[3:-3], case.n) for case in cases]
        vectors = [v for case in cases for v in (case.b, case.c)]
        before = [array("i", v) for v in vectors]
        plain = gates_plain.pack(steps)
        gates_plain.run(plain, plain, [0])
        want = [array("i", v) for v in vectors]
        for v, old in zip(vectors, before, strict=True):
            v[:] = old
        program = module.pack(steps)
        module.run(program, program, [0])
        assert vectors == want


def test_constants_at_an_odd_address_are_refused(board: Board) -> None:
    case = Case(ADD, 1, 4)
    case.a = memoryview(bytearray(18))[2:]
    with pytest.raises(ValueError, match="multiple of 4"):
        case.run(board)


@pytest.mark.slow
@pytest.mark.parametrize("cell", OTHERS)
@pytest.mark.parametrize("seed", range(0, MODELS, 12))
def test_random_models(board: Board, seed: int, cell: str) -> None:
    network = random_network(seed + 1, cell, seed % 4 == 0)
    compare_steps(board, network, random_samples(network, seed, 3).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("cell", OTHERS)
def test_a_thousand_steps(board: Board, cell: str) -> None:
    network = random_network(3028, cell)
    compare_steps(board, network, random_samples(network, 1, 1000).tolist())


def small(cell: str) -> tuple[CoreBoard, list[Any]]:
    """The assembler calls in some steps of a small network, with the memory before and after each."""
    with needed():
        core = CoreBoard(scratch_bytes=MICROBIT_BYTES)
    data = pack(quantize(random_float_model(np.random.default_rng(1), 2, (3,), 3, cell)))
    net = core.load(data, "asm_thumb")
    core.record = []
    for sample in ((100, -300), (2000, 5), (-32000, 32000)):
        net.step(sample)
    assert len({call.code for call in core.record}) == 2, "kernels and gates"
    assert any(call.before != call.after for call in core.record)
    return core, core.record


@pytest.mark.parametrize("cell", [cell for cell in OTHERS if "-p" not in cell])
def test_assembler_on_a_microbit(cell: str, micro_bit: MicroBit) -> None:
    """A Cortex-M0 that shares no code with the emulator."""
    for call in small(cell)[1]:
        assert micro_bit.replay(call) == (call.result, call.after), call.name


@pytest.mark.runtime
@pytest.mark.parametrize("core", thumb_cores.CORES)
def test_assembler_on_larger_cores(core: str) -> None:
    for cell in ("lstm", "fastgrnn", "gru-reset-before"):
        for call in small(cell)[1]:
            with needed():
                assert thumb_cores.replay(call, core) == (call.result, call.after)


@pytest.mark.parametrize("name", SETS)
def test_cells_on_the_emulated_rp2040(uf2: Path, name: str) -> None:
    """Every integer of one network of each cell, with MicroPython's firmware."""
    files: dict[str, bytes] = {}
    for cell in OTHERS:
        network = random_network(3028, cell)
        files[f"{cell}.urnn"] = pack(network)
        files[f"{cell}.cases"] = verification.expected(network, [random_samples(network, 5, 10)])
    text = rp2040_firmware.run(uf2, files, SCRIPTS / "replay.py", [name, *files])
    assert "DIFFER" not in text, text
    done = [line.split() for line in text.splitlines() if line.startswith("DONE")]
    assert [words[2] for words in done] == ["10"] * len(OTHERS)


@pytest.mark.parametrize("cell", ["lstm", "fastgrnn"])
def test_assembler_allocates_nothing(uf2: Path, cell: str) -> None:
    """Nor does its caller. These cells use both modules in turn, and nearly all of their kernels."""
    files = {"m.urnn": pack(random_network(3028, cell))}
    text = rp2040_firmware.run(uf2, files, DEVICE_SCRIPTS / "no_alloc.py", ["asm_thumb", "m.urnn"])
    assert text.split()[-3:] == ["OK", "asm_thumb", "0"]
