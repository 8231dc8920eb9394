# SPDX-License-Identifier: MIT
"""tinyrnn.data.matching: channels and labels by name, whatever their order, and one line where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tinyrnn.data.matching import ModelHead, match, match_inputs
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.errors import DataError

CHANNELS = ("ax", "ay", "az")
LABELS = ("run", "still", "walk")


def recording(labels: tuple[str, ...] = LABELS, channels: tuple[str, ...] = CHANNELS, **other: Any) -> Recording:
    x = [np.arange(2.0 * len(channels)).reshape(2, -1) + i for i in range(len(labels))]
    part = Sequences(x, np.arange(len(labels)))
    given: dict[str, Any] = {"task": "classification", "when": "last", **other}
    if given["task"] == "regression":
        part = Sequences(x, np.arange(float(len(labels) ** 2)).reshape(len(labels), -1) ** 2)
    if given["when"] == "every":
        part = Sequences(x, [np.full(2, i) for i in range(len(labels))])
    return Recording(name="moves", channels=channels, labels=labels, train=part, test=part, **given)


def heads(*labels: str, task: str = "classification") -> tuple[ModelHead, ...]:
    return (ModelHead("", task, labels),)


def complaint(*args: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        match("m.pt", *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_in_another_order() -> None:
    found = match("m.pt", "last", ("az", "ax", "ay"), 3, heads("walk", "run", "still"), recording())
    assert found.remarks == ()
    assert found.inputs(np.array([[1.0, 2.0, 3.0]])).tolist() == [[3.0, 1.0, 2.0]]
    assert found.labels == LABELS
    assert found.decided(np.array([[10.0, 20.0, 30.0]])).tolist() == [[20.0, 30.0, 10.0]]
    same = match("m.pt", "last", CHANNELS, 3, heads(*LABELS), recording())
    x = np.zeros((4, 3))
    assert same.in_order
    assert same.inputs(x) is x


def test_a_class_that_the_recording_lacks() -> None:
    """The model may still decide for it: it stays in the figures, and a line says so."""
    found = match("m.pt", "last", CHANNELS, 3, heads("fall", "run", "still", "walk"), recording())
    assert found.labels == (*LABELS, "fall")
    assert found.outputs == (1, 2, 3, 0)
    assert found.remarks == ("moves has no fall, which m.pt knows",)


def test_a_class_that_the_model_lacks() -> None:
    said = complaint("last", CHANNELS, 3, heads("run", "still", "Walk"), recording())
    assert said == "moves: has the class 'walk', which m.pt does not know; expected run, still, Walk: rename it to 'Walk'"
    assert "train the model again" in complaint("last", CHANNELS, 3, heads("run", "still"), recording())


def test_channels_that_do_not_fit() -> None:
    more = recording(channels=(*CHANNELS, "temp"))
    said = complaint("last", CHANNELS, 3, heads(*LABELS), more)
    assert "has 4 channels, m.pt takes 3; expected ax, ay, az" in said
    assert said.endswith("leave out temp with --drop")
    assert complaint("last", CHANNELS, 3, heads(*LABELS), recording(channels=("ax", "ay"))).endswith("az missing")
    other = complaint("last", CHANNELS, 3, heads(*LABELS), recording(channels=("ax", "ay", "gz")))
    assert "has the channel 'gz', which m.pt does not take, and lacks 'az'; expected ax, ay, az" in other


@pytest.mark.parametrize("unnamed", [("input 0", "input 1", "input 2"), ("1", "2", "3"), ("0", "1", "2"), ()])
def test_a_model_without_names_of_channels(unnamed: tuple[str, ...]) -> None:
    found = match("m.pt", "last", unnamed, 3, heads(*LABELS), recording())
    assert found.in_order
    assert bool(found.remarks) == bool(unnamed)


@pytest.mark.parametrize("unnamed", [("class 0", "class 1", "class 2"), ("0", "1", "2"), ("1", "2", "3")])
def test_a_model_without_names_of_classes(unnamed: tuple[str, ...]) -> None:
    found = match("m.pt", "last", CHANNELS, 3, heads(*unnamed), recording())
    assert found.outputs == (0, 1, 2)
    assert "labels matched by their order" in found.remarks[0]
    assert f"{unnamed[2]} = walk" in found.remarks[0]
    assert "does not know" in complaint("last", CHANNELS, 3, heads(*unnamed[:2]), recording())


def test_digits_are_names_too() -> None:
    """A model of the digits 0 to 2 is not matched by order with data of 1 to 3."""
    assert "'3'" in complaint("last", CHANNELS, 3, heads("0", "1", "2"), recording(("1", "2", "3")))


def test_another_kind_of_answers() -> None:
    numbers = heads("flow", task="regression")
    said = complaint("last", CHANNELS, 3, numbers, recording())
    assert "its answers are classes (run, still, walk), m.pt gives numbers (flow)" in said
    assert "--target" in said
    assert "m.pt gives classes" in complaint(
        "last", CHANNELS, 3, heads(*LABELS), recording(("flow",) * 1, task="regression", channels=CHANNELS)
    )
    assert "at the last step of a sequence, m.pt gives one at every step" in complaint(
        "every", CHANNELS, 3, heads(*LABELS), recording()
    )


def test_the_head_that_fits() -> None:
    two = (
        ModelHead("strength", "regression", ("force",)),
        ModelHead("gesture", "classification", ("walk", "run", "still"), 1),
        ModelHead("hand", "classification", ("left", "right"), 4),
    )
    found = match("m.pt", "last", CHANNELS, 3, two, recording())
    assert (found.head, found.outputs) == ("gesture", (2, 3, 1))
    assert found.remarks == ("judged by the head 'gesture'",)
    assert "fit several heads of m.pt: 'gesture', 'again'" in complaint(
        "last", CHANNELS, 3, (*two, replace(two[1], name="again", first=6)), recording()
    )
    mixed = complaint("last", CHANNELS, 3, two, recording(("left", "run", "walk")))
    assert "no head of m.pt has all its classes" in mixed


def test_targets_by_name() -> None:
    targets = heads("pressure", "flow", task="regression")
    found = match("m.pt", "last", CHANNELS, 3, targets, recording(("flow", "pressure"), task="regression"))
    assert found.outputs == (1, 0)
    one = match("m.pt", "last", CHANNELS, 3, targets, recording(("flow",), task="regression"))
    assert (one.labels, one.outputs) == (("flow",), (1,))
    assert one.remarks == ("moves has no answers for pressure, which m.pt predicts too",)


def test_text_with_other_numbers_for_its_symbols() -> None:
    """A text without some symbols numbers the others differently."""
    text = recording(("a", "c", "e"), channels=("symbol",), symbols=("a", "c", "e"))
    found = match("m.pt", "last", ("symbol",), 1, heads("a", "b", "c", "d", "e"), text)
    assert found.inputs(np.array([[0.0], [1.0], [2.0]])).tolist() == [[0.0], [2.0], [4.0]]
    assert found.outputs[:3] == (0, 2, 4)
    known = ("a", "b", "c")  # of a model that classifies texts, whose labels are no symbols
    moods = recording(("glad", "sad"), channels=("symbol",), symbols=("a", "z"))
    args = "last", ("symbol",), 1, heads("glad", "sad")
    assert "the symbol 'z', which m.pt does not know; expected a b c" in complaint(*args, moods, symbols=known)
    assert match("m.pt", *args, replace(moods, symbols=("a", "c")), symbols=known).symbols == (0, 2)


def test_only_the_samples() -> None:
    """verify compares integers, so other names do no harm; another number of channels does."""
    found = match_inputs("m.urnn", ("x", "y", "z"), 3, (), recording())
    assert found.in_order
    assert found.remarks
    with pytest.raises(DataError, match=r"has 3 channels, m\.urnn takes 2"):
        match_inputs("m.urnn", ("x", "y"), 2, (), recording())
    turned = match_inputs("m.urnn", ("az", "ay", "ax"), 3, (), recording())
    assert turned.channels == (2, 1, 0)
