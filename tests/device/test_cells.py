# SPDX-License-Identifier: MIT
"""Every cell, bit for bit: random networks on every runtime with every kernel set, long runs, no allocation."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import urnn
from helpers.integer_models import NETWORKS, random_network, random_samples, ready
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model import cells, simulator
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.integer_model.matrices import ExtendedProduct, Norm
from tinyrnn.integer_model.network import IntegerHead, Network, pack, unpack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, verification
from urnn import gates_plain

MODELS = 100
STEPS = 4
SLOW = ("unix-armhf", "webassembly")  # emulated, or a clock of milliseconds and no emitter


@cache
def cases(cell: str) -> list[tuple[Network, list[np.ndarray]]]:
    """100 networks of the cell, some with low rank, norms and embeddings, and a few steps for each."""
    networks = [ready(seed, cell, plain=False) for seed in range(MODELS)]
    return [(network, [random_samples(network, seed, STEPS)]) for seed, network in enumerate(networks)]


@cache
def long_case(cell: str, steps: int) -> tuple[Network, list[np.ndarray]]:
    # Of an odd seed: units up to 64; 7 is of the ordinary kind, whose state wanders
    network = ready(4000 + 2 * NETWORKS.index(cell), cell, plain=False)
    return network, [random_samples(network, 1, steps)]


@pytest.mark.parametrize("cell", NETWORKS)
def test_random_models(runtime: Runtime, cell: str) -> None:
    for kernels in verification.kernel_sets(runtime):
        # What load() compiles, or writes as byte code, takes long to load
        few = kernels == "unrolled" or (kernels == "bytecode" and runtime.name in SLOW)
        some = cases(cell)[::10] if few else cases(cell)
        if kernels != "viper" and runtime.name in SLOW:
            some = [(network, [raw[0][:2]]) for network, raw in some]
        check(verification.replay(runtime, kernels, some))


@pytest.mark.slow
@pytest.mark.parametrize("cell", NETWORKS)
def test_a_thousand_steps(runtime: Runtime, cell: str) -> None:
    """A long run has no drift and no wrap."""
    for kernels in verification.kernel_sets(runtime):
        steps = 200 if kernels != "viper" and runtime.name in SLOW else 1000
        check(verification.replay(runtime, kernels, [long_case(cell, steps)]))


@pytest.fixture(autouse=True)
def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files and answers of cases() are computed once for all runtimes and kernel sets."""
    for name in ("pack", "expected"):
        monkeypatch.setattr(verification, name, _remembering(getattr(verification, name)))


MADE: dict[tuple[str, int, int], bytes] = {}


def _remembering(function: Callable[..., bytes]) -> Callable[..., bytes]:
    def made(network: Network, *rest: list[np.ndarray]) -> bytes:
        key = function.__name__, id(network), len(rest[0][0]) if rest else 0
        if key not in MADE or id(network) not in KEPT:
            KEPT[id(network)] = network  # no other gets its id
            MADE[key] = function(network, *rest)
        return MADE[key]

    return made


KEPT: dict[int, Network] = {}


def check(reports: list[verification.Report]) -> None:
    for number, report in enumerate(reports):
        assert report.differences == 0, f"model {number}: {report.differences} differ: " + "; ".join(report.first)
        assert report.steps > 0


def test_the_suite_has_every_section() -> None:
    """The random networks include every cell and every form of a product."""
    networks = [random_network(seed, cell, plain=False) for cell in NETWORKS for seed in range(MODELS)]
    assert {cell.tag for network in networks for cell in network.cells} == set(cells.known())
    products = [product for network in networks for cell in network.cells for _, product in cell.products]
    forms = {(bool(p.low), bool(p.norm), bool(p.fine)) for p in products if isinstance(p, ExtendedProduct)}
    assert forms == {(True, False, False), (False, True, False), (True, True, False), (False, False, True)}


@pytest.mark.parametrize("kernels", ["plain", "viper"])
@pytest.mark.parametrize("cell", NETWORKS)
def test_step_allocates_nothing(bounded32: Runtime, cell: str, kernels: str, tmp_path: Path) -> None:
    names = []
    for seed in (0, 1, 2):  # embeddings at 0, norms and low rank among the others
        names.append(f"{seed}.urnn")
        (tmp_path / names[-1]).write_bytes(pack(ready(seed, cell, plain=False)))
        out = bounded32.run(
            DEVICE_SCRIPTS / "no_alloc.py", kernels, names[-1], cwd=tmp_path, path=[verification.DEVICE], timeout=60
        )
        assert out.split() == ["OK", kernels, "0"]


# The kernels


