# SPDX-License-Identifier: MIT
"""A browser without a window, in which tests look at the report: Debian's chromium-headless-shell.

`python3 tools/runtimes.py browser` unpacks it with its libraries into the cache folder. Playwright drives it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.runtimes import debian_packages

NAME = "browser"
PACKAGE = "chromium-headless-shell"
CURE = f"in the project's folder, python3 tools/runtimes.py {NAME}"
TIMEOUT_S = 120
# The sandbox needs rights that a container may lack, and so does enough shared memory; it opens only our own pages
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{folder}/fonts</dir><cachedir>{folder}/fonts</cachedir></fontconfig>
"""


def start() -> tuple[Path, dict[str, str]]:
    """The program and its environment. Raises RuntimeMissing, which names the cure."""
    for place in runtimes.places(NAME):
        program = place / "chromium" / PACKAGE
        if program.is_file():
            fonts = str(place / "fonts.conf")
            return program, {**os.environ, "LD_LIBRARY_PATH": str(place / "lib"), "FONTCONFIG_FILE": fonts}
    raise RuntimeMissing(f"{NAME} is not on this machine: {CURE}")


def probe() -> str:
    """Let it show a page, and return a line with its version. Raises RuntimeMissing, which names the cure."""
    program, environment = start()
    try:
        shown = _output([program, *ARGUMENTS, "--dump-dom", "data:text/html,<p>it works"], environment)
        version = _output([program, "--version"], environment).strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeMissing(f"{NAME} does not start ({error}): {CURE}") from None
    if "<p>it works</p>" not in shown:
        raise RuntimeMissing(f"{NAME} does not show a page: {CURE}")
    return f"{NAME}: {version}"


def fetch(suite: str, into: Path) -> None:
    """Put the browser, the libraries that it loads and a font into a folder. Raises TinyrnnError."""
    tree = into / "tree"
    tree.mkdir()
    debian_packages.unpack(suite, debian_packages.host_architecture(), [PACKAGE], tree)
    chromium = tree / "usr" / "lib" / "chromium"
    (into / "lib").mkdir()
    for library in _libraries(chromium / PACKAGE, tree):
        shutil.copy2(library.resolve(), into / "lib" / library.name)
    shutil.move(chromium, into / "chromium")
    for part in ("locales", "libvk_swiftshader.so", "libVkLayer_khronos_validation.so", "libVkICD_mock_icd.so"):
        path = into / "chromium" / part  # of other languages, and for 3D
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    shutil.move(tree / "usr" / "share" / "fonts" / "truetype" / "dejavu", into / "fonts")
    shutil.rmtree(tree)
    # The folder is renamed when it is complete
    place = next(place for place in runtimes.places(NAME) if place.name.endswith(suite))
    (into / "fonts.conf").write_text(FONTS.format(folder=place))


def _libraries(program: Path, tree: Path) -> list[Path]:
    """The libraries in the tree that a program loads, without those of glibc, which must be the host's."""
    loaders = [*tree.glob("lib/*/ld-linux-*.so.*"), *tree.glob("usr/lib/*/ld-linux-*.so.*")]
    if not loaders:
        raise TinyrnnError(f"{PACKAGE} came without libc6: run this again")
    folders = {path.parent for path in tree.rglob("*.so*") if program.parent not in path.parents}
    search = os.pathsep.join(sorted(map(str, folders)))
    listed = debian_packages.call([str(loaders[0]), "--library-path", search, "--list", str(program)])
    found = [Path(line.split("=> ")[1].rsplit(" (", 1)[0]) for line in listed.splitlines() if "=> " in line]
    glibc = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libresolv.so", "libutil.so", "ld-linux")
    return [path for path in found if tree in path.parents and not path.name.startswith(glibc)]


def _output(command: list[str | Path], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout
