# SPDX-License-Identifier: MIT
"""``tinyrnn verify``: check that every integer is the same on every runtime."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinyrnn.cli.recording_options import add_arguments, from_args, given, natural
from tinyrnn.text import counted

if TYPE_CHECKING:
    import numpy as np

    from tinyrnn.board.protocol import Client
    from tinyrnn.board.replay import Replayed
    from tinyrnn.integer_model.network import Network
    from tinyrnn.runtimes import Runtime
    from tinyrnn.runtimes.verification import Report

MOST_SEQUENCES = 100_000  # random sequences of 50 steps: hours on any runtime


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "verify",
        help="run a .urnn file under real MicroPython and compare every integer",
        description="Replay sequences under CPython and each MicroPython on this machine, with each kernel set, or "
        "on a board (--on). Compare every output and every state with the simulator's. Exit status 6 if an integer differs.",
    )
    parser.add_argument("model", metavar="MODEL.urnn", help="written by `tinyrnn quantize` or `tinyrnn import`")
    parser.add_argument(
        "--sequences", metavar="N", type=int, default=20, help="number of random sequences, without --data (default: 20)"
    )
    parser.add_argument("--seed", metavar="N", type=natural, default=0, help="seed of the random sequences (default: 0)")
    parser.add_argument(
        "--float",
        metavar="MODEL.pt",
        help="the float model, to measure the integer error (default: MODEL.pt beside MODEL.urnn, if it exists)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--runtime", metavar="NAME", action="append", help="use only this runtime; may be repeated (default: all)"
    )
    where.add_argument("--on", metavar="PORT", help="use the board on this serial port, where the model was deployed")
    parser.add_argument(
        "--kernels",
        metavar="NAME",
        action="append",
        help="use only this kernel set, or `all`; may be repeated (default: all of a runtime; with --on, the board's best)",
    )
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Replay on each runtime and print a line for each. Returns 0. Raises Mismatch if an integer differs."""
    from tinyrnn import runtimes
    from tinyrnn.errors import Mismatch
    from tinyrnn.integer_model import urnn_file

    network = urnn_file.load(args.model).network
    recorded = _recorded(network, args)
    raw = [network.raw(x) for x in recorded] if recorded else _random(network, args)
    if args.on:
        _on_board(network, raw, args)
        _show_nearness(network, recorded, args)
        return 0
    found = [runtimes.get(name) for name in args.runtime] if args.runtime else runtimes.find()
    print(_announced(network, raw, args.model))
    reports = replay_all(network, raw, found, args.kernels or [])
    show(reports)
    if not args.runtime:
        for cure in runtimes.missing().values():
            print(f"not run: {cure}")
    wrong = [report for report in reports if not report.exact]
    if wrong:
        raise Mismatch(
            f"{wrong[0].runtime} with kernels {wrong[0].kernels} computes different integers ({wrong[0].differences} "
            f"differ): {wrong[0].first[0]}; please report it with this file"
        )
    print("bit-exact on all of them")
    _show_nearness(network, recorded, args)
    return 0


def _announced(network: Network, raw: list[np.ndarray], model: str) -> str:
    """The line that says what will be compared."""
    steps = counted(sum(len(sequence) for sequence in raw), "step")
    return f"{model}: {counted(len(raw), 'sequence')}, {steps}, {network.outputs + network.units} integers a step"


def _show_nearness(network: Network, recorded: list[np.ndarray], args: argparse.Namespace) -> None:
    """Print the integer error: measured if the float model is available, otherwise as stored in the file."""
    from pathlib import Path

    from tinyrnn.errors import ModelError
    from tinyrnn.float_model import model_file
    from tinyrnn.quantization.precision_search import measure

    beside = Path(args.model).with_suffix(".pt")
    path = args.float or (beside if beside.is_file() else None)
    if path is None:
        if network.nearness:
            print(f"integers against float, measured when it was quantized: {network.nearness}")
        else:
            print(f"integers against float: not known; give the float model with --float, or put {beside.name} beside it")
        return
    try:
        error, warning = measure(model_file.load(path), network, recorded)
        print(f"{path}: {error}")
        if warning:
            print(f"warning: {warning}")
    except ModelError:
        if args.float:
            raise
        print(f"integers against float: {path} is not the float model of this file; name that one with --float")


