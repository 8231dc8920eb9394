# SPDX-License-Identifier: MIT
"""A program with a REPL, made a board on a serial port: ``python bridge.py [--unix] FOLDER COMMAND...``.

Prints the path of a pseudo terminal that mpremote opens like a board's port, and serves until it is killed or
its parent has gone. COMMAND runs in FOLDER, the board's flash, on a terminal of its own. Ctrl-D (soft reset) and
sys.exit() end such a program: it is started again, and a raw REPL that the host had open is opened again, as a
board does. --unix: the program is MicroPython's unix port. Then Ctrl-C becomes SIGINT while it runs code, and a
main.py in FOLDER runs at the start, though not at a soft reset from the raw REPL.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import tty
from pathlib import Path

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
PROMPT = b"\r\n>>> "
BOOT_S = 5.0  # bytes from the host wait this long for the program's first output
CRASHES = 5  # starts in a row that ended without a byte
QUEUE_BYTES = 4096  # held for each direction; then its sender has to wait, as on USB
CTRL_C = b"\x03"


def terminal() -> tuple[int, int]:
    """(master, slave) of a pseudo terminal that passes bytes as they are; the master never blocks."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return master, slave


def push(fd: int, data: bytes) -> bytes:
    """Write what goes out at once, return the rest. Raises OSError when the other side has gone."""
    try:
        return data[os.write(fd, data) :] if data else data
    except BlockingIOError:
        return data


class Program:
    """One life of the program, from its start to its end."""

    def __init__(self, command: list[str], folder: str, unix: bool) -> None:
        self.unix = unix
        self.unsent = b""  # from the host, not yet taken by the program
        self.master, slave = terminal()
        self.process = subprocess.Popen(command, cwd=folder, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def read(self, timeout_s: float) -> bytes | None:
        """What it wrote; b"" when nothing came in time; None when it has ended."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return None if self.process.poll() is not None else b""
        try:
            return os.read(self.master, QUEUE_BYTES) or None
        except OSError:  # EIO: it closed its terminal
            return None

    def send(self, data: bytes) -> None:
        """Pass on what the host sent; Ctrl-C interrupts a running program, as a board's firmware sees to.

        The unix port catches SIGINT exactly while a program runs that may be interrupted. At its prompt, and
        after ``micropython.kbd_intr(-1)``, Ctrl-C is a byte like others.
        """
        if CTRL_C in data and self._catches_interrupt():
            self.process.send_signal(signal.SIGINT)
            data = data.replace(CTRL_C, b"")
        self.unsent += data

    def _catches_interrupt(self) -> bool:
        if not self.unix:
            return False
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
        return False

    def wait_prompt(self) -> None:
        """Let its greeting go by."""
        seen: bytes | None = b""
        while seen is not None and not seen.endswith(PROMPT):
            more = self.read(BOOT_S)
            seen = seen + more if more else None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def live(program: Program, line: int, raw: bool, parent: int) -> bool:
    """Carry bytes both ways until the program ends; whether the host has the raw REPL open then."""
    to_host = tail = b""
    try:
        while os.getppid() == parent:
            reads = [fd for fd, full in ((line, program.unsent), (program.master, to_host)) if len(full) < QUEUE_BYTES]
            writes = [fd for fd, data in ((line, to_host), (program.master, program.unsent)) if data]
            readable, _, _ = select.select(reads, writes, [], 0.5)
            if program.master in readable:
                seen = program.read(0)
                if seen is None:
                    break
                to_host += seen
                tail = (tail + seen)[-4 * len(RAW_BANNER) :]
                if RAW_BANNER in tail or PROMPT in tail:
                    raw = tail.rfind(RAW_BANNER) > tail.rfind(PROMPT)
            elif program.process.poll() is not None:
                break
            if line in readable:
                program.send(os.read(line, QUEUE_BYTES))
            to_host = push(line, to_host)
            program.unsent = push(program.master, program.unsent)
    except OSError:
        pass  # EIO from the program's terminal: it has just ended
    push(line, to_host)
    return raw


def serve(folder: str, command: list[str], unix: bool) -> None:
    """Bridge until killed; ends with status 1 when the program cannot be started."""
    parent = os.getppid()
    line, _slave = terminal()  # the slave stays open here: a host that closes the port does not end it
    print(os.ttyname(_slave), flush=True)
    raw = False  # what the host has open: the raw REPL, or the friendly one
    crashes = 0
    first = True
    while crashes < CRASHES and os.getppid() == parent:
        runs_main = unix and not raw and Path(folder, "main.py").exists()
        program = Program([*command, "-i", "-m", "main"] if runs_main else command, folder, unix)
        crashes = 0 if select.select([program.master], [], [], BOOT_S)[0] and program.process.poll() is None else crashes + 1
        if not first:
            push(line, b"MPY: soft reboot\r\n")
        if not first and raw:
            program.wait_prompt()
            program.send(b"\x01")
        first = False
        raw = live(program, line, raw, parent)
        program.end()
    if crashes:
        sys.exit(f"bridge.py: {command[0]} ended {CRASHES} times at its start")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    unix_port = arguments[0] == "--unix"
    flash, *program_command = arguments[unix_port:]
    serve(flash, program_command, unix_port)
