# SPDX-License-Identifier: MIT
"""Compares the file, run by its own framework, with the imported float model on the same sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Embedding
from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers.source_model import Activation, Affine, Dense, SourceModel, SourceStep
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording

LIMIT = 1e-5  # largest difference that is accepted
TIMES = (1, 7, 40)  # steps of the random sequences, if the file does not fix them
MOST = 24  # sequences from the recording
LONGEST = 150  # steps of each of these
STREAM = 120  # least steps of a stream
HELD = 400  # steps of a stream with held inputs, in which even a slow state settles
STREAM_LIMIT = 1e-4  # limit for streams: over so many steps, float32 drifts further
ROUNDING = 2.0**-23  # of float32
SENSITIVE = 8.0  # the model may differ by this many times the effect of rounding the inputs in the file itself
MOST_ROUNDED = 1e-2  # a comparison with a larger limit would mean nothing
EXACT = ("PyTorch",)  # frameworks that compute in float64 here


def compare(source: SourceModel, model: FloatModel, recording: Recording | None = None) -> tuple[float, int]:
    """(largest difference, number of sequences). Raises ModelError above LIMIT, or if an output is not finite.

    The difference is |source - model| of any output, divided by the largest output if that is above 1, because most
    frameworks compute in float32. A file with its states as inputs is also run as a stream: its states are fed back, and
    the result is compared with one uninterrupted run of the model.
    """
    largest = 0.0
    count = 0
    wrong: dict[float, np.ndarray] = {}
    for x in sequences(source, model, recording):
        error = _difference(source, model, x, np.asarray(source.run(x), np.float64))
        largest = max(largest, error)
        count += len(x)
        if error > LIMIT and not _rounded(source, model, source.run, x, error):
            wrong[error] = x
    if wrong:
        raise ModelError(
            f"the imported model differs from {source.framework} by {max(wrong):.3g} on {counted(count, 'sequence')}; "
            f"expected at most {LIMIT:g}, nothing is written: {_where(source, wrong[max(wrong)])}"
        )
    if source.stream is not None:
        _compare_stream(source, model)
    return largest, count


def _difference(source: SourceModel, model: FloatModel, x: np.ndarray, want: np.ndarray) -> float:
    """The largest difference between want (B, T, O) or (B, O), from the file, and the model on x (B, T, C)."""
    logits = model.forward(x)
    if source.when == "last" and want.ndim == 2:
        logits = logits[:, -1]
    elif want.ndim == 3 and 0 < want.shape[1] < logits.shape[1]:  # one answer at the end of each piece
        piece = logits.shape[1] // want.shape[1]
        logits = logits[:, piece - 1 :: piece][:, : want.shape[1]]
    got = tailed(source, model, logits)
    if want.shape != got.shape:
        raise ModelError(f"{source.framework} gives shape {want.shape}, the imported model {got.shape}; nothing is written")
    if not np.isfinite(want).all() or not np.isfinite(got).all():
        raise ModelError(f"{source.framework} or the imported model gives NaN or infinity; expected finite outputs")
    error = np.abs(want - got) / max(1.0, float(np.abs(want).max()))
    return float((_gap(logits, want) if "argmax" in source.tail else error).max())


def _compare_stream(source: SourceModel, model: FloatModel) -> None:
    """Compare the file, fed with its own states, with an uninterrupted run of the model. Raises ModelError."""
    assert source.stream is not None
    names = ("held inputs", "a ramp", "noise")
    for name, x in zip(names, _streams(source, model), strict=True):
        want = np.asarray(source.stream(x), np.float64)
        error = _difference(source, model, x, want)
        if error <= STREAM_LIMIT:
            continue
        if not _rounded(source, model, source.stream, x, error):
            raise ModelError(
                f"fed with its own states, the file differs by {error:.3g} on {x.shape[1]} steps of {name} from an "
                "uninterrupted run of the network: a state is returned changed, late or in the place of another; "
                "return each state as its layer gives it, in the order of the inputs, and train the network that way"
            )


def _rounded(
    source: SourceModel, model: FloatModel, run: Callable[[np.ndarray], np.ndarray], x: np.ndarray, error: float
) -> bool:
    """Whether float32 rounding explains a difference: the file's outputs move as much with the last bit of the inputs."""
    if source.framework in EXACT or isinstance(model.layers[0], Embedding) or "argmax" in source.tail:
        return False
    want, near = (np.asarray(run(value), np.float64) for value in (x, x * (1 + ROUNDING)))
    moved = float(np.abs(near - want).max()) / max(1.0, float(np.abs(want).max()))
    return error <= min(SENSITIVE * moved, MOST_ROUNDED)


