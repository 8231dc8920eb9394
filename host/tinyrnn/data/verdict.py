# SPDX-License-Identifier: MIT
"""Whether a model is worth having: a sentence if its figures do not beat those of its baselines."""

from __future__ import annotations

from tinyrnn.data.baselines import Rivals
from tinyrnn.data.figures import ClassificationFigures, Figures, RegressionFigures
from tinyrnn.data.recording import listed

# Tried on a forecast that 2 epochs do not learn
CURE = "try more --epochs; if it is good with `tinyrnn evaluate --part train`, record more"


def verdict(found: Figures, rivals: Rivals, bits: bool = False, who: str = "the model") -> str | None:
    """A sentence if a model with these figures does not beat its best baseline, for at least one target; otherwise None.

    rivals: from measured() on the same sequences. bits: compare the cross-entropy instead of the accuracy, as for text.
    """
    if isinstance(found, RegressionFigures):
        lost = []
        for target, name in enumerate(found.targets):
            best, its = min(rivals, key=lambda rival: rival[1].rmse[target])  # type: ignore[union-attr]
            assert isinstance(its, RegressionFigures), "baselines are of the recording's kind"
            if found.rmse[target] >= its.rmse[target]:
                of = f" of {name}" * (len(found.targets) > 1)
                lost.append(f"RMSE{of} {found.rmse[target]:.4g}, {best.words[target]} {its.rmse[target]:.4g}")
        return f"{who} does not beat its baseline: {listed(lost, '; ')}; expected less: {CURE}" if lost else None
    best, its = min(rivals, key=lambda rival: _loss(rival[1], bits))
    assert isinstance(its, ClassificationFigures), "baselines are of the recording's kind"
    if bits:
        if found.cross_entropy_bits < its.cross_entropy_bits:
            return None
        seen = f"{found.cross_entropy_bits:.3f} bits, {best.description} {its.cross_entropy_bits:.3f}"
        return f"{who} does not beat its baseline: {seen}; expected less: {CURE}"
    if found.accuracy_pct > its.accuracy_pct:
        return None
    seen = f"accuracy {found.accuracy_pct:.2f} %, {best.description} {its.accuracy_pct:.2f} %"
    if found.balanced_accuracy_pct > its.balanced_accuracy_pct:  # right for those who weigh their classes
        balanced = f"{found.balanced_accuracy_pct:.2f} % against {its.balanced_accuracy_pct:.2f} %"
        return f"{who} beats its baseline only in balanced accuracy, {balanced}: {seen}"
    return f"{who} does not beat its baseline: {seen}; expected more: {CURE}"


def _loss(found: Figures, bits: bool) -> float:
    assert isinstance(found, ClassificationFigures), "the caller has a classification"
    return found.cross_entropy_bits if bits else -found.accuracy_pct
