# SPDX-License-Identifier: MIT
"""Recordings and models for reports: small ones, without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import pack
from tinyrnn.integer_model.urnn_file import UrnnFile
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.report.subject import Subject, measure

from helpers import float_models

# Names that would be markup, a template, mathematics or an escape sequence
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "$\\frac{1}{",
    "\x1b[31mred\x00\x08",
    "a\u202eb",
    "]]>--><!--",
    "'&amp;&#60;",
    "ア" * 900,
)
SECTIONS = ["summary", "learning", "outputs", "time", "worst", "trust", "range", "size"]
# Epoch, training loss, validation loss, validation accuracy
HISTORY = [[1.0, 1.5, 1.4, 40.0], [2.0, 1.0, 1.1, 55.0], [3.0, 0.5, 1.3, 50.0]]


def recording(
    labels: tuple[str, ...] = ("walk", "run", "sit"),
    channels: tuple[str, ...] = ("ax", "ay"),
    task: str = "classification",
    when: str = "last",
    lengths: tuple[int, ...] = (12, 12, 12, 12, 12, 12),
    **more: Any,
) -> Recording:
    """Random sequences of these lengths, twice: for training and for the test. Every label occurs."""
    rng = np.random.default_rng(5)

    def part(name: str) -> Sequences:
        x = [rng.normal(size=(steps, len(channels))).round(3) for steps in lengths]
        count = sum(lengths) if when == "every" else len(lengths)
        flat = np.arange(count) % len(labels) if task == "classification" else rng.normal(size=(count, len(labels)))
        names = tuple(f"{name}/{i}.csv" for i in range(len(lengths)))
        return Sequences(x, np.split(flat, np.cumsum(lengths)[:-1]) if when == "every" else flat, names)

    return Recording("a recording", task, when, channels, labels, part("train"), part("test"), **more)


def model_for(data: Recording, cell: str = "gru", **more: Any) -> FloatModel:
    """A random model with the recording's channels and labels."""
    made = float_models.model_of(
        float_models.cell(cell, len(data.channels)), inputs=len(data.channels), outputs=len(data.labels)
    )
    given = {"task": data.task, "when": data.when, "labels": data.labels, "channels": data.channels, **more}
    return replace(made, **given)


def subject(data: Recording, model: FloatModel | None = None, alone: bool = False) -> Subject:
    """What a report about the model says. alone: without the float model."""
    model = model or model_for(data)
    network = quantize(model)
    file = UrnnFile(Path("model.urnn"), pack(network), network)
    return measure("model.pt", file, None if alone else model, data)
