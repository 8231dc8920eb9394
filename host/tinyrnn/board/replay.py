# SPDX-License-Identifier: MIT
"""Check bit-exactness on a board: compare every output and every state of every step with the simulator.

The board answers a line of samples with a CRC-32 over the outputs and states of all its steps, so a test set takes minutes
instead of hours. Where the CRC differs, the steps are repeated one by one, and their integers are compared with ``==``.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.board.protocol import Client, Loaded, pack_samples, unpack
from tinyrnn.integer_model.simulator import Simulator

if TYPE_CHECKING:
    from tinyrnn.integer_model.network import Network

MOST = 10  # differing integers to report


@dataclass(frozen=True)
class Replayed:
    """The result of a replay on a board, over all sequences or up to the first one that differs."""

    kernels: str
    sequences: int
    steps: int
    seconds: float
    first: tuple[str, ...]  # the first differing integers in words: sequence, step, index, want, got
    differences: int  # number of integers that differ, in the first sequence with a difference

    @property
    def exact(self) -> bool:
        return not self.differences and self.steps > 0


def replay_on(
    client: Client,
    loaded: Loaded,
    network: Network,
    raw: Sequence[np.ndarray],
    progress: Callable[[int], None] = lambda steps: None,
) -> Replayed:
    """Replay sequences on the net that ``loaded`` describes. Stops at the first sequence with a difference.

    raw: the sequences, integers of shape (T, C) each. progress: called after each line with its number of steps.
    Raises LinkError, BoardError.
    """
    simulator = Simulator(network)
    room = client.steps_a_line(loaded)
    began = time.monotonic()
    steps = 0
    waiting: deque[tuple[int, int, int, str]] = deque()  # (sequence, first step, steps, CRC wanted) of each command
    wrong: tuple[int, int] | None = None  # (sequence, first step) of the first line that differs

    def take(wait_s: float | None) -> None:
        nonlocal steps, wrong
        while wrong is None and (words := client.receive(wait_s)) is not None:
            wait_s = 0.0
            sequence, first, count, crc = waiting.popleft()
            if count and words[2] != crc:
                wrong = sequence, first
            steps += count
            progress(count)

    for number, sequence in enumerate(raw):
        outputs, states = _expected(simulator, sequence)
        jobs = [(0, 0, "reset", "")]
        for at in range(0, len(sequence), room):
            part = slice(at, at + room)
            jobs.append(
                (at, len(sequence[part]), f"check {pack_samples(sequence[part])}", _crc(outputs[part], states[part]))
            )
        for at, count, command, crc in jobs:
            while wrong is None and not client.room(command):
                take(None)
            if wrong is not None:
                break
            waiting.append((number, at, count, crc))
            client.send(command)
            take(0.0)
        if wrong is not None:
            break
    while wrong is None and client.pending:
        take(None)
    first: tuple[str, ...] = ()
    differences = 0
    if wrong is not None:
        while client.pending:
            client.receive()
        first, differences = _locate(client, simulator, raw[wrong[0]], *wrong)
    done = len(raw) if wrong is None else wrong[0] + 1
    return Replayed(loaded.kernels, done, steps, time.monotonic() - began, first, differences)


def _expected(simulator: Simulator, sequence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The simulator's outputs (T, O), little-endian int32, and states (T, S), little-endian int16."""
    output, state = simulator.run(sequence[None])
    return output[0].astype("<i4"), state[0].astype("<i2")


def _crc(outputs: np.ndarray, states: np.ndarray) -> str:
    crc = 0
    for output, state in zip(outputs, states, strict=True):
        crc = zlib.crc32(state.tobytes(), zlib.crc32(output.tobytes(), crc))
    return f"{crc:08x}"


def _locate(
    client: Client, simulator: Simulator, sequence: np.ndarray, number: int, first: int
) -> tuple[tuple[str, ...], int]:
    """Repeat a sequence from step ``first``; all earlier steps were equal. Returns (first differences in words, count)."""
    outputs, states = _expected(simulator, sequence)
    client.ask("reset")
    if first:
        client.ask(f"state {base64.b64encode(states[first - 1].tobytes()).decode()}")
    told: list[str] = []
    count = 0
    for t in range(first, len(sequence)):
        output = unpack(client.ask(f"step {pack_samples(sequence[t])}")[1], "<i4")
        state = unpack(client.ask("state")[0], "<i2")
        for what, want, got in (("output", outputs[t], output), ("state", states[t], state)):
            for index in np.flatnonzero(want != got):
                count += 1
                if len(told) < MOST:
                    told.append(f"sequence {number} step {t} {what} {index}: want {want[index]}, got {got[index]}")
    if not count:
        told.append(f"sequence {number} from step {first}: the board's CRC differed once, but the repeated steps are equal")
    return tuple(told), max(count, 1)
