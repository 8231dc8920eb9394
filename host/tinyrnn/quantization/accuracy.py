# SPDX-License-Identifier: MIT
"""The figures of a float model and of its integer network on a recording, and how often both decide the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tinyrnn.data import figures
from tinyrnn.data.baselines import Rivals, baselines
from tinyrnn.data.figures import Figures
from tinyrnn.data.matching import Match, ModelHead, match
from tinyrnn.data.recording import Recording, Sequences, joined
from tinyrnn.data.verdict import verdict
from tinyrnn.errors import DataError
from tinyrnn.float_model.evaluation import predict, predict_with
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator

PARTS = ("test", "validation", "train", "all")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model on a part of a recording. The outputs that count are those of the last step, or of every step."""

    recording: Recording
    part: str  # one of PARTS
    sequences: Sequences  # those of that part
    match: Match
    float_outputs: np.ndarray | None  # (M, K) logits, or (M, O) in the targets' units; None without a float model
    integer_outputs: np.ndarray | None  # likewise, None without an integer network

    @cached_property
    def float_figures(self) -> Figures | None:
        """The figures of the float model."""
        return self._figures(self.float_outputs)

    @cached_property
    def integer_figures(self) -> Figures | None:
        """The figures of the integer network, as a board computes it."""
        return self._figures(self.integer_outputs)

    @cached_property
    def baselines(self) -> Rivals:
        """Each baseline of the recording with its figures on the same sequences."""
        found: Rivals = []
        for baseline in baselines(self.recording):
            outputs = baseline.outputs(self.sequences)
            unknown = len(self.match.labels) - outputs.shape[1]  # classes of the model that the recording does not have
            outputs = np.pad(outputs, ((0, 0), (0, unknown)), constant_values=-np.inf)
            found.append((baseline, figures.of(self.recording.task, self.match.labels, outputs, self.sequences.all_y())))
        return found

    @cached_property
    def agreement_pct(self) -> float | None:
        """Share of equal decisions in percent; None for a regression, or without float model or integer network."""
        if self.recording.task != "classification" or self.float_outputs is None or self.integer_outputs is None:
            return None
        return 100 * float(np.mean(self.float_outputs.argmax(axis=1) == self.integer_outputs.argmax(axis=1)))

    @cached_property
    def largest_difference(self) -> float | None:
        """Largest difference between their outputs: of logits, or in a target's unit. None if one is absent."""
        if self.float_outputs is None or self.integer_outputs is None:
            return None
        return float(np.abs(self.float_outputs - self.integer_outputs).max())

    def verdict(self) -> str | None:
        """A sentence if the model does not beat its best baseline, otherwise None. The integer network counts, if given."""
        own, bits = self.integer_figures or self.float_figures, bool(self.recording.symbols)
        assert own is not None, "a model or a network was evaluated"
        as_float = self.float_figures is None or verdict(self.float_figures, self.baselines, bits)
        return verdict(own, self.baselines, bits, "the model" if as_float else "the integer model")

    def _figures(self, outputs: np.ndarray | None) -> Figures | None:
        if outputs is None:
            return None
        return figures.of(self.recording.task, self.match.labels, outputs, self.sequences.all_y())


def evaluate(
    model: FloatModel | None, network: Network | None, recording: Recording, part: str = "test", name: str = ""
) -> Evaluation:
    """Run a float model, an integer network or both over a part of a recording (PARTS).

    name: the model's name for messages; by default its own. Raises DataError if the recording does not match the model,
    or has no such part.
    """
    sequences = part_of(recording, part)
    matched = matching(model or network, recording, name)
    ordered = sequences if matched.in_order else Sequences([matched.inputs(x) for x in sequences.x], sequences.y)
    floats = None if model is None else matched.decided(predict(model, ordered))
    integers = None if network is None else matched.decided(predict_integers(network, ordered))
    return Evaluation(recording, part, sequences, matched, floats, integers)


def matching(model: FloatModel | Network | None, recording: Recording, name: str = "") -> Match:
    """Match the recording to the model by the names of channels and labels. Raises DataError."""
    if isinstance(model, FloatModel):
        heads = tuple(ModelHead(head.name, head.task, model.labels[span], span.start) for head, span, _ in model.each_head())
        symbols = tuple(model.info.get("symbols", ()))
        return match(name or model.name, model.when, model.channels, len(model.mean), heads, recording, symbols)
    assert model is not None, "the caller has a float model or a network"
    return match(name or model.name, model.when, model.channels, model.inputs, _heads(model), recording)


def _heads(network: Network) -> tuple[ModelHead, ...]:
    labels = network.labels or tuple(str(i) for i in range(network.outputs))  # names are optional in a file
    if not network.heads:
        return (ModelHead("", network.task, labels),)
    found, first = [], 0
    for head in network.heads:
        task = "regression" if head.regression else "classification"
        found.append(ModelHead(head.name, task, labels[first : first + head.outputs], first))
        first += head.outputs
    return tuple(found)


def part_of(recording: Recording, part: str) -> Sequences:
    """The test, validation or training sequences, or all of them. Raises DataError if there is no such part."""
    if part == "all":
        return joined([each for each in (recording.train, recording.validation, recording.test) if each is not None])
    found = {"test": recording.test, "validation": recording.validation, "train": recording.train}.get(part)
    if found is None:
        raise DataError(f"{recording.name}: has no {part} sequences; expected --part test, train or all")
    return found


def predict_integers(network: Network, sequences: Sequences) -> np.ndarray:
    """The outputs that count, (M, O) in the user's unit, as evaluation.predict() gives them for a float model."""
    simulator = Simulator(network)
    return predict_with(lambda x, _: simulator.values(simulator.outputs(network.raw(x))), sequences, network.when)


def raw_sequences(network: Network, sequences: Sequences) -> list[np.ndarray]:
    """The sequences (T, C) as raw integers for step()."""
    return [network.raw(x) for x in sequences.x]


def seed_headings(task: str, parts: Iterable[str]) -> str:
    """The headings of the columns that seed_line() fills: for each part the float figure, then the integer one."""
    return "  ".join(_heading(task, part) for part in parts)


def seed_line(evaluated: Iterable[Evaluation]) -> str:
    """The figures of one seed on each part that was evaluated, such as validation and test, aligned for a table."""
    return "  ".join(
        f"{_cell(each.float_figures)} {_cell(each.integer_figures)}".rjust(len(_heading(each.recording.task, each.part)))
        for each in evaluated
    )


def _heading(task: str, part: str) -> str:
    text = f"{part} {'accuracy' if task == 'classification' else 'RMSE R2'}: float, integer"
    return text.rjust(19 if task == "classification" else 41)


def _cell(found: Figures | None) -> str:
    if found is None:
        return f"{'-':>9}"
    if isinstance(found, figures.ClassificationFigures):
        return f"{found.accuracy_pct:7.2f} %"
    return f"{found.overall_rmse:11.5g} {found.r2.mean():8.4f}"
