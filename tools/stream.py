#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stream samples through a board and measure the rate, lost and reordered answers, and the time of a request.

    python tools/stream.py MODEL.urnn --port PORT [--seconds 60]

The model must be deployed. The tool feeds `tinyrnn run` as fast as it takes samples and compares every answer with the
host's. Each answer depends on all samples before it, so a lost, doubled or reordered sample shows.
The exit status is 1 when an answer is wrong or the rate is below --rate.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
from shared.paths import TOOLS
from tinyrnn.board.link import Link
from tinyrnn.board.protocol import Client, Refused
from tinyrnn.integer_model import urnn_file
from tinyrnn.integer_model.simulator import Simulator

SCRIPT = TOOLS / "scripts" / "serve_cost.py"
BLOCK = 500  # samples of a sequence
AHEAD = 600  # samples that may be written before their answers come


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the deployed .urnn file")
    parser.add_argument("--port", required=True, help="the board's serial port")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to stream (default: 60)")
    parser.add_argument("--rate", type=float, default=0.0, help="samples per second that must be reached (default: 0)")
    args = parser.parse_args()
    with Link(args.port) as link:
        print(f"{link.identity.board}, {link.identity.firmware}", flush=True)
    sent, wrong, seconds = stream(args.model, args.port, args.seconds)
    counts = ", ".join(f"{count} {kind}" for kind, count in wrong.items())
    print(f"tinyrnn run: {sent} samples in {seconds:.1f} s, {sent / seconds:.0f} a second; {counts}", flush=True)
    cost = board_cost(args.port)
    print(f"a request without a step, on the board's clock: {cost['empty']:.0f} us, and {cost['byte']:.1f} us per byte read")
    with Link(args.port) as link:
        client = Client(link)
        print(
            f"the same from the host and back: {1e3 * round_trip(client):.1f} ms; pipelined {1e3 * pipelined(client):.2f} ms"
        )
        client.quit()
    return 1 if any(wrong.values()) or sent / seconds < args.rate else 0


def stream(model: str, port: str, seconds: float) -> tuple[int, dict[str, int], float]:
    """Feed `tinyrnn run` as fast as it takes samples.

    Returns (number of answers, kind of error -> number of wrong answers, seconds).
    """
    network = urnn_file.load(model).network
    simulator = Simulator(network)
    rng = np.random.default_rng(0)
    low, high = np.maximum(network.input.low, -32768), np.minimum(network.input.high, 32767)  # a sensor's 16 bits
    command = [sys.executable, "-m", "tinyrnn", "run", model, "--port", port, "--raw", "--json"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    expected: queue.Queue[tuple[int, list[int]] | None] = queue.Queue(AHEAD)  # (line, outputs), in the order of the samples

    def feed() -> None:
        assert process.stdin
        line = 0
        while (first is None or time.monotonic() < first + seconds) and not stop.is_set():
            raw = rng.integers(low, high + np.int64(1), (BLOCK, network.inputs)).astype(np.int32)
            want = simulator.run(raw[None])[0][0].tolist()
            for sample, outputs in zip(raw.tolist(), want, strict=True):
                line += 1
                expected.put((line, outputs))
                process.stdin.write(",".join(map(str, sample)) + "\n")
            line += 1
            process.stdin.write("\n")  # a new sequence
        process.stdin.close()
        expected.put(None)

    first: float | None = None  # when the first answer came; the time before it is the start of the program
    last = 0.0
    stop = threading.Event()
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    wrong = {"lost": 0, "out of order": 0, "different": 0}
    answered = 0
    for text in process.stdout:
        last = time.monotonic()
        first = first or last
        answer = json.loads(text)
        answered += 1
        while (want := expected.get()) is not None and want[0] < answer["line"]:
            wrong["lost"] += 1
        if want is None or want[0] > answer["line"]:
            wrong["out of order"] += 1
        elif want[1] != answer["outputs"]:
            wrong["different"] += 1
    stop.set()
    while expected.get() is not None:
        wrong["lost"] += 1
    if process.wait() or first is None:
        sys.exit(f"tinyrnn run ended with exit status {process.returncode} after {answered} answers")
    return answered, wrong, last - first


def board_cost(port: str) -> dict[str, float]:
    """Microseconds on the board's clock: "empty" for a request that does nothing, "byte" for reading one byte."""
    with Link(port) as link:
        link.start(SCRIPT.read_text())
        sizes = [50, 200]
        said = {}
        while "byte" not in said:
            words = link.serial.read_until(b"\n").decode().split()
            if not words:
                sys.exit(f"{port}: no answer; expected the output of serve_cost.py: deploy the model first")
            if words == ["send"]:
                link.serial.write(b"!" + b"x" * sizes.pop(0) + b"\n\x03\n")
            elif len(words) == 2:
                said[words[0]] = float(words[1])
        return said


def round_trip(client: Client, count: int = 100) -> float:
    """Median seconds from sending a request that does nothing to its answer."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        nothing(client)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def pipelined(client: Client, count: int = 500) -> float:
    """Seconds per request that does nothing, while the protocol's window is full."""
    began = time.monotonic()
    for _ in range(count):
        client.send("none")
    while client.pending:
        try:
            client.receive()
        except Refused:
            pass
    return (time.monotonic() - began) / count


def nothing(client: Client) -> None:
    """Send a command that the board does not know. The board answers it and does nothing."""
    try:
        client.ask("none")
    except Refused:
        pass


if __name__ == "__main__":
    sys.exit(main())
