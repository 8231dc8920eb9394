# SPDX-License-Identifier: MIT
"""The float model, which trainer and importers produce and the quantizer reads. Arrays are numpy in PyTorch's layout.

The file ``model.pt`` holds it as a dictionary of tensors, see model_file.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyrnn.data import TASKS, WHEN
from tinyrnn.data.recording import LONGEST_NAME, SMALLEST
from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.layers import BatchNorm, Embedding, Layer, Linear, Skip, apply, check_array, rows

MOST_SAMPLES = 4096  # steps of Calibration.sample; the trainer keeps 12
WINDOW_MAX = 0xFFFF  # the largest that fits in a .urnn file


@dataclass(frozen=True)
class FloatHead:
    """One of several heads: a name for some consecutive outputs of the model."""

    name: str
    outputs: int
    task: str  # "classification" or "regression"


@dataclass(frozen=True)
class ValueRanges:
    """The largest magnitudes of one recurrent layer's values over some sequences. They stand in for unknown bounds."""

    state: np.ndarray  # (S,) LSTM: h, then c
    ih: np.ndarray  # (R,) W x, before normalisation and bias
    hh: np.ndarray  # (R,) U h, likewise


@dataclass(frozen=True)
class Calibration:
    """What the quantizer must know about the training recording, in the user's unit."""

    minimum: np.ndarray  # (C,) smallest value of each channel
    maximum: np.ndarray  # (C,) largest value
    integer: bool  # every value is a whole number: the sensor's own integers
    sample: np.ndarray  # (T, C) a short piece of the recording, for the vectors of selftest()
    # FloatModel.value_ranges() of each recurrent cell, in order; () if they were not measured
    value_ranges: tuple[ValueRanges, ...] = ()
    sequences: tuple[np.ndarray, ...] = ()  # (T, C) of the test recording, on which the integer error is measured


