# SPDX-License-Identifier: MIT
"""MicroPython 1.9.2 on a micro:bit in QEMU: a Cortex-M0 with the inline assembler, to test kernels bit for bit.

    with MicroBit() as board:
        board.run(source, "dot(b'abc', b'abc', 3)")     # assembler source
        board.replay(call)                              # a recorded call of machine code, core_board.Call

The heap has 9.5 kB. This MicroPython, of 2017, has neither f-strings nor .mpy files. `python3 tools/runtimes.py microbit`
downloads the emulator and the firmware.
"""

from __future__ import annotations

import ast
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing, TinyrnnError

if TYPE_CHECKING:
    from tinyrnn.emulation.core_board import Call

PACKAGES = ["qemu-system-arm", "firmware-microbit-micropython"]
CURE = "in the project's folder, python3 tools/runtimes.py microbit"
START_S = 30.0
ANSWER_S = 20.0
BURST = 40  # bytes sent before their echo: its serial buffer has 64 and drops what does not fit
PIECE = 96  # bytes of data per command, whose text takes four times as much of the heap


class MicroBitError(TinyrnnError):
    """The program on the micro:bit raised an exception, or the micro:bit does not answer."""


def command(socket_path: Path) -> list[str]:
    """The command that starts it, with its serial line on a unix socket. Raises RuntimeMissing, which names the cure."""
    for root in runtimes.places("microbit"):
        qemu, share = root / "usr" / "bin" / "qemu-system-arm", root / "usr" / "share"
        firmware = share / "firmware-microbit-micropython" / "firmware.hex"
        loaders = sorted(root.glob("lib/*/ld-linux-*.so.*")) + sorted(root.glob("usr/lib/*/ld-linux-*.so.*"))
        if qemu.is_file() and firmware.is_file() and loaders:
            # Started by its own loader, because the host's libraries may be older
            triple = loaders[0].parent.name
            libraries = f"{root / 'usr' / 'lib' / triple}:{root / 'lib' / triple}"
            start = [str(loaders[0]), "--library-path", libraries, str(qemu), "-L", str(share / "qemu")]
            machine = ["-M", "microbit", "-device", f"loader,file={firmware}", "-display", "none", "-monitor", "none"]
            clock = ["-icount", "shift=6,align=off,sleep=off"]  # the clock counts instructions, so that runs are repeatable
            return [*start, *machine, *clock, "-serial", f"unix:{socket_path},server=on,wait=off"]
    raise RuntimeMissing(f"microbit is not on this machine: {CURE}")


