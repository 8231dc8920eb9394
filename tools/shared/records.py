# SPDX-License-Identifier: MIT
"""Records of the measuring tools: flat JSON objects in build/NAME.json, shown as a table on the screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from tinyrnn import files
from tinyrnn.errors import TinyrnnError

from shared.paths import BUILD

Value: TypeAlias = "str | int | float | None"
Record: TypeAlias = "dict[str, Any]"  # field -> Value; the reader knows the type of each field

# The fields of each file's records, complete and in this order
FIELDS: dict[str, tuple[str, ...]] = {
    "accuracy": (
        "dataset",
        "cell",
        "hidden",
        "seed",
        "float_accuracy_pct",
        "int_accuracy_pct",
        "agreement_pct",
    ),
    "sizes": ("part", "arch", "bytes"),
    "bench": (
        *("runtime", "kernels", "cell", "inputs", "hidden", "outputs", "us_step", "ratio_to_plain"),
        *("cycles_step", "cycles_per_mac", "cycles_fixed", "bytes_allocated_step"),
    ),
    "comparison": (
        *("runtime", "kernels", "cell", "hidden", "inputs", "outputs", "us_step", "us_fixed"),
        *("cycles_step", "cycles_per_mac", "cycles_fixed", "bytes_allocated_step"),
    ),
    "experiments": ("settings", "set", "seed", "figure", "value", "int_value", "validation", "best_epoch", "cpu_s"),
    "speed": ("loop", "set", "batch", "sequences", "steps", "cpu_s_epoch", "sequences_s", "steps_s"),
}
# The command that measures each file's figures
COMMANDS = {
    "accuracy": "make accuracy",
    "sizes": "make sizes",
    "bench": "make bench",
    "comparison": "tinyrnn bench --compare",
    "experiments": "tools/experiments.py run",
    "speed": "tools/experiments.py speed",
}


def write(name: str, records: list[Record], folder: Path = BUILD) -> Path:
    """Write the records to folder/NAME.json, one per line, completely or not at all. Returns the path.

    Raises TinyrnnError when a record's fields, in their order, are not FIELDS[name].
    """
    for record in records:
        if tuple(record) != FIELDS[name]:
            seen, expected = ", ".join(record), ", ".join(FIELDS[name])
            raise TinyrnnError(f"a record of {name} has {seen}; expected {expected}")
    text = "[\n" + ",\n".join("  " + json.dumps(record) for record in records) + "\n]\n"
    return write_text(folder / f"{name}.json", text)


def write_text(path: Path, text: str) -> Path:
    """Write a file under a temporary name and rename it, so that no reader sees half of it. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, text.encode("utf-8"))
    return path


def read(name: str, folder: Path = BUILD) -> list[Record]:
    """The records of folder/NAME.json. Raises TinyrnnError, which names the command that makes the file."""
    path = folder / f"{name}.json"
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TinyrnnError(f"{path} is not there: make {name}") from None
    except ValueError as error:
        raise TinyrnnError(f"{path} is not JSON ({error}): make {name}") from None
    if not isinstance(records, list) or any(tuple(record) != FIELDS[name] for record in records):
        raise TinyrnnError(f"{path} has other fields than {', '.join(FIELDS[name])}: make {name}")
    return records


def show(title: str, records: Iterable[Record]) -> None:
    """Print the records as a table with right-aligned numbers."""
    from rich.console import Console
    from rich.table import Table

    rows = list(records)
    table = Table()
    for key, value in (rows[0] if rows else {}).items():
        table.add_column(key, justify="left" if isinstance(value, str) else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(text(value) for value in row.values()))
    # A narrow terminal or a pipe must not cut off the figures
    print(title)
    Console(width=max(Console().width, 180)).print(table)


def text(value: Value) -> str:
    """The text of a value in a table: floats have two decimals, None is a dash."""
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def finish(main: object) -> None:
    """Run main() and exit. A TinyrnnError is printed and gives its own exit status; Ctrl-C gives 130."""
    assert callable(main)
    try:
        status = main()
    except TinyrnnError as error:
        print(error, file=sys.stderr)
        status = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    raise SystemExit(status)
