# SPDX-License-Identifier: MIT
"""The integer error: the difference between an integer network and its float model, and the layer that causes most of it.

A bit-exact test shows that all runtimes compute the same integers. This module shows whether they are good ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyrnn.float_model import probing
from tinyrnn.float_model.evaluation import counting, groups
from tinyrnn.float_model.layers import apply
from tinyrnn.float_model.model import FloatModel, ValueRanges
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator

TIE = 0.02  # on probing sequences, classes whose logits differ by less than this share of the range count as a tie

# Limits, chosen from measurements: docs/numerics.md, "Accuracy of the integer model"
WARN_SHARE = 0.02  # largest difference of a regression's target, as share of its range
WARN_LOGIT_SHARE = 0.05  # largest difference of a logit, likewise
WARN_DECISIONS = 0.01  # share of decisions that differ
REFUSE_MEAN_SHARE = 0.1  # mean difference, as share of the range
REFUSE_DECISIONS = 0.2  # share of decisions that differ
FEWEST = 20  # with fewer outputs, their range means little and nothing is refused
RECORDING = "the recording"  # the source of sequences from the user
BETTER = 0.5  # above this share of the limits for a warning, the quantizer searches for a better network


@dataclass(frozen=True)
class Evidence:
    """The sequences to measure on."""

    sequences: Mapping[str, np.ndarray]  # (T, C) in the user's unit, by a descriptive name
    source: str  # their origin, in words
    probing: bool  # made by probing.py: every step counts

    @staticmethod
    def of(model: FloatModel) -> tuple[Evidence, tuple[ValueRanges, ...]]:
        """The sequences of the recording that the model holds, or probing sequences; and the cells' value ranges."""
        seen = model.calibration
        if seen.sequences:
            numbered = {f"sequence {i}": x for i, x in enumerate(seen.sequences)}
            return Evidence(numbered, RECORDING, False), seen.value_ranges
        if seen.value_ranges:  # calibrated on a recording, of which the model holds only the sample
            return Evidence(
                {"the file's sample": seen.sample}, "the file's sample of the recording", True
            ), seen.value_ranges
        sequences, value_ranges = probing.settled(model)
        return Evidence(sequences, "probing sequences", True), value_ranges


@dataclass(frozen=True)
class IntegerError:
    """The integer network compared with its float model on the same sequences, over the outputs that count.

    Differences are in the output's unit: logits, or the unit of a target. Shares are relative to the range of the float
    outputs. Each target has its own range; all logits of a head have a common one.
    """

    source: str  # origin of the sequences, in words
    sequences: int  # number of sequences
    outputs: int  # number of output vectors that were compared
    largest: float  # largest difference, of the output with the largest share
    mean: float  # mean difference, of the output with the largest mean share
    largest_share: float  # largest difference as share of the range: 0.01 is 1 %
    mean_share: float  # mean difference, likewise
    equal_share: float | None  # share of equal decisions; None for a regression
    wrong_share: float  # share of decisions that differ; on probing sequences without ties (TIE)
    largest_of: str  # name of the output with the largest share
    worst: str  # name of the sequence with the largest share

    def above(self, factor: float = 1.0) -> bool:
        """Whether a difference is above the limits for a warning, multiplied by factor."""
        share = WARN_SHARE if self.equal_share is None else WARN_LOGIT_SHARE
        return self.largest_share > factor * share or self.wrong_share > factor * WARN_DECISIONS

    @property
    def far(self) -> bool:
        """Whether the network is so far from its float model that it is refused."""
        far = self.mean_share > REFUSE_MEAN_SHARE or self.wrong_share > REFUSE_DECISIONS
        return far and self.outputs >= FEWEST

    @property
    def amount(self) -> float:
        """A single number by which networks are compared."""
        return self.mean_share + 0.05 * self.largest_share + self.wrong_share

    def __str__(self) -> str:
        text = (
            f"integers against float on {self.source}: largest difference {self.largest:.3g} "
            f"({_percent(self.largest_share)} of the range of {self.largest_of}), mean {self.mean:.2g} "
            f"({_percent(self.mean_share)})"
        )
        if self.equal_share is None:
            return text
        text += f", equal decisions {_percent(self.equal_share)}"
        if self.equal_share == 1 or self.wrong_share >= 1 - self.equal_share:
            return text
        near = f"between classes within {_percent(TIE)} of the range"
        clear = f"{_percent(self.wrong_share)} differ clearly, " * (self.wrong_share > 0)
        return f"{text}, {clear}the others differ {near}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if 0.1 <= share < 1 else f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


