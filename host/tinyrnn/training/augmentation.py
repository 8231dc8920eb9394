# SPDX-License-Identifier: MIT
"""Augmentation: a batch that looks like another recording of the same thing.

Um et al., "Data augmentation of wearable sensor data" (arXiv 1706.00527) compares these methods. All random numbers come
from one generator on the CPU, so they are the same on every device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tinyrnn.data.recording import Recording, listed
from tinyrnn.errors import ModelError
from tinyrnn.training.batches import Batch
from tinyrnn.training.hyperparameters import Hyperparameters

KNOTS = 6  # moments of a sequence at which time_warp draws a speed


class Augmentation:
    """The augmentation of a training. Raises ModelError if the hyperparameters do not suit the recording."""

    def __init__(self, hyperparameters: Hyperparameters, recording: Recording, symbols: bool = False) -> None:
        """symbols: the input is the number of a symbol, which cannot be augmented."""
        settings = hyperparameters
        self.settings = settings
        self.every = recording.when == "every"
        self.std = torch.tensor(recording.std, dtype=torch.float32)
        self.mean = torch.tensor(recording.mean, dtype=torch.float32)
        self.classes = recording.task == "classification"
        used = [n for n in ("noise", "scaling", "offset", "time_shift", "time_warp", "rotation") if getattr(settings, n)]
        if symbols and used:
            name = used[0].replace("_", "-")
            raise ModelError(f"--{name} {getattr(settings, used[0]):g} with symbols as input; expected --{name} 0")
        if settings.time_shift and (self.every or not self.classes):
            raise ModelError(
                f"--time-shift {settings.time_shift:g} moves what happens away from its label or target; expected "
                "--time-shift 0, except for classes at the last step"
            )
        self.triples = axes(recording.channels) if settings.rotation else []
        if settings.rotation and not self.triples:
            raise ModelError(
                f"--rotation {settings.rotation:g} needs three channels whose names differ in x, y and z, such as ax, ay, "
                f"az; expected them among {listed(recording.channels)}, or --rotation 0"
            )

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The augmented batch, drawn from the generator."""
        settings, x, y = self.settings, batch.x, batch.y

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(x.device)

        count, _, channels = x.shape
        if settings.time_warp:
            position = self._warped(batch, normal(count, KNOTS))
            x = _interpolated(x, position)
            if self.every:
                y = _nearest(y, position)
        if settings.time_shift:
            furthest = settings.time_shift * batch.lengths
            shift = (2 * torch.rand(count, generator=generator).to(x.device) - 1) * furthest
            steps = torch.arange(x.shape[1], device=x.device)
            moved = steps - shift.round()[:, None]
            x = _nearest(x, moved.clamp(min=0).minimum(batch.lengths[:, None] - 1))
        if settings.rotation:
            x = self._rotated(x, normal(count, 3), normal(count))
        if settings.scaling:
            x = x * (1 + settings.scaling * normal(count, 1, channels))
        if settings.offset:
            x = x + settings.offset * normal(count, 1, channels)
        if settings.noise:
            x = x + settings.noise * normal(*x.shape)
        return replace(batch, x=x, y=y)

    def _warped(self, batch: Batch, speeds: Tensor) -> Tensor:
        """(B, T) the moment of the recording that each step shows. The first and the last step stay where they are."""
        steps = torch.arange(batch.x.shape[1], device=speeds.device)
        last = (batch.lengths[:, None] - 1).clamp(min=1)
        at = (steps / last).clamp(max=1) * (KNOTS - 1)
        speed = _interpolated((self.settings.time_warp * speeds).exp()[..., None], at)[..., 0]
        passed = speed.cumsum(dim=1) - speed[:, :1]
        end = passed.gather(1, (batch.lengths[:, None] - 1))
        return (passed / end.clamp(min=1e-6) * (batch.lengths[:, None] - 1)).minimum(batch.lengths[:, None] - 1.0)

    def _rotated(self, x: Tensor, axis: Tensor, angle: Tensor) -> Tensor:
        """Every 3-axis sensor turned alike, since all are on one device. axis (B, 3), angle (B,) in deviations."""
        k = axis / axis.norm(dim=1, keepdim=True).clamp(min=1e-6)
        turn = (math.radians(self.settings.rotation) * angle)[:, None, None]
        zero = torch.zeros_like(k[:, 0])
        cross = torch.stack([zero, -k[:, 2], k[:, 1], k[:, 2], zero, -k[:, 0], -k[:, 1], k[:, 0], zero], dim=1).view(
            -1, 3, 3
        )
        # Rodrigues' formula
        matrix = torch.eye(3, device=x.device) + turn.sin() * cross + (1 - turn.cos()) * (cross @ cross)
        real = x * self.std.to(x.device) + self.mean.to(x.device)
        for triple in self.triples:
            real[:, :, triple] = real[:, :, triple] @ matrix.transpose(1, 2)
        return (real - self.mean.to(x.device)) / self.std.to(x.device)


def axes(channels: Sequence[str]) -> list[list[int]]:
    """The numbers of the channels of each 3-axis sensor: names that differ only in one letter, x, y or z."""
    number = {name.casefold(): i for i, name in enumerate(channels)}
    found: list[list[int]] = []
    for name, first in number.items():
        for at, letter in enumerate(name):
            others = [number.get(name[:at] + axis + name[at + 1 :]) for axis in "yz"]
            if letter == "x" and None not in others:
                found.append([first, *(i for i in others if i is not None)])
                break
    return found


def _interpolated(x: Tensor, position: Tensor) -> Tensor:
    """x (B, T, C) at fractional positions (B, S): (B, S, C)."""
    low = position.floor().clamp(0, x.shape[1] - 1).long()
    high = (low + 1).clamp(max=x.shape[1] - 1)
    part = (position - low)[..., None]
    index = [n[..., None].expand(-1, -1, x.shape[2]) for n in (low, high)]
    return x.gather(1, index[0]) * (1 - part) + x.gather(1, index[1]) * part


def _nearest(x: Tensor, position: Tensor) -> Tensor:
    """x (B, T) or (B, T, C) at the steps nearest to positions (B, S)."""
    index = position.round().clamp(0, x.shape[1] - 1).long()
    return x.gather(1, index) if x.ndim == 2 else x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))