def _where(source: SourceModel, x: np.ndarray) -> str:
    """The first layer after which the file and the imported layers differ, and a cure."""
    cure = "save the same network in another format (.pt2, .onnx, .keras), and report this file as an error of tinyrnn"
    if source.probe is None:
        return cure
    for count, seen in source.probe(x):
        own = _after(source.steps[:count], x)
        own = own[:, -1] if seen.ndim == 2 else own
        if own.shape != seen.shape or np.abs(own - seen).max() > LIMIT * max(1.0, float(np.abs(seen).max())):
            return f"they differ from {source.steps[count - 1].name} on; {cure}"
    return cure


def _after(steps: Sequence[SourceStep], x: np.ndarray) -> np.ndarray:
    """x (B, T, C) after some steps of a source."""
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "relu": lambda a: np.maximum(a, 0),
        "tanh": np.tanh,
        "sigmoid": lambda a: 0.5 * (1 + np.tanh(0.5 * a)),
    }
    for step in steps:
        what = step.what
        if isinstance(what, Dense):
            x = x @ what.weight.T + what.bias
        elif isinstance(what, Affine):
            x = x * what.scale + what.shift
        elif isinstance(what, Activation):
            x = functions[what.kind](x)
        else:
            x = what.run(x)
    return x


def _streams(source: SourceModel, model: FloatModel) -> Iterator[np.ndarray]:
    """Held inputs, a ramp and noise, (B, T, C) within the range of the inputs, exact in float32."""
    rng = np.random.default_rng(21)
    first, seen = model.layers[0], model.calibration
    piece, batch = source.time or 1, source.batch or 2
    held, short = (-(-steps // piece) * piece for steps in (HELD, STREAM))
    corner = (rng.random((batch, 1, source.inputs)) < 0.5).astype(np.float64)
    ramp = np.linspace(0, 1, short)[None, :, None]
    for at in (np.repeat(corner, held, axis=1), np.abs(corner - ramp), rng.random((batch, short, source.inputs))):
        if isinstance(first, Embedding):
            lowest = source.first_symbol
            yield np.floor(lowest + at * (first.symbols - lowest - 1) + 0.5)
        else:
            low, span = seen.minimum, np.maximum(seen.maximum - seen.minimum, 1e-3)
            yield (low + at * span).astype(np.float32).astype(np.float64)


def tailed(source: SourceModel, model: FloatModel, y: np.ndarray) -> np.ndarray:
    """The model's outputs (..., O) after the source's softmax, argmax or sigmoid."""
    for kind in source.tail:
        if kind in ("softmax", "log_softmax"):
            shifted = y - y.max(axis=-1, keepdims=True)
            log = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
            y = np.exp(log) if kind == "softmax" else log
        elif kind == "sigmoid" and model.task == "classification":  # one became two logits, see float_conversion.py
            z = y[..., 1:] - y[..., :1] if source.outputs == 1 else y
            y = 0.5 * (1 + np.tanh(0.5 * z))
        elif kind == "argmax":
            y = y.argmax(axis=-1)[..., None].astype(np.float64)
    return y


def _gap(logits: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The largest logit less that of the source's class: 0 if both make the same decision."""
    chosen = np.clip(want, 0, logits.shape[-1] - 1).astype(np.int64)
    gap: np.ndarray = logits.max(axis=-1, keepdims=True) - np.take_along_axis(logits, chosen, axis=-1)
    return gap


def sequences(source: SourceModel, model: FloatModel, recording: Recording | None) -> Iterator[np.ndarray]:
    """Batches (B, T, C) in the user's unit, exact in float32: random sequences, then those of the recording."""
    rng = np.random.default_rng(20)
    first = model.layers[0]
    seen = model.calibration
    for time in TIMES if source.time is None else (source.time,) * 3:
        shape = (source.batch or 3, time, source.inputs)
        if isinstance(first, Embedding):
            yield rng.integers(source.first_symbol, first.symbols, shape).astype(np.float64)
        else:
            middle, half = (seen.minimum + seen.maximum) / 2, (seen.maximum - seen.minimum) / 2
            yield (middle + np.maximum(half, 1e-3) * rng.uniform(-1, 1, shape)).astype(np.float32).astype(np.float64)
    if recording is None:
        return
    for x in recording.train.x[:MOST]:
        piece = x[: source.time or LONGEST]
        if source.time and len(piece) < source.time:  # pad with the last sample
            piece = np.concatenate([piece, np.repeat(piece[-1:], source.time - len(piece), axis=0)])
        yield np.repeat(piece.astype(np.float32).astype(np.float64)[None], source.batch or 1, axis=0)
