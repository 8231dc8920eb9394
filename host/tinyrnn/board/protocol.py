# SPDX-License-Identifier: MIT
"""The host's side of the line protocol (docs/protocol.md): frames, and a client that keeps the board busy.

The board carries out each command exactly once, even when the line damages a frame. Each frame has a number. The board
uses it to skip a command that it has already done, the client to find out what to send again.
"""

from __future__ import annotations

import base64
import time
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinyrnn.board import same_model
from tinyrnn.errors import BoardError, LinkError, ModelError

if TYPE_CHECKING:
    from tinyrnn.board.link import Link

PROTOCOL = 1
SERVE = "__import__('urnn.serve').serve.serve()"  # leaves no name behind
POLL_S = 0.05  # longest wait of one read, so that an interrupt is seen soon
TIMEOUT_S = 20.0  # longest wait for an answer: loading a large model, or a line of slow steps
TRIES = 5  # attempts to repair the line
NOISE = "bytes are damaged on the line; expected none: use a shorter or better cable, or a lower baud rate"


def frame(body: str) -> bytes:
    """The line that carries body: a space, the CRC-32 of body in 8 hexadecimal digits, a line feed."""
    data = body.encode("utf-8", "surrogateescape")
    return b"%s %08x\n" % (data, zlib.crc32(data))


def unframe(line: bytes) -> list[str] | None:
    """The words of a received line, which must come without its line feed; None when it is damaged."""
    body, check = line[:-9], line[-9:]
    if len(line) < 14 or check != b" %08x" % zlib.crc32(body):
        return None
    return body.decode("utf-8", "replace").split(" ")


def is_wide(samples: np.ndarray) -> bool:
    """Whether some of these integers need more than 16 bits."""
    return bool((samples < -32768).any() or (samples > 32767).any())


def pack_samples(samples: np.ndarray) -> str:
    """The words "h DATA" (16 bits) or "i DATA" (32 bits) for samples (T, C) or (C,) of raw integers, in base64."""
    kind, dtype = ("i", "<i4") if is_wide(samples) else ("h", "<i2")
    return f"{kind} {base64.b64encode(np.ascontiguousarray(samples, dtype).tobytes()).decode()}"


def unpack(word: str, dtype: str) -> np.ndarray:
    """The integers in a base64 word; dtype "<i4" for outputs, "<i2" for a state."""
    return np.frombuffer(base64.b64decode(word), dtype)


@dataclass(frozen=True)
class Loaded:
    """The answer to `load`."""

    inputs: int
    outputs: int
    units: int  # length of the state
    line_bytes: int  # longest line, in either direction, for this model
    size: int  # bytes of the file on the board
    crc: int  # the CRC-32 at the end of that file
    kernels: str


class Refused(BoardError):
    """The board answered a command with an error line. ``code`` is the first word of the error."""

    def __init__(self, port: str, command: str, code: str, text: str) -> None:
        super().__init__(f"{port}: the board refused `{command}` ({code}: {text}); expected ok")
        self.code = code
        self.text = text


@dataclass(frozen=True)
class _Sent:
    seq: int
    command: str
    line: bytes