class MicroBit:
    """A running micro:bit, as a context manager. Raises RuntimeMissing, which names the cure."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="microbit-")
        path = Path(self._folder.name) / "serial"
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command(path), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            self._line = socket.socket(socket.AF_UNIX)
            self._connect(path)
            self._line.settimeout(0.2)
            self._greet()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> MicroBit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._line.close()
        self._folder.cleanup()

    def _connect(self, path: Path) -> None:
        end = time.monotonic() + START_S
        while True:
            try:
                return self._line.connect(str(path))
            except OSError as error:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeMissing(f"microbit does not start ({error}): {CURE}") from None
                time.sleep(0.02)

    def _greet(self) -> None:
        """Wait for the prompt. Ask for it after each silence: the first may have been printed before we connected."""
        end = time.monotonic() + START_S
        seen = b""
        while True:
            try:
                seen += self._line.recv(4096)
                continue
            except TimeoutError:  # a silence: everything sent so far has been answered
                if seen.endswith(b">>> "):
                    break
            if time.monotonic() > end:
                raise RuntimeMissing(f"microbit gives no prompt after {START_S:g} s: {CURE}")
            self._line.sendall(b"\r")
        self._line.settimeout(ANSWER_S)

    def _receive(self) -> bytes:
        try:
            new = self._line.recv(4096)
        except TimeoutError:
            raise MicroBitError(f"microbit: no answer in {ANSWER_S:g} s") from None
        if not new:
            raise MicroBitError("microbit: QEMU ended")
        return new

    def execute(self, source: str) -> str:
        """Run statements and return their output. Raises MicroBitError with the last line of a traceback.

        The source goes through paste mode, whose echo shows when the serial buffer has room for more.
        """
        self._line.sendall(b"\x05")
        seen = b""
        while not seen.endswith(b"=== "):
            seen += self._receive()
        data = source.replace("\n", "\r").encode("ascii")
        for at in range(0, len(data), BURST):
            burst = data[at : at + BURST]
            self._line.sendall(burst)
            want, got = burst.replace(b"\r", b"\r\n=== "), b""
            while len(got) < len(want):
                got += self._receive()
            if got != want:
                raise MicroBitError(f"microbit: sent {want!r}, echoed {got!r}")
        self._line.sendall(b"\x04")
        answer = b""
        while not answer.endswith(b">>> "):
            answer += self._receive()
        text = answer[:-4].decode("ascii", "replace").replace("\r\n", "\n").lstrip("\n")
        if "Traceback (most recent call last):" in text or text.startswith("MemoryError"):
            raise MicroBitError(f"microbit: {text.strip().splitlines()[-1]}")
        return text

    def run(self, source: str, call: str) -> Any:
        """Run the source, then evaluate the expression call. Returns its value, which must be a literal."""
        self.execute("import micropython\n" + source)
        return ast.literal_eval(self.execute(f"print(repr({call}))").strip())

    def send(self, name: str, data: bytes) -> None:
        """Make the variable name on the board a bytearray of this data."""
        self.execute(_DECODE)
        self.execute(f"import gc\n{name}=None\ngc.collect()\n{name}=bytearray({len(data)})")
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            if any(piece):
                self.execute(f"decode({name},{at},'{piece.hex()}')\ngc.collect()")

    def receive(self, name: str) -> bytes:
        """The bytes of the bytearray name on the board."""
        return bytes.fromhex(self.execute(f"for v in {name}:print('%02x'%v,end='')\nprint()").strip())

    def replay(self, call: Call) -> tuple[int, bytes]:
        """Run a call of machine code that CoreBoard recorded. Returns r0 and the data after the call, like the Call's.

        The data lies in one bytearray on the board. Addresses are translated to the board's and back: those in the
        arguments, in the objects at the start of the data, in arrays of words among the arguments, and in r0. The
        objects themselves are taken from the recorded Call, so that a comparison ignores them.
        """
        self.send("image", call.before)
        self.send("code", call.code)
        self.execute(_JUMP)
        if len(call.arguments) > 3:
            raise TinyrnnError(f"{len(call.arguments)} arguments, expected at most 3: the fourth register has the address")
        low, size = call.low, len(call.before)
        for at, word in addresses(call):
            if low <= word <= low + size:
                self.execute(f"move(image,{at},where(image)+{word - low})")
        words = [f"base+{word - low}" if low <= word < low + size else str(word) for word in call.arguments]
        words += ["0"] * (3 - len(words))
        answer = self.execute(f"base=where(image)\nprint(jump({','.join(words)},where(code)),base)")
        result, base = (int(word) & 0xFFFFFFFF for word in answer.split())
        image = bytearray(self.receive("image"))
        image[: call.objects] = call.after[: call.objects]
        for first, length in call.programs:
            for at in range(first, first + length, 4):
                image[at : at + 4] = moved(int.from_bytes(image[at : at + 4], "little"), base, low, size).to_bytes(
                    4, "little"
                )
        return moved(result, base, low, size), bytes(image)


def addresses(call: Call) -> list[tuple[int, int]]:
    """(offset, word) of all words in a call's data that may be addresses: even words of objects, all words of programs."""
    found = []
    for first, length in ((0, call.objects), *call.programs):
        for at in range(first, first + length, 4):
            word = int.from_bytes(call.before[at : at + 4], "little")
            if first or not word & 1:
                found.append((at, word))
    return found


def moved(word: int, base: int, low: int, size: int) -> int:
    """Translate an address in data at base to the same data at low. Other words stay unchanged."""
    return word - base + low if base <= word <= base + size else word


def probe() -> str:
    """Start it and return a line with its version. Raises RuntimeMissing."""
    with MicroBit() as board:
        version = board.execute("import sys\nprint(sys.implementation)").strip()
    return f"microbit: MicroPython in QEMU, {version}"


def assembler_source(file: Path, *names: str) -> str:
    """The source of the named functions of a file, or of all. It has no comments or docstrings, to save the board's memory.

    Raises TinyrnnError when the file lacks a function.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if set(names) - set(found):
        raise TinyrnnError(f"{file}: has {', '.join(found)}, expected {', '.join(names)}")
    text = []
    for name in names or found:
        node = found[name]
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        lines = ast.unparse(node).splitlines()
        text += [line if not line.startswith("    ") else " " + line.strip() for line in lines]
    return "\n".join(text) + "\n"


_DECODE = """def decode(b,at,s):
 for i in range(0,len(s),2):
  b[at]=int(s[i:i+2],16)
  at+=1"""

# blx needs the lowest bit of the address to be 1
_JUMP = """import micropython
@micropython.asm_thumb
def jump(r0,r1,r2,r3):
 mov(r4,1)
 orr(r3,r4)
 data(2,0x4798)
@micropython.asm_thumb
def where(r0):
 pass
@micropython.asm_thumb
def poke(r0,r1):
 str(r1,[r0,0])
def move(b,at,word):
 poke(where(b)+at,word)"""
