# SPDX-License-Identifier: MIT
"""Every hidden state and output, on every runtime, with every kernel set, compared with ``==``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers import runtimes
from helpers.integer_models import random_samples, ready
from tinyrnn import data
from tinyrnn.integer_model.network import Network
from tinyrnn.quantization.accuracy import raw_sequences
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import NAMES, Runtime, verification

MODELS = 200
STEPS = 6
Pair = tuple[Runtime, str]  # a runtime, and one of its kernel sets
Trained = tuple[Network, list[np.ndarray]]  # a network, and the raw test sequences of its recording
SLOW = ("unix-armhf", "webassembly")
LACKS = {"cpython": ("viper", "bytecode"), "webassembly": ("viper",)}
PAIRS = [
    (name, kernels)
    for name in NAMES
    for kernels in ("viper", "bytecode", "unrolled", "plain")
    if kernels not in LACKS.get(name, ())
]


@pytest.fixture(params=[pytest.param(pair, id="-".join(pair), marks=runtimes.mark(pair[0])) for pair in PAIRS])
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each runtime with each of its kernel sets."""
    name, kernels = request.param
    runtime = runtimes.need_runtime(name)
    assert kernels in verification.kernel_sets(runtime), f"{name} has lost its {kernels} kernels"
    return runtime, kernels


def check(reports: list[verification.Report], kernels: str) -> None:
    for report in reports:
        assert report.differences == 0, f"{report.differences} differ: " + "; ".join(report.first)
        assert report.steps > 0
        assert report.kernels == kernels


def test_random_models(pair: Pair) -> None:
    runtime, kernels = pair
    seeds = range(MODELS)
    if kernels == "unrolled":  # compiled at load: half of the models have at most 12 units a layer
        seeds = range(0, MODELS // 2, 2)
    elif kernels == "bytecode" and runtime.name in SLOW:  # written at load
        seeds = range(0, MODELS, 5)
    cases = [(network, [random_samples(network, seed, STEPS)]) for seed in seeds for network in [ready(seed)]]
    check(verification.replay(runtime, kernels, cases), kernels)


def test_a_thousand_steps(pair: Pair) -> None:
    """A long run has no drift and no wrap."""
    runtime, kernels = pair
    cases = []
    for seed in (1, 2, 3):
        network = ready(3000 + (2 * seed if kernels == "unrolled" else seed))
        steps = 1000 if kernels == "viper" else 200
        cases.append((network, [random_samples(network, seed, steps)]))
    check(verification.replay(runtime, kernels, cases), kernels)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["basic-motions", "japanese-vowels"])
def test_test_sets(pair: Pair, source: str, trained: Callable[[str], Trained]) -> None:
    """The complete test set of a recording, with a model trained on it."""
    runtime, kernels = pair
    network, sequences = trained(source)
    check(verification.replay(runtime, kernels, [(network, sequences)]), kernels)


@pytest.fixture(scope="session")
def trained() -> Callable[[str], Trained]:
    """``trained(source)`` returns a network trained briefly on the data set, and the raw test sequences."""
    train = pytest.importorskip("tinyrnn.training.trainer", reason="needs torch: pip install 'tinyrnn[train]'")
    done: dict[str, Trained] = {}

    def of(source: str) -> Trained:
        if source not in done:
            recording = data.load(source)
            network = quantize(train.fit(recording, units=32, epochs=12, seed=1))
            done[source] = network, raw_sequences(network, recording.test)
        return done[source]

    return of


def test_a_difference_is_found_and_named(need_runtime: Callable[[str], Runtime], monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: one wrong expectation gives one difference, with its place."""
    network = ready(7)
    samples = random_samples(network, 7, 3)
    truth = verification.expected(network, [samples])
    at = 4 + 4 + 4 * network.inputs  # the first output of the first step
    wrong = truth[:at] + bytes([truth[at] ^ 1]) + truth[at + 1 :]
    monkeypatch.setattr(verification, "expected", lambda *_: wrong)
    (report,) = verification.replay(need_runtime("unix-x64"), "viper", [(network, [samples])])
    assert report.differences == 1
    assert not report.exact
    assert report.first[0].startswith("sequence 0 step 0 output 0: want ")
