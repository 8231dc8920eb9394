"""The trainer's checkpoint ``*.part``: all it takes to go on after an interruption to the same weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyrnn.errors import ModelError

FORMAT = "tinyrnn-part-1"


class Checkpoint:
    """One training's file: written under a temporary name and renamed, so that it is whole or absent."""

    def __init__(
        self, path: str | os.PathLike[str], options: dict[str, Any], notice: Callable[[str], None]
    ) -> None:
        """options: plain values, all that the weights depend on; a file made with others is not used.

        notice: told in one line when the file is used, or why it is not.
        """
        self.path = Path(path)
        self.options = options
        self._notice = notice

    def write(
        self, epoch: int, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> None:
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
        # One fixed temporary name: what a killed run left is overwritten by the next
        temporary = temporary_of(self.path)
        try:
            torch.save(state, temporary)
            os.replace(temporary, self.path)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError for a full disk
            reason = str(error).splitlines()[0]
            raise ModelError(f"{temporary}: cannot be written ({reason:.60}); make room there") from None

    def read(self, network: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """Fill the three from the file; return the epochs done, 0 without a usable file."""
        if not self.path.exists():
            return 0
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']!r}")
            made, epoch = dict(state["options"]), int(state["epoch"])
            if made != self.options:
                seen = _difference(made, self.options)
                self._notice(f"{self.path}: left by a run with {seen}; not used, starting anew")
                return 0
            weights, moments, random = state["network"], state["optimizer"], state["generator"]
            _check_shapes(weights, network)
        except Exception as error:  # torch raises many kinds for a damaged file
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._notice(f"{self.path}: cannot be read ({reason:.60}); not used, starting anew")
            return 0
        network.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        generator.set_state(random)
        self._notice(f"{self.path}: going on after epoch {epoch}")
        return epoch


def temporary_of(path: Path) -> Path:
    """The name under which a checkpoint is written before it is renamed."""
    return path.with_name(path.name + ".tmp")


def _difference(made: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first option that differs, in words; digests of data say nothing to a reader."""
    for key, value in wanted.items():
        if made.get(key) != value:
            return "other training data" if key == "data" else f"{key} {made.get(key)} instead of {value}"
    return "more options"


def _check_shapes(state: dict[str, Tensor], network: nn.Module) -> None:
    for name, tensor in network.state_dict().items():
        if state[name].shape != tensor.shape:
            raise ValueError(f"{name} has shape {tuple(state[name].shape)}")
