# SPDX-License-Identifier: MIT
"""The trainer's checkpoint ``*.part``, from which an interrupted training resumes and ends with the same weights."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyrnn import files
from tinyrnn.errors import ModelError
from tinyrnn.float_model.model_file import load_tensors

FORMAT = "tinyrnn-part-1"
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # the state of AdamW for each parameter


class Checkpoint:
    """The checkpoint file of one training. It is written completely or not at all."""

    def __init__(self, path: str | os.PathLike[str], options: dict[str, Any], notice: Callable[[str], None]) -> None:
        """options: plain values, everything that the weights depend on. A file with other options is not used.

        notice: called with a line that says that the file is used, or why it is not.
        """
        self.path = Path(path)
        self.options = options
        self._notice = notice

    def write(self, epoch: int, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Write the state after `epoch` epochs. The learning rate follows from the epoch.

        Raises ModelError if the file cannot be written.
        """
        state = {
            "format": FORMAT,
            "options": self.options,
            "epoch": epoch,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        try:
            files.write(self.path, stream.getvalue())
        except OSError as error:
            raise ModelError(f"{self.path}: cannot be written ({error.strerror}); free some space") from None

    def read(self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """Load network, optimizer and generator from the file. Returns the epochs done, 0 without a usable file.

        The whole file is checked before anything is loaded: it may be damaged or foreign.
        """
        try:
            state = load_tensors(files.read(self.path, files.LARGEST_BYTES))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']!r}")
            made, epoch = dict(state["options"]), state["epoch"]
            if made != self.options:
                seen = _difference(made, self.options)
                self._notice(f"{self.path}: written by a training with {seen}; not used, starting from the beginning")
                return 0
            if type(epoch) is not int or not 1 <= epoch <= self.options.get("epochs", epoch):
                raise ValueError(f"epoch {epoch!r}")
            weights, moments, random = state["network"], state["optimizer"]["state"], state["generator"]
            _check_tensors("network", weights, network.state_dict())
            _check_moments(moments, network)
            torch.Generator().set_state(random)
        except FileNotFoundError:
            return 0
        except Exception as error:  # torch raises many kinds of exception for a damaged file
            reason = getattr(error, "strerror", None) or str(error)
            reason = reason.splitlines()[0] if reason else type(error).__name__
            self._notice(f"{self.path}: cannot be read ({reason:.60}); not used, starting from the beginning")
            return 0
        network.load_state_dict(weights)
        # The learning rate and other settings of the groups are those of this run; they are equal, see options
        moments = {n: {name: each.detach().clone() for name, each in kept.items()} for n, kept in moments.items()}
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(random)
        self._notice(f"{self.path}: resuming after epoch {epoch}")
        return epoch


def _difference(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first option that differs, in words. A digest of the data would mean nothing to the user."""
    for key, value in wanted.items():
        if made.get(key) != value:
            seen = str(made.get(key))
            return "other training data" if key == "data" else f"{key} {seen:.40} instead of {value}"
    return "more options"


def _check_tensors(where: str, state: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise ValueError unless names, shapes and types are equal and all numbers are finite."""
    if set(state) != set(wanted):
        raise ValueError(f"{where} has other entries: {sorted(map(str, set(state) ^ set(wanted)))[0]}")
    for name, tensor in wanted.items():
        found = state[name]
        if not isinstance(found, Tensor) or (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{where} {name} has another shape or type")
        if not found.is_contiguous() or not torch.isfinite(found).all():
            raise ValueError(f"{where} {name} is not contiguous or not finite")


def _check_moments(moments: dict[int, dict[str, Tensor]], network: nn.Module) -> None:
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
