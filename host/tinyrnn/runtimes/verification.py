# SPDX-License-Identifier: MIT
"""Check bit-exactness: replay sequences on a runtime and compare every output and every state with ``==``.

The simulator gives the expected integers. The tests check the simulator against ``urnn`` under CPython.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import urnn

from tinyrnn.errors import TinyrnnError
from tinyrnn.integer_model.network import Network, pack
from tinyrnn.integer_model.simulator import Simulator
from tinyrnn.runtimes import SCRIPTS, Runtime

DEVICE = Path(urnn.__file__).parents[1]  # the folder to import urnn from
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Report:
    """The result of one replay."""

    runtime: str
    kernels: str
    sequences: int
    steps: int
    differences: int  # number of integers that differ
    first: tuple[str, ...]  # the first differences in words
    us_step: float  # mean time of a step in microseconds
    heap_bytes: int  # heap that load() took; -1 where the runtime cannot tell

    @property
    def exact(self) -> bool:
        return not self.differences and self.steps > 0


def kernel_sets(runtime: Runtime) -> tuple[str, ...]:
    """The kernel sets that this runtime has, best first."""
    absent = {"asm_thumb"}  # no runtime here has the inline assembler
    if not runtime.has_viper:
        absent.add("viper")
    if not runtime.is_micropython:
        absent.add("bytecode")
    return tuple(name for name in urnn.KERNEL_SETS if name not in absent)


def expected(network: Network, raw: Sequence[np.ndarray]) -> bytes:
    """The file of cases that scripts/replay.py reads. raw: sequences of integers, each of shape (T, C)."""
    simulator = Simulator(network)
    parts = [struct.pack("<I", len(raw))]
    for sequence in raw:
        output, state = simulator.run(sequence[None])
        steps = len(sequence)
        padded = np.zeros((steps, (network.units + 1) & -2), "<i2")
        padded[:, : network.units] = state[0]
        columns = [sequence.astype("<i4").tobytes, output[0].astype("<i4").tobytes, padded.tobytes]
        rows = [np.frombuffer(column(), np.uint8).reshape(steps, -1) for column in columns]
        parts += [struct.pack("<I", steps), np.concatenate(rows, axis=1).tobytes()]
    return b"".join(parts)


def replay(
    runtime: Runtime,
    kernels: str,
    cases: Sequence[tuple[Network, Sequence[np.ndarray]]],
    *,
    device: Path = DEVICE,
    heapsize: str | None = None,
    timeout: float = TIMEOUT_S,
) -> list[Report]:
    """Replay each network's sequences with one kernel set. Returns a report for each network.

    device: the folder to import urnn from. timeout: seconds. Differing integers are in the reports and raise nothing.
    Raises TinyrnnError when the runtime fails in any other way.
    """
    with tempfile.TemporaryDirectory(prefix="tinyrnn-") as folder:
        names = []
        for number, (network, raw) in enumerate(cases):
            (Path(folder) / f"{number}.urnn").write_bytes(pack(network))
            (Path(folder) / f"{number}.cases").write_bytes(expected(network, raw))
            names += [f"{number}.urnn", f"{number}.cases"]
        text = runtime.run(
            SCRIPTS / "replay.py",
            kernels,
            *names,
            cwd=Path(folder),
            path=[device],
            timeout=timeout,
            heapsize=heapsize,
        )
    reports = []
    first: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split()
        if word == "DIFFER":
            sequence, step, what, index, want, got = rest
            first.append(f"sequence {sequence} step {step} {what} {index}: want {want}, got {got}")
        elif word == "DONE":
            count, steps, differences, us, heap, used = rest
            reports.append(
                Report(
                    runtime.name,
                    used,
                    int(count),
                    int(steps),
                    int(differences),
                    tuple(first),
                    float(us),
                    int(heap),
                )
            )
            first = []
    if len(reports) != len(cases):
        raise TinyrnnError(f"{runtime.name}: replayed {len(reports)} of {len(cases)} models; expected all, run it again")
    return reports
