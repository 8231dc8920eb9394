# SPDX-License-Identifier: MIT
"""tinyrnn.data.baselines: predictions without a model, fitted on the training sequences only."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tinyrnn.data import baselines, figures
from tinyrnn.data.baselines import last_value_channels, measured
from tinyrnn.data.figures import RegressionFigures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.data.verdict import verdict

PERIOD = 24


def forecast(horizon: int, when: str = "every", noise: float = 0.05, lengths: tuple[int, ...] = (89,)) -> Recording:
    """A forecast of `level`, which has a period of 24 steps. The other channels are noise, and a copy in another unit."""
    rng = np.random.default_rng(horizon)
    t = np.arange(4000)
    level = 20 + 3 * np.sin(2 * math.pi * t / PERIOD) + noise * rng.normal(size=len(t))
    x = np.stack([rng.normal(size=len(t)), level, 1000 * level], axis=1)[: len(t) - horizon]
    y = level[horizon:, None]
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    start = 0
    while start + max(lengths) <= len(x):
        steps = lengths[len(xs) % len(lengths)]
        xs.append(x[start : start + steps])
        ys.append(y[start : start + steps])
        start += steps
    cut = int(0.8 * len(xs))

    def part(a: int, b: int) -> Sequences:
        return Sequences(xs[a:b], ys[a:b] if when == "every" else np.stack([each[-1] for each in ys[a:b]]))

    parts = part(0, cut), part(cut, len(xs))
    return Recording("pump", "regression", when, ("noise", "level", "mV"), ("level",), *parts, horizon=horizon)


def by_name(recording: Recording) -> dict[str, tuple[str, float]]:
    found = {}
    for baseline, its in measured(recording, recording.test):
        assert isinstance(its, RegressionFigures)
        found[baseline.name] = baseline.description, float(its.rmse[0])
    return found


def as_slow_as_possible(recording: Recording, channel: int, lag: int) -> float:
    """Squared error in training of the channel `lag` steps before, and of the same step where that is too early."""
    total = 0.0
    for number, x in enumerate(recording.train.x):
        steps = range(len(x)) if recording.when == "every" else [len(x) - 1]
        for t in steps:
            answer = recording.train.y[number][t] if recording.when == "every" else recording.train.y[number]
            total += float((x[t - lag if t >= lag else t, channel] - answer[0]) ** 2)
    return total


@pytest.mark.parametrize("when", ["every", "last"])
@pytest.mark.parametrize("horizon", [1, 6, 12, 18])
def test_the_season_is_found(horizon: int, when: str) -> None:
    """A period before the moment that is predicted, also half a period ahead, where the last value is far off."""
    found = by_name(forecast(horizon, when))
    words = found["seasonal naive"][0]
    if when == "every":
        assert words == f"level {PERIOD} steps earlier"
    else:  # with one answer in a sequence there are too few to tell one period from two
        assert int(words.removeprefix("level ").removesuffix(" steps earlier")) % PERIOD == 0
    assert found["last value"][0] == "last value of level"
    assert found["mean"][1] == pytest.approx(3 / math.sqrt(2), rel=0.1)
    assert found["last value"][1] == pytest.approx(3 * math.sqrt(2) * math.sin(math.pi * horizon / PERIOD), rel=0.15)
    if when == "last":
        assert found["seasonal naive"][1] == pytest.approx(0.05 * math.sqrt(2), rel=0.3)
    assert found["seasonal naive"][1] < found["last value"][1]


@pytest.mark.parametrize("when", ["every", "last"])
@pytest.mark.parametrize("lengths", [(30,), (7, 40, 3, 40)])
def test_no_other_lag_is_better_in_training(when: str, lengths: tuple[int, ...]) -> None:
    recording = forecast(5, when, noise=1.0, lengths=lengths)
    (channel,), (lag,) = baselines._seasons(recording)
    assert channel == 1
    errors = [as_slow_as_possible(recording, channel, each) for each in range(max(lengths))]
    assert errors[lag] <= baselines.ALIKE * min(errors)
    assert min(errors[:lag]) > baselines.ALIKE * min(errors)
    assert np.allclose(baselines._errors(recording.train, 1, 0) * len(recording.train.all_y()), errors, rtol=1e-9)


def test_a_whole_period_ahead_the_last_value_is_the_season() -> None:
    """No earlier value is better, so there is no seasonal naive forecast beside the last value."""
    found = by_name(forecast(PERIOD, noise=0.0))
    assert list(found) == ["mean", "last value"]
    assert found["last value"][1] == pytest.approx(0, abs=1e-9)


def test_the_nearest_channel_is_in_the_targets_unit() -> None:
    assert last_value_channels(forecast(1)) == (1,)
    assert last_value_channels(forecast(12)) == (1,)  # half a period ahead it is farther off than the mean, but its past
    assert last_value_channels(replace(forecast(12), horizon=0)) == (None,)
    strange = forecast(1)
    other = replace(strange, channels=("noise", "a", "b"), labels=("flow",), horizon=0)
    other = replace(
        other,
        train=replace(other.train, y=[y * 1e-6 for y in other.train.y]),
        test=replace(other.test, y=[y * 1e-6 for y in other.test.y]),
    )
    assert last_value_channels(other) == (None,)
    assert list(by_name(other)) == ["mean"]


@pytest.mark.parametrize("when", ["every", "last"])
def test_the_nearest_channel_as_slow_as_possible(when: str) -> None:
    """Of five channels that are more or less near to three targets, for both kinds of answers."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Sequences:
        x = [rng.normal(size=(steps, 5)) + 1e4 for steps in rng.integers(1, 9, count)]
        ys = [each @ (0.15 * rng.normal(size=(5, 3)) + np.eye(5, 3)) + rng.normal(size=(len(each), 3)) for each in x]
        ys = [y - y.mean(axis=0) + 1e4 for y in ys]
        return Sequences(x, ys if when == "every" else np.stack([y[-1] for y in ys]))

    for _ in range(20):
        recording = Recording("r", "regression", when, tuple("abcde"), ("p", "q", "r"), part(12), part(2))
        rows = recording.train.x if when == "every" else [each[-1:] for each in recording.train.x]
        x, y = np.concatenate(rows), recording.train.all_y()
        errors = np.square(x[:, :, None] - y[:, None, :]).mean(axis=0)
        wanted = [
            int(c) if errors[c, o] < baselines.NEAR * y[:, o].var() else None for o, c in enumerate(errors.argmin(axis=0))
        ]
        assert last_value_channels(recording) == tuple(wanted)


