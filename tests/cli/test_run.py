# SPDX-License-Identifier: MIT
"""``tinyrnn run`` with a file, a slow pipe and typed lines: their faults, and what is left on the board afterwards."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import serving
from tinyrnn.board.link import Link
from tinyrnn.cli.run import Stream, _interrupts
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.integer_model.simulator import Simulator

TIMEOUT_S = 300.0  # guards against a hang
SAMPLES = np.random.default_rng(0).integers(-1000, 1000, (150, 2))


def command(port: Port, model: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "tinyrnn", "run", str(model), "--port", port.path, *options]


def run(port: Port, model: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(port, model, *options), input=text, capture_output=True, text=True, timeout=TIMEOUT_S)


def feed(port: Port, model: Path, data: bytes, *options: str) -> tuple[int, list[list[int]], str]:
    """The exit status, the outputs of each answer, and stderr."""
    done = subprocess.run(command(port, model, "--json", *options), input=data, capture_output=True, timeout=TIMEOUT_S)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [answer["outputs"] for answer in answers], done.stderr.decode()


def rows(samples: np.ndarray) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in samples.tolist())


def expected(samples: np.ndarray) -> list[list[int]]:
    return Simulator(serving.tiny_network()).run(samples[None])[0][0].tolist()


def at_its_repl(port: Port) -> bool:
    """Whether the friendly prompt comes at once, so that no program is running."""
    import serial

    with serial.Serial(port.path, timeout=TIMEOUT_S) as line:
        line.write(b"\r")
        return bool(line.read_until(b">>> ").endswith(b">>> "))


def test_a_file_with_a_heading(port: Port, model: Path) -> None:
    """Values are in the user's unit: the raw integers of the second channel are four times as large."""
    values = SAMPLES / np.array([1, 4])
    done = run(port, model, "x,y\n" + rows(values), "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["outputs"] for answer in answers] == expected(SAMPLES)
    assert [answer["line"] for answer in answers] == list(range(2, 152))
    assert [answer["step"] for answer in answers] == list(range(150))
    first = answers[0]
    values = sorted(first["values"])
    assert first["label"] == ("left", "right", "still")[first["class"]]
    assert first["margin"] == values[-1] - values[-2]
    assert first["values"] == [output / 65536 for output in first["outputs"]]
    assert at_its_repl(port)


PAIRS = np.array([[100, -8], [3, 4]])  # raw; in the user's unit the second channel is a quarter


@pytest.mark.parametrize(
    "data",
    [
        b"100,-2\n3,1\n",
        b"\xef\xbb\xbf100,-2\n3,1\n",
        b"\xef\xbb\xbfx,y\r\n100,-2\r\n3,1\r\n",
        "100,-2\r\n3,1\r\n".encode("utf-16"),
        "x\ty\r\n100\t-2\r\n3\t1".encode("utf-16"),
        b"\xfe\xff" + "100,-2\n3,1\n".encode("utf-16-be"),
        b"100,-2\r3,1\r",
        b"100,0;-2,0\n3;1\n",
        b'"x";"y"\n"100,0";"-2,0"\n"3";"1"\n',
        b"x,y\n 100 , -2 ,\n3,1,\n",
        b"\n\nx y\n100 -2\n+3e0 1.0E+0\n",
    ],
    ids=[
        "plain",
        "mark",
        "mark-heading-crlf",
        "utf-16",
        "utf-16-heading",
        "utf-16-be",
        "cr",
        "decimal-commas",
        "quotes",
        "comma-at-end",
        "blanks",
    ],
)
def test_every_sample_of_text_from_elsewhere(port: Port, model: Path, data: bytes) -> None:
    """With any byte order mark, line ends, separators and quotes, no sample is lost or changed."""
    if port.name != "unix-x64":
        pytest.skip("the same on each board: one shows it")
    assert feed(port, model, data) == (0, expected(PAIRS), "")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("100,-2\n".encode("utf-16-le"), "line 1: not text in UTF-8; expected 2 values: save it as UTF-8"),
        (b"\xff100,-2\n", "line 1: not text in UTF-8"),
        (b"x,y\n1,\0002\n", "line 2: not text in UTF-8"),
        (b"1.234,5,6.7\n", "line 1: 3 values; expected 2: x, y"),
        (b"1.234,5;6\n", "line 1: '1.234,5;6' is not numbers; expected 2 values"),
        (b"1.2.3,4.5.6\n", "line 1: '1.2.3,4.5.6' is not numbers; expected 2 values"),
        (b"1_0,2\n", "line 1: '1_0,2' is not numbers; expected 2 values"),
        (b"x,2\n", "line 1: 'x,2' is not numbers; expected 2 values"),
        (b"1,,2\n", "line 1: value 2 is empty; expected 2 values"),
        (b",1\n", "line 1: value 1 is empty; expected 2 values"),
        (b"1,1e9\n", "line 1: value 2 is 1e9; expected one below 2.68435e+08, as step() takes integers in -2^30 .. 2"),
        (b"-1e300,1\n", "line 1: value 1 is -1e300; expected one below 1.07374e+09"),
    ],
)
def test_text_that_cannot_be_samples(port: Port, model: Path, data: bytes, message: str) -> None:
    if port.name != "unix-x64":
        pytest.skip("the same on each board: one shows it")
    status, outputs, said = feed(port, model, data)
    assert (status, outputs) == (3, [])
    assert said.startswith(f"tinyrnn: error: {message}")
    assert len(said.splitlines()) == 1


