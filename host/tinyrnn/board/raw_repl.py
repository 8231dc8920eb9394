# SPDX-License-Identifier: MIT
"""A board's raw REPL over mpremote's serial transport: how to open, enter and leave it. Every wait has a limit."""

from __future__ import annotations

import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinyrnn.errors import LinkError

RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"
RAW_BYTES, RAW_PAUSE_S = 256, 0.01  # to a board without raw paste: mpremote's pace
HELLO = b"__import__('gc').enable();print('tinyrnn',__import__('sys').platform)\x04"  # defines no name on the board
GENTLE_S = 1.0  # single Ctrl-C for this long, before many
# Many Ctrl-C go as two USB packets at a time, because the second must arrive while the program handles the first. Measured
# on the emulated RP2040 with a loop of `try: time.sleep(0.1)` and `except: pass`: it ends within 0.3 to 4 s. Few other
# sizes work
FLOOD_BYTES, FLOOD_PAUSE_S, FLOOD_S = 128, 0.001, 0.6
HELLOS = 3  # attempts to get an answer from the raw REPL
LEAVE_S = 5.0  # longest wait for a program to end when the port is closed
CABLE = "check the cable, press the board's reset button and try again"
GONE = f"{CABLE}; a watchdog that main.py feeds resets a board too"
ERASE = "erase its files through the boot loader, as docs/deploy.md says"


class _Unheard(LinkError):
    """The raw REPL answered before, but no longer does."""