def test_several_targets_have_their_own_words() -> None:
    """A target without a channel gets the mean in every baseline."""
    one = forecast(1)

    def two(part: Sequences) -> Sequences:
        return replace(part, y=[np.hstack([y, 1e9 + y]) for y in part.y])

    recording = replace(one, labels=("level", "far"), train=two(one.train), test=two(one.test))
    assert last_value_channels(recording) == (1, None)
    last = next(each for each in baselines.baselines(recording) if each.name == "last value")
    assert last.words == ("last value of level", "mean of training")
    outputs = last.outputs(recording.test)
    assert np.array_equal(outputs[:, 0], np.concatenate([x[:, 1] for x in recording.test.x]))
    assert outputs[:, 1].tolist() == pytest.approx([recording.target_mean[1]] * len(outputs), rel=1e-12)


def classes(counts: tuple[int, int], tested: tuple[int, int]) -> Recording:
    def part(each: tuple[int, int]) -> Sequences:
        y = np.repeat([0, 1], each)
        return Sequences([np.full((3, 1), float(i)) for i in y], y)

    return Recording("moves", "classification", "last", ("a",), ("still", "walk"), part(counts), part(tested))


def test_the_majority_class_of_training() -> None:
    """Also where another class is more frequent in the test; the cross-entropy is that of the training shares."""
    recording = classes((2, 6), (3, 1))
    ((baseline, its),) = measured(recording, recording.test)
    assert (baseline.name, baseline.description) == ("majority class", "always walk")
    assert isinstance(its, figures.ClassificationFigures)
    assert its.accuracy_pct == 25
    assert its.cross_entropy_bits == pytest.approx((3 * 2 + math.log2(8 / 6)) / 4)


