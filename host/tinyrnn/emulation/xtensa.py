# SPDX-License-Identifier: MIT
"""A core for Xtensa code with windowed registers, as that of an ESP32, S2 or S3 has it: QEMU's dc233c.

QEMU's user mode runs an empty program, stopped at once; its gdb stub then sets registers and memory, so that no code but
the kernels' runs there. python3 tools/runtimes.py xtensa brings it. It counts no cycles.
"""

from __future__ import annotations

import contextlib
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path

from tinyrnn import runtimes
from tinyrnn.emulation.gdb_stub import Stub
from tinyrnn.emulation.memory import SRAM, MachineFault, Memory
from tinyrnn.errors import RuntimeMissing

NAME = "xtensa"
CURE = f"in the project's folder, python3 tools/runtimes.py {NAME}"
PAGE = 0x1000
NOP = b"\xf0\x20\x00"
# Places in the stub's list of registers; 32 in the file of which a window shows 16
PC, FILE, WINDOW, STARTS, PS, COUNT = 0, 1, 38, 39, 42, 32
CALL8 = 2  # PS.CALLINC, and the top bits of a return address: what MicroPython calls viper code by


def program() -> str:
    """QEMU's path; raises RuntimeMissing with the cure."""
    for place in runtimes.places(NAME):
        if (place / "qemu-xtensa").is_file():
            return str(place / "qemu-xtensa")
    raise RuntimeMissing(f"{NAME} is not here: {CURE}")


def probe() -> str:
    """Start the core, and say so in one line; raises RuntimeMissing with the cure."""
    path = program()
    try:
        with contextlib.closing(Machine()):
            version = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60).stdout.splitlines()
    except (MachineFault, OSError) as error:
        raise RuntimeMissing(f"{NAME} does not start ({error}): {CURE}") from None
    return f"{NAME}: {version[0] if version else path}"


def _elf(segments: list[tuple[int, int, bytes]], entry: int) -> bytes:
    """A static program. segments: address, bytes in memory, data."""
    at = -(-(52 + 32 * len(segments)) // PAGE) * PAGE
    heads, body = b"", b""
    for address, size, data in segments:
        heads += struct.pack("<8I", 1, at + len(body), address, address, len(data), size, 7, PAGE)
        body += data + bytes(-len(data) % PAGE)
    identity = b"\x7fELF\x01\x01\x01" + bytes(9)
    head = struct.pack("<2H5I6H", 2, 94, 1, entry, 52, 0, 0x300, 52, 32, len(segments), 0, 0, 0)
    return (identity + head + heads).ljust(at, b"\0") + body


class Machine(Memory):
    """An Xtensa with memory, a process of QEMU."""

    arch = "xtensawin"

    def _start(self) -> None:
        path = program()
        self._folder = tempfile.TemporaryDirectory(prefix="tinyrnn-xtensa-")
        folder = Path(self._folder.name)
        # It stops before the first instruction, and later wherever a breakpoint is
        idle = folder / "idle"
        idle.write_bytes(_elf([(SRAM, self.size, b""), (self.returns, PAGE, NOP * (PAGE // 3))], self.returns))
        idle.chmod(0o755)
        command = [path, "-cpu", "dc233c", "-g", str(folder / "gdb"), str(idle)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._ended = weakref.finalize(self, _end, self._process, self._folder)
        self._stub = Stub(str(folder / "gdb"), self._process)
        self._stub.ask("?")
        self._stop_at(self.returns)
        self._load()
        self._set(self._a(1), SRAM + self.size - 64)  # the stack; registers of outer windows are kept around there

    def close(self) -> None:
        self._stub.close()
        self._ended()

    def trap(self, function: Callable[[Memory], int]) -> int:
        address = super().trap(function)
        self._stop_at(address)
        return address

    def _stop_at(self, address: int) -> None:
        self._stub.do(f"Z0,{address:x},2")

    def write(self, address: int, data: bytes | memoryview) -> None:
        self._stub.write(address, bytes(data))

    def read(self, address: int, size: int) -> bytes:
        return self._stub.read(address, size)

    # The stub for Xtensa has all registers at once, and no packet for one

    def _load(self) -> None:
        self._registers = bytearray.fromhex(self._stub.ask("g").decode())

    def _get(self, n: int) -> int:
        return int.from_bytes(self._registers[4 * n : 4 * n + 4], "little")

    def _set(self, n: int, value: int) -> None:
        self._registers[4 * n : 4 * n + 4] = value.to_bytes(4, "little")

    def _a(self, n: int) -> int:
        """The place of register a<n> of the window now."""
        return FILE + (4 * self._get(WINDOW) + n) % COUNT

    def argument(self, n: int) -> int:
        return self._get(self._a(10 + n))  # before the called function's `entry` the window is the caller's

    def _go(self) -> int:
        """Run to the next breakpoint; its address."""
        self._stub.do("G" + self._registers.hex())
        answer = self._stub.ask("c")
        self._load()
        if answer[:3] not in (b"T05", b"S05"):
            raise MachineFault(f"QEMU stopped with {answer[:40]!r} at {self._get(PC):#x}: expected the code to return")
        return self._get(PC)

    def call(self, address: int, *arguments: int) -> int:
        window, starts = self._get(WINDOW), self._get(STARTS)
        # What callx8 leaves: in a8 the return address with the window's size, the size again in PS
        self._set(self._a(8), self.returns & 0x3FFFFFFF | CALL8 << 30)
        for n, value in enumerate(arguments):
            self._set(self._a(10 + n), value & 0xFFFFFFFF)
        self._set(PS, self._get(PS) & ~(3 << 16) | CALL8 << 16)
        self._set(PC, address)
        mine = [self._get(self._a(n)) for n in range(8)]
        while True:
            at = self._go()
            back = self._get(self._a(8))
            answer = self._trapped(at)
            if answer is None:
                break
            if back >> 30 != CALL8:
                raise MachineFault(f"a runtime function called by call{4 * (back >> 30)}, expected call8")
            for n in (8, 9, *range(11, 16)):
                self._set(self._a(n), 0xDEAD0000 + n)  # the called function's, nonsense after it
            self._set(self._a(10), answer)
            self._set(PC, at & 0xC0000000 | back & 0x3FFFFFFF)
        if (self._get(WINDOW), self._get(STARTS)) != (window, starts):
            raise MachineFault("another window after the return: expected the caller's")
        if [self._get(self._a(n)) for n in range(8)] != mine:
            raise MachineFault("a0 to a7 of the caller are not restored, which the ABI asks for")
        result = self._get(self._a(10))
        self._check_guards()
        return result


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    folder.cleanup()