class Judge:
    """A float model's outputs on some sequences, to compare integer networks with."""

    def __init__(self, model: FloatModel, evidence: Evidence) -> None:
        self.model = model
        self.evidence = evidence
        self.when = "every" if evidence.probing else model.when
        names, xs = list(evidence.sequences), list(evidence.sequences.values())
        self.batches = [([names[i] for i in numbers], x, lengths) for numbers, x, lengths in groups(xs)]
        self.want = [counting(model.forward(x), lengths, self.when) for _, x, lengths in self.batches]

    def measure(self, network: Network) -> IntegerError:
        """The integer error of a network that was made from this model."""
        return self.compare(self.run(network))

    def shares_of(self, network: Network, names: Collection[str]) -> np.ndarray:
        """Differences (M, O) in the named sequences, as shares of the range over all sequences."""
        chosen = np.isin(self._names(), list(names))
        return self.shares(self.run(network))[chosen]

    def run(self, network: Network) -> list[np.ndarray]:
        """The network's outputs that count, an array (M, O) for each batch."""
        simulator = Simulator(network)
        return [
            counting(simulator.values(simulator.run(network.raw(x))[0]), lengths, self.when)
            for _, x, lengths in self.batches
        ]

    def shares(self, got: list[np.ndarray]) -> np.ndarray:
        """Differences (M, O) of all batches, as shares of the range."""
        want = np.concatenate(self.want)
        span = np.empty(want.shape[1])
        for head, outputs, _ in self.model.each_head():
            span[outputs] = np.ptp(want[:, outputs], axis=None if head.task == "classification" else 0)
        # For a target that is nearly constant here, its standard deviation in training stands in for the range
        model = self.model
        span = np.where((model.target_mean == 0) & (model.target_std == 1), span, np.maximum(span, model.target_std))
        size = np.abs(want).max(axis=0)
        span = np.where(span > 1e-6 * size, span, np.where(size > 0, size, 1.0))
        share: np.ndarray = np.abs(np.concatenate(got) - want) / span
        return share

    def compare(self, found: list[np.ndarray]) -> IntegerError:
        """The integer error of outputs, an array (M, O) for each batch."""
        want, got = np.concatenate(self.want), np.concatenate(found)
        difference, share = np.abs(got - want), self.shares(found)
        equal, wrong = [], []
        for head, outputs, _ in self.model.each_head():
            if head.task == "classification":
                logits, best, other = want[:, outputs], want[:, outputs].argmax(axis=1), got[:, outputs].argmax(axis=1)
                rows = np.arange(len(logits))
                apart = logits[rows, best] - logits[rows, other] > TIE * np.ptp(logits) * self.evidence.probing
                equal.append(np.mean(best == other))
                wrong.append(np.mean((best != other) & apart))
        usual = int(share.mean(axis=0).argmax())
        at, largest = np.unravel_index(int(share.argmax()), share.shape)
        return IntegerError(
            source=self.evidence.source,
            sequences=len(self.evidence.sequences),
            outputs=len(want),
            largest=float(difference[at, largest]),
            mean=float(difference[:, usual].mean()),
            largest_share=float(share.max()),
            mean_share=float(share[:, usual].mean()),
            equal_share=float(min(equal)) if equal else None,
            wrong_share=float(max(wrong, default=0.0)),
            largest_of=self.model.labels[int(largest)],
            worst=self._names()[int(at)],
        )

    def _names(self) -> list[str]:
        found: list[str] = []
        for names, _, lengths in self.batches:
            for name, n in zip(names, lengths.tolist(), strict=True):
                found += [name] * (1 if self.when == "last" else n)
        return found

    def hardest(self, found: list[np.ndarray], most: int) -> Judge:
        """A Judge for the `most` sequences with the largest differences. found: outputs (M, O) of each batch."""
        share = self.shares(found).max(axis=1)
        amount: dict[str, float] = {}
        for name, value in zip(self._names(), share.tolist(), strict=True):
            amount[name] = max(amount.get(name, 0.0), value)
        chosen = sorted(amount, key=lambda name: -amount[name])[:most]
        kept = {name: self.evidence.sequences[name] for name in chosen}
        return Judge(self.model, Evidence(kept, self.evidence.source, self.evidence.probing))

    def by_layer(self, network: Network, bits: Sequence[int | np.ndarray]) -> list[float]:
        """The mean share of the error if only the first k layers are integer, for k = 0 (only the inputs) to all layers.

        The last entry is the network itself, whose head is integer too. bits: the fraction bits of each layer's output. The
        model must come from FloatModel.folded(), so that it has a layer for each of the network's.
        """
        layers = self.model.layers
        simulator = Simulator(network)
        found: list[list[np.ndarray]] = [[] for _ in range(len(layers) + 2)]
        for _, x, lengths in self.batches:
            raw = network.raw(x)
            sample = (raw * 2.0 ** -network.input_exponents.astype(np.float64) - self.model.mean) / self.model.std
            given = [sample]
            *layered, outputs = simulator.layer_outputs(raw)
            given += [y * 2.0**-b for y, b in zip(layered, map(np.asarray, bits), strict=True)]
            values = []
            for k, y in enumerate(given):
                for layer in layers[k:]:
                    y = apply(layer, y, sample)
                values.append(self.model.head.apply(y) * self.model.target_std + self.model.target_mean)
            values.append(simulator.values(outputs))
            for mixed, value in zip(found, values, strict=True):
                mixed.append(counting(value, lengths, self.when))
        return [float(self.shares(mixed).mean(axis=0).max()) for mixed in found]


def at_fault(judge: Judge, network: Network, bits: Sequence[int | np.ndarray]) -> str:
    """The layer whose quantization adds most to the error, in words; or the inputs, or the head."""
    added = np.diff([0.0, *judge.by_layer(network, bits)])
    k = int(added.argmax()) - 1
    if k < 0:
        return "the rounding of the inputs"
    return "the head" if k == len(network.cells) else f"layer {k}, {judge.model.layers[k].kind},"
