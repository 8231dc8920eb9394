# SPDX-License-Identifier: MIT
"""``tinyrnn devices``: list the boards on this computer's serial ports."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyrnn.board.identity import Identity
    from tinyrnn.board.ports import Found

TIMEOUT_S = 5.0  # for a port that does not answer


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "devices",
        help="list the boards on the serial ports: firmware, free heap and flash, installed models",
        description="Ask the board on each serial port for its firmware, memory and models. A program that runs on the "
        "board is interrupted. A port that does not answer gets a line of its own.",
    )
    parser.add_argument("--port", action="append", metavar="PORT", help="ask only this port; may be repeated (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the table. Returns 0, or 1 if no board answered on any port."""
    import json
    from concurrent.futures import ThreadPoolExecutor

    from tinyrnn.board import ports

    found = ports.find()
    if args.port:
        known = {port.path: port for port in found}
        found = [known.get(path, ports.Found(path, "", "")) for path in dict.fromkeys(args.port)]
    if not found:
        ports.only()  # raises the error, with the cure
    with ThreadPoolExecutor(max_workers=len(found)) as pool:
        rows = list(pool.map(_ask, found))
    if args.json:
        print(json.dumps(rows, indent=2))
    else:
        _show(rows)
    return 0 if any("error" not in row for row in rows) else 1


def _ask(port: Found) -> dict[str, Any]:
    from tinyrnn.board.link import Link, patience_s
    from tinyrnn.errors import TinyrnnError

    row: dict[str, Any] = {"port": port.path, "usb": port.usb}
    try:
        with Link(port.path, patience_s(TIMEOUT_S)) as link:
            return {**row, **_facts(link.identity)}
    except TinyrnnError as error:
        return {**row, "error": str(error).removeprefix(f"{port.path}: ")}


def _facts(identity: Identity) -> dict[str, Any]:
    return {
        "board": identity.board,
        "firmware": identity.firmware,
        "architecture": identity.arch or "-",
        "heap_free_bytes": identity.heap_free,
        "largest_block_bytes": identity.largest_block,
        "flash_free_bytes": identity.flash_free,
        "emitters": list(identity.emitters),
        "urnn": identity.installed[0][1] if identity.installed else None,
        "models": [{"file": name, "bytes": size, "crc32": crc} for name, size, crc in identity.models],
    }


def _show(rows: list[dict[str, Any]]) -> None:
    """Print a table of the boards, then a line for each port with an error."""
    from rich.measure import Measurement
    from rich.table import Table

    from tinyrnn.cli import screen
    from tinyrnn.text import kilobytes

    console = screen.console(soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("port", "board", "firmware", "arch", "heap", "largest", "flash", "emitters", "urnn", "models")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("heap", "largest", "flash") else "left", no_wrap=True)
    for row in rows:
        if "error" not in row:
            table.add_row(
                row["port"],
                row["board"],
                row["firmware"].replace("MicroPython ", ""),
                row["architecture"],
                *(kilobytes(row[f"{key}_bytes"]) for key in ("heap_free", "largest_block", "flash_free")),
                " ".join(row["emitters"]) or "-",
                row["urnn"] or "-",
                " ".join(model["file"] for model in row["models"]) or "-",
            )
    if table.row_count:
        # Never truncate a cell: a terminal that is too narrow wraps the line
        console.width = max(console.width, Measurement.get(console, console.options.update(width=1000), table).maximum)
        console.print(table)
    for row in rows:
        if "error" in row:
            console.print(f"{row['port']}  {row['error']}")
