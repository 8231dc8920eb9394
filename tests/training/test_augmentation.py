# SPDX-License-Identifier: MIT
"""Augmentation changes what it should and nothing else: labels, lengths, the first and the last step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import ModelError
from tinyrnn.training.augmentation import Augmentation, axes
from tinyrnn.training.batches import Batch, Batches
from tinyrnn.training.hyperparameters import default_hyperparameters, with_settings

NONE: dict[str, Any] = {"noise": 0, "scaling": 0, "offset": 0, "time_shift": 0, "time_warp": 0, "rotation": 0}
CHANNELS = ("ax", "ay", "az", "light", "gyro X", "gyro Y", "gyro Z")


def ramps(when: str = "last", task: str = "classification") -> Recording:
    """Sequences of different length whose first channel counts the steps; the labels count them in tens."""
    rng = np.random.default_rng(0)
    xs = [np.column_stack([np.arange(n), rng.normal(size=(n, 6)) * [1, 2, 3, 1, 1, 1]]) for n in (30, 12, 21, 30)]
    if task == "regression":
        ys: Any = [x[:, :1] for x in xs] if when == "every" else np.array([[x[-1, 0]] for x in xs])
    else:
        ys = [(x[:, 0] >= 10).astype(int) for x in xs] if when == "every" else np.array([0, 1, 0, 1])
    labels = ("low", "high") if task == "classification" else ("count",)
    return Recording("ramps", task, when, CHANNELS, labels, Sequences(xs, ys), Sequences(xs, ys))


def augmented(recording: Recording, seed: int = 1, **settings: Any) -> tuple[Batch, Batch]:
    """The only batch of the recording, and the same augmented with these settings alone."""
    chosen = with_settings(default_hyperparameters(recording), {**NONE, **settings})
    (batch,) = Batches(recording, recording.train).whole(1000)
    generator = torch.Generator().manual_seed(seed)
    return batch, Augmentation(chosen, recording)(batch, generator)


def test_nothing_changes_without_augmentation() -> None:
    batch, after = augmented(ramps())
    assert torch.equal(after.x, batch.x)
    assert torch.equal(after.y, batch.y)


def test_noise_scaling_and_offset_have_their_deviation() -> None:
    recording = replace(ramps(), train=Sequences([np.random.default_rng(0).normal(size=(400, 7))] * 40, np.arange(40) % 2))
    batch, after = augmented(recording, noise=0.5)
    assert float((after.x - batch.x).std()) == pytest.approx(0.5, rel=0.05)
    batch, after = augmented(recording, offset=0.5)
    change = after.x - batch.x
    assert float(change.std(dim=1).max()) < 1e-5  # the same at each step
    assert float(change[:, 0].std()) == pytest.approx(0.5, rel=0.2)
    batch, after = augmented(recording, scaling=0.5)
    gain = (after.x / batch.x)[:, 0]
    assert torch.allclose(after.x, batch.x * gain[:, None], atol=1e-4)
    assert float(gain.std()) == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("when", ["last", "every"])
def test_time_warp_keeps_order_ends_and_labels(when: str) -> None:
    recording = ramps(when)
    batch, after = augmented(recording, time_warp=0.8)
    std, mean = float(recording.std[0]), float(recording.mean[0])
    moved = 0.0
    for row, n in enumerate(batch.lengths.tolist()):
        steps = after.x[row, :n, 0] * std + mean
        assert float(steps[0]) == pytest.approx(0, abs=1e-4)
        assert float(steps[-1]) == pytest.approx(n - 1, abs=1e-3)
        assert (steps.diff() >= -1e-4).all()
        moved = max(moved, float((steps - torch.arange(n)).abs().max()))
        if when == "every":  # a label stays with the sample that it was recorded with
            near = (steps - 10).abs() > 0.51
            assert (after.y[row, :n][near] == (steps >= 10)[near]).all()
    assert moved > 1
    if when == "last":
        assert torch.equal(after.y, batch.y)


def test_time_shift_moves_whole_steps_within_the_sequence() -> None:
    recording = ramps()
    batch, after = augmented(recording, time_shift=0.3, seed=4)
    shifts = []
    for row, n in enumerate(batch.lengths.tolist()):
        steps = (after.x[row, :n, 0] * float(recording.std[0]) + float(recording.mean[0])).round().long()
        shift = int(torch.arange(n)[n // 2] - steps[n // 2])
        assert steps.tolist() == [min(max(t - shift, 0), n - 1) for t in range(n)]
        assert abs(shift) <= 0.3 * n + 1
        shifts.append(shift)
    assert len(set(shifts)) > 1


def test_rotation_keeps_lengths_of_vectors_and_turns_all_sensors_alike() -> None:
    recording = ramps()
    batch, after = augmented(recording, rotation=40)
    std, mean = torch.tensor(recording.std), torch.tensor(recording.mean)
    before, now = (each.x.double() * std + mean for each in (batch, after))
    for triple in ([0, 1, 2], [4, 5, 6]):
        assert torch.allclose(before[:, :, triple].norm(dim=2), now[:, :, triple].norm(dim=2), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(before[:, :, triple], now[:, :, triple], atol=0.1)
    assert torch.allclose(before[:, :, 3], now[:, :, 3], atol=1e-5)
    for row in range(len(before)):
        turn = torch.linalg.lstsq(before[row, :, [0, 1, 2]], now[row, :, [0, 1, 2]]).solution
        assert torch.allclose(turn @ turn.T, torch.eye(3, dtype=torch.float64), atol=1e-3)
        assert torch.allclose(before[row, :, [4, 5, 6]] @ turn, now[row, :, [4, 5, 6]], atol=1e-2)


@pytest.mark.parametrize(
    ("channels", "found"),
    [
        (CHANNELS, [[0, 1, 2], [4, 5, 6]]),
        (("z", "x", "y"), [[1, 2, 0]]),
        (("acc_x", "gyr_x", "acc_y", "gyr_y", "acc_z", "gyr_z"), [[0, 2, 4], [1, 3, 5]]),
        (("Accel X (g)", "Accel Y (g)", "Accel Z (g)"), [[0, 1, 2]]),
        (("x", "y", "force"), []),
        (("max", "may", "mean"), []),
    ],
)
def test_three_axis_sensors_are_found_by_their_names(channels: tuple[str, ...], found: list[list[int]]) -> None:
    assert axes(channels) == found


def test_what_does_not_suit_the_recording_is_refused() -> None:
    plain = replace(ramps(), channels=tuple("abcdefg"))
    for recording, settings, words in (
        (ramps("every"), {"time_shift": 0.1}, "--time-shift 0.1 moves what happens away from its label or target"),
        (ramps(task="regression"), {"time_shift": 0.1}, "expected --time-shift 0, except for classes at the last step"),
        (plain, {"rotation": 10}, "--rotation 10 needs three channels whose names differ in x, y and z"),
    ):
        with pytest.raises(ModelError, match=words):
            augmented(recording, **settings)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dropout", 1.0, "--dropout is 1.0; expected a number, 0 to 0.95, such as 0.2"),
        ("lr", 0, "--lr is 0; expected a number, above 0 to 1, such as 0.01"),
        ("epochs", 2.5, "--epochs is 2.5; expected a whole number, 1 or more, such as 200"),
        ("noise", float("nan"), "--noise is nan; expected a number, 0 to 10"),
        ("nonsense", 1, "unknown hyperparameter 'nonsense'; expected one of batch, class_weights"),
    ],
)
def test_settings_out_of_range(name: str, value: float, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        with_settings(default_hyperparameters(ramps()), {name: value})


def test_long_and_short_sequences_are_not_mixed() -> None:
    """Lengths from 100 to 9000: padding adds less than a half, and batches differ from epoch to epoch."""
    rng = np.random.default_rng(1)
    lengths = np.exp(rng.uniform(np.log(100), np.log(9000), 120)).astype(int)
    xs = [np.zeros((n, 1)) + rng.normal() for n in lengths]
    sequences = Sequences(xs, np.arange(120) % 2)
    recording = Recording("lengths", "classification", "last", ("a",), ("0", "1"), sequences, sequences)
    batches = Batches(recording, recording.train)
    generator = torch.Generator().manual_seed(0)
    first, second = batches.epoch(16, generator), batches.epoch(16, generator)
    for epoch in (first, second):
        assert sorted(n for batch in epoch for n in batch.lengths.tolist()) == sorted(lengths.tolist())
        assert sum(batch.x.shape[0] * batch.x.shape[1] for batch in epoch) < 1.5 * lengths.sum()
    assert [batch.lengths.tolist() for batch in first] != [batch.lengths.tolist() for batch in second]
    even = Sequences([np.zeros((10, 1)) + i for i in range(40)], np.arange(40) % 2)
    small = Batches(replace(recording, train=even), even)
    assert [tuple(batch.x.shape) for batch in small.epoch(16, generator)] == [(14, 10, 1), (13, 10, 1), (13, 10, 1)]
    assert all(batch.share == pytest.approx(len(batch.x) * 3 / 40) for batch in small.epoch(16, generator))
