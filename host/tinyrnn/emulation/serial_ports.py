# SPDX-License-Identifier: MIT
"""Real MicroPython on a serial port: the boards that the tests of the link run on.

    unix-x64      the unix port: has viper, a heap of its own size, no flash limit
    webassembly   the same on Node: 32 bits, no viper
    rp2040        an emulated RP2040 with official firmware (a UF2 file in TINYRNN_UF2 or in the cache folder)

``python -m tinyrnn.emulation.serial_ports NAME [FLASH_FOLDER]`` starts one for use by hand and prints its port.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing

NAMES = ("unix-x64", "webassembly", "rp2040")
HERE = Path(__file__).with_name("port_scripts")
START_S = 300.0  # guards against a hang: a port's path comes within a second, on a busy machine within ten
SAVE_S = 300.0  # the same, for the emulator to save its flash


class Port:
    """A board on a serial port.

    name: one of NAMES, or "board" for a real one (``pytest --port``).
    path: of the serial port; another after restart().
    folder: where its flash is kept.
    has_viper: whether its firmware compiles viper code.
    flash: the folder that is its file system (unix-x64, webassembly), or None.
    flash_bytes: size of its file system's flash, or None where only the host's disk is the limit.
    can_restart: whether restart() and kill() work; not on a real board.
    can_interrupt: whether Ctrl-C stops any program; on webassembly only one that reads its input.
    """

    def __init__(self, name: str, folder: Path, command: list[str], environment: Mapping[str, str] | None = None):
        self.name = name
        self.folder = folder
        self.path = ""
        self.has_viper = name != "webassembly"
        self.flash: Path | None = folder / "flash"
        self.flash_bytes: int | None = None
        self.can_restart = True
        self.can_interrupt = name != "webassembly"
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._log = folder / "port.log"
        self.start()

    def start(self) -> None:
        """Switch it on: returns when the port can be opened. Raises RuntimeError with the log's last lines."""
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        if select.select([self._process.stdout], [], [], START_S)[0]:
            self.path = self._process.stdout.readline().strip()
        else:
            self.path = ""
        if not self.path:
            self.close()
            raise RuntimeError(f"{self.name} did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Cut the power now; what was written to the flash stays, whole or not. The port is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        self._stop(process)
        assert process.stdout is not None
        process.stdout.close()
        self.path = ""

    def _stop(self, process: subprocess.Popen[str]) -> None:
        _kill_tree(process.pid)
        process.wait()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart(self) -> None:
        """Power off and on, with the same flash."""
        self.kill()
        self.start()

    def close(self) -> None:
        self.kill()

    def pause(self) -> None:
        """Nobody uses it for a while."""

    def resume(self) -> None:
        """Somebody will."""


class EmulatedRp2040(Port):
    """The emulator keeps the flash in its memory and saves it when it is told to end."""

    def __init__(self, folder: Path, firmware: Path, real_time: bool):
        image = folder / "flash.img"
        options = ["--real-time"] if real_time else []
        super().__init__("rp2040", folder, [sys.executable, str(HERE / "rp2040.py"), str(firmware), str(image), *options])
        self.flash = None
        self.flash_bytes = 352 * 4096  # micropython/micropython:ports/rp2/boards/RPI_PICO/mpconfigboard.h

    def pause(self) -> None:
        """An idle chip still takes 0.4 of a core (measured 2026-11-23, rp2040py 1.0.0b1): it is stood still."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _stop(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)  # in case it was paused
        try:
            process.wait(SAVE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"the emulator did not save its flash in {SAVE_S:g} s") from None


class RealBoard(Port):
    """A board that somebody plugged in; nothing is known of it but its port."""

    def __init__(self, path: str):
        self.name = "board"
        self.path = path
        self.has_viper = False  # not promised: ask it
        self.flash = None
        self.flash_bytes = None
        self.can_restart = False
        self.can_interrupt = True

    @property
    def alive(self) -> bool:
        return True

    def start(self) -> None:
        pass

    def kill(self) -> None:
        raise RuntimeError("a real board's cable cannot be pulled by a test: look at can_restart first")

    def restart(self) -> None:
        self.kill()

    def close(self) -> None:
        pass


def open_port(name: str, folder: Path, heapsize: str | None = None, real_time: bool = False) -> Port:
    """Start the port ``name`` with its flash in ``folder`` (kept: a second port there finds the files).

    heapsize: bytes, or with a suffix "64k": the heap's bound on unix-x64, not used elsewhere.
    real_time: the emulated chip's clock does not run ahead of the host's.
    Raises RuntimeMissing with the cure when it cannot be had here.
    """
    folder = folder.resolve()
    flash = folder / "flash"
    bridge = [sys.executable, str(HERE / "bridge.py")]
    if name == "rp2040":
        firmware = find_uf2()
        folder.mkdir(parents=True, exist_ok=True)
        return EmulatedRp2040(folder, firmware, real_time)
    runtime = runtimes.get(name)
    (flash / "lib").mkdir(parents=True, exist_ok=True)
    if name == "unix-x64":
        command = [*bridge, "--unix", str(flash), *runtime.command, "-X", f"heapsize={heapsize or '1m'}"]
        # The REPL puts "" first; then as on a board: the frozen modules, and the flash's lib folder.
        return Port(name, folder, command, {"MICROPYPATH": f":.frozen:{flash / 'lib'}"})
    if name == "webassembly":
        node, script, module = runtime.command
        shim = [str(HERE / "wasm_repl.mjs"), module, str(Path(script).with_name("host_folders.mjs")), str(flash)]
        return Port(name, folder, [*bridge, str(flash), node, *shim])
    raise RuntimeMissing(f"no port is called {name!r}: expected one of {', '.join(NAMES)}")


def find_uf2() -> Path:
    """MicroPython's firmware for the Raspberry Pi Pico; raises RuntimeMissing with the cure."""
    own = os.environ.get("TINYRNN_UF2")
    if own:
        if not Path(own).is_file():
            raise RuntimeMissing(f"rp2040: TINYRNN_UF2 is {own}, expected a UF2 file there")
        found = Path(own)
    else:
        folder = runtimes.cache_folder()
        files = sorted(folder.glob("*.uf2"))
        if not files:
            raise RuntimeMissing(
                f"rp2040: no firmware: set TINYRNN_UF2 to MicroPython's RPI_PICO UF2 file, or put it in {folder}"
            )
        found = next((file for file in files if file.name == "RPI_PICO.uf2"), files[-1])
    try:
        import rp2040py  # noqa: F401
    except ImportError:
        raise RuntimeMissing("rp2040: the emulator is missing: pip install 'rp2040py>=1.0.0b1'") from None
    return found.resolve()


def _kill_tree(pid: int) -> None:
    """SIGKILL to the bridge and to its program, which leads a session of its own."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else []:
        os.kill(int(child), signal.SIGKILL)
    os.killpg(pid, signal.SIGKILL)


def main() -> None:
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in NAMES:
        sys.exit(f"usage: ports.py {'|'.join(NAMES)} [FLASH_FOLDER]")
    with tempfile.TemporaryDirectory() as scratch:
        port = open_port(sys.argv[1], Path(sys.argv[2] if len(sys.argv) == 3 else scratch))
        print(f"{port.path}  (mpremote connect {port.path}; Ctrl-C here ends it)", flush=True)
        try:
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
        finally:
            port.close()


if __name__ == "__main__":
    main()
