# SPDX-License-Identifier: MIT
"""What a board says of itself: scripts/identify.py's answer, read."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from tinyrnn.errors import BoardError, LinkError

OLDEST = (1, 23, 0)  # the first that takes the .mpy files of today's mpy-cross: ABI 6.3

# MicroPython's py/persistentcode.h, MP_NATIVE_ARCH_*: the number in sys.implementation._mpy >> 10, mpy-cross's -march
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
    mpy: int  # sys.implementation._mpy; 0 where it loads no .mpy
    platform: str  # "rp2"
    heap_free: int  # bytes; -1 where the board cannot say
    largest_block: int  # bytes, of one allocation, as far as it was looked for
    block_bytes: int  # of flash; -1 where the board cannot say
    flash_blocks: int
    flash_blocks_free: int
    emitters: tuple[str, ...]  # of native, viper, asm_thumb, asm_rv32
    libraries: tuple[str, ...]  # folders that imports come from, in their order
    folder: str  # where relative names lie
    installed: tuple[tuple[str, str], ...]  # (path, version) of each urnn on the import path, the one in use first
    models: tuple[tuple[str, int, str], ...]  # (file, bytes, CRC-32 in its last word)

    @property
    def arch(self) -> str:
        """mpy-cross's name of the architecture; "" where it runs no native code from .mpy, or an unknown one."""
        number = self.mpy >> 10 & 15
        return ARCHITECTURES[number] if number < len(ARCHITECTURES) else ""

    @property
    def kernels(self) -> tuple[str, ...]:
        """What kernels can be made with here: viper, asm_thumb, asm_rv32; plain Python is everywhere."""
        return (*(name for name in self.emitters if name != "native"), "plain")

    @property
    def flash_free(self) -> int:
        """Free bytes of the file system; -1 where the board cannot say."""
        return -1 if self.block_bytes < 0 else self.block_bytes * self.flash_blocks_free

    @property
    def library(self) -> str:
        """The folder to install packages in: a `lib` on the import path beside the board's files, else where those are."""
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
        """A name for people."""
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
    """The answer of scripts/identify.py. Raises LinkError when it is not one."""
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
        raise LinkError(f"{port}: the board's answer cannot be read ({error}); expected what it is: try again") from None