class RawRepl:
    """A port and the raw REPL of the board on it. Raises LinkError, whose message is one line, for each failure."""

    _first = b""  # a program and Ctrl-D, sent right after a Ctrl-C when a running program resists the first Ctrl-C

    def __init__(self, port: str, timeout_s: float) -> None:
        self.port = port
        self.timeout_s = timeout_s
        self._running = False  # a program may be running: that of start(), or one whose end was not received
        self._platform = ""  # the board's sys.platform
        self._late = 0  # empty answers to _first that may still come
        self._transport = self._open()
        try:
            self._enter()
        except BaseException:
            self._farewell()
            raise

    @property
    def serial(self) -> Any:
        """pyserial's object, to talk to a program that start() has started."""
        return self._transport.serial

    def start(self, code: str) -> None:
        """Start a program that uses the line itself; talk to it through ``serial``. close() interrupts it."""
        with self._line():
            self._send(code)

    def soft_reset(self) -> None:
        """Start a fresh interpreter with an empty heap. boot.py runs, main.py does not."""
        with self._line():
            if self._read_until(b">", self.timeout_s)[-1:] != b">":
                raise self._silent()
            self._reset()
            self._hello()

    def close(self) -> None:
        """Leave the board at its friendly REPL, without our names in it, and close the port."""
        self.timeout_s = min(self.timeout_s, LEAVE_S)  # for each wait from here on
        try:
            with self._line():
                if self._running:  # no more code before the state of the line is known
                    self._interrupt(LEAVE_S)
                    self._hello()
                    self._running = False
                self._leave()
        except LinkError:
            pass  # the board is gone, and an earlier error says why
        finally:
            self._farewell()

    def _leave(self) -> None:
        """Called before the line is closed, if the board still answers."""

    def _farewell(self) -> None:
        """Return to the friendly REPL if the board still listens, then close the port. No wait here is long."""
        answered = False
        try:
            self.serial.write_timeout = 1.0
            self.serial.write(b"\r\x03\x02")
            answered = self._read_until(b">>> ", 1.0).endswith(b">>> ")
        except OSError:
            pass  # unplugged
        finally:
            self._shut(answered)

    def _open(self) -> Any:
        import serial
        from mpremote.transport import TransportError
        from mpremote.transport_serial import SerialTransport

        try:
            transport = SerialTransport(self.port, timeout=self.timeout_s)
            transport.serial.write_timeout = self.timeout_s
            return transport
        except (TransportError, OSError, ValueError):
            pass  # mpremote does not say why; the attempt below finds out
        try:
            serial.Serial(self.port, exclusive=True).close()
            seen = "was busy a moment ago; expected a free port: try again"
        except (OSError, ValueError) as error:
            text = str(error)
            if not os.path.exists(self.port) and os.name != "nt":
                seen = "no such port; expected one that `tinyrnn devices` lists: is the board plugged in?"
            elif "lock" in text or "busy" in text.lower() or (os.name == "nt" and "PermissionError" in text):
                seen = "is in use by another program; expected a free port: close Thonny, mpremote or the terminal on it"
            elif "Permission denied" in text:
                seen = "permission denied; expected a port you may open: add yourself to the group dialout, log in again"
            else:
                seen = f"cannot be opened ({_reason(error)}); expected a serial port: see `tinyrnn devices`"
        raise LinkError(f"{self.port}: {seen}") from None

    def _shut(self, answered: bool) -> None:
        """Close the port. answered: the board has read everything that was sent."""
        try:
            if not answered:
                self.serial.reset_output_buffer()  # close() waits up to 30 s on a real port for bytes that nobody reads
            self._transport.close()
        except Exception:  # unplugged: OSError, or termios.error, which is not an OSError
            self.serial.close()

    def _enter(self) -> None:
        with self._line():
            for _ in range(HELLOS - 1):
                self._interrupt(self.timeout_s)
                try:
                    return self._hello(self.timeout_s / HELLOS)
                except _Unheard:
                    pass  # the watchdog has reset the board, and its program runs again
            self._interrupt(self.timeout_s)
            self._hello()

    def _interrupt(self, limit_s: float) -> None:
        """Send Ctrl-C until the raw REPL answers. A program may catch some of them, or nearly all.

        A loop that catches all of them in a bare `except:` is open for a moment between that and its next round. One of
        many Ctrl-C arrives at such a moment.
        """
        began = time.monotonic()
        wait = 0.1
        round_number = attempts = self._late = 0
        seen = b""
        while True:
            late = time.monotonic() - began
            if late > min(GENTLE_S, limit_s / 2):
                round_number += 1
                seen += self._flood(reset=round_number % 3 == 2)
                wait = 0.1
            if attempts and self._first:
                self.serial.write(b"\r\x03\r\x01" + self._first)
                self._late += 1
                seen += (said := self._read_until(RAW_BANNER, 3 * wait))
                if said.endswith(RAW_BANNER):
                    self._read_until(b"\x04>", 1.0)
                    return
            else:
                self.serial.write(b"\r\x03")
                seen += self._read_until(b">>> ", wait)
                self.serial.write(b"\r\x01")
                seen += (said := self._read_until(RAW_BANNER, 2 * wait))
                if said.endswith(RAW_BANNER):
                    return
            attempts += 1
            if late > limit_s:
                break
            seen = seen[-80:]
            wait = min(2 * wait, 0.3)
        if not seen:
            raise LinkError(
                f"{self.port}: no answer within {limit_s:g} s of Ctrl-C; expected a MicroPython REPL: {CABLE}; "
                f"if main.py there catches Ctrl-C: {ERASE}"
            )
        raise LinkError(
            f"{self.port}: no MicroPython prompt within {limit_s:g} s of Ctrl-C (last: {seen[-40:]!r}); expected the REPL: "
            "main.py catches Ctrl-C (a bare `except:`) or its watchdog resets the board, or this is no MicroPython board: "
            f"try again; if it stays so: {ERASE}"
        )

    def _flood(self, reset: bool) -> bytes:
        """Send Ctrl-C as fast as the line takes them; returns what came in.

        reset: send Ctrl-D first, which ends some programs.
        """
        import serial

        seen = b""
        until = time.monotonic() + FLOOD_S
        self.serial.timeout = 0
        self.serial.write_timeout = FLOOD_S
        try:
            if reset:
                self.serial.write(b"\x04")
            while b">>> " not in seen and RAW_BANNER not in seen and time.monotonic() < until:
                if self.serial.out_waiting < FLOOD_BYTES:  # so a slow line never runs empty
                    self.serial.write(b"\x03" * FLOOD_BYTES)  # without _first: with it, the flood did not work
                time.sleep(FLOOD_PAUSE_S)
                seen = seen[-80:] + bytes(self.serial.read(1 << 14))
        except serial.SerialTimeoutException:
            pass  # the program has turned Ctrl-C off and reads nothing
        finally:
            self.serial.write_timeout = self.timeout_s
        return seen

    def _reset(self) -> None:
        """Send Ctrl-D at the raw REPL's prompt and wait for the raw REPL again."""
        self.serial.write(b"\x04")
        if not self._read_until(RAW_BANNER, self.timeout_s).endswith(RAW_BANNER):
            self._interrupt(self.timeout_s)  # boot.py left something running, or the board is at its friendly REPL

    def _hello(self, wait_s: float | None = None) -> None:
        """Synchronise with the board, turn the garbage collector on, and find out how programs may be sent.

        An interrupted program may have left the collector off, and on an RP2040 a soft reset does not turn it on again. If
        the heap is already full, there is no room for this line. Then a soft reset empties the heap.
        """
        for last in (False, True):
            # Discard late answers to Ctrl-A. The prompt that mpremote waits for comes with the answer below
            self._read_until(b"\0", 0.02)
            self.serial.write(HELLO)
            said = self._read_until(b"OK", self.timeout_s if wait_s is None else wait_s)
            if not said:
                raise _Unheard(str(self._silent()))
            out, err = self._follow(self.timeout_s) if said.endswith(b"OK") else (said, b"")
            while self._late and not out and not err and self._read_until(b"OK", self.timeout_s).endswith(b"OK"):
                self._late -= 1
                out, err = self._follow(self.timeout_s)
            self._late = 0
            if last or b"MemoryError" not in err:
                break
            self._reset()
        words = out.split()
        if err or len(words) != 2 or words[0] != b"tinyrnn":
            raise LinkError(
                f"{self.port}: answered {(out + err)[-60:]!r} at the raw REPL; expected MicroPython: "
                f"is it a MicroPython board? {CABLE}"
            )
        self._platform = words[1].decode("utf-8", "replace")
        # The webassembly port claims to have raw paste, but hangs
        self._transport.use_raw_paste = self._platform != "webassembly"

    def _send(self, code: str) -> None:
        """Send code to the raw REPL, by raw paste where the board has it, because raw paste has flow control.

        This is mpremote's exec_raw_no_follow(), which cannot be used because it prints unexpected answers.
        """
        data = code.encode()
        self._running = True
        if not self._read_until(b">", self.timeout_s).endswith(b">"):
            raise self._silent()
        if self._transport.use_raw_paste:
            self.serial.write(b"\x05A\x01")
            answer = self.serial.read(2)
            if answer == b"R\x01":
                self._transport.raw_paste_write(data)
                return
            if answer != b"R\x00":
                raise self._noise() if answer else self._silent()
            self._transport.use_raw_paste = False
        for at in range(0, len(data), RAW_BYTES):
            self.serial.write(data[at : at + RAW_BYTES])
            time.sleep(RAW_PAUSE_S)
        self.serial.write(b"\x04")
        if self.serial.read(2) != b"OK":
            raise self._silent()

    def _follow(self, timeout_s: float) -> tuple[bytes, bytes]:
        """Wait for the program's end; returns (its output, its traceback). The prompt that follows is not read."""
        deadline = time.monotonic() + timeout_s
        parts = []
        for _ in range(2):
            part = self._read_until(b"\x04", deadline - time.monotonic())
            if not part.endswith(b"\x04"):
                raise LinkError(f"{self.port}: no answer within {timeout_s:g} s; expected the end of a program: {CABLE}")
            parts.append(part[:-1])
        self._running = False
        return parts[0], parts[1]

    def _read_until(self, ending: bytes, timeout_s: float) -> bytes:
        """Read up to and including ``ending``, or whatever arrives in that time. Reads nothing beyond the ending."""
        deadline = time.monotonic() + timeout_s
        data = bytearray()
        self.serial.timeout = max(timeout_s, 0.0)  # set once, because it takes a dozen system calls
        while not data.endswith(ending):
            byte = self.serial.read(1)
            data += byte
            if not byte or time.monotonic() > deadline:
                break
        return bytes(data)

    @contextmanager
    def _line(self) -> Iterator[None]:
        """Turn the exceptions of pyserial and mpremote into LinkErrors of one line."""
        from mpremote.transport import TransportError

        try:
            yield
        except TransportError as error:
            seen = last_line(str(error).encode())
            raise LinkError(f"{self.port}: {seen}; expected the raw REPL's answer: {CABLE}") from None
        except struct.error:
            raise self._silent() from None
        except OSError as error:  # includes pyserial's SerialException
            seen = f"the board went away ({_reason(error)})"
            raise LinkError(f"{self.port}: {seen}; expected it to stay connected: {GONE}") from None

    def _silent(self) -> LinkError:
        return LinkError(f"{self.port}: no answer within {self.timeout_s:g} s; expected a MicroPython REPL: {CABLE}")

    def _noise(self) -> LinkError:
        return LinkError(
            f"{self.port}: bytes were damaged on the line (a check differs); nothing further was done: "
            "use a shorter or better cable, then try again"
        )


def _reason(error: Exception) -> str:
    """The system's error message, without pyserial's text and the port's name around it."""
    text = (str(error).splitlines() or [""])[0]
    said = [int(number) for pair in re.findall(r"\[Errno (\d+)\]|\((\d+), '", text) for number in pair if number]
    number = getattr(error, "errno", None) or (said[-1] if said else None)
    return os.strerror(number) if number else text or type(error).__name__


def last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "an empty answer"
