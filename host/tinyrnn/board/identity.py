# SPDX-License-Identifier: MIT
"""A board's identity: the parsed answer of scripts/identify.py."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tinyrnn.errors import BoardError, LinkError

OLDEST = (1, 23, 0)  # the first version that takes the .mpy files of current mpy-cross: ABI 6.3

# mpy-cross's -march, by the number in sys.implementation._mpy >> 10: MP_NATIVE_ARCH_* in MicroPython's py/persistentcode.h
ARCHITECTURES = (
    "",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)


@dataclass(frozen=True)
class Identity:
    """A board: its firmware, its room, and what is installed on it."""

    name: str  # "micropython" or "circuitpython"
    version: tuple[int, ...]  # of the firmware
    machine: str  # "Raspberry Pi Pico with RP2040"; may be empty
    mpy: int  # sys.implementation._mpy; 0 where the firmware loads no .mpy files
    platform: str  # "rp2"
    heap_free: int  # bytes; -1 where the board cannot tell
    largest_block: int  # bytes that one allocation can have, up to the size that was asked for
    block_bytes: int  # of the flash; -1 where the board cannot tell
    flash_blocks: int
    flash_blocks_free: int
    emitters: tuple[str, ...]  # those of native, viper, asm_thumb, asm_rv32 that the firmware compiles
    libraries: tuple[str, ...]  # the import path without frozen modules
    folder: str  # the current folder, which relative names start from
    installed: tuple[tuple[str, str], ...]  # (path, version) of each urnn on the import path, the one in use first
    models: tuple[tuple[str, int, str], ...]  # (name, bytes, CRC-32 at the end) of each .urnn file in that folder

    @property
    def arch(self) -> str:
        """mpy-cross's name for the architecture; "" if it is unknown or the firmware takes no machine code in .mpy files."""
        number = self.mpy >> 10 & 15
        return ARCHITECTURES[number] if number < len(ARCHITECTURES) else ""

    @property
    def kernels(self) -> tuple[str, ...]:
        """The ways to make kernels for this firmware: those of viper, asm_thumb and asm_rv32 that it has, and plain."""
        return (*(name for name in self.emitters if name != "native"), "plain")

    @property
    def flash_free(self) -> int:
        """Free bytes of the file system; -1 where the board cannot tell."""
        return -1 if self.block_bytes < 0 else self.block_bytes * self.flash_blocks_free

    @property
    def library(self) -> str:
        """The folder for packages: a `lib` on the import path inside the current folder, else the current folder itself."""
        inside = self.folder.rstrip("/") + "/"
        for path in self.libraries:
            if path.rpartition("/")[2] == "lib" and (not path.startswith("/") or path.startswith(inside)):
                return path
        return self.folder

    @property
    def firmware(self) -> str:
        """ "MicroPython 1.28.0" """
        known = {"micropython": "MicroPython", "circuitpython": "CircuitPython"}
        return f"{known.get(self.name, self.name)} {'.'.join(map(str, self.version))}"

    @property
    def board(self) -> str:
        """The board's name for people."""
        return self.machine or self.platform

    def refuse(self, port: str) -> None:
        """Raise BoardError when tinyrnn cannot work with this firmware over its REPL."""
        if self.name == "circuitpython":
            raise BoardError(
                f"{port}: {self.board} runs {self.firmware}, whose drive belongs to this computer; expected MicroPython "
                "at the REPL: use `tinyrnn deploy MODEL --to DIR` with the folder of its drive CIRCUITPY"
            )
        if self.name != "micropython":
            raise BoardError(f"{port}: answers as {self.firmware}; expected MicroPython 1.23 or newer: another port?")
        if self.version < OLDEST:
            raise BoardError(
                f"{port}: {self.board} runs {self.firmware}; expected 1.23 or newer: "
                "flash a newer one from micropython.org/download"
            )


def parse(port: str, answer: str) -> Identity:
    """Parse the answer of scripts/identify.py. Raises LinkError when it is not one."""
    try:
        facts = {key: ast.literal_eval(value) for key, value in (line.split(" ", 1) for line in answer.splitlines())}
        block, blocks, free = facts["flash"]
        return Identity(
            name=facts["name"],
            version=tuple(facts["version"]),
            machine=facts["machine"],
            mpy=facts["mpy"],
            platform=facts["platform"],
            heap_free=facts["heap"],
            largest_block=facts["largest"],
            block_bytes=block,
            flash_blocks=blocks,
            flash_blocks_free=free,
            emitters=tuple(facts["emitters"]),
            libraries=tuple(facts["libraries"]),
            folder=facts["folder"],
            installed=tuple((path, version) for path, version in facts["installed"]),
            models=tuple((name, size, crc) for name, size, crc in facts["models"]),
        )
    except (KeyError, ValueError, SyntaxError, TypeError) as error:
        raise LinkError(f"{port}: the board's answer cannot be read ({error}); expected its identity: try again") from None
