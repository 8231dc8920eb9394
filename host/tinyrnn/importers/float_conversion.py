"""Source and what the user says of it -> a FloatModel with its calibration."""

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
from tinyrnn.importers.source_model import Activation, Affine, Source, SourceStep

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

ASSUMED = (-4.0, 4.0)  # of normalised inputs, where neither a recording nor a range is given
WIDE = 8.0  # standard deviations: inputs that reach further are normalised anew


@dataclass(frozen=True)
class Settings:
    """What the user says of the model; None and () where nothing is said."""

    name: str = "model"
    task: str | None = None
    when: str | None = None
    labels: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()  # one for all channels or one for each, in the user's unit


def build(
    source: Source, settings: Settings, recording: Recording | None, notice: Callable[[str], None] = lambda text: None
) -> FloatModel:
    """The model, calibrated. Raises ModelError, or DataError where the recording does not fit it.

    notice: told, in one line, what was taken for granted of the range of the inputs.
    """
    parts = fold_layers(source.steps, source.inputs)
    task = settings.task or (recording.task if recording else None) or _guess(source, settings, len(parts.head.bias))
    parts = _ending(source, parts, task)
    outputs = len(parts.head.bias)
    symbols = parts.layers[0].symbols if isinstance(parts.layers[0], Embedding) else 0
    _fits(source, outputs, symbols, settings, recording)
    labels = settings.labels or (recording.labels if recording else ())
    if not labels:
        labels = tuple(f"{'class' if task == 'classification' else 'output'} {i}" for i in range(outputs))
    calibration = _calibration(parts, symbols, settings, recording, notice)
    parts = parts if symbols else _recentred(parts, calibration, recording)
    model = FloatModel(
        task=task,
        when=settings.when or (source.when if source.decided else recording.when if recording else "last"),
        mean=parts.mean,
        std=parts.std,
        layers=parts.layers,
        head=parts.head,
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


def _guess(source: Source, settings: Settings, outputs: int) -> str:
    """A softmax, names of classes or several outputs: a classification; one output, or several sigmoids: a regression."""
    if source.tail == ("sigmoid",):
        return "classification" if outputs == 1 else "regression"
    return "classification" if source.tail or settings.labels or outputs > 1 else "regression"


def _ending(source: Source, parts: FoldedLayers, task: str) -> FoldedLayers:
    """The parts with what the source's tail means for the task. Raises ModelError where the board cannot compute that.

    A classification needs no tail: the largest logit decides. Of one sigmoid it has two classes.
    """
    if task == "classification":
        return _two_classes(parts) if source.tail == ("sigmoid",) and len(parts.head.bias) == 1 else parts
    if source.tail == ("sigmoid",):
        return fold_layers((*source.steps, SourceStep("sigmoid", Activation("sigmoid"))), source.inputs)
    if source.tail:
        seen = f"the model ends in {source.tail[-1]}, which a regression would leave out"
        raise ModelError(f"{seen}; expected --task classification, or the model exported without it")
    return parts


def _two_classes(parts: FoldedLayers) -> FoldedLayers:
    """One logit z under a sigmoid as the two logits 0 and z, whose softmax is the same pair of probabilities."""
    weight = np.asarray(parts.head.weight)
    return replace(parts, head=Linear(np.concatenate([0 * weight, weight]), np.array([0.0, parts.head.bias[0]])))


def _fits(source: Source, outputs: int, symbols: int, settings: Settings, recording: Recording | None) -> None:
    """Raises where names or the recording have other counts than the model."""
    for what, names, count in (("labels", settings.labels, outputs), ("channels", settings.channels, source.inputs)):
        if names and len(names) != count:
            raise ModelError(f"--{what} gives {len(names)} names; expected {count}, as the model has")
    if recording is None:
        return
    if len(recording.channels) != source.inputs:
        raise _other_channels(source, recording)
    if not settings.labels and len(recording.labels) != outputs:
        seen = f"{len(recording.labels)} labels or targets"
        raise DataError(f"{recording.name}: has {seen}; expected {outputs}, as the model gives: name them with --labels")
    if symbols and not (recording.integer and recording.minimum[0] >= 0 and recording.maximum[0] < symbols):
        seen = f"values from {recording.minimum[0]:g} to {recording.maximum[0]:g}"
        raise DataError(f"{recording.name}: has {seen}; expected symbols, whole numbers from 0 to {symbols - 1}")


def normalised(source: Source, recording: Recording) -> Source:
    """The same network with (x - mean) / deviation of the recording's channels in front, as it was trained.

    Raises ModelError or DataError where this does not fit.
    """
    mean, std = recording.mean, recording.std
    if source.steps and isinstance(source.steps[0].what, Embedding):
        raise ModelError("--normalise does not apply to symbols; leave it out")
    if len(mean) != source.inputs:
        raise _other_channels(source, recording)
    run = source.run
    first = SourceStep("--normalise", Affine(1 / std, -mean / std))
    return replace(source, steps=(first, *source.steps), run=lambda x: run((x - mean) / std))


def _other_channels(source: Source, recording: Recording) -> DataError:
    seen = f"{len(recording.channels)} channels ({', '.join(recording.channels):.60})"
    return DataError(f"{recording.name}: has {seen}; expected {source.inputs}, as the model takes: choose with --drop")


def _calibration(
    parts: FoldedLayers, symbols: int, settings: Settings, recording: Recording | None, notice: Callable[[str], None]
) -> Calibration:
    """Of the recording; or the range that is given or assumed, with random samples in it."""
    if recording is not None:
        from tinyrnn.float_model.evaluation import calibrate

        return calibrate(recording)
    rng = np.random.default_rng(12)
    inputs = len(parts.mean)
    if symbols:
        sample = rng.integers(0, symbols, (SAMPLE_STEPS, 1)).astype(np.float64)
        return Calibration(np.zeros(1), np.full(1, symbols - 1.0), True, sample)
    low, high = _range(parts, settings, notice)
    sample = low + (high - low) * rng.random((SAMPLE_STEPS, inputs))
    return Calibration(low, high, False, sample)


def _range(parts: FoldedLayers, settings: Settings, notice: Callable[[str], None]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest value of each channel (C,).

    One range for channels of different units is far too wide for some: there the network's own normalisation tells
    more, which its training has taken from the data.
    """
    inputs = len(parts.mean)
    own_low, own_high = (parts.mean + parts.std * end for end in ASSUMED)
    if not settings.ranges:
        return own_low, own_high
    if len(settings.ranges) not in (1, inputs):
        given = f"--range gives {len(settings.ranges)} pairs"
        raise ModelError(f"{given}; expected one LOW HIGH for all {inputs} inputs, or {inputs}, one for each")
    low, high = (np.array(end, np.float64) for end in zip(*settings.ranges, strict=True))
    if len(settings.ranges) == inputs:
        return low, high
    low, high = np.full(inputs, low[0]), np.full(inputs, high[0])
    if _plain(parts):
        return low, high
    narrow_low, narrow_high = np.maximum(low, own_low), np.minimum(high, own_high)
    use = (_reach(parts, low, high) > WIDE) & (narrow_low < narrow_high)
    if use.any():
        names = settings.channels or _names(inputs, 0)
        taken = ", ".join(f"{names[c]} {narrow_low[c]:.4g} to {narrow_high[c]:.4g}" for c in np.flatnonzero(use))
        notice(
            f"one --range of {low[0]:g} to {high[0]:g} for all {inputs} inputs is more than {WIDE:g} deviations of the "
            f"network's own normalisation; 4 are taken: {taken}; give a pair for each input to choose others"
        )
    return np.where(use, narrow_low, low), np.where(use, narrow_high, high)


def _plain(parts: FoldedLayers) -> bool:
    """Whether the network has no normalisation of its own."""
    return bool(not parts.mean.any() and (parts.std == 1).all())


def _reach(parts: FoldedLayers, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """How many deviations of the network's own normalisation the values of each channel reach, (C,)."""
    far: np.ndarray = np.maximum(np.abs(low - parts.mean), np.abs(high - parts.mean)) / parts.std
    return far


def _recentred(parts: FoldedLayers, seen: Calibration, recording: Recording | None) -> FoldedLayers:
    """The same function with a normalisation that suits the inputs, where the file has none or another scale.

    The device's input format has room for some tens of standard deviations; raw sensor values may be thousands. What
    the new normalisation does is undone in the first layer: x = m + s u.
    """
    if recording is not None:
        mean, std = recording.mean, recording.std
    else:
        mean = (seen.minimum + seen.maximum) / 2
        std = np.where(seen.maximum > seen.minimum, (seen.maximum - seen.minimum) / 4, 1.0)
    far = _reach(parts, seen.minimum, seen.maximum)
    if far.max() <= WIDE and not (_plain(parts) and recording is not None):
        return parts
    first = parts.layers[0]
    if isinstance(first, LayerNorm):  # a common factor goes through it, all but its eps
        size = max(float(far.max()), 1.0)
        return replace(parts, std=parts.std * size, layers=(replace(first, eps=first.eps / size**2), *parts.layers[1:]))
    scale, shift = std / parts.std, (mean - parts.mean) / parts.std
    if isinstance(first, BatchNorm):
        # weight * (scale * u + shift - mean) / sd + bias
        own, offset = first.affine()
        count = len(own)
        moved = BatchNorm(own * scale, offset + own * shift, np.zeros(count), np.ones(count), 0.0)
        return FoldedLayers(mean, std, (moved, *parts.layers[1:]), parts.head)
    return FoldedLayers(mean, std, (first.with_input(scale, shift), *parts.layers[1:]), parts.head)
