# SPDX-License-Identifier: MIT
"""Measure the time and the heap of a step on a board with scripts/measure_step.py, and check its integers."""

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

SAMPLES = 8  # different samples, fed in turn
SET_US = 5_000_000  # time for the steps of one kernel set, if their number is not given
LEAST, MOST = 20, 200  # bounds for that number of steps
ROUND_US, ROUND_STEPS = 1_000_000, 250  # largest time and number of steps of one call, after which progress is reported
COUNTED = 10  # steps whose allocation is counted
LOAD_S = 120.0  # longest wait for imports, load() and one step, whose time is not known yet
SPARE_S, SPARE = 20.0, 10  # longest wait for steps: SPARE_S, plus SPARE times their expected time
COARSE_US = 1000  # if all times are multiples of this, the board's clock is coarse


@dataclass(frozen=True)
class Measured:
    """The measurements of one kernel set on one board."""

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
    step_bytes: float  # bytes of heap that a step allocates; -1 where the board cannot tell
    heap_before: int  # free bytes before load(), with the kernels imported; -1 where the board cannot tell
    heap_after: int  # free bytes with the net loaded; -1 where the board cannot tell


def shape(network: Network) -> str:
    """The network's shape, such as "GRU 6-32-4": the kinds of cells, then inputs, units of each layer, outputs."""
    kinds = list(dict.fromkeys(type(cell).__name__ for cell in network.cells))
    sizes = (network.inputs, *(cell.units for cell in network.cells), network.outputs)
    return f"{'+'.join(kinds)} {'-'.join(map(str, sizes))}"


Progress = Callable[[str, int, int, int], None]  # kernel set, steps done, steps in all, microseconds of one step


def measure(
    port: str,
    model: str,
    steps: int | None = None,
    kernels: list[str] | None = None,
    progress: Progress = lambda kernels, done, steps, us: None,
) -> Iterator[Measured]:
    """Measure each kernel set of the board, or only those named. Yields each result as soon as it is there.

    steps: the number for each set; None means as many as take SET_US. progress: called when one step has been measured,
    then after each round of steps. Raises BoardError when the model is not on the board, LinkError, Mismatch.
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
    """Run the steps in rounds. us: the expected microseconds of a step.

    Returns (microseconds of each step, microseconds of the loops around them, the CRC of the last answer).
    """
    times: list[int] = []
    whole_us = 0
    crc = ""
    step_s = us / 1e6  # by this computer's clock once it is known, because an emulated board's clock may differ
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
    """Raise BoardError unless the board has urnn and the same model file."""
    name = Path(model).name
    cure = same_model.cure(model, link.port)
    there = {found: (size, int(check, 16)) for found, size, check in link.identity.models}
    if name not in there:
        raise BoardError(f"{link.port}: {name} is not on the board; expected it there: {cure}")
    same_model.require(link.port, model, *there[name])
    if not link.identity.installed:
        raise BoardError(f"{link.port}: urnn is not on the board; expected it there: {cure}")


def _samples(network: Network) -> list[tuple[int, ...]]:
    """Raw samples within the model's input range. The same model always gets the same samples."""
    rng = np.random.default_rng(0)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    return [tuple(row) for row in rng.integers(low, high + 1, (SAMPLES, network.inputs)).tolist()]


def _want(network: Network, samples: list[tuple[int, ...]], steps: int) -> str:
    """The CRC-32 of output and state after the last step, which scripts/measure_step.py should answer."""
    raw = np.array(samples)[np.arange(steps) % len(samples)]
    output, state = Simulator(network).run(raw[None])
    return f"{zlib.crc32(state[0, -1].astype('<i2').tobytes(), zlib.crc32(output[0, -1].astype('<i4').tobytes())):08x}"


def record(rows: list[Measured], note: str, date: str) -> Path:
    """Add each row to the file of its board in boards/ and return that file's path. The firmware's name gives the board.

    note: what else a reader must know, such as "emulated"; may be empty. date: the date to record.
    Raises BoardError when no file describes that board, or the file cannot be written.
    """
    from tinyrnn import files
    from tinyrnn.board import catalogue

    board = catalogue.match(rows[0].board)
    if board is None:
        raise BoardError(
            f"no file in boards/ describes {rows[0].board!r}; expected one whose `machine` lists it: see docs/boards.md"
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
        raise BoardError(f"{path}: {error.strerror}; expected a file that can be written: it is unchanged") from None
    catalogue.known.cache_clear()
    return path
