"""The trainer's checkpoint ``*.part``: all it takes to go on after an interruption to the same weights."""

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
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # that AdamW keeps of each parameter


class Checkpoint:
    """One training's file, whole or absent."""

    def __init__(self, path: str | os.PathLike[str], options: dict[str, Any], notice: Callable[[str], None]) -> None:
        """options: plain values, all that the weights depend on; a file made with others is not used.

        notice: told in one line when the file is used, or why it is not.
        """
        self.path = Path(path)
        self.options = options
        self._notice = notice

    def write(self, epoch: int, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Keep the state after `epoch` epochs. The learning rate follows from the epoch.

        Raises ModelError when the file cannot be written.
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
            raise ModelError(f"{self.path}: cannot be written ({error.strerror}); make room there") from None

    def read(self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """Fill the three from the file; return the epochs done, 0 without a usable file.

        Nothing is filled in before all of the file has been checked: it may be damaged, or made by somebody else.
        """
        try:
            state = load_tensors(files.read(self.path, files.LARGEST_BYTES))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']!r}")
            made, epoch = dict(state["options"]), state["epoch"]
            if made != self.options:
                seen = _difference(made, self.options)
                self._notice(f"{self.path}: left by a run with {seen}; not used, starting anew")
                return 0
            if type(epoch) is not int or not 1 <= epoch <= self.options.get("epochs", epoch):
                raise ValueError(f"epoch {epoch!r}")
            weights, moments, random = state["network"], state["optimizer"]["state"], state["generator"]
            _check_tensors("network", weights, network.state_dict())
            _check_moments(moments, network)
            torch.Generator().set_state(random)
        except FileNotFoundError:
            return 0
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = getattr(error, "strerror", None) or str(error)
            reason = reason.splitlines()[0] if reason else type(error).__name__
            self._notice(f"{self.path}: cannot be read ({reason:.60}); not used, starting anew")
            return 0
        network.load_state_dict(weights)
        # Rates and the like are those of this run, which its options have named
        moments = {n: {name: each.detach().clone() for name, each in kept.items()} for n, kept in moments.items()}
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        generator.set_state(random)
        self._notice(f"{self.path}: going on after epoch {epoch}")
        return epoch


def _difference(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first option that differs, in words; digests of data say nothing to a reader."""
    for key, value in wanted.items():
        if made.get(key) != value:
            seen = str(made.get(key))
            return "other training data" if key == "data" else f"{key} {seen:.40} instead of {value}"
    return "more options"


def _check_tensors(where: str, state: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raises ValueError unless the names are the same, and shapes and types, and all numbers finite."""
    if set(state) != set(wanted):
        raise ValueError(f"{where} has other entries: {sorted(map(str, set(state) ^ set(wanted)))[0]}")
    for name, tensor in wanted.items():
        found = state[name]
        if not isinstance(found, Tensor) or (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{where} {name} has another shape or type")
        if not found.is_contiguous() or not torch.isfinite(found).all():
            raise ValueError(f"{where} {name} holds what is no number")


def _check_moments(moments: dict[int, dict[str, Tensor]], network: nn.Module) -> None:
    """Raises ValueError unless this is what AdamW keeps of the network's parameters after some updates."""
    # The optimizer counts its parameters by groups: matrices first; see train.py
    parameters = sorted(network.parameters(), key=lambda parameter: parameter.ndim <= 1)
    if set(moments) != set(range(len(parameters))):
        raise ValueError(f"optimizer has {len(moments)} parameters instead of {len(parameters)}")
    for number, parameter in enumerate(parameters):
        wanted = {name: torch.zeros(()) if name == "step" else parameter for name in MOMENTS}
        _check_tensors(f"optimizer {number}", moments[number], wanted)
        if not float(moments[number]["step"]) >= 1 or (moments[number]["exp_avg_sq"] < 0).any():
            raise ValueError(f"optimizer {number} holds what no update leaves")