def test_a_line_without_end(port: Port, model: Path) -> None:
    """`tinyrnn run ... < /dev/zero`."""
    if port.name != "unix-x64":
        pytest.skip("the same on each board: one shows it")
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run(command(port, model), stdin=zero, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 3
    assert done.stderr == "tinyrnn: error: line 1: no end within 4194304 characters; expected lines of numbers\n"


def test_samples_outside_the_range_are_reported(port: Port, model: Path) -> None:
    """Such samples count as the end of the range. One line says how many there were."""
    samples = np.array([[100, 8], [2000, 8], [100, -4004], [3, 4]])
    status, outputs, said = feed(port, model, rows(samples).encode(), "--raw")
    assert (status, outputs) == (0, expected(samples))
    assert outputs == expected(np.clip(samples, -1000, 1000))
    end = " samples were outside the model's input range and were limited to it (x: -1000 to 1000)\n"
    assert said == "tinyrnn: 2 of 4" + end
    assert feed(port, model, b"1,1\n2,251\n")[2] == "tinyrnn: 1 of 2" + end.replace("x: -1000 to 1000", "y: -250 to 250")


def test_empty_lines_begin_sequences(port: Port, model: Path) -> None:
    done = run(port, model, rows(SAMPLES[:4]) + "\n\n" + rows(SAMPLES[4:6]), "--json", "--raw", "--kernels", "plain")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["outputs"] for answer in answers] == expected(SAMPLES[:4]) + expected(SAMPLES[4:6])
    assert [(answer["sequence"], answer["step"]) for answer in answers] == [(0, t) for t in range(4)] + [(1, 0), (1, 1)]


def test_lines_for_people(port: Port, model: Path) -> None:
    done = run(port, model, "1 2\n3; 4\n\n5\t6", "--raw")
    lines = done.stdout.splitlines()
    assert [line.split()[:1] for line in lines] == [["1"], ["2"], [], ["4"]]
    assert len({len(line) for line in lines if line}) == 1, "aligned"
    assert all(line.split()[1] in ("left", "right", "still") and line.split()[2][0] in "+-" for line in lines if line)


def test_a_slow_pipe_is_answered_line_by_line(port: Port, model: Path) -> None:
    """Each answer arrives before the next line is written."""
    process = subprocess.Popen(
        command(port, model, "--raw", "--json"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    for t, row in enumerate(SAMPLES[:5].tolist()):
        process.stdin.write(f"{row[0]},{row[1]}\n")
        process.stdin.flush()
        assert select.select([process.stdout], [], [], TIMEOUT_S)[0], "no answer before the input ends"
        assert json.loads(process.stdout.readline())["outputs"] == expected(SAMPLES[: t + 1])[-1]
    process.stdin.close()
    assert process.wait(TIMEOUT_S) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("1,2,3", "line 8: 3 values; expected 2: x, y"),
        ("1,two", "line 8: '1,two' is not numbers; expected 2 values"),
        ("1,nan", "line 8: a value is not finite; expected 2 numbers"),
    ],
)
def test_a_wrong_line_of_a_file_ends_it(port: Port, model: Path, bad: str, message: str) -> None:
    """The lines before it are answered first."""
    done = run(port, model, rows(SAMPLES[:7]) + bad + "\n" + rows(SAMPLES[7:]), "--json")
    assert done.returncode == 3
    assert done.stderr == f"tinyrnn: error: {message}\n"
    assert len(done.stdout.splitlines()) == 7
    assert at_its_repl(port)


def test_raw_takes_integers(port: Port, model: Path) -> None:
    for bad in ("1,2.5", "1,1073741824"):
        done = run(port, model, f"1,2\n{bad}\n", "--raw")
        assert done.returncode == 3
        assert "line 2: --raw takes integers in -2^30 .. 2^30 - 1" in done.stderr


