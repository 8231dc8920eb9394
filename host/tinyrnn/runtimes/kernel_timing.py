# SPDX-License-Identifier: MIT
"""Time the same step in several ways: each kernel set on each runtime, floats in plain Python, and numpy on the host.

Every answer is checked before its time counts: integers against the host's plain kernels, floats against the float
model. ``fixed`` is the time of a step of the same cell with one input, one unit and one output. It shows what a step
costs before there is anything to multiply.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import urnn

from tinyrnn.errors import Mismatch, TinyrnnError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.model import FloatModel
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import Network, pack, unpack
from tinyrnn.integer_model.summary import macs
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import SCRIPTS, Runtime

if TYPE_CHECKING:
    from tinyrnn.integer_model.simulator import Simulator

DEVICE = Path(urnn.__file__).parents[1]  # the folder to import urnn from
SCRIPT, FLOAT_NET = SCRIPTS / "time_kernel_sets.py", SCRIPTS / "float_gru.py"
SAMPLES = 8  # different samples, fed in turn
BATCH_MS, BATCHES = 50, 5  # the webassembly port's clock ticks in milliseconds
TIMEOUT_S = 600
NUMPY_BATCH = 256  # sequences in one call


@dataclass(frozen=True)
class Case:
    """A model to time."""

    data: bytes  # the file
    title: str  # "GRU 6-32-4"
    cell: str  # a name of float_model.cells, or the kinds of the file's cells
    inputs: int
    hidden: int  # of all layers together
    layers: int
    outputs: int
    macs: int
    samples: tuple[tuple[int, ...], ...]
    floats: FloatModel | None  # only for one GRU layer: the same network, or one of the same shape

    @property
    def text(self) -> str:
        """The text file that scripts/time_kernel_sets.py reads next to the model."""
        lines = _matrices([np.array(self.samples)])
        if self.floats:
            layer, head = self.floats.layers[0], self.floats.head
            assert isinstance(layer, GRU)
            outputs = self.floats.forward(np.array(self.samples, float)[None])[0]
            parts = (outputs, self.floats.mean, self.floats.std)
            weights = (layer.weight_ih, layer.weight_hh, layer.bias_ih, layer.bias_hh, head.weight, head.bias)
            lines += ["", *_matrices([*parts, *(np.asarray(part) for part in weights)])]
        return "\n".join(lines) + "\n"

    @property
    def crc(self) -> str:
        """CRC-32 over the outputs and states after each sample, computed by the host's plain kernels."""
        net = urnn.load(bytearray(self.data), kernels="plain")
        crc = 0
        for sample in self.samples:
            net.step(sample)
            crc = crc32(net.state, crc32(net.output, crc))
        return f"{crc:08x}"


def _matrices(parts: Sequence[np.ndarray]) -> list[str]:
    lines = []
    for part in map(np.atleast_2d, parts):
        lines.append(str(len(part)))
        lines += [" ".join(map(str, row)) for row in part.tolist()]
    return lines


def random_case(
    inputs: int,
    hidden: int | tuple[int, ...],
    outputs: int,
    cell: str | tuple[str, ...] = "gru",
    name: str = "",
    **options: Any,
) -> Case:
    """An untrained network. The same shape always gives the same network.

    hidden: units of the one layer, or of each layer. name: used in the title; default: the cell's name.
    options: further arguments for random_float_model().
    """
    units = hidden if isinstance(hidden, tuple) else (hidden,)
    model = random_float_model(np.random.default_rng(0), inputs, units, outputs, cell, **options)
    plain = cell == "gru" and len(units) == 1 and not options
    return _case(quantize(model), name or (cell if isinstance(cell, str) else "+".join(cell)), model if plain else None)


def smallest(case: Case) -> Case:
    """The network for ``fixed``: 1 input, 1 unit and 1 output, with the first of the case's cells that has a float cell."""
    return random_case(1, 1, 1, next((cell for cell in case.cell.split("+") if cell in float_cells.names()), "gru"))


def file_case(network: Network) -> Case:
    """The case for a model file's network.

    For one GRU layer the float network is a random one of the same shape, because its step takes the same time.
    """
    from tinyrnn.integer_model.cells.gru import GRU as IntegerGRU

    only = network.cells[0] if len(network.cells) == 1 else None
    cell = "+".join(dict.fromkeys(each.title for each in network.cells))
    floats = None
    if isinstance(only, IntegerGRU) and macs(network) == _whole(network):
        shape = network.inputs, (only.units,), network.outputs
        floats = random_float_model(np.random.default_rng(0), *shape)
    return _case(network, cell, floats)


def _whole(network: Network) -> int:
    """The multiplications of a step, if the network is one GRU layer with full matrices and a head."""
    return network.units * (3 * (network.inputs + network.units) + network.outputs)


