"""``tinyrnn info``: what is in a .urnn file."""

from __future__ import annotations

import argparse


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "info",
        help="layers, shapes, exponents, proven bounds, bytes and RAM of a .urnn file",
        description="Show what is in a .urnn file: layers, shapes, exponents, proven accumulator bounds, bytes by "
        "section, the RAM it takes and the kernels that can run it.",
    )
    parser.add_argument("model", metavar="MODEL.urnn")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the description. Returns 0."""
    import json

    from tinyrnn.describe import describe

    facts = describe(args.model)
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    task = facts["task"]
    console.print(
        f"[bold]{facts['file']}[/bold]: {facts['name'] or 'unnamed'}, {task} at {facts['when']} step, "
        f"{facts['bytes']} bytes, arithmetic {facts['arithmetic']}"
    )
    console.print(f"{'classes' if task == 'classification' else 'targets'}: {', '.join(facts['labels']) or '-'}")
    inputs = Table(title="inputs: what step() takes", title_justify="left")
    for heading in ("channel", "raw integer", "range that counts", "offset"):
        inputs.add_column(heading, justify="left" if heading == "channel" else "right")
    for c in facts["inputs"]:
        e = c["exponent"]
        inputs.add_row(
            c["name"], "as it is" if e == 0 else f"round(value * 2^{e})", f"{c['low']} .. {c['high']}", str(c["offset"])
        )
    console.print(inputs)
    layers = Table(title="matrices: int8 weights, one power of two a row", title_justify="left")
    for heading in ("matrix", "rows x cols", "shifts", "largest sum proven", "of 2^30", "bytes"):
        layers.add_column(heading, justify="left" if heading == "matrix" else "right")
    for m in facts["matrices"]:
        low, high = m["shift_min"], m["shift_max"]
        layers.add_row(
            m["name"],
            f"{m['rows']} x {m['cols']}",
            str(low) if low == high else f"{low}..{high}",
            str(m["bound"]),
            f"{100 * m['bound'] / 2**30:.0f} %",
            str(m["bytes"]),
        )
    console.print(layers)
    sections = "  ".join(f"{s['tag'].strip()} {s['bytes']}" for s in facts["sections"])
    console.print(f"sections in bytes: {sections}  frame {facts['frame_bytes']}")
    console.print(
        f"RAM on a 32-bit board: file {facts['bytes']} + buffers {facts['buffer_bytes']} bytes, and the objects around "
        "them (`make sizes` measures it whole)"
    )
    console.print(f"work of a step: {facts['macs']} multiply-accumulates, {facts['units']} units")
    console.print(f"kernels that run it: {', '.join(facts['kernels'])}; self-test: {facts['vectors']} steps in the file")
    return 0
