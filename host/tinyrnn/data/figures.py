# SPDX-License-Identifier: MIT
"""Figures of outputs against answers: for a float model, an integer model and a baseline alike.

Every figure equals scikit-learn's of the same name. K classes, O targets, M outputs that count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

LEAST_PROBABILITY = float(np.finfo(np.float64).eps)  # as sklearn.metrics.log_loss: one sure mistake does not decide alone


@dataclass(frozen=True, eq=False)
class ClassificationFigures:
    """Figures of a classification. A class that never occurs has recall 0, one that is never decided has precision 0."""

    labels: tuple[str, ...]  # (K,) class names
    confusion: np.ndarray  # int64 (K, K): row = true class, column = decision
    cross_entropy_bits: float  # mean of -log2 of the true class's softmax probability

    @property
    def count(self) -> int:
        """The number of answers, M."""
        return int(self.confusion.sum())

    @cached_property
    def support(self) -> np.ndarray:
        """(K,) int64, how often each class occurs."""
        found: np.ndarray = self.confusion.sum(axis=1)
        return found

    @property
    def accuracy_pct(self) -> float:
        """Share of right decisions in percent; nan without answers."""
        return 100 * int(self.confusion.trace()) / self.count if self.count else math.nan

    @property
    def balanced_accuracy_pct(self) -> float:
        """Mean recall of the classes that occur, in percent; nan without answers."""
        occurs = self.support > 0
        return 100 * float(self.recall[occurs].mean()) if occurs.any() else math.nan

    @cached_property
    def precision(self) -> np.ndarray:
        """(K,) share of the decisions for a class that are right; 0 if it is never decided."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @cached_property
    def recall(self) -> np.ndarray:
        """(K,) share of a class's answers that are decided right; 0 if it never occurs."""
        return _share(self.confusion.diagonal(), self.support)

    @cached_property
    def f1(self) -> np.ndarray:
        """(K,) harmonic mean of precision and recall; 0 if both are 0."""
        return _share(2 * self.confusion.diagonal(), self.confusion.sum(axis=0) + self.support)

    def entries(self, prefix: str = "float_") -> dict[str, float]:
        """The main figures, as entries of FloatModel.info."""
        names = ("accuracy_pct", "balanced_accuracy_pct", "cross_entropy_bits")
        return {prefix + name: float(getattr(self, name)) for name in names}

    def __str__(self) -> str:
        return f"accuracy {self.accuracy_pct:.2f} %"


@dataclass(frozen=True, eq=False)
class RegressionFigures:
    """Figures of a regression, each target in its own unit."""

    targets: tuple[str, ...]  # (O,) names of the targets
    rmse: np.ndarray  # (O,) root mean square error
    mae: np.ndarray  # (O,) mean absolute error
    r2: np.ndarray  # (O,) 1 - squared error / variance; for constant answers 1 without error, else 0; nan for one answer
    count: int  # number of answers, M

    @property
    def overall_rmse(self) -> float:
        """Root mean square error over all targets together."""
        return float(np.sqrt(np.mean(np.square(self.rmse))))

    def entries(self, prefix: str = "float_") -> dict[str, float]:
        """The figures over all targets, as entries of FloatModel.info."""
        return {
            prefix + "rmse": self.overall_rmse,
            prefix + "mae": float(self.mae.mean()),
            prefix + "r2": float(self.r2.mean()),
        }

    def __str__(self) -> str:
        return f"RMSE {self.overall_rmse:.4g}"


Figures: TypeAlias = ClassificationFigures | RegressionFigures


def classification(labels: tuple[str, ...], outputs: np.ndarray, answers: np.ndarray) -> ClassificationFigures:
    """The figures of logits (M, K) against class indices (M,). The decision is the largest logit, the first of equals."""
    outputs = np.asarray(outputs, np.float64)
    answers = np.asarray(answers, np.int64)
    classes = len(labels)
    decisions = outputs.argmax(axis=1)
    confusion = np.bincount(answers * classes + decisions, minlength=classes * classes).reshape(classes, classes)
    largest = outputs.max(axis=1)
    total = np.log(np.exp(outputs - largest[:, None]).sum(axis=1))
    logs = outputs[np.arange(len(answers)), answers] - largest - total  # of the true class's probability
    loss = -np.maximum(logs, math.log(LEAST_PROBABILITY)).mean() if len(logs) else math.nan
    return ClassificationFigures(labels, confusion, float(loss) / math.log(2))


def regression(targets: tuple[str, ...], outputs: np.ndarray, answers: np.ndarray) -> RegressionFigures:
    """The figures of outputs (M, O) against answers (M, O), both in the targets' units."""
    error = np.asarray(outputs, np.float64) - answers
    square = np.square(error).sum(axis=0)
    spread = np.square(answers - answers.mean(axis=0)).sum(axis=0)
    r2 = np.where(spread > 0, 1 - square / np.where(spread > 0, spread, 1), np.where(square > 0, 0.0, 1.0))
    if len(answers) < 2:
        r2 = np.full(len(targets), math.nan)
    return RegressionFigures(targets, np.sqrt(square / len(answers)), np.abs(error).mean(axis=0), r2, len(answers))


def of(task: str, labels: tuple[str, ...], outputs: np.ndarray, answers: np.ndarray) -> Figures:
    """classification() or regression(), as the recording's task says."""
    make: Any = classification if task == "classification" else regression
    found: Figures = make(labels, outputs, answers)
    return found


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), 0.0)
