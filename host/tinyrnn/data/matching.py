# SPDX-License-Identifier: MIT
"""Matches a recording to a model: channels and labels by name, because their order may differ.

A model without names of its own, as imported ones often are, is matched by order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from tinyrnn.data.recording import Recording, listed
from tinyrnn.errors import DataError
from tinyrnn.text import counted

# What stands for a name that nobody gave: in an import "class 0" or "input 2", in an .npz file or a headerless CSV "1"
PLACEHOLDER = re.compile(r"(?:(?:class|output|input|target|channel) ?)?(\d+)")


@dataclass(frozen=True)
class ModelHead:
    """What a model says about one of its heads."""

    name: str  # "" if it is the only one
    task: str  # "classification" or "regression"
    labels: tuple[str, ...]  # names of its classes or targets
    first: int = 0  # the model's output that is the head's first


@dataclass(frozen=True)
class InputMatch:
    """How a recording's samples become a model's."""

    channels: tuple[int, ...]  # (C,) the recording's channel for each input of the model
    symbols: tuple[int, ...]  # text: the model's number of each of the recording's symbols; () if they are the same
    remarks: tuple[str, ...]  # what the user should know, a sentence each

    @property
    def in_order(self) -> bool:
        """Whether inputs() changes nothing."""
        return not self.symbols and self.channels == tuple(range(len(self.channels)))

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """Samples (..., C) of the recording in the model's order of channels, or with its numbers of the symbols."""
        if self.symbols:
            return np.asarray(self.symbols, np.float64)[x.astype(np.int64)]
        return x if self.in_order else x[..., list(self.channels)]


@dataclass(frozen=True)
class Match(InputMatch):
    """How a recording's samples and labels lie in a model."""

    outputs: tuple[int, ...]  # the model's output for each of `labels`
    labels: tuple[str, ...]  # the recording's labels in its order, then the model's classes that it lacks
    head: str  # name of the head, "" if the model has only one

    def decided(self, values: np.ndarray) -> np.ndarray:
        """Outputs (M, O) of the model as (M, K), one for each of `labels`."""
        return values[:, list(self.outputs)]


def match(
    model: str,
    when: str,
    channels: tuple[str, ...],
    inputs: int,
    heads: tuple[ModelHead, ...],
    recording: Recording,
    symbols: tuple[str, ...] = (),
) -> Match:
    """Match a recording to a model. Raises DataError if the model cannot be judged on it.

    model: its name for messages. when: the steps whose output counts. channels: (C,) names of the inputs, or () if the
    model has none. inputs: C. heads: its heads; the one whose labels are the recording's is used. symbols: the symbols of a
    model of text in its order, by default its labels, if those of the recording are the next symbols.
    """
    data = recording.name
    remarks: list[str] = []
    order = _channels(model, channels, inputs, recording, remarks)
    suitable = [head for head in heads if head.task == recording.task]
    if not suitable:
        kinds = {"classification": "classes", "regression": "numbers"}
        cure = "give --target" if heads[0].task == "regression" else "give --label, or a folder of labels"
        raise DataError(
            f"{data}: its answers are {kinds[recording.task]} ({listed(recording.labels)}), {model} gives"
            f" {kinds[heads[0].task]} ({listed(heads[0].labels)}); expected the kind that the model was trained on: {cure}"
        )
    if when != recording.when:
        words = {"last": "at the last step of a sequence", "every": "at every step"}
        raise DataError(
            f"{data}: has an answer {words[recording.when]}, {model} gives one {words[when]}; expected a recording of the "
            "model's kind, such as the one that it was trained on"
        )
    found = [(head, _outputs(head.labels, recording)) for head in suitable]
    fitting = [(head, outputs) for head, outputs in found if outputs is not None]
    if not fitting:
        raise _other_labels(model, suitable, recording)
    if len(fitting) > 1:
        fitting = [each for each in fitting if set(each[0].labels) == set(recording.labels)] or fitting
    if len(fitting) > 1:
        names = ", ".join(repr(head.name) for head, _ in fitting)
        raise DataError(f"{data}: its labels fit several heads of {model}: {names}; expected one: name the labels as in it")
    head, outputs = fitting[0]
    assert outputs is not None, "the heads that do not fit are left out"
    extra = [i for i in range(len(head.labels)) if i not in outputs]
    labels = recording.labels
    if set(labels) - set(head.labels):
        remarks.append(f"labels matched by their order: {_pairs(head.labels, labels)}")
    elif extra:
        names = listed(head.labels[i] for i in extra)
        if recording.task == "classification":
            labels += tuple(head.labels[i] for i in extra)
            outputs += extra
            remarks.append(f"{data} has no {names}, which {model} knows")
        else:
            remarks.append(f"{data} has no answers for {names}, which {model} predicts too")
    if len(heads) > 1:
        remarks.append(f"judged by the head {head.name!r}")
    return Match(
        channels=order,
        outputs=tuple(head.first + i for i in outputs),
        labels=labels,
        head=head.name if len(heads) > 1 else "",
        symbols=_symbols(model, symbols or _next(head.labels, recording), recording),
        remarks=tuple(remarks),
    )


