# SPDX-License-Identifier: MIT
"""``tinyrnn info``: show what is in a .urnn file, and whether it fits a board."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.board.catalogue import Fit
    from tinyrnn.board.step_time import Estimate


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "info",
        help="show the layers, proven bounds, bytes and RAM of a .urnn file, and whether it fits a board",
        description="Show what is in a .urnn file: layers, shapes, exponents, proven accumulator bounds, bytes by "
        "section, the RAM it takes and the kernel sets that can run it.",
    )
    parser.add_argument("model", metavar="MODEL.urnn", help="written by `tinyrnn quantize` or `tinyrnn import`")
    parser.add_argument(
        "--board",
        metavar="BOARD",
        help="say whether the model fits this board, with the numbers: rpi-pico, esp32, ..., or all for a table of all; "
        "exit status 8 if it does not",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


def run(args: argparse.Namespace) -> int:
    """Print the description, or with --board whether it fits. Returns 0, or 8 if it is not known to fit that board."""
    import json

    from tinyrnn.board import device_modules
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.integer_model.limits import LIMIT
    from tinyrnn.integer_model.summary import describe

    if args.board:
        return _run_boards(args)
    facts = describe(urnn_file.load(args.model))
    needs = device_modules.kernel_sets()
    facts |= {"kernels": list(needs), "kernels_need": needs}
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    from rich.table import Table
    from rich.text import Text

    from tinyrnn.cli import screen

    console = screen.console()
    task = facts["task"]
    said = (
        f": {facts['name'] or 'unnamed'}, {task} at {facts['when']} step, "
        f"{facts['bytes']} bytes, arithmetic {facts['arithmetic']}"
    )
    console.print(Text.assemble((screen.shown(facts["file"]), "bold"), screen.shown(said)))
    labels = ", ".join(screen.shown(label) for label in facts["labels"])
    console.print(f"{'classes' if task == 'classification' else 'targets'}: {labels or '-'}")
    inputs = Table(title="inputs: the integers that step() takes", title_justify="left")
    for heading in ("channel", "raw integer", "range in use", "offset"):
        inputs.add_column(heading, justify="left" if heading == "channel" else "right")
    for c in facts["inputs"]:
        e = c["exponent"]
        inputs.add_row(
            screen.shown(c["name"]),
            "the value itself" if e == 0 else f"round(value * 2^{e})",
            f"{c['low']} .. {c['high']}",
            str(c["offset"]),
        )
    console.print(inputs)
    layers = Table(title="matrices: int8 weights, one power-of-two scale for each row", title_justify="left")
    for heading in ("matrix", "rows x cols", "shifts", "largest sum proven", "of 2^30", "bytes"):
        layers.add_column(heading, justify="left" if heading == "matrix" else "right")
    for m in facts["matrices"]:
        low, high = m["shift_min"], m["shift_max"]
        layers.add_row(
            m["name"],
            f"{m['rows']} x {m['cols']}",
            str(low) if low == high else f"{low}..{high}",
            str(m["bound"]),
            f"{100 * m['bound'] / LIMIT:.0f} %",
            str(m["bytes"]),
        )
    console.print(layers)
    if facts["window"]:
        console.print(
            f"trained on windows of up to {counted(facts['window'], 'step')}: call net.reset() at each window's start"
        )
    if facts["nearness"]:
        console.print(f"integers against float, measured when it was quantized: {facts['nearness']['words']}")
    sections = "  ".join(f"{s['tag'].strip()} {s['bytes']}" for s in facts["sections"])
    console.print(f"sections in bytes: {sections}  frame {facts['frame_bytes']}")
    console.print(
        f"RAM on a 32-bit board: file {facts['bytes']} + buffers {facts['buffer_bytes']} bytes, plus Python objects "
        "(`make sizes` measures all of it)"
    )
    console.print(f"work of a step: {counted(facts['macs'], 'multiply-accumulate')}, {counted(facts['units'], 'unit')}")
    kernels = ", ".join(f"{name} ({_where(emitters)})" for name, emitters in facts["kernels_need"].items())
    console.print(f"kernel sets that can run it, best first: {kernels}")
    console.print(f"self-test: {counted(facts['vectors'], 'step')} in the file")
    return 0


def _where(emitters: list[str]) -> str:
    """The firmware that can run a kernel set which needs these emitters."""
    return f"firmware with {' and '.join(emitters)}" if emitters else "any firmware"


def _run_boards(args: argparse.Namespace) -> int:
    import json

    from tinyrnn.board import catalogue, step_time
    from tinyrnn.board.sizing import model_of
    from tinyrnn.errors import BoardError
    from tinyrnn.integer_model import urnn_file

    every = args.board == "all"
    chosen = list(catalogue.known().values()) if every else [catalogue.get(args.board)]
    file = urnn_file.load(args.model)
    model = model_of(file)
    fits = [catalogue.fit(model, board) for board in chosen]
    costs = [step_time.estimates(file.network, board) for board in chosen]
    if args.json:
        print(json.dumps([{**_row(each), "step": _step(cost)} for each, cost in zip(fits, costs, strict=True)], indent=2))
    elif every:
        _show_table(args.model, fits, costs)
    else:
        _show_board(args.model, fits[0])
        _show_cost(costs[0])
    return 0 if every or fits[0].answer == catalogue.FITS else BoardError.exit_code


def _row(fit: Fit) -> dict[str, Any]:
    from tinyrnn.board.catalogue import RESOURCES

    row: dict[str, Any] = {"board": fit.board.key, "name": fit.board.name, "answer": fit.answer}
    for name in RESOURCES:
        fact = fit.board.figures.get(name)
        row[name] = {
            "need": getattr(fit.need, name),
            "has": fact.value if fact else None,
            "at_least": bool(fact and fact.at_least),
            "answer": fit.verdict(name),
            "source": fact.source if fact else fit.board.unknown[name],
        }
    return row


def _show_board(model: str, fit: Fit) -> None:
    from rich.text import Text

    from tinyrnn.board.catalogue import FITS
    from tinyrnn.cli import screen

    console = screen.console(soft_wrap=True)
    answer = fit.answer if fit.answer != "unknown" else "may or may not fit: a figure of the board is missing"
    colour = "green" if fit.answer == FITS else "red"
    console.print(Text.assemble((screen.shown(model), "bold"), f" on a {fit.board.name}: ", (answer, colour)))
    for name, words in _WORDS.items():
        row = _row(fit)[name]
        has = "unknown" if row["has"] is None else f"{'at least ' if row['at_least'] else ''}{row['has']} bytes"
        console.print(f"  {words}: needs {row['need']}, the board has {has}: {row['answer']}")
        console.print(f"    {row['source']}", style="dim")
    emitters = ", ".join(fit.board.emitters.value) or f"none; kernels: {', '.join(fit.kernels)}"
    clock = fit.board.figure("clock_hz")
    console.print(f"  clock: {f'{clock / 1e6:g} MHz' if clock else 'unknown'}; emitters: {emitters}")


def _step(cost: list[Estimate] | str) -> list[dict[str, Any]] | str:
    """For JSON: the estimates of a step with each kernel set, or why there are none."""
    return cost if isinstance(cost, str) else [asdict(each) for each in cost]


def _show_cost(cost: list[Estimate] | str) -> None:
    from tinyrnn.cli import screen

    console = screen.console(soft_wrap=True)
    if isinstance(cost, str):
        console.print(f"  a step: {cost}")
        return
    steps = ", ".join(f"{_time(each.us)} with {each.kernels} (+-{each.error_pct:.0f} %)" for each in cost)
    console.print(f"  a step, estimated: {steps}")
    for source in dict.fromkeys(each.source for each in cost):
        console.print(f"    {source}", style="dim")


def _time(us: float) -> str:
    return f"{us:.0f} us" if us < 1000 else f"{us / 1000:.1f} ms"


def _show_table(model: str, fits: list[Fit], costs: list[list[Estimate] | str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tinyrnn.cli import screen

    print(f"{model}: bytes needed / available (>=: at least that many)")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("board", "answer", *_WORDS.values(), "a step"):
        table.add_column(heading, justify="left" if heading in ("board", "answer") else "right", no_wrap=True)
    for fit, cost in zip(fits, costs, strict=True):
        row = _row(fit)
        cells = []
        for name in _WORDS:
            has = row[name]["has"]
            available = "unknown" if has is None else f"{'>=' if row[name]['at_least'] else ''}{has}"
            cells.append(f"{row[name]['need']} / {available}")
        time = "not measured" if isinstance(cost, str) else f"{_time(cost[0].us)} ({cost[0].kernels})"
        table.add_row(fit.board.key, fit.answer, *cells, time)
    screen.console(width=max(screen.console().width, 125)).print(table)  # a wide table, so that no number is truncated


_WORDS = {"flash_bytes": "flash", "heap_bytes": "heap", "largest_block_bytes": "largest block"}
