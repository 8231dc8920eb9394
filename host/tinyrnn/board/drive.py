# SPDX-License-Identifier: MIT
"""Copy a model and urnn onto the mounted drive of a CircuitPython board."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn import files
from tinyrnn.board import device_modules, package
from tinyrnn.errors import BoardError
from tinyrnn.text import counted, kilobytes

if TYPE_CHECKING:
    from tinyrnn.board.sizing import Model

BOOT = "boot_out.txt"  # CircuitPython writes it at each start
BOOT_BYTES = 1 << 16  # largest BOOT file that is read
OLDEST = 8  # oldest version of CircuitPython; its language is that of MicroPython 1.19
CLUSTER_BYTES = 4096  # the most on these boards' small FAT volumes; used where there is no statvfs


def write_drive(folder: str, model: Model) -> list[str]:
    """Write lib/urnn and the model; return lines that say what was done. Raises BoardError, ModelError.

    The whole package is written next to the old one. Then the folders are renamed.
    """
    root = Path(folder)
    board, version = _identify(root)
    # CircuitPython has its own mpy-cross and few of its boards have emitters, so the package goes as plain Python source
    built = package.build(device_modules.needed(model.data, ()), 0, "")
    target, fresh, old = (root / "lib" / name for name in ("urnn", "urnn.new", "urnn.old"))
    place = root / model.name
    try:
        if place.exists() and not files.replaceable(place, files.PACKED):
            raise BoardError(
                f"{place}: exists and is not a .urnn file; expected one, or none: rename the model or that file"
            )
        if old.is_dir() and not target.is_dir():
            old.rename(target)  # the drive was pulled between the two renames
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        changed = {} if _contents(target) == built.files else built.files
        new_model = not place.is_file() or place.read_bytes() != model.data
        sizes = [len(data) for data in changed.values()] + ([len(model.data)] if new_model else [])
        _check_room(root, sizes)
        if changed:
            fresh.mkdir(parents=True)
            for name, data in changed.items():
                files.write(fresh / name, data)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        if new_model:
            files.write(place, model.data)
    except OSError as error:
        raise BoardError(
            f"{folder}: {error.strerror or error} ({error.filename}); expected a drive that can be written: is it "
            "write-protected (boot.py, storage.remount), full, or unplugged? then deploy again"
        ) from None
    done = f"nothing to copy: {model.name} and urnn are there, whole"
    if sizes:
        done = f"{counted(len(sizes), 'file')}, {kilobytes(sum(sizes))}"
    return [
        f"board     {board}, CircuitPython {version} at {folder}",
        f"copied    {done}",
        "Eject the drive, then at the REPL (a serial terminal, Ctrl-C):",
        f'    import urnn\n    net = urnn.load("{model.name}")\n    net.selftest()        # PASS, microseconds a step',
    ]


def _identify(root: Path) -> tuple[str, str]:
    """(board, version) from boot_out.txt. Raises BoardError when this is no CircuitPython drive, or a too old one."""
    try:
        text = files.read(root / BOOT, BOOT_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise BoardError(
            f"{root}: {BOOT}: {error.strerror}; expected the drive of a CircuitPython board, which has that file: "
            "is it mounted, and is this its folder?"
        ) from None
    found = re.search(r"CircuitPython (\d+)\.(\d+)\.(\S+) on [^;]*; *(.*)", text)
    if not found:
        first = (text.splitlines() or [""])[0][:60]
        raise BoardError(f"{root}: {BOOT} says {first!r}; expected `Adafruit CircuitPython X.Y.Z on ...; BOARD`")
    version = f"{found[1]}.{found[2]}.{found[3]}"
    if int(found[1]) < OLDEST:
        raise BoardError(f"{root}: runs CircuitPython {version}; expected {OLDEST} or newer: see circuitpython.org")
    return found[4].strip(), version


def _contents(folder: Path) -> dict[str, bytes]:
    """File name -> contents, for the files in the folder; {} when there is no folder."""
    if not folder.is_dir():
        return {}
    # macOS adds a file "._name" to every file on such a drive
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}


def _check_room(root: Path, sizes: list[int]) -> None:
    """Raise BoardError when the drive has no room for new files of these sizes; the old files stay until then."""
    usage = shutil.disk_usage(root)
    block = os.statvfs(root).f_frsize if hasattr(os, "statvfs") else CLUSTER_BYTES
    need = sum(-(-size // block) * block for size in sizes)
    if need > usage.free:
        raise BoardError(
            f"{root}: has {usage.free} bytes free; expected {need}, in blocks of {block}; the old files stay until the new "
            "are there: remove files from the drive"
        )