def _next(labels: tuple[str, ...], recording: Recording) -> tuple[str, ...]:
    """The labels if they are symbols, those that follow in the text; otherwise ()."""
    return labels if recording.labels == recording.symbols else ()


def _symbols(model: str, known: tuple[str, ...], recording: Recording) -> tuple[int, ...]:
    """The model's number of each of the recording's symbols; () if they are the same. Raises DataError."""
    given = recording.symbols
    if given == known[: len(given)] or not known:
        return ()
    for symbol in given:
        if symbol not in known:
            raise DataError(
                f"{recording.name}: has the symbol {symbol!r}, which {model} does not know; expected {listed(known, ' ')}: "
                "replace it, or train the model again on this text"
            )
    return tuple(known.index(symbol) for symbol in given)


def match_inputs(
    model: str, channels: tuple[str, ...], inputs: int, symbols: tuple[str, ...], recording: Recording
) -> InputMatch:
    """Match only a recording's samples to a model: other names of as many channels are matched by order.

    Arguments as in match(). Raises DataError.
    """
    remarks: list[str] = []
    order = _channels(model, channels, inputs, recording, remarks, strict=False)
    return InputMatch(order, _symbols(model, _next(symbols, recording), recording), tuple(remarks))


def _channels(
    model: str, channels: tuple[str, ...], inputs: int, recording: Recording, remarks: list[str], strict: bool = True
) -> tuple[int, ...]:
    """(C,) the recording's channel for each input of the model; a remark if they are matched by order. Raises DataError."""
    given, data = recording.channels, recording.name
    if set(given) == set(channels):
        return tuple(given.index(name) for name in channels)
    if len(given) != inputs:
        more = [name for name in given if name not in channels] if not _unnamed(channels) else []
        less = [name for name in channels if name not in given] if not _unnamed(given) else []
        cure = f": leave out {listed(more)} with --drop" if more and not less else ""
        cure = f": {listed(less)} missing" if less and not more else cure
        expected = f"{listed(channels)}, not {listed(given)}" if channels else "those that it was trained on"
        seen = counted(len(given), "channel")
        raise DataError(f"{data}: has {seen}, {model} takes {inputs}; expected {expected}{cure}")
    if not channels or recording.symbols:
        return tuple(range(inputs))
    if _unnamed(channels) or _unnamed(given) or not strict:
        remarks.append(f"channels matched by their order: {_pairs(channels, given)}")
        return tuple(range(inputs))
    name = next(name for name in given if name not in channels)
    absent = next(name for name in channels if name not in given)
    raise DataError(
        f"{data}: has the channel {name!r}, which {model} does not take, and lacks {absent!r}; expected "
        f"{listed(channels)}: rename or drop columns"
    )


def _outputs(labels: tuple[str, ...], recording: Recording) -> list[int] | None:
    """The head's output for each label of the recording; None if they do not match."""
    given = recording.labels
    if labels and set(given) <= set(labels):
        return [labels.index(name) for name in given]
    alike = len(given) == len(labels) and _unnamed(labels) != _unnamed(given)
    # "class 0" was never a name, even beside classes that are called 1, 2, 3
    prefixed = len(given) == len(labels) and _unnamed(labels) and not any(name.isdigit() for name in labels)
    return list(range(len(labels))) if alike or prefixed else None


def _unnamed(names: tuple[str, ...]) -> bool:
    """Whether all names are placeholders that count up from 0 or 1, or there are none."""
    found = [PLACEHOLDER.fullmatch(name) for name in names]
    numbers = [int(m[1]) for m in found if m]
    return not names or (len(numbers) == len(names) and numbers in ([*range(len(names))], [*range(1, len(names) + 1)]))


def _pairs(model: tuple[str, ...], data: tuple[str, ...]) -> str:
    return listed(f"{a} = {b}" for a, b in zip(model, data, strict=True))


def _other_labels(model: str, heads: list[ModelHead], recording: Recording) -> DataError:
    known = [name for head in heads for name in head.labels]
    strange = [name for name in recording.labels if name not in known]
    what = "class" if recording.task == "classification" else "target"
    plural = "classes" if what == "class" else "targets"
    if not strange:  # each head knows some of them
        return DataError(f"{recording.name}: no head of {model} has all its {plural}; expected those of one head")
    near = next((name for name in known if name.casefold().strip() == strange[0].casefold().strip()), None)
    cure = f"rename it to {near!r}" if near else f"rename it, or train the model again with this {what}"
    return DataError(
        f"{recording.name}: has the {what} {strange[0]!r}, which {model} does not know; expected {listed(known)}: {cure}"
    )
