# SPDX-License-Identifier: MIT
"""Conversion of a SourceModel, with the user's settings, to a FloatModel with its calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.errors import DataError, ModelError
from tinyrnn.float_model.evaluation import SAMPLE_STEPS
from tinyrnn.float_model.layers import BatchNorm, Embedding, LayerNorm, Linear
from tinyrnn.float_model.model import Calibration, FloatModel
from tinyrnn.importers.layer_folding import FoldedLayers, fold_layers
from tinyrnn.importers.source_model import Activation, Affine, SourceModel, SourceStep
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

ASSUMED = (-4.0, 4.0)  # range of normalised inputs, if neither a recording nor a range is given
WIDE = 8.0  # standard deviations: inputs beyond this get a new normalisation


@dataclass(frozen=True)
class Settings:
    """What the user says about the model; None and () if not given."""

    name: str = "model"
    task: str | None = None
    when: str | None = None
    labels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()  # one for all channels, or one for each, in the user's unit


def build(
    source: SourceModel, settings: Settings, recording: Recording | None, notice: Callable[[str], None] = lambda text: None
) -> FloatModel:
    """The FloatModel with its calibration. Raises ModelError, or DataError if the recording does not match it.

    notice: called with a line about assumed ranges of the inputs.
    """
    folded = fold_layers(source.steps, source.inputs)
    task = settings.task or (recording.task if recording else None) or _guess(source, settings, len(folded.head.bias))
    folded = _ending(source, folded, task)
    outputs = len(folded.head.bias)
    symbols = folded.layers[0].symbols if isinstance(folded.layers[0], Embedding) else 0
    _fits(source, outputs, symbols, settings, recording)
    labels = settings.labels or (recording.labels if recording else ())
    if not labels:
        labels = tuple(f"{'class' if task == 'classification' else 'output'} {i}" for i in range(outputs))
    calibration = _calibration(folded, symbols, settings, recording, notice)
    folded = folded if symbols else _recentred(folded, calibration, recording)
    model = FloatModel(
        task=task,
        when=settings.when or (source.when if source.decided else recording.when if recording else "last"),
        mean=folded.mean,
        std=folded.std,
        layers=folded.layers,
        head=folded.head,
        labels=labels,
        channels=settings.channels or (recording.channels if recording else _names(source.inputs, symbols)),
        target_mean=np.zeros(outputs),
        target_std=np.ones(outputs),
        calibration=calibration,
        name=settings.name,
    )
    if recording is None:  # the quantizer probes the range itself
        return model
    from tinyrnn.float_model.evaluation import measure_value_ranges

    return replace(model, calibration=replace(calibration, value_ranges=measure_value_ranges(model, recording.train)))


def _names(inputs: int, symbols: int) -> tuple[str, ...]:
    return ("symbol",) if symbols else tuple(f"input {i}" for i in range(inputs))


def _guess(source: SourceModel, settings: Settings, outputs: int) -> str:
    """Softmax, labels or several outputs mean a classification; one output, or several sigmoids, mean a regression."""
    if source.tail == ("sigmoid",):
        return "classification" if outputs == 1 else "regression"
    return "classification" if source.tail or settings.labels or outputs > 1 else "regression"


def _ending(source: SourceModel, folded: FoldedLayers, task: str) -> FoldedLayers:
    """Add what the tail means for the task. Raises ModelError if the board cannot compute it.

    A classification needs no tail, because the largest logit decides. With a single sigmoid it has two classes.
    """
    if task == "classification":
        return _two_classes(folded) if source.tail == ("sigmoid",) and len(folded.head.bias) == 1 else folded
    if source.tail == ("sigmoid",):
        return fold_layers((*source.steps, SourceStep("sigmoid", Activation("sigmoid"))), source.inputs)
    if source.tail:
        seen = f"the model ends in {source.tail[-1]}, which a regression cannot have"
        raise ModelError(f"{seen}; expected --task classification, or the model exported without it")
    return folded


def _two_classes(folded: FoldedLayers) -> FoldedLayers:
    """Replace a logit z with a sigmoid by two logits, 0 and z, whose softmax gives the same two probabilities."""
    weight = np.asarray(folded.head.weight)
    return replace(folded, head=Linear(np.concatenate([0 * weight, weight]), np.array([0.0, folded.head.bias[0]])))


def _fits(source: SourceModel, outputs: int, symbols: int, settings: Settings, recording: Recording | None) -> None:
    """Raise ModelError or DataError if the counts of names or of the recording's channels differ from the model's."""
    for what, names, count in (("labels", settings.labels, outputs), ("channels", settings.channels, source.inputs)):
        if names and len(names) != count:
            raise ModelError(f"--{what} gives {len(names)} names; expected {count}, as in the model")
    if recording is None:
        return
    if len(recording.channels) != source.inputs:
        raise _other_channels(source, recording)
    if not settings.labels and len(recording.labels) != outputs:
        seen = f"{len(recording.labels)} labels or targets"
        raise DataError(f"{recording.name}: has {seen}; expected {outputs}, as in the model: name them with --labels")
    if symbols and not (recording.integer and recording.minimum[0] >= 0 and recording.maximum[0] < symbols):
        seen = f"values from {recording.minimum[0]:g} to {recording.maximum[0]:g}"
        raise DataError(f"{recording.name}: has {seen}; expected symbols, whole numbers from 0 to {symbols - 1}")


def normalised(source: SourceModel, recording: Recording) -> SourceModel:
    """The network with (x - mean) / standard deviation of the recording's channels in front, as in its training.

    Raises ModelError or DataError if this does not match the network's inputs.
    """
    mean, std = recording.mean, recording.std
    if source.steps and isinstance(source.steps[0].what, Embedding):
        raise ModelError("--normalise does not apply to symbols; expected the command without it")
    if len(mean) != source.inputs:
        raise _other_channels(source, recording)
    run = source.run
    first = SourceStep("--normalise", Affine(1 / std, -mean / std))
    return replace(source, steps=(first, *source.steps), run=lambda x: run((x - mean) / std))


def _other_channels(source: SourceModel, recording: Recording) -> DataError:
    seen = f"{counted(len(recording.channels), 'channel')} ({', '.join(recording.channels):.60})"
    return DataError(f"{recording.name}: has {seen}; expected {source.inputs}, as in the model: choose with --drop")


def _calibration(
    folded: FoldedLayers, symbols: int, settings: Settings, recording: Recording | None, notice: Callable[[str], None]
) -> Calibration:
    """The calibration from the recording, or from the given or assumed range, with random samples in it."""
    if recording is not None:
        from tinyrnn.float_model.evaluation import calibrate

        return calibrate(recording)
    rng = np.random.default_rng(12)
    inputs = len(folded.mean)
    if symbols:
        sample = rng.integers(0, symbols, (SAMPLE_STEPS, 1)).astype(np.float64)
        return Calibration(np.zeros(1), np.full(1, symbols - 1.0), True, sample)
    low, high = _range(folded, settings, notice)
    sample = low + (high - low) * rng.random((SAMPLE_STEPS, inputs))
    return Calibration(low, high, False, sample)


def _range(folded: FoldedLayers, settings: Settings, notice: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each channel (C,).

    A common range for channels of different units is far too wide for some of them. For these, the network's own
    normalisation, which comes from its training data, gives a better range.
    """
    inputs = len(folded.mean)
    own_low, own_high = (folded.mean + folded.std * end for end in ASSUMED)
    if not settings.ranges:
        return own_low, own_high
    if len(settings.ranges) not in (1, inputs):
        given = f"--range gives {len(settings.ranges)} pairs"
        raise ModelError(f"{given}; expected one LOW HIGH for all {inputs} inputs, or {inputs}, one for each")
    low, high = (np.array(end, np.float64) for end in zip(*settings.ranges, strict=True))
    if len(settings.ranges) == inputs:
        return low, high
    low, high = np.full(inputs, low[0]), np.full(inputs, high[0])
    if _plain(folded):
        return low, high
    narrow_low, narrow_high = np.maximum(low, own_low), np.minimum(high, own_high)
    use = (_deviations(folded, low, high) > WIDE) & (narrow_low < narrow_high)
    if use.any():
        names = settings.channels or _names(inputs, 0)
        taken = ", ".join(f"{names[c]} {narrow_low[c]:.4g} to {narrow_high[c]:.4g}" for c in np.flatnonzero(use))
        notice(
            f"one --range of {low[0]:g} to {high[0]:g} for all {inputs} inputs is more than {WIDE:g} standard deviations of "
            f"the network's own normalisation; 4 are used: {taken}; give a pair for each input to choose others"
        )
    return np.where(use, narrow_low, low), np.where(use, narrow_high, high)