class Client:
    """A board that runs serve(), started through ``link``. Leaving the link's ``with`` block ends serve().

    send() and receive() overlap commands; ask() sends one command and waits. Raises LinkError for a fault of the line,
    BoardError for a command that the board refuses.
    """

    def __init__(self, link: Link, timeout_s: float = TIMEOUT_S) -> None:
        self.port = link.port
        self.timeout_s = timeout_s
        self.sent_again = 0  # number of frames sent again because of a damaged line
        self._serial = link.serial
        self._buffer = bytearray()
        self._unanswered: deque[_Sent] = deque()
        self._answers: deque[tuple[str, list[str]]] = deque()
        self._seq = 0
        link.start(SERVE)
        try:
            self._serial.timeout = POLL_S
        except OSError as error:
            raise self._gone(error) from None
        words = self._greeting()
        self.version, self.window, self.line_bytes = words[4], int(words[5]), int(words[6])
        self.kernels = tuple(words[7].split(","))

    @property
    def pending(self) -> int:
        """The number of commands whose answers receive() has not returned yet."""
        return len(self._unanswered) + len(self._answers)

    def room(self, command: str) -> bool:
        """Whether the board has room for this command, even if it has not yet read those sent before."""
        size = sum(len(sent.line) for sent in self._unanswered)
        return not size or size + len(command.encode()) + 15 <= self.window

    def send(self, command: str) -> None:
        """Send a command without waiting for its answer. Waits only until the board has room."""
        while not self.room(command):
            self._collect(time.monotonic() + self.timeout_s)
        self._seq = (self._seq + 1) & 0xFFFF
        sent = _Sent(self._seq, command, frame(f"{self._seq:04x} {command}"))
        self._unanswered.append(sent)
        self._write(sent.line)

    def receive(self, wait_s: float | None = None) -> list[str] | None:
        """The words after "ok" of the next answer. Answers come in the order of the commands.

        wait_s: the longest wait in seconds, after which the result is None. With None it waits until the answer comes.
        The result is also None when no command is pending. Raises Refused for an error line, LinkError.
        """
        if not self._answers and self._unanswered:
            began = time.monotonic()
            if wait_s is None:
                self._collect(began + self.timeout_s)
            elif not self._poll(began + wait_s):
                return None
        if not self._answers:
            return None
        command, words = self._answers.popleft()
        if words[0] != "ok":
            raise Refused(self.port, command.split(" ")[0], words[1], " ".join(words[2:]))
        return words[1:]

    def ask(self, command: str) -> list[str]:
        """Send a command and return the words after "ok" of its answer. No other command may be pending."""
        if self.pending:
            raise LinkError(f"{self.port}: {self.pending} answers are still to be received; expected none before ask()")
        self.send(command)
        words = self.receive()
        assert words is not None
        return words

    def load(self, name: str, kernels: str | None = None) -> Loaded:
        """Load a model file of the board. Raises BoardError when it is missing, damaged or too large."""
        words = self.ask(f"load {name} {kernels}" if kernels else f"load {name}")
        inputs, outputs, units, self.line_bytes, size = (int(word) for word in words[:5])
        return Loaded(inputs, outputs, units, self.line_bytes, size, int(words[5], 16), words[6])

    def load_same(self, model: str, kernels: str | None = None) -> Loaded:
        """Load the board's copy of the file ``model``.

        Raises BoardError when the board's file differs or is missing, ModelError when the file's name has a space.
        """
        path = Path(model)
        cure = same_model.cure(model, self.port)
        if set(path.name) & set(" \t\r\n"):
            raise ModelError(f"{model}: the name has a space; expected one without: rename it, then {cure}")
        if kernels and kernels not in self.kernels:
            raise BoardError(f"{self.port}: has no kernels {kernels!r}; expected one of {', '.join(self.kernels)}")
        try:
            loaded = self.load(path.name, kernels)
        except Refused as error:
            if error.code != "model":
                raise
            raise BoardError(f"{self.port}: no model to use there ({error.text}); expected {path.name}: {cure}") from None
        same_model.require(self.port, model, loaded.size, loaded.crc)
        return loaded

    def samples_together(self, loaded: Loaded, wide: bool) -> int:
        """The number of samples for one `steps` command: two such lines fit into the window, and each answer into a line."""
        asked = (self.window // 2 - len("ffff steps h  ffffffff\n")) // 4 * 3 // ((4 if wide else 2) * loaded.inputs)
        answered = (loaded.line_bytes - 32) * 3 // 4 // (4 * loaded.outputs)
        return max(1, min(asked, answered))

    def steps_a_line(self, loaded: Loaded, width: int = 4) -> int:
        """The number of samples that fit into one `check` command, at ``width`` bytes for each value."""
        return max(1, (loaded.line_bytes - len("ffff check h  ffffffff")) // 4 * 3 // (width * loaded.inputs))

    def quit(self) -> None:
        """End serve(). The board returns to its REPL."""
        self.ask("quit")

    def check_line(self) -> None:
        """Raise LinkError when the board is gone. For a host that has nothing to send at the moment."""
        try:
            self._serial.in_waiting  # noqa: B018
        except OSError as error:
            raise self._gone(error) from None

    def _greeting(self) -> list[str]:
        deadline = time.monotonic() + self.timeout_s
        while (line := self._line(deadline)) is not None:
            words = unframe(line)
            if words and words[1:3] == ["ok", "urnn"]:
                if words[3] != str(PROTOCOL):
                    raise BoardError(
                        f"{self.port}: urnn {words[4]} speaks protocol {words[3]}; expected {PROTOCOL}: "
                        f"`tinyrnn deploy MODEL --port {self.port}`"
                    )
                return words
        raise LinkError(f"{self.port}: no greeting within {self.timeout_s:g} s; expected the line protocol: try again")

    def _collect(self, deadline: float) -> None:
        """Wait for one more answer. Repair the line whenever the board stays silent until the deadline."""
        before = len(self._answers)
        while not self._poll(deadline):
            self._mend()
            if len(self._answers) > before:
                return
            deadline = time.monotonic() + self.timeout_s

    def _poll(self, deadline: float) -> bool:
        """Read lines until there is one more answer (True) or the deadline has passed (False)."""
        before = len(self._answers)
        while len(self._answers) == before:
            line = self._line(deadline)
            if line is None:
                return False
            if not self._take(line):
                self._mend()
        return True

    def _take(self, line: bytes) -> bool:
        """Store an answer. Returns False when something is wrong and the line must be repaired."""
        words = unframe(line)
        if not words or len(words) < 2:
            return False
        if words[1] == "err" and words[2] in ("line", "order"):
            return False
        head = self._unanswered[0] if self._unanswered else None
        if head and words[0] == f"{head.seq:04x}":
            self._unanswered.popleft()
            self._answers.append((head.command, words[1:]))
            return True
        ahead = any(words[0] == f"{sent.seq:04x}" for sent in self._unanswered)
        return not ahead  # an old answer, sent twice, is ignored; one ahead of its turn means that another was lost

    def _mend(self) -> None:
        """Find out what the board has done, and send the rest again. See docs/protocol.md, "When a line is damaged".

        The probe is a command whose number is out of order. The board answers it with that number, so the answer can be
        recognised. All answers to earlier commands come before it.
        """
        for attempt in range(TRIES):
            probe = f"{(self._seq + 0x4000 + attempt) & 0xFFFF:04x}"
            self._write(b"\n" + frame(f"{probe} reset"))
            expected = self._probe_answer(probe)
            if expected is None:
                continue
            if not self._unanswered:
                return
            done = (expected - self._unanswered[0].seq) & 0xFFFF
            if done == 1 or done == 0:  # 1: only the last answer was lost, and the board still has it; 0: nothing was done
                again = list(self._unanswered)
                self._unanswered.clear()
                self.sent_again += len(again)
                if self.sent_again > TRIES * 20:
                    break
                self._resend(again)
                return
            raise LinkError(f"{self.port}: the answer to command {self._unanswered[0].seq:04x} was lost: {NOISE}")
        raise LinkError(f"{self.port}: no answer after {TRIES} tries: {NOISE}; or the board hangs: press reset")

    def _resend(self, again: list[_Sent]) -> None:
        """Send the frames again in the same order, never more than the window holds."""
        for sent in again:
            while self._unanswered and sum(len(s.line) for s in self._unanswered) + len(sent.line) > self.window:
                line = self._line(time.monotonic() + self.timeout_s)
                if line is None or not self._take(line):
                    raise LinkError(f"{self.port}: damaged again during the repair: {NOISE}")
            self._unanswered.append(sent)
            self._write(sent.line)

    def _probe_answer(self, probe: str) -> int | None:
        """The number that the board expects next; None when the probe was lost. Stores the answers that come before."""
        deadline = time.monotonic() + self.timeout_s
        while (line := self._line(deadline)) is not None:
            words = unframe(line)
            if words and words[1:] == ["err", "order", probe]:
                return int(words[0], 16)
            if words:
                self._take(line)
        return None

    def _line(self, deadline: float) -> bytes | None:
        """The next line that is not empty, without its line feed; None when the deadline has passed."""
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                line = bytes(self._buffer[:end]).rstrip(b"\r")
                del self._buffer[: end + 1]
                if b"\x04" in line:
                    raise self._ended(line)
                if line:
                    return line
                continue
            late = time.monotonic() >= deadline
            try:
                waiting = self._serial.in_waiting
                if late and not waiting:
                    return None
                data = self._serial.read(max(1, waiting))
            except OSError as error:
                raise self._gone(error) from None
            self._buffer += data
            if self._buffer.endswith(b"\x04>") and b"\n" not in self._buffer:
                raise self._ended(bytes(self._buffer))
            if len(self._buffer) > 1 << 20:
                raise LinkError(f"{self.port}: a line without end; expected the line protocol: {NOISE}")

    def _ended(self, line: bytes) -> BoardError:
        """The error for a program that has ended: the raw REPL then sends \\x04, a traceback and \\x04>."""
        text = bytearray(line + b"\n" + self._buffer)
        deadline = time.monotonic() + 1.0
        while not text.endswith(b"\x04>") and time.monotonic() < deadline:
            try:
                text += self._serial.read(max(1, self._serial.in_waiting))
            except OSError as error:
                raise self._gone(error) from None
        lines = [part.strip() for part in text.decode("utf-8", "replace").replace("\x04", "\n").splitlines()]
        said = [part for part in lines if part and part != ">"]
        last = said[-1] if said else "no reason given"
        if "ImportError" in last or "no module" in last:
            return BoardError(
                f"{self.port}: urnn with its line protocol is not there ({last}); expected it: "
                f"`tinyrnn deploy MODEL --port {self.port}`"
            )
        return BoardError(f"{self.port}: the program on the board ended ({last}); expected an answer: reset the board")

    def _write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
        except OSError as error:
            raise self._gone(error) from None

    def _gone(self, error: OSError) -> LinkError:
        seen = str(error).splitlines()[0] if str(error) else type(error).__name__
        return LinkError(f"{self.port}: the board went away ({seen}); expected an answer: check the cable and try again")