def test_typed_lines(port: Port, model: Path) -> None:
    """At a terminal a wrong line is reported, and the next one is read."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command(port, model, "--json"), stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.close(slave)
    assert process.stdout
    assert process.stderr
    assert process.stderr.readline() == "type x, y and Enter; an empty line starts a new sequence; Ctrl-D ends\n"
    os.write(master, b"1,2\n")
    assert json.loads(process.stdout.readline())["line"] == 1
    os.write(master, b"hello\n")
    assert process.stderr.readline() == "tinyrnn: line 2: 'hello' is not numbers; expected 2 values\n"
    os.write(master, b"3,4\n")
    assert json.loads(process.stdout.readline())["line"] == 3
    os.write(master, b"\x04")
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out, err) == (0, "", "")
    os.close(master)
    assert at_its_repl(port)


def hear_ctrl_c() -> None:
    """Restore SIGINT: a shell starts background jobs with it ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_ctrl_c_that_python_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python drops a KeyboardInterrupt inside a destructor. The stream ends all the same."""
    lost: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lost.append)

    class Destructor:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    class Waiting:
        """An input that never has a line."""

        def ready(self, wait_s: float) -> bool:
            Destructor()
            return False

    stream: Any = Stream.__new__(Stream)  # with no more than run() uses
    stream.client = SimpleNamespace(pending=0, check_line=lambda: None)
    stream.samples = []
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), _interrupts() as interrupts:
        stream.run(Waiting(), False, interrupts)
    assert len(lost) == 1


def test_ctrl_c_ends_quietly(port: Port, model: Path) -> None:
    process = subprocess.Popen(
        command(port, model, "--raw"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write("1,2\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    assert process.communicate()[1] == ""
    assert at_its_repl(port)


def test_closed_output_ends_quietly(port: Port, model: Path) -> None:
    """`tinyrnn run ... | head -1`."""
    process = subprocess.Popen(
        command(port, model, "--raw"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write(rows(SAMPLES))
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    try:
        for _ in range(50):
            process.stdin.write(rows(SAMPLES))
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(TIMEOUT_S) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
    assert at_its_repl(port)


@pytest.mark.parametrize("waiting", [False, True], ids=["streaming", "waiting"])
def test_unplugged_in_the_middle(make_port: Callable[..., Port], tmp_path: Path, waiting: bool) -> None:
    """One line and its exit status, while samples stream and while the command waits for one."""
    port = make_port("unix-x64")
    path = serving.write_tiny(tmp_path)
    serving.put_model(port, path)
    process = subprocess.Popen(
        command(port, path, "--raw"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write("1,2\n")
    process.stdin.flush()
    process.stdout.readline()
    port.kill()
    if not waiting:
        process.stdin.write(rows(SAMPLES))
        process.stdin.flush()
    assert process.wait(TIMEOUT_S) == 7
    assert process.communicate()[1].startswith("tinyrnn: error: /dev/pts/")


def test_model_that_is_not_on_the_board(port: Port, model: Path, tmp_path: Path) -> None:
    other = serving.write_tiny(tmp_path, "other.urnn")
    done = run(port, other, "1,2\n")
    assert done.returncode == 8
    assert "expected other.urnn: `tinyrnn deploy" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert at_its_repl(port)


def test_order_and_loss(port: Port, model: Path) -> None:
    """1,500 samples as fast as the command reads them: each answer belongs to its sample, and none is missing."""
    rng = np.random.default_rng(1)
    samples = rng.integers(-1000, 1000, (1500, 2))
    done = run(port, model, rows(samples), "--raw", "--json")
    assert done.returncode == 0
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["line"] for answer in answers] == list(range(1, 1501))
    assert [answer["outputs"] for answer in answers] == expected(samples)


def test_values_of_a_regression() -> None:
    """One aligned column for each target, in its unit, and no class."""
    network = replace(serving.tiny_network(), task="regression", labels=("speed", "angle", "wind"))
    stream: Any = Stream.__new__(Stream)  # with no more than run() uses
    stream.network = network
    facts = stream._facts((3, 0, 2), np.array([65536, -32768, 6553600]))
    assert facts == {"line": 3, "sequence": 0, "step": 2, "outputs": [65536, -32768, 6553600], "values": [1.0, -0.5, 100.0]}
    assert stream._text(facts) == "     3  speed     1.0000  angle    -0.5000  wind   100.0000"


def test_the_board_is_free_afterwards(port: Port, model: Path) -> None:
    run(port, model, "1,2\n")
    with Link(port.path) as link:
        assert link.exec("print(6 * 7)") == "42\n"