def _on_board(network: Network, raw: list[np.ndarray], args: argparse.Namespace) -> None:
    """Replay on the board with each requested kernel set and print a line for each."""
    from tinyrnn.board.link import Link
    from tinyrnn.board.protocol import Client
    from tinyrnn.errors import Mismatch

    print(_announced(network, raw, args.model), flush=True)
    with Link(args.on) as link:
        client = Client(link)
        names = args.kernels or [client.kernels[0]]
        for name in client.kernels if names == ["all"] else names:
            done = _replay_on(client, network, raw, args.model, name)
            if not done.exact:
                raise Mismatch(
                    f"{args.on} with kernels {done.kernels} computes different integers ({done.differences} differ in that "
                    f"sequence): {done.first[0]}; please report it with this file"
                )
            print(
                f"{args.on} {done.kernels}: {counted(done.sequences, 'sequence')}, {counted(done.steps, 'step')} bit-exact "
                f"in {done.seconds:.1f} s"
            )
        client.quit()


def _replay_on(client: Client, network: Network, raw: list[np.ndarray], model: str, kernels: str) -> Replayed:
    """Replay with one kernel set, with a progress bar on a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from tinyrnn.board.replay import replay_on
    from tinyrnn.cli import screen

    loaded = client.load_same(model, kernels)
    console = screen.console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(screen.shown(f"{client.port} {kernels}"), total=sum(len(sequence) for sequence in raw))
        return replay_on(client, loaded, network, raw, lambda steps: bar.advance(task, steps))


def replay_all(network: Network, raw: list[np.ndarray], found: list[Runtime], chosen: Sequence[str] = ()) -> list[Report]:
    """Replay on each runtime with each of its kernel sets, or those chosen, with a progress bar on a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from tinyrnn.cli import screen
    from tinyrnn.errors import RuntimeMissing
    from tinyrnn.runtimes.verification import kernel_sets, replay

    jobs = [(runtime, kernels) for runtime in found for kernels in kernel_sets(runtime)]
    if chosen and "all" not in chosen:
        there = list(dict.fromkeys(kernels for _, kernels in jobs))
        jobs = [job for job in jobs if job[1] in chosen]
        absent = [name for name in chosen if name not in there]
        if absent:
            raise RuntimeMissing(f"no runtime here has the kernels {absent[0]}; expected some of {', '.join(there)}")
    console = screen.console(stderr=True)
    reports = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(jobs))
        for runtime, kernels in jobs:
            bar.update(task, description=f"{runtime.name} {kernels}")
            reports += replay(runtime, kernels, [(network, raw)])
            bar.advance(task)
    return reports


def show(reports: list[Report]) -> None:
    """Print the table of reports."""
    from rich.table import Table

    from tinyrnn.cli import screen

    table = Table()
    for heading in ("runtime", "kernels", "steps", "bit-exact", "us/step", "RAM bytes"):
        table.add_column(heading, justify="left" if heading in ("runtime", "kernels", "bit-exact") else "right")
    for r in reports:
        heap = str(r.heap_bytes) if r.heap_bytes >= 0 and r.runtime != "webassembly" else "-"
        exact = "yes" if r.exact else f"NO: {r.differences} differ"
        table.add_row(r.runtime, r.kernels, str(r.steps), exact, f"{r.us_step:.1f}", heap)
    screen.console().print(table)


def _recorded(network: Network, args: argparse.Namespace) -> list[np.ndarray]:
    """The test sequences (T, C) of --data with their channels in the network's order; [] without --data.

    Raises DataError if the channels are not the network's. Labels do not matter here.
    """
    from tinyrnn.data.matching import match_inputs
    from tinyrnn.errors import DataError

    if args.data:
        recording = from_args(args)
        matched = match_inputs(args.model, network.channels, network.inputs, network.labels, recording)
        for remark in [*recording.remarks, *matched.remarks]:
            print(remark)
        return [matched.inputs(x) for x in recording.test.x]
    if needless := given(args):
        raise DataError(f"{needless[0]} describes a recording; expected the recording with --data")
    return []


def _random(network: Network, args: argparse.Namespace) -> list[np.ndarray]:
    """Random sequences (50, C) of raw integers."""
    import numpy as np

    from tinyrnn.errors import DataError
    from tinyrnn.integer_model.limits import LIMIT

    if not 1 <= args.sequences <= MOST_SEQUENCES:
        raise DataError(f"--sequences {args.sequences}: expected 1 to {MOST_SEQUENCES}")
    rng = np.random.default_rng(args.seed)
    low, high = network.input.low.astype(np.int64), network.input.high.astype(np.int64)
    # Mostly within the model's input range, sometimes at the ends of the 31-bit range
    ordinary = rng.integers(low, high + 1, (args.sequences, 50, network.inputs))
    extreme = rng.choice([-LIMIT, LIMIT - 1], ordinary.shape)
    return list(np.where(rng.random(ordinary.shape) < 0.02, extreme, ordinary))
