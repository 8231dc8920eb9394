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


class Loss:
    """The loss of a recording's task."""

    def __init__(self, recording: Recording, class_weights: str = "none") -> None:
        """class_weights: "none", "balanced", or weights by name such as "fall=5,walk=1"; others have 1. Raises ModelError."""
        self.classes = recording.task == "classification"
        self.weights: Tensor | None = None
        if class_weights != "none":
            self.weights = torch.tensor(_class_weights(recording, class_weights), dtype=torch.float32)

    def __call__(self, output: Tensor, batch: Batch, early: float = 0.0, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """The sum of the losses (a tensor of one number) and of the weights, over the steps of output (B, T, O) that count.

        early: the share that moves from the last step to the second half of each sequence, see spread().
        """
        y, weight = batch.y, spread(batch.weight, early)
        if self.classes:
            if y.ndim == 1:
                y = y[:, None].expand(output.shape[:2])
            each = functional.cross_entropy(
                output.flatten(0, 1), y.flatten(), reduction="none", label_smoothing=label_smoothing
            ).view(weight.shape)
            if self.weights is not None:
                weight = weight * self.weights.to(weight.device)[y]
        else:
            each = (output - (y[:, None] if y.ndim == 2 else y)).square().mean(dim=2)
        return (each * weight).sum(), weight.sum()


def spread(weight: Tensor, early: float) -> Tensor:
    """Weights (B, T) that are on the last steps, with the share `early` moved to the second half of each sequence.

    This shortens the path of the gradient, and the network learns to decide before the end of the sequence.
    """
    if not early:
        return weight
    steps = torch.arange(weight.shape[1], device=weight.device)
    last = weight.argmax(dim=1, keepdim=True)
    half = ((steps >= last // 2) & (steps <= last)).float()
    return (1 - early) * weight + early * half / half.sum(dim=1, keepdim=True) * weight.sum(dim=1, keepdim=True)


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
