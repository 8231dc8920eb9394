# SPDX-License-Identifier: MIT
"""The trainer's checkpoint ``*.part``, from which an interrupted training resumes and ends with the same weights."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyrnn import files
from tinyrnn.errors import ModelError
from tinyrnn.float_model.model_file import load_tensors

FORMAT = "tinyrnn-part-2"
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # the state of AdamW for each parameter
HISTORY = (2, 4)  # numbers of an epoch: its number and training loss; with validation also that loss and figure

Weights = dict[str, Tensor]


@dataclass
class Progressed:
    """What one run of the optimizer has come to."""

    best: Weights  # the weights of the best epoch, or of the last one without validation
    best_epoch: int = 0
    validation_loss: float = math.inf  # of the best epoch
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))  # of each validation sequence, with the lowest mean
    history: list[list[float]] = field(default_factory=list)  # for each epoch some numbers, see HISTORY
    finished: bool = False


class Checkpoint:
    """The checkpoint file of one training, which may consist of several runs. It is written completely or not at all."""

    def __init__(self, path: str | os.PathLike[str], options: dict[str, Any], notice: Callable[[str], None]) -> None:
        """options: plain values, everything that the weights depend on. A file with other options is not used.

        notice: called with a line that says that the file is used, or why it is not.
        """
        self.path = Path(path)
        self.options = options
        self._notice = notice
        self._runs: dict[str, Any] = self._read()

    def write(
        self,
        run: str,
        progressed: Progressed,
        network: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> None:
        """Write the state of a run; those of earlier runs stay. Raises ModelError if the file cannot be written."""
        self._runs[run] = {
            **vars(progressed),
            "network": network.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
        }
        stream = io.BytesIO()
        torch.save({"format": FORMAT, "options": self.options, "runs": self._runs}, stream)
        try:
            files.write(self.path, stream.getvalue())
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be written ({error.strerror}); free some space") from None

    def _read(self) -> dict[str, Any]:
        """The runs in the file, {} without a usable file."""
        try:
            state = load_tensors(files.read(self.path, files.LARGEST_BYTES))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']!r}")
            made, runs = dict(state["options"]), dict(state["runs"])
        except FileNotFoundError:
            return {}
        except Exception as error:  # torch raises many kinds of exception for a damaged file
            self._refuse(error)
            return {}
        if made != self.options:
            seen = _difference(made, self.options)
            self._notice(f"{self.path}: written by a training with {seen}; not used, starting from the beginning")
            return {}
        return runs

    def resume(
        self,
        run: str,
        network: nn.Module,
        average: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ) -> Progressed | None:
        """Load the state of a run into these objects. Returns what it has come to, None if the file does not have it.

        All of it is checked before anything is loaded: the file may be damaged or foreign.
        """
        if run not in self._runs:
            return None
        try:
            state = self._runs[run]
            progressed = _progressed(state, network, self.options)
            for name in ("network", "average"):
                _check_tensors(name, state[name], network.state_dict())
            moments = state["optimizer"]["state"]
            _check_moments(moments, network)
            torch.Generator().set_state(state["generator"])
        except Exception as error:  # whatever a hostile file can cause
            self._refuse(error)
            self._runs = {}
            return None
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        # The learning rate and other settings of the groups are those of this run; they are equal, see options
        moments = {n: {name: each.detach().clone() for name, each in kept.items()} for n, kept in moments.items()}
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(state["generator"])
        if not progressed.finished:
            self._notice(f"{self.path}: resuming after epoch {len(progressed.history)}")
        return progressed

    def _refuse(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        reason = reason.splitlines()[0] if reason else type(error).__name__
        self._notice(f"{self.path}: cannot be read ({reason:.60}); not used, starting from the beginning")


def _progressed(state: dict[str, Any], network: nn.Module, options: dict[str, Any]) -> Progressed:
    """Raises ValueError, or what a wrong type raises, unless the state is that of a possible run."""
    history, best, epochs = state["history"], state["best_epoch"], options.get("epochs", len(state["history"]))
    if type(history) is not list or not 1 <= len(history) <= epochs:
        raise ValueError(f"a history of {len(history)} epochs")
    for number, entry in enumerate(history, 1):
        if len(entry) not in HISTORY or not all(type(value) is float for value in entry) or entry[0] != number:
            raise ValueError(f"entry {number} of the history")
    if type(best) is not int or not 1 <= best <= len(history) or type(state["finished"]) is not bool:
        raise ValueError(f"best epoch {best!r}")
    if type(state["validation_loss"]) is not float:
        raise ValueError("the validation loss is no number")
    losses = state["losses"]
    if not isinstance(losses, Tensor) or losses.ndim != 1 or losses.dtype != torch.float32 or not losses.is_contiguous():
        raise ValueError("the losses of the sequences are no numbers")
    _check_tensors("best", state["best"], network.state_dict())
    return Progressed(state["best"], best, state["validation_loss"], losses, history, state["finished"])


def _difference(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first option that differs, in words. A digest of the data would mean nothing to the user."""
    for key, value in wanted.items():
        if made.get(key) != value:
            seen = str(made.get(key))
            return "other training data" if key == "data" else f"{key} {seen:.40} instead of {value}"
    return "more options"


def _check_tensors(where: str, state: Weights, wanted: Weights) -> None:
    """Raise ValueError unless names, shapes and types are equal and all numbers are finite."""
    if set(state) != set(wanted):
        raise ValueError(f"{where} has other entries: {sorted(map(str, set(state) ^ set(wanted)))[0]}")
    for name, tensor in wanted.items():
        found = state[name]
        if not isinstance(found, Tensor) or (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{where} {name} has another shape or type")
        if not found.is_contiguous() or not torch.isfinite(found).all():
            raise ValueError(f"{where} {name} is not contiguous or not finite")


def _check_moments(moments: dict[int, Weights], network: nn.Module) -> None:
    """Raise ValueError unless this is a possible state of AdamW for the network's parameters, after some updates."""
    # The optimizer numbers its parameters by group, matrices first: see trainer.py
    parameters = sorted(network.parameters(), key=lambda parameter: parameter.ndim <= 1)
    if set(moments) != set(range(len(parameters))):
        raise ValueError(f"optimizer has {len(moments)} parameters instead of {len(parameters)}")
    for number, parameter in enumerate(parameters):
        wanted = {name: torch.zeros(()) if name == "step" else parameter for name in MOMENTS}
        _check_tensors(f"optimizer {number}", moments[number], wanted)
        if not float(moments[number]["step"]) >= 1 or (moments[number]["exp_avg_sq"] < 0).any():
            raise ValueError(f"optimizer {number} holds impossible moments")
