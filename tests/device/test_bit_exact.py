"""Bit-exact or not done: every hidden state and output, on every runtime, with every kernel set, compared with ``==``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import urnn
from helpers.integer_models import random_samples, ready
from helpers.runtimes import mark, need_runtime
from tinyrnn import data
from tinyrnn.integer_model.network import pack, unpack
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.quantization.accuracy import raw_sequences
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import NAMES, Runtime, verification

MODELS = 200
STEPS = 6
PAIRS = [(name, kernels) for name in NAMES for kernels in ("viper", "bytecode", "unrolled", "plain")]


SLOW = ("unix-armhf", "webassembly")
LACKS = {"cpython": ("viper", "bytecode"), "webassembly": ("viper",)}


@pytest.fixture(
    params=[
        pytest.param(pair, id="-".join(pair), marks=mark(pair[0])) for pair in PAIRS if pair[1] not in LACKS.get(pair[0], ())
    ]
)
def pair(request: pytest.FixtureRequest) -> tuple[Runtime, str]:
    """Each runtime with each of its kernel sets."""
    name, kernels = request.param
    runtime = need_runtime(name)
    assert kernels in verification.kernel_sets(runtime), f"{name} has lost its {kernels} kernels"
    return runtime, kernels


def check(reports: list[verification.Report], kernels: str) -> None:
    for report in reports:
        assert report.differences == 0, f"{report.differences} differ: " + "; ".join(report.first)
        assert report.steps > 0
        assert report.kernels == kernels


def test_random_models(pair):
    runtime, kernels = pair
    seeds = range(MODELS)
    if kernels == "unrolled":  # compiled at load: half of the models have at most 12 units a layer
        seeds = range(0, MODELS // 2, 2)
    elif kernels == "bytecode" and runtime.name in SLOW:  # written at load
        seeds = range(0, MODELS, 5)
    cases = [(network, [random_samples(network, seed, STEPS)]) for seed in seeds for network in [ready(seed)]]
    check(verification.replay(runtime, kernels, cases), kernels)


def test_a_thousand_steps(pair):
    """No drift and no wrap in a long run."""
    runtime, kernels = pair
    cases = []
    for seed in (1, 2, 3):
        network = ready(3000 + (2 * seed if kernels == "unrolled" else seed))
        steps = 1000 if kernels == "viper" else 200
        cases.append((network, [random_samples(network, seed, steps)]))
    check(verification.replay(runtime, kernels, cases), kernels)


@pytest.mark.parametrize("source", ["basic-motions", "japanese-vowels"])
def test_test_sets(pair, source, trained):
    """The complete test set of a trained model, on real recordings."""
    runtime, kernels = pair
    network, sequences = trained(source)
    check(verification.replay(runtime, kernels, [(network, sequences)]), kernels)


@pytest.fixture(scope="session")
def trained():
    """trained(source): a network trained on the set for a moment, and the set's raw test sequences."""
    train = pytest.importorskip("tinyrnn.training.trainer", reason="needs torch: pip install 'tinyrnn[train]'")
    done = {}

    def of(source):
        if source not in done:
            recording = data.load(source)
            network = quantize(train.fit(recording, units=32, epochs=12, seed=1))
            done[source] = network, raw_sequences(network, recording.test)
        return done[source]

    return of


def test_a_difference_is_found_and_named(need_runtime, monkeypatch):
    """The comparison itself can fail: one wrong expectation gives one difference, with its place."""
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


@pytest.mark.parametrize("seed", range(40))
def test_twin_equals_the_definition(seed):
    """The simulator against urnn itself, step by step."""
    network = ready(1000 + seed)
    samples = random_samples(network, seed, 5)
    outputs, states = Simulator(network).run(samples[None])
    net = urnn.load(pack(network), kernels="plain")
    for t, sample in enumerate(samples.tolist()):
        net.step(sample)
        assert list(net.output) == outputs[0, t].tolist()
        assert list(net.state) == states[0, t].tolist()


@pytest.mark.parametrize("seed", range(20))
def test_file_round_trip(seed):
    """What is packed is what is unpacked, byte for byte."""
    data_ = pack(replace(ready(seed), labels=(), name="x"))
    assert pack(unpack(data_)) == data_


def test_extreme_models_reach_the_bound():
    """The suite is as hard as it claims: some accumulators come within 0.1 % of 2^30."""
    closest = max(int(cell.w.bounds().max()) for seed in range(1, MODELS, 3) for cell in ready(seed).cells)
    assert 0.999 * 2**30 < closest < 2**30


def test_padding_does_not_matter():
    """A batch of unequal lengths gives each sequence what it gets alone."""
    network = ready(5)
    short, long = random_samples(network, 1, 3), random_samples(network, 2, 7)
    batch = np.zeros((2, 7, network.inputs), np.int64)
    batch[0, :3], batch[1] = short, long
    assert (Simulator(network).run(batch)[0][0, :3] == Simulator(network).run(short[None])[0][0]).all()
