# SPDX-License-Identifier: MIT
"""Probing sequences: generated inputs that exercise a network for which there is no recording.

They are held values, ramps, steps, sines and noise within the range of the channels, on all channels at once and on
each alone. They are as long as the network's states take to settle, at most 2,000 steps.
"""

from __future__ import annotations

import numpy as np

from tinyrnn.float_model.evaluation import value_ranges_over
from tinyrnn.float_model.layers import Embedding
from tinyrnn.float_model.model import FloatModel, ValueRanges

FIRST_STEPS = 125  # the first length; it is doubled while a state still grows
LAST_STEPS = 2000
GROWTH = 1.01  # a state has settled if its largest magnitude grows by less than this factor when the length is doubled
SETTLED = 0.01  # growth below this share of the layer's largest state is ignored
ALONE = 8  # up to this many channels are driven alone; with more channels, this many random corners of the range are used
SYMBOLS = 16  # at most so many symbols of an embedding are held
SEED = 12

TOGETHER = (
    "held low",
    "held middle",
    "held high",
    "ramp up",
    "ramp down",
    "step up",
    "step down",
    "short steps",
    "slow sine",
    "sine",
    "fast sine",
    "noise",
)
BY_CHANNEL = ("held low", "held high", "step up", "step down", "slow sine", "noise")


def shape(kind: str, steps: int, rng: np.random.Generator) -> np.ndarray:
    """One of TOGETHER as (steps,) numbers from 0, the low end of the range, to 1, its high end."""
    t = np.arange(steps) / max(steps - 1, 1)
    sines = {"slow sine": steps, "sine": max(steps / 8, 8), "fast sine": 8}
    if kind in sines:
        wave: np.ndarray = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(steps) / sines[kind])
        return wave
    found: np.ndarray = {
        "held low": lambda: np.zeros(steps),
        "held middle": lambda: np.full(steps, 0.5),
        "held high": lambda: np.ones(steps),
        "ramp up": lambda: t,
        "ramp down": lambda: 1 - t,
        "step up": lambda: (t >= 0.5).astype(float),
        "step down": lambda: (t < 0.5).astype(float),
        "short steps": lambda: (np.arange(steps) // 20 % 2).astype(float),
        "noise": lambda: rng.random(steps),
    }[kind]()
    return found


def in_range(low: np.ndarray, high: np.ndarray, steps: int) -> dict[str, np.ndarray]:
    """Sequences (steps, C) between low and high, both (C,), by a descriptive name."""
    rng = np.random.default_rng(SEED)
    channels = len(low)
    found = {kind: np.repeat(shape(kind, steps, rng)[:, None], channels, axis=1) for kind in TOGETHER}
    if channels > 1:
        found["noise, each its own"] = rng.random((steps, channels))
    if 1 < channels <= ALONE:
        for c in range(channels):
            for kind in BY_CHANNEL:
                alone = np.full((steps, channels), 0.5)
                alone[:, c] = shape(kind, steps, rng)
                found[f"{kind}, channel {c}"] = alone
    elif channels > 1:
        for i in range(ALONE):
            corner = rng.integers(0, 2, channels).astype(float)
            found[f"held corner {i}"] = np.repeat(corner[None], steps, axis=0)
            found[f"step to corner {i}"] = np.where(np.arange(steps)[:, None] < steps // 2, 0.5, corner)
    return {name: low + (high - low) * u for name, u in found.items()}


def symbols(count: int, steps: int) -> dict[str, np.ndarray]:
    """Sequences (steps, 1) of the symbols 0..count - 1, by name."""
    rng = np.random.default_rng(SEED)
    held = np.unique(np.linspace(0, count - 1, min(SYMBOLS, count)).astype(int))
    found = {f"held symbol {s}": np.full(steps, float(s)) for s in held}
    found["all in turn"] = np.arange(steps) % count
    for i in range(4):
        found[f"noise {i}"] = rng.integers(0, count, steps)
    return {name: x.astype(np.float64)[:, None] for name, x in found.items()}


def sequences(model: FloatModel, steps: int) -> dict[str, np.ndarray]:
    """The probing sequences (steps, C) of a model, in the user's unit, by name."""
    first = model.layers[0]
    if isinstance(first, Embedding):
        return symbols(first.symbols, steps)
    return in_range(model.calibration.minimum, model.calibration.maximum, steps)


def settled(model: FloatModel) -> tuple[dict[str, np.ndarray], tuple[ValueRanges, ...]]:
    """Probing sequences that are long enough for the states to settle, at most LAST_STEPS, and the cells' value ranges."""
    steps = FIRST_STEPS
    found = sequences(model, steps)
    value_ranges = value_ranges_over(model, list(found.values()))
    while steps < LAST_STEPS:
        steps = min(2 * steps, LAST_STEPS)
        found = sequences(model, steps)
        before, value_ranges = value_ranges, value_ranges_over(model, list(found.values()))
        states = [(old.state, new.state) for old, new in zip(before, value_ranges, strict=True)]
        if all((new <= GROWTH * old + SETTLED * new.max()).all() for old, new in states):
            break
    return found, value_ranges
