# SPDX-License-Identifier: MIT
"""Whole steps on an emulated RP2040 with MicroPython's firmware: microseconds by the board's own clock.

The firmware, a UF2 file, runs in rp2040py in this process at 125 MHz, with a model of the flash cache. The device package
is copied as .mpy files that mpy-cross compiled for armv6m, so that its machine code is the code that core_board.py counts.
It can also be copied as source, which the firmware compiles.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import subprocess
import tempfile
import types
from dataclasses import dataclass
from pathlib import Path

import urnn

from tinyrnn.board.source_stripping import strip
from tinyrnn.emulation.mpy_file import MpyError, installed_compiler
from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.runtimes import SCRIPTS

PACKAGE = Path(urnn.__file__).parent
SCRIPT = SCRIPTS / "bench_cycles.py"
CLOCK_MHZ = 125
CHUNK = 2048  # bytes sent per command
TIMEOUT_S = 600


@dataclass(frozen=True)
class Timed:
    """Time of the steps of a model. cycles: of a whole step. digest: bench_cycles.py's, over all outputs and states."""

    cycles: float
    digest: int
    allocated: int  # bytes of heap in a step


def host_digest(data: bytes) -> int:
    """The digest of the plain kernels' outputs and states on this host."""
    program = _program()
    net = urnn.load(bytearray(data), kernels="plain")
    seen = 0
    for sample in program.samples(net.inputs, program.STEPS):
        net.step(sample)
        seen = program.digest(net, seen)
    return int(seen)


def _program() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package_files(compiled: bool) -> dict[str, bytes]:
    """Path on the board -> bytes, for each file of the device package, compiled for armv6m or as source."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted(PACKAGE.glob("*.py")):
            if not compiled:
                files[f"urnn/{source.name}"] = source.read_bytes()
                continue
            out = Path(folder) / (source.stem + ".mpy")
            _mpy_cross(["-march=armv6m", "-s", source.name, "-o", str(out), str(source)])
            files[f"urnn/{out.name}"] = out.read_bytes()
    return files


def _mpy_cross(arguments: list[str]) -> None:
    done = subprocess.run([installed_compiler(), *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode or "ERROR:" in done.stdout + done.stderr:
        raise MpyError(f"mpy-cross: {(done.stderr or done.stdout).strip()[-200:]}")


def run(firmware: Path, files: dict[str, bytes], script: Path, argv: list[str], compiled: bool = True) -> str:
    """Copy the package and the files to a board with an empty flash and run a script there. Returns its output.

    Raises TinyrnnError when the script fails, RuntimeMissing without emulator, firmware or mpy-cross.
    """
    try:
        from rp2040py.boards import BoardSpec
        from rp2040py.device.mp_device import MicroPythonDevice
    except ImportError:
        raise RuntimeMissing("the emulated RP2040 is missing: pip install 'rp2040py>=1.0.0b1'") from None
    if not firmware.is_file():
        raise RuntimeMissing(f"{firmware} does not exist: give the path of an RPI_PICO firmware, a .uf2 file")

    async def session() -> str:
        async with MicroPythonDevice(board=BoardSpec(image=firmware)) as device:

            async def execute(code: str) -> str:
                out, error = await device.aexec(code, timeout=TIMEOUT_S)
                if error:
                    raise TinyrnnError(f"the emulated RP2040: {error.decode(errors='replace').strip().splitlines()[-1]}")
                return out.decode()

            await execute("import os; os.mkdir('urnn')")
            for path, data in {**package_files(compiled), **files}.items():
                await execute(f"f = open({path!r}, 'wb')")
                for at in range(0, len(data), CHUNK):
                    await execute(f"f.write({data[at : at + CHUNK]!r})")
                await execute("f.close()")
            program = strip(script.read_text(encoding="utf-8"))  # the board keeps the text in its heap while it runs
            return await execute(f"import sys; sys.argv[:] = {[script.name, *argv]!r}; f = None\n{program}")

    with contextlib.redirect_stdout(io.StringIO()):  # the emulator prints messages of its own
        return asyncio.run(session())


def time_steps(firmware: Path, models: dict[str, bytes], kernels: str, compiled: bool = True) -> dict[str, Timed]:
    """Time steps of each model. Returns the model's name -> its Timed. Raises the errors of run()."""
    text = run(firmware, models, SCRIPT, [kernels, *models], compiled)
    found: dict[str, Timed] = {}
    for line in text.splitlines():
        model, us, steps, allocated, digest = line.split()
        found[model] = Timed(int(us) * CLOCK_MHZ / int(steps), int(digest), int(allocated))
    return found