def test_a_channel_that_is_no_better_than_the_mean_is_no_baseline() -> None:
    """Noise around the same mean as the target's."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Sequences:
        return Sequences(
            [0.1 * rng.normal(size=(20, 2)) for _ in range(count)], [rng.normal(size=(20, 1)) for _ in range(count)]
        )

    recording = Recording("r", "regression", "every", ("a", "b"), ("flow",), part(40), part(4))
    assert last_value_channels(recording) != (None,)  # the trainer may try it
    assert list(by_name(recording)) == ["mean"]


def test_the_past_of_a_target_without_a_name() -> None:
    """Half a period ahead a quiet channel is nearer at the same step; the season of the other one is found all the same."""

    def centred(part: Sequences) -> Sequences:
        x = [(each - [0, 20, 20_000]) * [0.1, 1, 1] for each in part.x]
        return Sequences(x, [each - 20 for each in part.y])

    known = forecast(12)
    recording = replace(known, labels=("soon",), horizon=0, train=centred(known.train), test=centred(known.test))
    assert last_value_channels(recording) == (0,)
    assert by_name(recording)["seasonal naive"][0] == "level 12 steps earlier"


def text(written: str) -> Sequences:
    numbers = np.array(["abc".index(symbol) for symbol in written])
    return Sequences([numbers[:-1, None].astype(float)], [numbers[1:]])


def test_what_follows_a_symbol() -> None:
    """In training b follows a three times of four, and only a follows b."""
    train, test = text("abababaca"), text("abaca")
    recording = Recording("t", "classification", "every", ("symbol",), tuple("abc"), train, test, symbols=tuple("abc"))
    found = {baseline.name: its for baseline, its in measured(recording, test)}
    assert list(found) == ["majority class", "pairs"]
    pairs = found["pairs"]
    assert isinstance(pairs, figures.ClassificationFigures)
    assert pairs.accuracy_pct == 75  # c after a is the mistake
    # 8 followers: a 4, b 3, c 1; as if each symbol had one more, shared as all of them
    shares = [(3 + 3 / 8) / 5, (3 + 4 / 8) / 4, (1 + 1 / 8) / 5, (1 + 4 / 8) / 2]
    assert pairs.cross_entropy_bits == pytest.approx(-sum(map(math.log2, shares)) / 4)


def test_a_model_that_does_not_beat_its_baseline_is_told() -> None:
    recording = forecast(1)
    rivals, y = measured(recording, recording.test), recording.test.all_y()
    best = min(float(its.rmse[0]) for _, its in rivals if isinstance(its, RegressionFigures))
    worse = figures.regression(("level",), y + 2 * best, y)
    said = verdict(worse, rivals)
    assert said is not None
    assert said.startswith(f"the model does not beat its baseline: RMSE {2 * best:.4g}, level 24 steps earlier {best:.4g};")
    assert verdict(figures.regression(("level",), y + 0.5 * best, y), rivals) is None
    mean = next(baseline.outputs(recording.test) for baseline, _ in rivals if baseline.name == "mean")
    assert verdict(figures.regression(("level",), mean, y), rivals[:1]) is not None  # equal is not better


def test_what_is_said_of_classes() -> None:
    recording = classes((2, 6), (1, 3))
    rivals, y = measured(recording, recording.test), recording.test.all_y()

    def told(*decisions: int) -> str | None:
        return verdict(figures.classification(recording.labels, 5 * np.eye(2)[list(decisions)], y), rivals)

    assert told(0, 1, 1, 1) is None
    assert "the model does not beat its baseline: accuracy 75.00 %, always walk 75.00 %; expected more" in str(
        told(1, 1, 1, 1)
    )
    # Decides for the rare class: fewer are right in all, more of each class
    assert "only in balanced accuracy, 83.33 % against 50.00 %" in str(told(0, 0, 1, 1))
    one = figures.classification(recording.labels, np.zeros((4, 2)), y)
    assert "does not beat its baseline: 1.000 bits, always walk" in str(verdict(one, rivals, bits=True))
