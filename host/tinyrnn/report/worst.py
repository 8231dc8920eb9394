# SPDX-License-Identifier: MIT
"""The sequences on which a model is worst, with what it says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrnn.data.recording import Recording
from tinyrnn.report.measurement import probabilities
from tinyrnn.report.subject import INTEGER, Subject

STRETCH = 200  # steps in a piece of a sequence whose every step counts


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a sequence, with what both models say of it."""

    name: str
    start: int  # number of its first step in the sequence
    loss: float
    x: np.ndarray  # (T, C)
    y: np.ndarray  # class index () or targets (O,), for "every" (T,) or (T, O)
    outputs: dict[str, np.ndarray]  # name of the model -> (T, O) after each step


def worst(subject: Subject, most: int) -> list[Piece]:
    """The `most` sequences with the largest loss of the integer model, worst first.

    The loss is the cross-entropy of a classification in bits, or the squared error in units of each target's variance,
    mean over targets. A sequence whose every step counts is cut into pieces of STRETCH steps.
    """
    sequences, last = subject.sequences, subject.recording.when == "last"
    losses = _losses(subject.recording, subject.measured[INTEGER].outputs, sequences.all_y())
    if last:
        pieces = [(i, 0, len(x)) for i, x in enumerate(sequences.x)]
        means = losses
    else:
        pieces = [(i, at, min(at + STRETCH, len(x))) for i, x in enumerate(sequences.x) for at in range(0, len(x), STRETCH)]
        sizes = np.array([stop - start for _, start, stop in pieces])
        means = np.add.reduceat(losses, np.concatenate([[0], np.cumsum(sizes)[:-1]])) / sizes
    found = []
    for chosen in np.argsort(-means, kind="stable")[:most]:
        number, start, stop = pieces[int(chosen)]
        x, y = sequences.x[number], np.asarray(sequences.y[number])
        said = {name: outputs[start:] for name, outputs in subject.run(x[:stop]).items()}
        name = sequences.names[number] if sequences.names else f"sequence {number}"
        found.append(Piece(name, start, float(means[chosen]), x[start:stop], y if last else y[start:stop], said))
    return found


def _losses(recording: Recording, outputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(M,) the loss of each output that counts."""
    if recording.task == "regression":
        found: np.ndarray = np.square((outputs - answers) / recording.target_std).mean(axis=1)
        return found
    shares = probabilities(outputs)[np.arange(len(answers)), answers]
    return -np.log2(np.maximum(shares, 1e-12))
