# SPDX-License-Identifier: MIT
"""The loss of a batch: weighted cross entropy or squared error of normalised targets.

B sequences in a batch, T steps, O outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tinyrnn.data.recording import Recording
from tinyrnn.errors import ModelError
from tinyrnn.training.batches import Batch

EARLY_STEPS = 64  # of the second half of a sequence that get a share of the loss


class Loss:
    """The loss of a recording's task."""

    def __init__(self, recording: Recording, class_weights: str = "none") -> None:
        """class_weights: "none", "balanced", or weights by name such as "fall=5,walk=1"; others are 1. Raises ModelError."""
        self.classes = recording.task == "classification"
        self.weights: Tensor | None = None
        if class_weights != "none":
            self.weights = torch.tensor(_class_weights(recording, class_weights), dtype=torch.float32)

    def __call__(self, output: Tensor, batch: Batch, weight: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """The sum of the losses and the sum of the weights of each sequence, both (B,).

        weight: (B, T), of which M are not zero. output: (M, O), of these steps.
        """
        row, step = weight.nonzero(as_tuple=True)
        share = weight[row, step]
        y = answers(batch, row, step)
        if self.classes:
            each = functional.cross_entropy(output, y, reduction="none", label_smoothing=label_smoothing)
            if self.weights is not None:
                share = share * self.weights.to(share.device)[y]
        else:
            each = (output - y).square().mean(dim=1)
        zeros = torch.zeros(len(weight), device=weight.device)
        return zeros.index_add(0, row, each * share), zeros.index_add(0, row, share)


def answers(batch: Batch, row: Tensor, step: Tensor) -> Tensor:
    """The answers (M,) or (M, O) at these steps of these sequences."""
    per_step = batch.y.ndim == (2 if batch.y.dtype == torch.long else 3)
    return batch.y[row, step] if per_step else batch.y[row]


def spread(weight: Tensor, early: float, generator: torch.Generator) -> Tensor:
    """Weights (B, T) that are on the last steps, with the share `early` moved to the second half of each sequence.

    This shortens the path of the gradient, and the network learns to decide before the end of the sequence. Of a long
    sequence about EARLY_STEPS steps are drawn, whose mean stands for all.
    """
    if not early:
        return weight
    steps = torch.arange(weight.shape[1], device=weight.device)
    last = weight.argmax(dim=1, keepdim=True)
    half = ((steps >= last // 2) & (steps <= last)).float()
    chance = (EARLY_STEPS / half.sum(dim=1, keepdim=True)).clamp(max=1)
    drawn = half * (torch.rand(weight.shape, generator=generator).to(weight.device) < chance)
    drawn = torch.where(weight > 0, 1.0, drawn)  # so that none has no step at all
    return (1 - early) * weight + early * drawn / drawn.sum(dim=1, keepdim=True) * weight.sum(dim=1, keepdim=True)


def _class_weights(recording: Recording, text: str) -> np.ndarray:
    """(K,) the weight of each class."""
    if recording.task != "classification":
        raise ModelError(f"--class-weights {text} for a regression; expected a classification, or no such option")
    if text == "balanced":  # as scikit-learn's "balanced": N / (K * count)
        counts = np.bincount(recording.train.all_y(), minlength=len(recording.labels))
        balanced: np.ndarray = counts.sum() / (len(counts) * np.maximum(counts, 1))
        return balanced
    weights = np.ones(len(recording.labels))
    for part in text.split(","):
        name, sign, value = part.rpartition("=")
        try:
            weights[recording.labels.index(name.strip())] = weight = float(value)
            if not (sign and 0 < weight < 1e6):
                raise ValueError
        except ValueError:
            names = ", ".join(recording.labels[:20])
            raise ModelError(
                f"--class-weights has {part.strip()!r}; expected none, balanced, or CLASS=WEIGHT[,...] with weights above 0 "
                f"and the classes {names}"
            ) from None
    return weights
