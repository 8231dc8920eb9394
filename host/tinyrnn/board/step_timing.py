# SPDX-License-Identifier: MIT
"""What a model costs on a board: scripts/measure_step.py, run there, its answer checked and read."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinyrnn.board import same_model
from tinyrnn.board.link import Link
from tinyrnn.errors import BoardError, Mismatch
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.simulator import Simulator

SAMPLES = 8  # different ones, fed in turn
SET_US = 5_000_000  # for the steps of one kernel set, within LEAST and MOST, unless their number is given
LEAST, MOST = 20, 200
ROUND_US, ROUND_STEPS = 1_000_000, 250  # of one call, after which there is news
COUNTED = 10  # steps whose allocation is counted
LOAD_S = 120.0  # longest wait for imports, load() and one step, of which nothing is known
SPARE_S, SPARE = 20.0, 10  # longest wait for steps: so much, and so many times what they are expected to take
COARSE_US = 1000  # a clock whose times are all multiples of it


@dataclass(frozen=True)
class Measured:
    """One kernel set on one board."""

    model: str
    shape: str  # "GRU 6-32-4": cells, inputs, units of each layer, outputs
    board: str
    firmware: str
    kernels: str
    steps: int
    min_us: int
    median_us: int
    p99_us: int
    max_us: int
    mean_us: float
    step_bytes: float  # allocated by a step; -1 where the board cannot say
    heap_before: int  # free bytes before load(), kernels imported; -1 where the board cannot say
    heap_after: int  # and with the net loaded


def shape(network: Network) -> str:
    """ "GRU 6-32-4": the cells' kinds, then inputs, units of each layer, outputs."""
    kinds = list(dict.fromkeys(type(cell).__name__ for cell in network.cells))
    sizes = (network.inputs, *(cell.units for cell in network.cells), network.outputs)
    return f"{'+'.join(kinds)} {'-'.join(map(str, sizes))}"


Progress = Callable[[str, int, int, int], None]  # kernel set, steps done, steps to do, microseconds of one


def measure(
    port: str,
    model: str,
    steps: int | None = None,
    kernels: list[str] | None = None,
    progress: Progress = lambda kernels, done, steps, us: None,
) -> Iterator[Measured]:
    """Measure each kernel set of the board, or those named; each row when it is there.

    steps: with each set; None: as many as take SET_US. progress: called when one step has been measured, then after each
    round of them. Raises BoardError (model not there), LinkError, Mismatch.
    """
    network = urnn_file.load(model).network
    samples = _samples(network)
    with Link(port) as link:
        identity = link.identity
        _same(link, model)
        has = link.run_script("kernel_sets.py").split()
        for name in kernels or has:
            if name not in has:
                raise BoardError(f"{port}: has no kernels {name!r}; expected one of {', '.join(has)}")
            answer = link.run_script("measure_step.py", "load", Path(model).name, name, samples, timeout_s=LOAD_S)
            us, before, after = (int(word) for word in answer.split())
            count = steps or max(LEAST, min(MOST, SET_US // max(us, 1)))
            progress(name, 0, count, us)
            times, whole_us, crc = _rounds(link, name, count, us, progress)
            if crc != _want(network, samples, count):
                raise Mismatch(
                    f"{port} with kernels {name} computes different integers: `tinyrnn verify {model} --on {port}`"
                )
            allocated = int(
                link.run_script("measure_step.py", "allocated", COUNTED, timeout_s=_limit_s(COUNTED, max(times) / 1e6))
            )
            times.sort()
            coarse = all(us % COARSE_US == 0 for us in times)
            yield Measured(
                Path(model).name,
                shape(network),
                identity.board,
                identity.firmware,
                name,
                count,
                times[0],
                times[count // 2],
                times[(99 * count + 99) // 100 - 1],
                times[-1],
                (whole_us if coarse else sum(times)) / count,
                allocated / COUNTED if allocated >= 0 else -1,
                before,
                after,
            )


def _rounds(link: Link, kernels: str, steps: int, us: int, progress: Progress) -> tuple[list[int], int, str]:
    """(microseconds of each step, those of the loops around them, the last answer's CRC). us: a step's, as expected."""
    times: list[int] = []
    whole_us = 0
    crc = ""
    step_s = us / 1e6  # by this computer's clock, once it is known: an emulated board's may go otherwise
    while len(times) < steps:
        count = min(steps - len(times), ROUND_STEPS, max(1, ROUND_US // max(us, 1)))
        began = time.monotonic()
        words = link.run_script("measure_step.py", "steps", count, timeout_s=_limit_s(count, step_s)).split()
        step_s = max(us / 1e6, (time.monotonic() - began) / count)
        whole_us += int(words[0])
        crc = words[1]
        times += [max(0, int(word)) for word in words[2:]]
        progress(kernels, len(times), steps, us)
    return times, whole_us, crc


def _limit_s(steps: int, step_s: float) -> float:
    return SPARE_S + SPARE * steps * step_s


def _same(link: Link, model: str) -> None:
    """Raises BoardError unless the file is on the board, the same and with urnn."""
    name = Path(model).name
    cure = same_model.cure(model, link.port)
    there = {found: (size, int(check, 16)) for found, size, check in link.identity.models}
    if name not in there:
        raise BoardError(f"{link.port}: {name} is not on the board; expected it there: {cure}")
    same_model.require(link.port, model, *there[name])
    if not link.identity.installed:
        raise BoardError(f"{link.port}: urnn is not on the board; expected it there: {cure}")


def _samples(network: Network) -> list[tuple[int, ...]]:
    """Within the range that counts; the same for the same model."""
    rng = np.random.default_rng(0)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    return [tuple(row) for row in rng.integers(low, high + 1, (SAMPLES, network.inputs)).tolist()]


def _want(network: Network, samples: list[tuple[int, ...]], steps: int) -> str:
    """The CRC-32 of output and state after the last step, as scripts/measure_step.py answers it."""
    raw = np.array(samples)[np.arange(steps) % len(samples)]
    output, state = Simulator(network).run(raw[None])
    return f"{zlib.crc32(state[0, -1].astype('<i2').tobytes(), zlib.crc32(output[0, -1].astype('<i4').tobytes())):08x}"


def record(rows: list[Measured], note: str, date: str) -> Path:
    """Add each row to the file of its board in boards/, found by what the firmware calls itself; returns the file.

    note: what a reader must know besides, such as "emulated"; may be empty. Raises BoardError when no file is that board's.
    """
    from tinyrnn import files
    from tinyrnn.board import catalogue

    board = catalogue.match(rows[0].board)
    if board is None:
        raise BoardError(
            f"no file in boards/ is of {rows[0].board!r}; expected one whose `machine` has it: add it as docs/boards.md says"
        )
    path = catalogue.file_of(board.key)
    text = path.read_text(encoding="utf-8")
    for row in rows:
        facts = {"date": date, "note": note, **asdict(row)}
        lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items() if value not in ("", -1)]
        text += "\n".join(["", "[[measured]]", *lines, ""])
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}; expected a file that can be written: it is as it was") from None
    catalogue.known.cache_clear()
    return path
