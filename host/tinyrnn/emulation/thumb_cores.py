# SPDX-License-Identifier: MIT
"""A recorded call of an assembler function (core_board.Call), run again on other cores that QEMU has, without firmware.

result, after = replay(call, "cortex-m33")
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tinyrnn.emulation import microbit
from tinyrnn.emulation.core_board import Call
from tinyrnn.errors import RuntimeMissing, TinyrnnError

SOURCE = Path(__file__).with_name("c") / "call.c"
DATA, CODE = 0x1000, 0x20000  # from the RAM's start
LIMIT_S = 30.0


@dataclass(frozen=True)
class Core:
    """machine: QEMU's. flash, ram: addresses, where the core begins and where the data goes."""

    machine: str
    flash: int
    ram: int


CORES = {
    "cortex-m3": Core("mps2-an385", 0, 0x20000000),
    "cortex-m4": Core("mps2-an386", 0, 0x20000000),
    "cortex-m7": Core("mps2-an500", 0, 0x20000000),
    "cortex-m33": Core("mps2-an505", 0x10000000, 0x38000000),  # the secure views
}


def replay(call: Call, core: str) -> tuple[int, bytes]:
    """Run the call on a core; r0 and the data after it, as in the Call, moved there and back.

    Raises RuntimeMissing without compiler or QEMU, TinyrnnError when the core faults or does not come back.
    """
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        raise RuntimeMissing("arm-none-eabi-gcc is not here: apt install gcc-arm-none-eabi")
    place = CORES[core]
    if len(call.arguments) > 3 or len(call.before) > CODE - DATA:
        raise TinyrnnError(
            f"{len(call.arguments)} arguments, {len(call.before)} bytes: expected 3 and {CODE - DATA} at most"
        )
    low, base, size = call.low, place.ram + DATA, len(call.before)
    before = bytearray(call.before)
    for at, word in microbit.addresses(call):
        before[at : at + 4] = microbit.moved(word, low, base, size).to_bytes(4, "little")
    arguments = [microbit.moved(word, low, base, size) for word in call.arguments] + [0] * (3 - len(call.arguments))
    parameters = [place.ram + CODE, *arguments, base, size]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "parameters").write_bytes(b"".join(word.to_bytes(4, "little") for word in parameters))
        (folder / "data").write_bytes(before)
        (folder / "code").write_bytes(call.code)
        options = [
            "-mthumb",
            f"-mcpu={core}",
            "-mfloat-abi=soft",
            "-O1",
            "-nostdlib",
            "-ffreestanding",
            f"-DBASE={place.ram:#x}u",
        ]
        link = [f"-Wl,--section-start=.vectors={place.flash:#x},-Ttext={place.flash + 0x100:#x}", "-Wl,-e,0"]
        _do([gcc, *options, *link, str(SOURCE), "-o", "call.elf"], folder)
        start = microbit.command(Path("unused"))
        qemu = [
            *start[: start.index("-M")],
            "-M",
            place.machine,
            "-kernel",
            "call.elf",
            "-display",
            "none",
            "-monitor",
            "none",
        ]
        for file, address in (("parameters", place.ram), ("data", base), ("code", place.ram + CODE)):
            qemu += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
        _do([*qemu, "-serial", "none", "-semihosting-config", "enable=on,target=native"], folder)
        answer = (folder / "after").read_bytes()
    result, after = int.from_bytes(answer[:4], "little"), bytearray(answer[4:])
    after[: call.objects] = call.after[: call.objects]
    for first, length in call.programs:
        for at in range(first, first + length, 4):
            word = int.from_bytes(after[at : at + 4], "little")
            after[at : at + 4] = microbit.moved(word, base, low, size).to_bytes(4, "little")
    return microbit.moved(result, base, low, size), bytes(after)


def _do(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise TinyrnnError(f"{Path(command[0]).name}: no end in {LIMIT_S:g} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit status {done.returncode}"]
        raise TinyrnnError(f"{Path(command[0]).name}: {lines[-1]}")
