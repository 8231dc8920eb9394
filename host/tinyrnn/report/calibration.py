# SPDX-License-Identifier: MIT
"""How far the probabilities of a classification can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrnn.report.measurement import probabilities


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often decisions are right, by the probability that the model gives them, in P bins of equal width.

    The expected calibration error is the mean distance of probability and share of right decisions, weighted by the
    number of decisions (C. Guo et al., On Calibration of Modern Neural Networks, 2017, equation 3).
    """

    count: np.ndarray  # (P,) decisions in each bin
    probability: np.ndarray  # (P,) their mean probability; nan for an empty bin
    right: np.ndarray  # (P,) share of right ones; nan for an empty bin

    @property
    def expected_error(self) -> float:
        """The expected calibration error, 0 to 1."""
        distance = np.where(self.count > 0, np.abs(self.probability - self.right), 0.0)
        return float((distance * self.count).sum() / self.count.sum())


def reliability(logits: np.ndarray, answers: np.ndarray, bins: int = 10) -> Reliability:
    """The reliability of the decisions of logits (M, K) for class indices (M,)."""
    shares = probabilities(logits)
    top = shares.max(axis=1)
    right = logits.argmax(axis=1) == answers
    # A bin holds the probabilities above its lower and up to its upper end, as in the source
    number = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, minlength=bins)
    with np.errstate(invalid="ignore"):
        probability = np.bincount(number, top, bins) / count
        share = np.bincount(number, right, bins) / count
    return Reliability(count, probability, share)
