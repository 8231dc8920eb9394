#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Build the source archive and the wheel of a release, and try both as a user does: make release.

The tool builds the archives from the last commit, without uncommitted changes, into build/release. It checks that:
1. the versions of tinyrnn, of urnn and of the changelog's newest section are equal
2. `twine check` accepts the texts that a package index will show
3. both archives have every file that git tracks in host/tinyrnn, device/ and boards/
4. each archive installs with its dependencies in a fresh virtual environment, and `tinyrnn demo` runs there

--no-demo  leave out check 4, which takes several minutes and 2 GB of disk for each archive
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from shared import records
from shared.paths import BUILD, ROOT, TOOLS
from shared.records import TinyrnnError

RELEASE = BUILD / "release"
CONSTRAINTS = TOOLS / "constraints.txt"
EXTRAS = "train,micropython"  # what `tinyrnn demo` needs
# A folder of the checkout -> its place in an installation; setup.py has the same
INSTALLED = {
    "host/tinyrnn/": "tinyrnn/",
    "device/urnn/": "urnn/",
    "device/urnn-stubs/": "urnn-stubs/",
    "boards/": "tinyrnn/boarddata/",
}
SETUP_S, DEMO_S = 3600, 1800


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Build the source archive and the wheel from the last commit, and try both."
    )
    parser.add_argument("--no-demo", action="store_true", help="neither install the archives nor run the demo")
    args = parser.parse_args()
    changed = run("git", "status", "--porcelain", "--untracked-files=no").strip()
    if changed:
        print(f"The archives hold the last commit, without these changes:\n{changed}")
    with tempfile.TemporaryDirectory(prefix="tinyrnn-release-") as name:
        source = Path(name) / "source"
        tracked = check_out(source)
        version = common_version(source)
        archives = build(source, RELEASE)
        run(sys.executable, "-m", "twine", "check", "--strict", *map(str, archives))
        for archive in archives:
            lacking = missing(archive, tracked)
            if lacking:
                raise TinyrnnError(
                    f"{archive.name} lacks {', '.join(lacking)}; expected all of {', '.join(INSTALLED)}: see setup.py"
                )
        if not args.no_demo:
            for archive in archives:
                print(f"{archive.name}: installing it in a fresh environment, then running the demo", flush=True)
                try_out(archive, Path(name) / archive.name.replace(".", "-"))
    print(f"tinyrnn {version}, in {RELEASE.relative_to(ROOT)}:")
    for archive in archives:
        print(f"  {archive.name}, {archive.stat().st_size} bytes")
    return 0


def check_out(folder: Path) -> list[str]:
    """Write the files of the last commit to the folder. Returns their paths."""
    folder.mkdir(parents=True)
    archive = folder.with_suffix(".tar")
    run("git", "archive", "--output", str(archive), "HEAD")
    with tarfile.open(archive) as files:
        names = [member.name for member in files if member.isfile()]
    shutil.unpack_archive(archive, folder)
    return names


def common_version(source: Path) -> str:
    """The version of both packages and of the changelog. Raises TinyrnnError when they differ."""
    places = {
        "host/tinyrnn/__init__.py": r'^__version__ = "([^"]+)"',
        "device/urnn/__init__.py": r'^__version__ = "([^"]+)"',
        "CHANGELOG.md": r"^## \[?([0-9][^\] ]*)",
    }
    seen = {}
    for name, pattern in places.items():
        found = re.search(pattern, (source / name).read_text(encoding="utf-8"), re.MULTILINE)
        seen[name] = found[1] if found else "no version"
    if len(set(seen.values())) != 1:
        said = ", ".join(f"{name} has {version}" for name, version in seen.items())
        raise TinyrnnError(f"{said}; expected the same version in each")
    return next(iter(seen.values()))


def build(source: Path, into: Path) -> list[Path]:
    """Build the source archive, and the wheel from it. Returns their paths."""
    shutil.rmtree(into, ignore_errors=True)
    # In another folder, because Python would take this checkout's build/ for the package `build`
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(into), str(source), cwd=source.parent)
    return sorted(into.iterdir())


def missing(archive: Path, tracked: list[str]) -> list[str]:
    """The tracked files of the packages that the archive lacks."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            names = set(wheel.namelist())
    else:
        with tarfile.open(archive) as files:
            names = {name.partition("/")[2] for name in files.getnames()}
    lacking = []
    for path in tracked:
        for folder, place in INSTALLED.items():
            if path.startswith(folder):
                name = place + path.removeprefix(folder) if archive.suffix == ".whl" else path
                if name not in names:
                    lacking.append(path)
    return lacking


def try_out(archive: Path, folder: Path) -> None:
    """Install the archive with its dependencies and run the demo. Raises TinyrnnError when a command fails."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    home, empty = folder / "venv", folder / "empty"
    empty.mkdir(parents=True)
    run(sys.executable, "-m", "venv", str(home), env=environment)
    python = str(home / "bin" / "python")
    what = f"{archive}[{EXTRAS}]"
    run(
        python, "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS), what, env=environment, timeout_s=SETUP_S
    )
    command = str(home / "bin" / "tinyrnn")
    print(run(command, "demo", cwd=empty, env=environment, timeout_s=DEMO_S), end="")
    run(command, "info", "gesture.urnn", "--board", "all", cwd=empty, env=environment)
    shutil.rmtree(folder)


def run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None, timeout_s: float = 600) -> str:
    """Run a command and return its output. Raises TinyrnnError with the last lines when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TinyrnnError(f"{' '.join(command)}: did not end within {timeout_s:.0f} s") from None
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-15:])
        raise TinyrnnError(f"{' '.join(command)}: exit status {done.returncode}\n{last}")
    return done.stdout


if __name__ == "__main__":
    records.finish(main)
