# SPDX-License-Identifier: MIT
"""What a report is about: a model, a recording, and what both models say of its sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinyrnn.data.baselines import Rivals
from tinyrnn.data.figures import Figures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.urnn_file import UrnnFile
from tinyrnn.quantization.accuracy import Evaluation, matching, part_of
from tinyrnn.report.measurement import Measured, TimeAxis, measure_float, measure_integers, run_float, run_integers
from tinyrnn.report.saturation import Saturation
from tinyrnn.text import counted

INTEGER, FLOAT = "integer", "float"  # names of the models


@dataclass(frozen=True, eq=False)
class Subject:
    """The models, the recording, and the measurements that the sections of the page share.

    The inputs are in the model's order of channels, the outputs (M, K) or (M, O) in the order of `labels`.
    """

    source: str  # the file that the user named
    file: UrnnFile
    model: FloatModel | None  # None: not known
    sequences: Sequences
    evaluation: Evaluation
    axis: TimeAxis
    measured: dict[str, Measured]  # name of the model -> what it says; INTEGER is first
    figures: dict[str, Figures]  # name of the model -> its figures
    saturation: Saturation
    notes: tuple[str, ...] = ()  # about the models and their figures, a sentence each

    @property
    def network(self) -> Network:
        return self.file.network

    @property
    def recording(self) -> Recording:
        return self.evaluation.recording

    @property
    def classification(self) -> bool:
        return self.recording.task == "classification"

    @property
    def labels(self) -> tuple[str, ...]:
        """(K,) names of the classes, with those that only the model has at the end, or (O,) of the targets."""
        return self.evaluation.match.labels

    @property
    def channels(self) -> tuple[str, ...]:
        """(C,) names of the inputs."""
        return tuple(self.recording.channels[i] for i in self.evaluation.match.channels)

    @property
    def spread(self) -> np.ndarray:
        """(C,) standard deviation of each input in training."""
        found: np.ndarray = self.recording.std[list(self.evaluation.match.channels)]
        return found

    @property
    def baselines(self) -> Rivals:
        """Each baseline with its figures on the same sequences."""
        return self.evaluation.baselines

    @property
    def counts(self) -> str:
        """The number of sequences, and of steps if every step counts."""
        text = counted(len(self.sequences), "sequence")
        if self.recording.when == "every":
            return f"{text}, {counted(int(self.sequences.lengths.sum()), 'step')}"
        return text

    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of each model after each step of one sequence (T, C): (T, K) or (T, O)."""
        order = list(self.evaluation.match.outputs)
        found = {INTEGER: run_integers(self.network, x)[:, order]}
        if self.model is not None:
            found[FLOAT] = run_float(self.model, x)[:, order]
        return found


def measure(
    source: str,
    file: UrnnFile,
    model: FloatModel | None,
    recording: Recording,
    part: str = "test",
) -> Subject:
    """Run both models over a part of a recording.

    source: the file that the user named. Raises DataError if the recording does not match the model, or has no such part.
    """
    sequences = part_of(recording, part)
    match = matching(file.network, recording, source)
    if model is not None:
        # The float model also knows its symbols
        floats = matching(model, recording, source)
        match = floats if recording.symbols else match
    ordered = Sequences([match.inputs(x) for x in sequences.x], sequences.y, sequences.names, sequences.groups)
    axis = TimeAxis.of(ordered.lengths, recording.when)
    integers, saturation = measure_integers(file.network, match, recording, ordered, axis)
    measured = {INTEGER: integers}
    if model is not None:
        measured[FLOAT] = measure_float(model, match, recording, ordered, axis)
    outputs = measured[FLOAT].outputs if model is not None else None
    evaluation = Evaluation(recording, part, sequences, match, outputs, integers.outputs)
    found = {INTEGER: evaluation.integer_figures, FLOAT: evaluation.float_figures}
    figures = {name: each for name, each in found.items() if each is not None}
    return Subject(source, file, model, ordered, evaluation, axis, measured, figures, saturation)
