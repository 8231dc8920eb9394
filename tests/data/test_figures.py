# SPDX-License-Identifier: MIT
"""tinyrnn.data.figures: every figure is compared with scikit-learn's, which sktime brings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.packages import need_package
from tinyrnn.data import figures

metrics = need_package("sklearn.metrics")

CLASSES = 13
LABELS = tuple(f"class {i}" for i in range(CLASSES))


def unequal(seed: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits (M, 13) and answers (M,): classes 3 and 11 never occur, classes 5 and 11 are never decided."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, CLASSES + 1) ** 2.0
    share[[3, 11]] = 0
    answers = rng.choice(CLASSES, count, p=share / share.sum())
    logits = rng.normal(size=(count, CLASSES)) * 2
    logits[np.arange(count), answers] += 2
    logits[:, [5, 11]] = -30
    return logits, answers


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(3))
def test_a_classification_as_scikit_learn(seed: int) -> None:
    logits, answers = unequal(seed)
    found = figures.classification(LABELS, logits, answers)
    decisions, every = logits.argmax(axis=1), list(range(CLASSES))
    assert set(answers.tolist()) & {3, 11} == set()
    assert set(decisions.tolist()) & {5, 11} == set()
    assert np.array_equal(found.confusion, metrics.confusion_matrix(answers, decisions, labels=every))
    assert found.accuracy_pct == pytest.approx(100 * metrics.accuracy_score(answers, decisions), rel=1e-12)
    assert found.balanced_accuracy_pct == pytest.approx(100 * metrics.balanced_accuracy_score(answers, decisions), rel=1e-12)
    wanted = metrics.precision_recall_fscore_support(answers, decisions, labels=every, zero_division=0)
    for ours, theirs in zip((found.precision, found.recall, found.f1, found.support), wanted, strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-12)
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    bits = metrics.log_loss(answers, probability, labels=every) / math.log(2)
    assert found.cross_entropy_bits == pytest.approx(bits, rel=1e-9)
    assert found.count == len(answers)


def test_a_sure_mistake_costs_as_much_as_in_scikit_learn() -> None:
    logits, answers = np.array([[0.0, 500.0], [500.0, 0.0]]), np.array([0, 0])
    found = figures.classification(("a", "b"), logits, answers)
    bits = metrics.log_loss(answers, np.array([[0.0, 1.0], [1.0, 0.0]]), labels=[0, 1]) / math.log(2)
    assert found.cross_entropy_bits == pytest.approx(bits, rel=1e-9) == pytest.approx(26.0)


def test_large_logits_do_not_overflow() -> None:
    found = figures.classification(("a", "b"), np.array([[1e308, 1e308], [-1e308, -1e308]]), np.array([0, 1]))
    assert found.cross_entropy_bits == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(3))
def test_a_regression_as_scikit_learn(seed: int) -> None:
    """Three targets of different units: one ordinary, one large, one constant."""
    rng = np.random.default_rng(seed)
    answers = np.stack([rng.normal(size=50), 1e6 + 1e3 * rng.normal(size=50), np.full(50, 7.0)], axis=1)
    outputs = answers + rng.normal(size=answers.shape) * [0.3, 500, 0.1]
    found = figures.regression(("a", "b", "c"), outputs, answers)
    wanted = {
        "rmse": np.sqrt(metrics.mean_squared_error(answers, outputs, multioutput="raw_values")),
        "mae": metrics.mean_absolute_error(answers, outputs, multioutput="raw_values"),
        "r2": metrics.r2_score(answers, outputs, multioutput="raw_values"),
    }
    for name, values in wanted.items():
        assert np.allclose(getattr(found, name), values, rtol=1e-9, atol=0), name
    assert found.overall_rmse == pytest.approx(math.sqrt(metrics.mean_squared_error(answers, outputs)), rel=1e-9)
    assert found.entries()["float_r2"] == pytest.approx(metrics.r2_score(answers, outputs), rel=1e-9)
    assert found.count == 50


def test_r2_without_variance() -> None:
    """1 for constant answers without an error, 0 with one, and not defined for a single answer."""
    constant = np.full((4, 1), 7.0)
    assert figures.regression(("a",), constant, constant).r2.tolist() == [metrics.r2_score(constant, constant)] == [1.0]
    assert figures.regression(("a",), constant + 1, constant).r2.tolist() == [0.0]
    assert np.isnan(figures.regression(("a",), constant[:1], constant[:1]).r2).all()


def test_the_first_of_equal_logits_is_the_decision() -> None:
    found = figures.classification(("a", "b", "c"), np.array([[1.0, 2.0, 2.0]]), np.array([2]))
    assert found.confusion.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_one_entry_for_both_kinds() -> None:
    logits, answers = unequal(0)
    assert isinstance(figures.of("classification", LABELS, logits, answers), figures.ClassificationFigures)
    assert isinstance(figures.of("regression", ("a",), logits[:, :1], logits[:, :1]), figures.RegressionFigures)
