"""What a model costs on a board: scripts/bench.py, run there, its answer checked and read."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinyrnn import modelfile
from tinyrnn.board import same
from tinyrnn.board.link import Link
from tinyrnn.errors import BoardError, Mismatch
from tinyrnn.network import Network
from tinyrnn.twin import Twin

SAMPLES = 8  # different ones, fed in turn
SECONDS_A_STEP = 0.5  # slower than any net that fits; for the wait


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
    mean_us: float
    step_bytes: float  # allocated by a step; -1 where the board cannot say
    heap_before: int  # free bytes before load(), kernels imported; -1 where the board cannot say
    heap_after: int  # and with the net loaded


def shape(network: Network) -> str:
    """ "GRU 6-32-4": the cells' kinds, then inputs, units of each layer, outputs."""
    kinds = list(dict.fromkeys(type(cell).__name__ for cell in network.cells))
    sizes = (network.inputs, *(cell.units for cell in network.cells), network.outputs)
    return f"{'+'.join(kinds)} {'-'.join(map(str, sizes))}"


def measure(port: str, model: str, steps: int, kernels: list[str] | None = None) -> list[Measured]:
    """Measure each kernel set of the board, or those named. Raises BoardError (model not there), LinkError, Mismatch."""
    network = modelfile.read(model)
    samples = _samples(network)
    want = _want(network, samples, steps)
    rows = []
    with Link(port) as link:
        identity = link.identity
        _same(link, model)
        has = link.run_script("kernels.py").split()
        for name in kernels or has:
            if name not in has:
                raise BoardError(f"{port}: has no kernels {name!r}; expected one of {', '.join(has)}")
            answer = link.run_script(
                "bench.py", Path(model).name, name, samples, steps, timeout_s=20 + SECONDS_A_STEP * steps
            ).split()
            if answer[-1] != want:
                raise Mismatch(f"{port} with kernels {name} computes other integers: `tinyrnn verify {model} --on {port}`")
            least, median, p99, allocated, before, after = (int(answer[i]) for i in (0, 1, 2, 4, 5, 6))
            rows.append(
                Measured(
                    Path(model).name, shape(network), identity.board, identity.firmware, name, steps,
                    least, median, p99, float(answer[3]), allocated / 10 if allocated >= 0 else -1, before, after,
                )
            )  # fmt: skip
    return rows


def _same(link: Link, model: str) -> None:
    """Raises BoardError unless the file is on the board, the same and with urnn."""
    name = Path(model).name
    cure = same.cure(model, link.port)
    there = {found: (size, int(check, 16)) for found, size, check in link.identity.models}
    if name not in there:
        raise BoardError(f"{link.port}: {name} is not on the board; expected it there: {cure}")
    same.require(link.port, model, *there[name])
    if not link.identity.installed:
        raise BoardError(f"{link.port}: urnn is not on the board; expected it there: {cure}")


def _samples(network: Network) -> list[tuple[int, ...]]:
    """Within the range that counts; the same for the same model."""
    rng = np.random.default_rng(0)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    return [tuple(row) for row in rng.integers(low, high + 1, (SAMPLES, network.inputs)).tolist()]


def _want(network: Network, samples: list[tuple[int, ...]], steps: int) -> str:
    """The CRC-32 of output and state after the last step, as scripts/bench.py answers it."""
    raw = np.array(samples)[np.arange(steps) % len(samples)]
    output, state = Twin(network).run(raw[None])
    return f"{zlib.crc32(state[0, -1].astype('<i2').tobytes(), zlib.crc32(output[0, -1].astype('<i4').tobytes())):08x}"


def record(rows: list[Measured], note: str, date: str) -> Path:
    """Add each row to the file of its board in boards/, found by what the firmware calls itself; returns the file.

    note: what a reader must know besides, such as "emulated"; may be empty. Raises BoardError when no file is that board's.
    """
    from tinyrnn import boards, files

    board = boards.match(rows[0].board)
    if board is None:
        raise BoardError(
            f"no file in boards/ is of {rows[0].board!r}; expected one whose `machine` has it: add it as docs/boards.md says"
        )
    path = boards.file_of(board.key)
    text = path.read_text(encoding="utf-8")
    for row in rows:
        facts = {"date": date, "note": note, **asdict(row)}
        lines = [f"{name} = {json.dumps(value)}" for name, value in facts.items() if value not in ("", -1)]
        text += "\n".join(["", "[[measured]]", *lines, ""])
    try:
        files.write(path, text.encode())
    except OSError as error:
        raise BoardError(f"{path}: {error.strerror}; expected a file that can be written: it is as it was") from None
    boards.known.cache_clear()
    return path
