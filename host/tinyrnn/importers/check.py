"""Source and imported float model on the same sequences: the largest difference, or a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.floatlayers import Embedding
from tinyrnn.floatmodel import FloatModel
from tinyrnn.importers.source import Source

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

LIMIT = 1e-5
TIMES = (1, 7, 40)  # steps of the random sequences where the file does not fix them
MOST = 24  # sequences of the recording
LONGEST = 150  # steps of each


def compare(source: Source, model: FloatModel, recording: Recording | None = None) -> tuple[float, int]:
    """(largest difference, sequences compared). Raises ModelError above LIMIT, or when an output is no number.

    Difference: |source - model| of every output that the source gives, divided by the largest of them where that
    is above 1, since most frameworks compute in float32.
    """
    largest = 0.0
    count = 0
    for x in sequences(source, model, recording):
        want = np.asarray(source.run(x), np.float64)
        got = tailed(source, model.forward(x))
        got = got[:, -1] if source.when == "last" else got
        if want.shape != got.shape:
            raise ModelError(
                f"{source.framework} gives shape {want.shape}, the imported model {got.shape}; nothing is written"
            )
        error = np.abs(want - got) / max(1.0, float(np.abs(want).max()))
        if "argmax" in source.tail:
            error = _decisions(source, model, x, want)
        if not np.isfinite(error).all():
            raise ModelError(f"{source.framework} or the imported model gives no finite number; expected outputs to compare")
        largest = max(largest, float(error.max()))
        count += len(x)
    if largest > LIMIT:
        raise ModelError(
            f"the imported model differs from {source.framework} by {largest:.3g} on {count} sequences; "
            f"expected at most {LIMIT:g}, nothing is written: tell the authors which layers the model has"
        )
    return largest, count


def tailed(source: Source, y: np.ndarray) -> np.ndarray:
    """The model's outputs (..., O) behind the source's softmax, argmax or sigmoid."""
    for kind in source.tail:
        if kind in ("softmax", "log_softmax"):
            shifted = y - y.max(axis=-1, keepdims=True)
            log = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
            y = np.exp(log) if kind == "softmax" else log
        elif kind == "sigmoid":  # of two logits, see finish.py
            y = 0.5 * (1 + np.tanh(0.5 * (y[..., 1:] - y[..., :1])))
        else:
            y = y.argmax(axis=-1)[..., None].astype(np.float64)
    return y


def _decisions(source: Source, model: FloatModel, x: np.ndarray, want: np.ndarray) -> np.ndarray:
    """How much smaller the logit of the source's class is than the largest: 0 where both decide alike."""
    logits = model.forward(x)
    logits = logits[:, -1] if source.when == "last" else logits
    chosen = np.clip(want, 0, logits.shape[-1] - 1).astype(np.int64)
    gap: np.ndarray = logits.max(axis=-1, keepdims=True) - np.take_along_axis(logits, chosen, axis=-1)
    return gap


def sequences(source: Source, model: FloatModel, recording: Recording | None) -> Iterator[np.ndarray]:
    """Batches (B, T, C) in the user's unit, exact in float32: random ones, then those of the recording."""
    rng = np.random.default_rng(20)
    first = model.layers[0]
    seen = model.calibration
    for time in TIMES if source.time is None else (source.time,) * 3:
        shape = (source.batch or 3, time, source.inputs)
        if isinstance(first, Embedding):
            yield rng.integers(source.first_symbol, first.symbols, shape).astype(np.float64)
        else:
            middle, reach = (seen.minimum + seen.maximum) / 2, (seen.maximum - seen.minimum) / 2
            yield (middle + np.maximum(reach, 1e-3) * rng.uniform(-1, 1, shape)).astype(np.float32).astype(np.float64)
    if recording is None:
        return
    for x in recording.train.x[:MOST]:
        piece = x[: source.time or LONGEST]
        if source.time and len(piece) < source.time:  # both run on over the same last sample
            piece = np.concatenate([piece, np.repeat(piece[-1:], source.time - len(piece), axis=0)])
        yield np.repeat(piece.astype(np.float32).astype(np.float64)[None], source.batch or 1, axis=0)