def _case(network: Network, cell: str, floats: FloatModel | None) -> Case:
    widths = [each.units for each in network.cells if each.state_size]  # of the recurrent layers
    hidden = sum(widths)
    sizes = "-".join(map(str, (network.inputs, *widths, network.outputs)))
    rng = np.random.default_rng(0)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    low, high = np.maximum(low, -2500), np.minimum(high, 2500)
    samples = rng.integers(low, np.maximum(low, high) + 1, (SAMPLES, network.inputs)).tolist()
    return Case(
        pack(network),
        f"{cell.upper()} {sizes}",
        cell,
        network.inputs,
        hidden,
        len(network.cells),
        network.outputs,
        macs(network),
        tuple(map(tuple, samples)),
        floats,
    )


@dataclass(frozen=True)
class Line:
    """The cost of a step computed in one way. None means that it is not known or cannot be counted there."""

    runtime: str
    kernels: str  # a kernel set, or "float", "numpy", "C PLAIN16"
    us: float | None  # time of a step in microseconds
    fixed_us: float | None
    cycles: float | None = None
    fixed_cycles: float | None = None
    allocated: int | None = None  # bytes of heap in a step


Run = Callable[..., str]  # (*arguments, files) -> what the script printed


def on_runtime(runtime: Runtime, case: Case, small: Case | None = None) -> list[Line]:
    """Time each kernel set of a runtime, and the floats, in one process. Raises Mismatch for wrong integers.

    small: the smallest network, for ``fixed_us``.
    """

    def run(*arguments: str, files: dict[str, bytes]) -> str:
        with tempfile.TemporaryDirectory() as name:
            for path, data in files.items():
                (Path(name) / path).write_bytes(data)
            folders = [DEVICE, SCRIPTS]
            return runtime.run(SCRIPT, *arguments, cwd=Path(name), path=folders, timeout=TIMEOUT_S)

    return timed(runtime.name, run, case, small)


def timed(name: str, run: Run, case: Case, small: Case | None = None) -> list[Line]:
    """The lines that scripts/time_kernel_sets.py gives when run() starts it.

    name: the runtime's name. Raises Mismatch for wrong integers, TinyrnnError for an answer without a kernel set.
    """
    cases = {"model": case, **({"small": small} if small else {})}
    files = {}
    for stem, each in cases.items():
        files[f"{stem}.urnn"] = each.data
        files[f"{stem}.txt"] = each.text.encode()
    answer = run(str(BATCH_MS), str(BATCHES), *cases, files=files)
    found: dict[tuple[str, str], tuple[float | None, int | None]] = {}
    for line in answer.splitlines():
        stem, kernels, us, allocated, crc = line.split()
        if crc == "memory":
            found[stem, kernels] = None, None
            continue
        if kernels != "float" and crc != cases[stem].crc:
            what = f"{name} with kernels {kernels} computes different integers for {cases[stem].title}"
            raise Mismatch(f"{what}: expected CRC {cases[stem].crc}, got {crc}: `tinyrnn verify` tells where")
        found[stem, kernels] = float(us), int(allocated) if int(allocated) >= 0 else None
    sets = [kernels for stem, kernels in found if stem == "model"]
    if "plain" not in sets:
        raise TinyrnnError(f"{name}: {SCRIPT.name} answered {answer!r:.80}; expected a line for each kernel set")
    return [
        Line(name, kernels, us, found.get(("small", kernels), (None, None))[0], allocated=allocated)
        for (stem, kernels), (us, allocated) in found.items()
        if stem == "model"
    ]


def in_numpy(case: Case, small: Case) -> list[Line]:
    """Time the simulator on the host: one sequence, then NUMPY_BATCH at once. The times are those of one sequence."""
    from tinyrnn.integer_model.simulator import Simulator

    nets = [(Simulator(unpack(each.data)), each) for each in (case, small)]
    lines = []
    for batch in (1, NUMPY_BATCH):
        us, fixed = (_simulator_us(simulator, each, batch) for simulator, each in nets)
        lines.append(Line("host", f"numpy, {batch} at once", us, fixed))
    return lines


def _simulator_us(simulator: Simulator, case: Case, batch: int) -> float:
    """Microseconds for one step of one sequence: the median of BATCHES measurements."""
    raw = np.array([case.samples] * batch)
    times = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        count = 0
        while time.perf_counter() - began < BATCH_MS / 1000:
            simulator.run(raw)
            count += batch * len(case.samples)
        times.append((time.perf_counter() - began) / count * 1e6)
    return sorted(times)[BATCHES // 2]


def ratios(lines: Sequence[Line]) -> list[float | None]:
    """For each line, the speed relative to the plain kernels of the same runtime; None where those were not timed."""
    plain = {line.runtime: line.us for line in lines if line.kernels == "plain"}
    found: list[float | None] = []
    for line in lines:
        base = plain.get(line.runtime)
        found.append(base / line.us if base and line.us else None)
    return found
