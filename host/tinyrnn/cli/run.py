# SPDX-License-Identifier: MIT
"""``tinyrnn run``: live inference on a board, with samples from a file, a pipe or the keyboard."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tinyrnn.text import counted

if TYPE_CHECKING:
    import numpy as np

    from tinyrnn.board.protocol import Client, Loaded
    from tinyrnn.board.sample_lines import Lines
    from tinyrnn.integer_model.network import Network

IDLE_S = 0.5  # how often the host checks the connection while it has no samples
ANSWER_S = 0.02  # longest wait for an answer while a new line may arrive
INTERRUPTED = 130


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "run",
        help="send samples to a board from a file, a pipe or the keyboard, and print its answers",
        description="Read samples from standard input, one a line: numbers separated by commas, semicolons, tabs, pipes or "
        "blanks, in the unit of the recording that the model was trained on. A first line of names is a heading. Between "
        "semicolons, tabs or pipes, a comma is a decimal point. An empty line starts a new sequence. The model must have "
        "been deployed.",
    )
    parser.add_argument("model", metavar="MODEL.urnn", help="the deployed model")
    parser.add_argument("--port", metavar="PORT", help="the board's serial port (default: the only one)")
    parser.add_argument("--kernels", metavar="NAME", help="the kernel set to use (default: the board's best)")
    parser.add_argument("--raw", action="store_true", help="the samples are the raw integers that step() takes")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def run(args: argparse.Namespace) -> int:
    """Send samples until the input ends. Returns 0, or 130 after Ctrl-C. Raises DataError for a wrong line of a file."""
    from tinyrnn.board import ports
    from tinyrnn.board.link import Link
    from tinyrnn.board.protocol import Client
    from tinyrnn.board.sample_lines import Lines
    from tinyrnn.integer_model import urnn_file

    network = urnn_file.load(args.model).network
    try:
        with _interrupts() as interrupts, Link(args.port or ports.only()) as link:
            client = Client(link)
            loaded = client.load_same(args.model, args.kernels)
            if sys.stdin.isatty():
                names = ", ".join(network.channels) or counted(network.inputs, "value")
                print(f"type {names} and Enter; an empty line starts a new sequence; Ctrl-D ends", file=sys.stderr)
            stream = Stream(client, loaded, network, args)
            try:
                stream.run(Lines(sys.stdin.fileno()), sys.stdin.isatty(), interrupts)
            except KeyboardInterrupt:
                stream.tell_limited()
                raise
            stream.tell_limited()
            client.quit()
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that grows with each Ctrl-C: Python loses a KeyboardInterrupt raised in a destructor or a callback."""
    import signal
    import threading

    seen: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield seen  # a background job of a shell script ignores Ctrl-C
        return

    def interrupted(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


class Stream:
    """Samples to the board and answers from it, with several commands under way at once.

    Lines that are available together are sent in one command, which saves most of a request's fixed cost. A line that
    arrives alone is sent alone. So a file runs fast, and each line of a slow pipe is answered at once.
    """

    def __init__(self, client: Client, loaded: Loaded, network: Network, args: argparse.Namespace) -> None:
        self.client = client
        self.network = network
        self.raw: bool = args.raw
        self.json: bool = args.json
        self.number = 0  # of the last line read, from 1
        self.sequence = 0
        self.step = 0
        self.loaded = loaded
        self.samples: list[np.ndarray] = []  # read, but not sent yet
        self.places: list[tuple[int, int, int]] = []  # (line, sequence, step) of each of these samples
        self.asked: deque[list[tuple[int, int, int]]] = deque()  # the places of each command sent; empty for a reset
        self.begun = False  # a line that is not empty was read
        self.taken = 0  # number of samples sent
        self.limited = 0  # number of those with a value outside the model's input range
        self.channel = -1  # the first channel with such a value
        self.label_width = max((len(label) for label in network.labels), default=1)

    def run(self, lines: Lines, typed: bool, interrupts: list[int]) -> None:
        """Send the lines until they end. Raises KeyboardInterrupt once ``interrupts`` is not empty.

        A wrong line that was typed is reported, and the next one is read. Otherwise the earlier samples are answered
        first, then DataError is raised.
        """
        from tinyrnn.errors import DataError

        while True:
            if interrupts:
                raise KeyboardInterrupt
            if not lines.ready(0.0 if self.client.pending or self.samples else IDLE_S):
                if self.samples:
                    self._flush()
                elif self.client.pending:
                    self._show(ANSWER_S)
                else:
                    self.client.check_line()
                continue
            try:
                line = lines.next()
                if line is None:
                    break
                self.number += 1
                self._take(line)
            except DataError as error:
                self._finish()
                if not typed:
                    raise
                print(f"tinyrnn: {error}", file=sys.stderr)
        self._finish()

    def _take(self, line: str) -> None:
        from tinyrnn.board.protocol import is_wide
        from tinyrnn.board.sample_lines import is_heading, sample

        if not line.strip():
            self._flush()
            self._send("reset", [])
            self.sequence += self.step > 0
            self.step = 0
            return
        first, self.begun = not self.begun, True
        if not (first and is_heading(line)):
            self.samples.append(sample(self.network, line, self.number, self.raw))
            self.places.append((self.number, self.sequence, self.step))
            self.step += 1
            if len(self.samples) >= self.client.samples_together(self.loaded, is_wide(self.samples[-1])):
                self._flush()

    def _flush(self) -> None:
        """Send the samples that were read."""
        import numpy as np

        from tinyrnn.board.protocol import pack_samples
        from tinyrnn.board.sample_lines import outside

        if self.samples:
            samples = np.array(self.samples)
            self._send(f"steps {pack_samples(samples)}", self.places)
            self.samples, self.places = [], []
            beyond = outside(self.network, samples)
            self.taken += len(samples)
            self.limited += int(beyond.any(axis=1).sum())
            if self.channel < 0 and beyond.any():
                self.channel = int(beyond.any(axis=0).argmax())

    def tell_limited(self) -> None:
        """Print in one line how many samples were outside the model's input range."""
        if not self.limited:
            return
        network, i = self.network, self.channel
        unit = 1.0 if self.raw or not len(network.input_exponents) else 2.0 ** int(network.input_exponents[i])
        low, high = int(network.input.low[i]) / unit, int(network.input.high[i]) / unit
        name = network.channels[i] if i < len(network.channels) else f"value {i + 1}"
        print(
            f"tinyrnn: {self.limited} of {counted(self.taken, 'sample')} were outside the model's input range and were"
            f" limited to it ({name}: {low:g} to {high:g})",
            file=sys.stderr,
        )

    def _send(self, command: str, places: list[tuple[int, int, int]]) -> None:
        while not self.client.room(command):
            self._show(None)
        self.client.send(command)
        self.asked.append(places)
        self._show(0.0)

    def _finish(self) -> None:
        self._flush()
        while self.client.pending:
            self._show(None)

    def _show(self, wait_s: float | None) -> None:
        """Print the answers that have arrived. Waits up to wait_s for the first one, or without limit if None."""
        from tinyrnn.board.protocol import unpack

        while (words := self.client.receive(wait_s)) is not None:
            wait_s = 0.0
            places = self.asked.popleft()
            if not places and not self.json:
                print()
            if places:
                for place, outputs in zip(places, unpack(words[1], "<i4").reshape(len(places), -1), strict=True):
                    facts = self._facts(place, outputs)
                    print(json.dumps(facts) if self.json else self._text(facts))
            sys.stdout.flush()

    def _facts(self, place: tuple[int, int, int], outputs: np.ndarray) -> dict[str, Any]:
        network = self.network
        values = [float(v) for v in outputs * 2.0 ** network.exponents.astype(float)]
        facts: dict[str, Any] = dict(zip(("line", "sequence", "step"), place, strict=True))
        if network.task == "classification":
            best = int(outputs.argmax())
            facts["class"] = best
            facts["label"] = network.labels[best] if network.labels else str(best)
            facts["margin"] = values[best] - max((v for i, v in enumerate(values) if i != best), default=values[best])
        facts["outputs"] = outputs.tolist()
        facts["values"] = values
        return facts

    def _text(self, facts: dict[str, Any]) -> str:
        if self.network.task == "classification":
            return f"{facts['line']:6d}  {facts['label']:{self.label_width}}  {facts['margin']:+9.3f}"
        labels = self.network.labels or tuple(f"[{i}]" for i in range(self.network.outputs))
        return f"{facts['line']:6d}" + "".join(
            f"  {label} {value:10.4f}" for label, value in zip(labels, facts["values"], strict=True)
        )
