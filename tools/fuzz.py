#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Load damaged model files on the 32-bit runtimes with viper: python3 tools/fuzz.py [--help]

The tool sets every byte of a small file to every other value, first with the old CRC and then with a correct one. It
then makes 100,000 files by mutating, cutting and recombining small models. tests/device/scripts/fuzz_load.py says what the
loader must do with each file. On a failure the tool prints the file and ends with exit status 1. The same seed and case
make the same file again on every runtime.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from shared.paths import DEVICE_SCRIPTS, PACKAGE
from tinyrnn import runtimes
from tinyrnn.errors import TinyrnnError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime

SCRIPT = DEVICE_SCRIPTS / "fuzz_load.py"
RUNTIMES = ("unix-i386", "unix-armhf")
CASES = 100_000
CHUNK = 20_000  # cases per process: few enough that a timeout means a hang
TIMEOUT_S = 1200.0


@dataclass
class Count:
    """The counts that fuzz_load.py prints, and the wall time."""

    cases: int = 0
    loaded: int = 0
    refused: int = 0
    overflowing: int = 0
    seconds: float = 0.0

    def __add__(self, other: Count) -> Count:
        return Count(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


def seed_models(folder: Path) -> list[str]:
    """Write the models to damage. Returns their names, the smallest first: 272 and 452 bytes."""
    rng = np.random.default_rng(0)
    names: list[str] = []
    for inputs, units in ((1, (1,)), (2, (2, 1))):
        name = f"seed{len(names)}.urnn"
        (folder / name).write_bytes(pack(quantize(random_float_model(rng, inputs, units, 2))))
        names.append(name)
    return names


def cell_models(folder: Path) -> list[str]:
    """Write small models that together have every section: cells, low rank, norms, embedding, heads. Returns their names."""
    rng = np.random.default_rng(0)
    models = (
        random_float_model(rng, 2, (2,), 2, "lstm", symbols=3, projection=1),
        random_float_model(rng, 2, (3,), 2, "gru-reset-before", rank=1, layernorm=True),
        random_float_model(rng, 1, (2, 2), 2, ("rnn-relu", "fastrnn"), between=True),
        random_float_model(rng, 1, (2,), 3, "fastgrnn", heads=(2, 1)),
        random_float_model(rng, 1, (2,), 2, "lstm", layernorm=True),
    )
    names = [f"cell{number}.urnn" for number in range(len(models))]
    for name, model in zip(names, models, strict=True):
        (folder / name).write_bytes(pack(quantize(model)))
    return names


def kernel_sets(runtime: Runtime) -> str:
    """The kernel sets to compare, as an argument of fuzz_load.py."""
    return "viper,plain" if runtime.has_viper else "plain"


def fuzz(runtime: Runtime, folder: Path, mode: str, *args: str) -> Count:
    """Run fuzz_load.py on models in folder. Raises TinyrnnError with the faulty file, or when the run hangs."""
    began = time.monotonic()
    out = runtime.run(
        SCRIPT,
        mode,
        kernel_sets(runtime),
        *args,
        cwd=folder,
        path=[PACKAGE.parent],
        timeout=TIMEOUT_S,
    )
    found = re.fullmatch(r"FUZZ cases (\d+) loaded (\d+) refused (\d+) overflowing (\d+)\n", out)
    if not found:
        raise TinyrnnError(f"{runtime.name}: {SCRIPT.name} printed {out[-200:]!r}; expected its summary")
    cases, loaded, refused, overflowing = map(int, found.groups())
    return Count(cases, loaded, refused, overflowing, time.monotonic() - began)


def row(name: str, what: str, count: Count) -> str:
    rate = count.cases / max(count.seconds, 1e-3)
    return (
        f"{name:<12} {what:<22} {count.cases:>8} {count.loaded:>8} {count.refused:>8} {count.overflowing:>8} "
        f"{count.seconds:>7.1f} {rate:>8.0f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Load damaged model files on the 32-bit runtimes.")
    parser.add_argument("--runtime", action="append", help=f"a runtime; may be repeated (default: {' and '.join(RUNTIMES)})")
    parser.add_argument("--cases", type=int, default=CASES, help="mutated files per runtime (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the mutations (default: %(default)s)")
    options = parser.parse_args()
    counts = f"{'files':>8} {'loaded':>8} {'refused':>8} {'overflowing':>8}"
    print(f"{'runtime':<12} {'damage':<22} {counts} {'s':>7} {'files/s':>8}", flush=True)
    try:
        for name in options.runtime or RUNTIMES:
            runtime = runtimes.get(name)
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                files = seed_models(folder) + cell_models(folder)
                for mend, what in (("0", "each byte"), ("1", "each byte, CRC mended")):
                    print(row(name, what, fuzz(runtime, folder, "bytes", mend, "255", files[0])), flush=True)
                total = Count()
                for first in range(0, options.cases, CHUNK):
                    count = min(CHUNK, options.cases - first)
                    part = (str(options.seed), str(first), str(count))
                    total += fuzz(runtime, folder, "random", *part, *files)
                print(row(name, "mutated", total), flush=True)
    except TinyrnnError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