def _plain(folded: FoldedLayers) -> bool:
    """Whether the network has no normalisation."""
    return bool(not folded.mean.any() and (folded.std == 1).all())


def _deviations(folded: FoldedLayers, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The distance of each channel's range from its mean, in standard deviations of the network's normalisation, (C,)."""
    far: np.ndarray = np.maximum(np.abs(low - folded.mean), np.abs(high - folded.mean)) / folded.std
    return far


def _recentred(folded: FoldedLayers, seen: Calibration, recording: Recording | None) -> FoldedLayers:
    """The same function with a normalisation that suits the inputs, if the file has none or one of another scale.

    The device's input format has room for some tens of standard deviations, but raw sensor values may be thousands. The
    first layer undoes the new normalisation: x = m + s u.
    """
    if recording is not None:
        mean, std = recording.mean, recording.std
    else:
        mean = (seen.minimum + seen.maximum) / 2
        std = np.where(seen.maximum > seen.minimum, (seen.maximum - seen.minimum) / 4, 1.0)
    far = _deviations(folded, seen.minimum, seen.maximum)
    if far.max() <= WIDE and not (_plain(folded) and recording is not None):
        return folded
    first = folded.layers[0]
    if isinstance(first, LayerNorm):  # a common factor changes nothing but the effect of its eps
        size = max(float(far.max()), 1.0)
        return replace(folded, std=folded.std * size, layers=(replace(first, eps=first.eps / size**2), *folded.layers[1:]))
    scale, shift = std / folded.std, (mean - folded.mean) / folded.std
    if isinstance(first, BatchNorm):
        # weight * (scale * u + shift - mean) / sd + bias
        own, offset = first.affine()
        count = len(own)
        moved = BatchNorm(own * scale, offset + own * shift, np.zeros(count), np.ones(count), 0.0)
        return FoldedLayers(mean, std, (moved, *folded.layers[1:]), folded.head)
    return FoldedLayers(mean, std, (first.with_input(scale, shift), *folded.layers[1:]), folded.head)