@dataclass(frozen=True)
class FloatModel:
    """Normalisation, layers and dense head: everything needed to run the network and to quantize it.

    ``heads`` divides the rows of ``head``, and with them the labels and targets, among several named heads. Without it,
    all outputs are one head.
    """

    task: str  # "classification" or "regression"; that of the first head if there are several
    when: str  # the steps whose output counts: "last" of a sequence, or "every"
    mean: np.ndarray  # (C,) of each input channel, in the user's unit; 0 if an embedding follows
    std: np.ndarray  # (C,) > 0; 1 if an embedding follows
    layers: tuple[Layer, ...]
    head: Linear
    labels: tuple[str, ...]  # class names; names of the targets for a regression
    channels: tuple[str, ...]  # names of the input channels
    target_mean: np.ndarray  # (O,) zeros for a classification
    target_std: np.ndarray  # (O,) ones for a classification
    calibration: Calibration
    name: str = "model"
    info: dict[str, Any] = field(default_factory=dict)  # its origin: data set, seed, accuracy, ...
    heads: tuple[FloatHead, ...] = ()
    window: int = 0  # steps of the longest training sequence, at most 65535; 0: not known, or a stream

    def __post_init__(self) -> None:
        if self.task not in TASKS or self.when not in WHEN:
            raise ModelError(f"model has task {self.task!r} and when {self.when!r}; expected one of {TASKS} and {WHEN}")
        if type(self.window) is not int or not 0 <= self.window <= WINDOW_MAX:
            raise ModelError(f"model has the window {self.window!r:.40}; expected a number of steps, 0 to {WINDOW_MAX}")
        if not self.cells:
            raise ModelError("model has no recurrent layer; expected at least one")
        check_array("mean", self.mean, (None,))
        width = len(self.mean)
        check_array("std", self.std, (width,))
        if not (self.std > 0).all():
            raise ModelError("model has a channel whose standard deviation is not positive; expected > 0")
        if (self.std < SMALLEST).any():
            c = int(self.std.argmin())
            raise ModelError(
                f"model's channel {c} has a standard deviation of {self.std[c]:.3g}; expected {SMALLEST:g} or more: record "
                "it in a smaller unit"
            )
        if len(self.channels) != width:
            raise ModelError(f"model has {len(self.channels)} channel names; expected {width}, the inputs of its mean")
        for number, layer in enumerate(self.layers):
            where = f"layer {number} {layer.kind}"
            layer.check(where)
            if layer.inputs != width:
                raise ModelError(f"model's {where} takes {layer.inputs} inputs; expected {width}, the width before it")
            if isinstance(layer, Embedding) and (number or self.mean[0] != 0 or self.std[0] != 1):
                raise ModelError(f"model's {where} is not first, or its symbol is normalised; expected mean 0 and std 1")
            if isinstance(layer, Skip):
                self._check_skip(number, layer)
            width = layer.units
        outputs = len(self.labels)
        check_array("head weight", self.head.weight, (outputs, width))
        for what, array in (("head bias", self.head.bias), *((w, getattr(self, w)) for w in ("target_mean", "target_std"))):
            check_array(what, array, (outputs,))
        for name in (self.name, *self.channels, *self.labels, *(head.name for head in self.heads)):
            _check_name(name)
        self._check_heads(outputs)
        self._check_calibration(len(self.mean))

    def _check_skip(self, number: int, layer: Skip) -> None:
        if number != len(self.layers) - 1 or isinstance(self.layers[0], Embedding):
            raise ModelError(
                f"model's layer {number} skip is not last, or the input is a symbol; expected it before the head"
            )
        if layer.channels.max() >= len(self.mean):
            raise ModelError(
                f"model's layer {number} skip reads channel {layer.channels.max():g}; expected 0 to {len(self.mean) - 1}"
            )

    def _check_heads(self, outputs: int) -> None:
        names = [head.name for head in self.heads]
        if len(set(names)) < len(names) or any(head.task not in TASKS or head.outputs < 1 for head in self.heads):
            raise ModelError(f"model has the heads {list(self.heads)}; expected different names, outputs and one of {TASKS}")
        total = sum(head.outputs for head in self.heads)
        if self.heads and (total != outputs or self.heads[0].task != self.task):
            raise ModelError(f"model's heads have {total} outputs; expected {outputs} as labels, the first for {self.task}")

    def _check_calibration(self, inputs: int) -> None:
        seen = self.calibration
        check_array("calibration minimum", seen.minimum, (inputs,))
        check_array("calibration maximum", seen.maximum, (inputs,))
        check_array("calibration sample", seen.sample, (None, inputs))
        if len(seen.sample) > MOST_SAMPLES:
            raise ModelError(
                f"model's calibration sample has {len(seen.sample)} steps; expected at most {MOST_SAMPLES}, because each "
                "board replays them in its self-test: keep the first few"
            )
        for sequence in seen.sequences:
            check_array("calibration sequence", sequence, (None, inputs))
        if seen.value_ranges and len(seen.value_ranges) != len(self.cells):
            raise ModelError(f"model's calibration has {len(seen.value_ranges)} layers; expected {len(self.cells)}")
        for number, (cell, value_ranges) in enumerate(zip(self.cells, seen.value_ranges, strict=bool(seen.value_ranges))):
            count = int(cell.weight_ih.shape[0])
            for what, length in (("state", cell.state_size), ("ih", count), ("hh", count)):
                check_array(f"calibration of cell {number} {what}", getattr(value_ranges, what), (length,))

    @property
    def cells(self) -> tuple[FloatCell, ...]:
        """The recurrent layers, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, FloatCell))

    def each_head(self) -> tuple[tuple[FloatHead, slice, Linear], ...]:
        """Every head with its span of outputs and its matrix. A model without named heads has one called "output"."""
        found = []
        start = 0
        for head in self.heads or (FloatHead("output", len(self.labels), self.task),):
            span = slice(start, start + head.outputs)
            found.append((head, span, Linear(rows(self.head.weight, span), self.head.bias[span])))
            start = span.stop
        return tuple(found)

    def forward(self, x: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
        """Run a batch of sequences from the zero state.

        x: (B, T, C) in the user's unit, padded. lengths: (B,) the number of valid steps, by default all T.
        Returns (B, T, O): logits, or targets in the user's unit. Outputs beyond a sequence's length are meaningless. The
        network is causal, so padding does not change earlier outputs.
        """
        y = sample = (np.asarray(x, np.float64) - self.mean) / self.std
        for layer in self.layers:
            y = apply(layer, y, sample)
        return self.head.apply(y) * self.target_std + self.target_mean

    def value_ranges(self, x: np.ndarray, lengths: np.ndarray | None = None) -> tuple[ValueRanges, ...]:
        """The largest magnitudes of each recurrent cell's values over a batch of sequences. Arguments as in forward()."""
        y = sample = (np.asarray(x, np.float64) - self.mean) / self.std
        real = np.arange(y.shape[1]) < (np.full(len(y), y.shape[1]) if lengths is None else np.asarray(lengths))[:, None]
        found = []
        for layer in self.layers:
            if not isinstance(layer, FloatCell):
                y = apply(layer, y, sample)
                continue
            states = layer.states(y)
            before = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
            # one long batch of single steps, without padding
            ih, hh = layer.products(y[real], before[real])
            found.append(ValueRanges(*(np.abs(values).max(axis=0) for values in (states[real], ih, hh))))
            y = states[..., : layer.units]
        return tuple(found)

    def folded(self) -> FloatModel:
        """The same function without BatchNorm layers: each is folded into the next layer or the head.

        After an embedding it is folded into the table. The result is exact up to the rounding of float64. Raises
        ModelError if the next layer normalises its input, because it cannot absorb an offset. calibration.value_ranges
        does not change, so its ``ih`` still includes the offset of W x that became part of the bias.
        """
        layers: list[Layer] = []
        pending: tuple[np.ndarray, np.ndarray] | None = None
        for layer in self.layers:
            if pending is not None and isinstance(layer, BatchNorm):
                scale, shift = layer.affine()
                pending = scale * pending[0], scale * pending[1] + shift
            elif isinstance(layer, BatchNorm) and layers and isinstance(layers[-1], Embedding):
                scale, shift = layer.affine()
                layers[-1] = Embedding(layers[-1].weight * scale + shift)
            elif isinstance(layer, BatchNorm):
                pending = layer.affine()
            elif isinstance(layer, Skip):  # the head absorbs the map, which leaves the sample as it is
                layers.append(layer)
                if pending is not None:
                    more = np.ones(len(layer.channels))
                    pending = np.append(pending[0], more), np.append(pending[1], 0 * more)
            else:
                layers.append(layer if pending is None else layer.with_input(*pending))
                pending = None
        head = self.head if pending is None else self.head.with_input(*pending)
        return replace(self, layers=tuple(layers), head=head)


def _check_name(name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise ModelError(f"model has a name of {len(name)} characters ({name[:20]!r}...); expected at most {LONGEST_NAME}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ModelError(f"model has the name {name!r}, which is not valid text; expected UTF-8: rename it") from None
