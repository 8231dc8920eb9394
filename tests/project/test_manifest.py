# SPDX-License-Identifier: MIT
"""package.json installs the device package with mpremote's own mip, and the example main.py runs with it."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mpremote.transport_serial import SerialTransport
from shared.paths import ROOT
from tinyrnn.cli import main
from tinyrnn.emulation.serial_ports import Port
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net with one input, as one sensor has, and self-test vectors."""
    path = tmp_path_factory.mktemp("model") / "gesture.urnn"
    path.write_bytes(pack(quantize(random_float_model(np.random.default_rng(5), 1, (8,), 3))))
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an HTTP server for the checkout, on this machine only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT))) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def mpremote(port: Port, *words: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", port.path, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_manifest_lists_the_package() -> None:
    done = subprocess.run([sys.executable, ROOT / "tools" / "manifest.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    urls = json.loads((ROOT / "package.json").read_text())["urls"]
    modules = {path.name for path in (ROOT / "device" / "urnn").glob("*.py")}
    assert {target for target, _ in urls} == {f"urnn/{name}" for name in modules}
    assert all((ROOT / url).is_file() for _, url in urls)


def test_installs_from_the_checkout(make_port: Callable[..., Port], model: Path) -> None:
    port = make_port("unix-x64")  # the emulated RP2040 has its turn in test_readme_session.py: mip takes 30 s there
    said = mpremote(port, "mip", "install", "package.json")
    assert said.rstrip().endswith("Done")
    mpremote(port, "cp", str(model), ":gesture.urnn")
    said = mpremote(port, "exec", "import urnn; net = urnn.load('gesture.urnn'); print(net.selftest())")
    assert said.startswith("PASS")
    assert "plain" not in said  # it has faster kernels


def test_installs_over_http(make_port: Callable[..., Port], server: str) -> None:
    port = make_port("unix-x64")
    mpremote(port, "mip", "install", f"{server}/package.json")
    assert "plain" in mpremote(port, "exec", "import urnn; print(urnn.kernel_sets())")


def test_example_says_what_is_missing(make_port: Callable[..., Port], model: Path) -> None:
    port = make_port("unix-x64")
    example = str(ROOT / "examples" / "main.py")
    assert mpremote(port, "run", example) == "main.py: urnn is not on this board: tinyrnn deploy gesture.urnn\n"
    mpremote(port, "mip", "install", "package.json")
    missing = "main.py: gesture.urnn is not on this board: mpremote cp gesture.urnn :gesture.urnn\n"
    assert mpremote(port, "run", example) == missing
    mpremote(port, "cp", str(ROOT / "README.md"), ":gesture.urnn")
    assert "main.py: gesture.urnn cannot be used (" in mpremote(port, "run", example)
    mpremote(port, "cp", str(model), ":gesture.urnn")
    assert "has no machine.ADC" in mpremote(port, "run", example)


def test_example_reads_its_sensor_and_is_left_by_ctrl_c(make_port: Callable[..., Port], model: Path) -> None:
    port = make_port("rp2040")
    assert main(["deploy", str(model), "--port", port.path]) == 0
    mpremote(port, "cp", str(ROOT / "examples" / "main.py"), ":main.py")
    port.restart()  # main.py starts with the board
    link = SerialTransport(port.path)
    lines = [link.read_until(1, b"\n", timeout=300) for _ in range(8)][1:]  # the first may be half a line
    for line in lines:
        if line.startswith(b"main.py: "):
            continue
        label, score = line.split()
        assert label in (b"class0", b"class1", b"class2")
        assert -(1 << 30) <= int(score) < 1 << 30
    link.serial.write(b"\x03")
    assert link.read_until(1, b"main.py: stopped\r\n", timeout=300).endswith(b"main.py: stopped\r\n")
    link.enter_raw_repl(soft_reset=False)
    assert link.exec("print('alive')").strip() == b"alive"
    link.close()


def test_the_example_model_runs_in_the_example(make_port: Callable[..., Port]) -> None:
    """The board of the README's session, without a sensor: main.py runs and says what to do."""
    port = make_port("rp2040")
    assert main(["deploy", str(ROOT / "examples" / "gesture.urnn"), "--port", port.path]) == 0
    link = SerialTransport(port.path)
    link.enter_raw_repl(soft_reset=False)
    text = (ROOT / "examples" / "main.py").read_text()
    assert "PERIOD_MS = 100 " in text
    link.exec_raw_no_follow(text.replace("PERIOD_MS = 100 ", "PERIOD_MS = 1 "))
    lines = [link.read_until(1, b"\n", timeout=60).decode() for _ in range(6)]
    assert lines[0].startswith("main.py: PASS, 12 steps, ")
    assert lines[1].startswith("main.py: gesture.urnn takes 6 channels, PINS names 3: the others read 0,")
    assert lines[3].startswith("main.py: it says something at the end of each window, every 0.1 s")
    for line in lines[4:]:
        assert line.split()[0] in ("Badminton", "Running", "Standing", "Walking")
    link.serial.write(b"\x03")
    assert link.read_until(1, b"main.py: stopped", timeout=60).endswith(b"main.py: stopped")
    link.close()