def test_worked_examples() -> None:
    """The examples in the docstrings of gates_plain.py."""

    def run(kernel: Callable[..., None], a: Any, b: Any, c: list[int], n: int = 1) -> list[int]:
        result = list(c)
        kernel(a, b, result, n)
        return result

    words = np.array([8192, 24576, 0], "<i4").tobytes()
    assert run(gates_plain.sigmoids, [3], [-3], [0]) == [16384]
    assert run(gates_plain.tanhs, [4000], [96], [0]) == [24956]
    assert run(gates_plain.relu, [9], [-10], [7]) == [0]
    assert run(gates_plain.mul, [16384], [-3], [0]) == [-1]
    assert run(gates_plain.mix, [16384], [0], [8192]) == [4096]
    gates = [16384, 16384, 0, 8192]
    assert run(gates_plain.memory, b"\x01", gates, [-4096]) == [0]
    assert gates[3] == 0
    assert run(gates_plain.leak, words, [400], [800]) == [700]
    words = np.array([16384, 0, 1], "<i4").tobytes()
    assert run(gates_plain.blend, words, [16384, 800], [100]) == [250]
    assert run(gates_plain.add, np.array([5], "<i4").tobytes(), [-7], [0]) == [-2]
    assert run(gates_plain.limit, None, [-40000], [0]) == [-32767]
    assert run(gates_plain.embed, b"\x02\x00\x01\x00\x05\x00\x07\x00", [9], [0]) == [7]
    norm = Norm(np.array([16384, 16384], np.int16), np.zeros(2, np.int16), 1, 14)
    assert gates_plain.rsqrt(1 << 28) == 16384 << 4
    assert gates_plain.rsqrt(1) == 16384 << 4 | 14
    assert run(gates_plain.scale, norm.to_bytes(), [300, 100], [0, 0], 2) == [4095, -4095]


def test_reciprocal_root() -> None:
    """Equation 30 over all reduced arguments: its error, its range, and the 31-bit range of each intermediate."""
    w = np.arange(1 << 14, 1 << 16, dtype=np.int64)
    y = 19400 - (w * 3200 >> 14)
    for _ in range(3):
        square = w * (y * y >> 14)
        assert square.max() < LIMIT
        slope = y * (49152 - (square >> 14))
        assert slope.min() > 0
        assert slope.max() + 16384 < LIMIT
        y = simulator.rshift(slope, 15)
    assert (y.min(), y.max()) == (8192, 16384)
    assert np.abs(y / 16384 * np.sqrt(w / 16384) - 1).max() < 2e-4
    got, power = simulator.rsqrt(w << 14)
    assert (got == y).all()
    assert not power.any()
    for value in (1, 2, 3, 5, 1000, 123456789, LIMIT - 1):
        one = gates_plain.rsqrt(value)
        assert abs((one >> 4) * 2.0 ** ((one & 15) - 28) * value**0.5 - 1) < 3e-4


def test_layer_normalisation_is_close_to_the_real_one() -> None:
    """Over sizes and magnitudes, the error is within 0.2 % of the largest value if the input has some hundred steps."""
    rng = np.random.default_rng(0)
    for n in (2, 3, 12, 32, 100, 384, 1000):
        for size in (300, 4000, 20000):
            x = np.clip(rng.normal(rng.uniform(-0.3, 0.3), 0.3, n) * size, -32767, 32767).round().astype(np.int64)
            share = n / 2 ** (n - 1).bit_length()
            gain = np.full(n, round(16384 * share**0.5), np.int16)
            table = Norm(gain, np.zeros(n, np.int16), 1, 14)
            got = [0] * n
            gates_plain.scale(table.to_bytes(), x.tolist(), got, n)
            want = (x - x.mean()) / x.std()
            assert np.abs(np.array(got) / 4096 - want).max() < 0.002 * np.abs(want).max() + 3 / (size * 0.3)


# Several heads


def test_heads() -> None:
    model = random_float_model(np.random.default_rng(3), 4, (8,), 7, heads=(2, 5))
    network = quantize(model)
    net = urnn.load(pack(network))
    assert net.heads == (("head0", 0, 2), ("head1", 2, 7))
    assert unpack(pack(network)).heads == (IntegerHead("head0", 2, False), IntegerHead("head1", 5, False))
    x = np.random.default_rng(4).integers(-2000, 2000, (1, 9, 4))
    want = model.forward(x)[0]
    for t, sample in enumerate(x[0].tolist()):
        net.step(sample)
        assert [net.argmax(0), net.argmax(1)] == [int(want[t, :2].argmax()), int(want[t, 2:].argmax())]
        assert abs(net.value(6) - want[t, 6]) < 0.02
