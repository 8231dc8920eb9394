# SPDX-License-Identifier: MIT
"""What a report is about: a model, a recording, and what both models say of its sequences."""

from __future__ import annotations

from dataclasses import dataclass

from tinyrnn.data import baselines, figures
from tinyrnn.data.baselines import Baseline
from tinyrnn.data.figures import Figures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.urnn_file import UrnnFile
from tinyrnn.report.measurement import Measured, TimeAxis, measure_float, measure_integers
from tinyrnn.report.saturation import Saturation
from tinyrnn.text import counted

INTEGER, FLOAT = "integer", "float"  # names of the models


@dataclass(frozen=True, eq=False)
class Subject:
    """The models, the recording, and the measurements that the sections of the page share."""

    file: UrnnFile
    model: FloatModel | None  # None: not known
    recording: Recording
    sequences: Sequences  # the part of the recording that the report is about
    part: str  # its name, such as "test"
    axis: TimeAxis
    measured: dict[str, Measured]  # name of the model -> what it says; INTEGER is first
    figures: dict[str, Figures]  # name of the model -> its figures
    baselines: list[tuple[Baseline, Figures]]
    saturation: Saturation

    @property
    def network(self) -> Network:
        return self.file.network

    @property
    def classification(self) -> bool:
        return self.recording.task == "classification"

    @property
    def models(self) -> dict[str, FloatModel | Network]:
        """The models by name, the integer model first."""
        return {INTEGER: self.network, **({FLOAT: self.model} if self.model else {})}

    @property
    def counts(self) -> str:
        """The number of sequences, and of steps if every step counts."""
        text = counted(len(self.sequences), "sequence")
        if self.recording.when == "every":
            return f"{text}, {counted(int(self.sequences.lengths.sum()), 'step')}"
        return text


def measure(
    file: UrnnFile, model: FloatModel | None, recording: Recording, sequences: Sequences, part: str
) -> Subject:
    """Run both models over the sequences. Their channels and labels are those of the recording, in its order."""
    axis = TimeAxis.of(sequences.lengths)
    integers, saturation = measure_integers(file.network, recording, sequences, axis)
    measured = {INTEGER: integers}
    if model is not None:
        measured[FLOAT] = measure_float(model, recording, sequences, axis)
    answers = sequences.all_y()
    found = {
        name: figures.of(recording.task, recording.labels, each.outputs, answers) for name, each in measured.items()
    }
    return Subject(
        file, model, recording, sequences, part, axis, measured, found, baselines.measured(recording, sequences), saturation
    )
