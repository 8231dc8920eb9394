# SPDX-License-Identifier: MIT
"""``tinyrnn demo``: train, quantize and verify a network on a real recording, in the current folder."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tinyrnn.cli.recording_options import natural


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "demo",
        help="train, quantize and run gesture.urnn under real MicroPython, in two minutes",
        description="Train a GRU on a real recording from the wrist (BasicMotions: accelerometer and gyroscope, four "
        "activities), quantize it, write gesture.urnn and run the whole test set under real MicroPython.",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="gesture.urnn", help="the .urnn file to write (default: gesture.urnn)"
    )
    parser.add_argument("--seed", metavar="N", type=natural, default=0, help="seed of the training (default: 0)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, quantize, verify and print the table. Returns 0. Raises Mismatch if an integer differs."""
    from dataclasses import replace

    from rich.progress import Progress
    from rich.table import Table

    from tinyrnn import data, files, runtimes
    from tinyrnn.cli import screen
    from tinyrnn.cli.quantizing import quantize
    from tinyrnn.cli.train import describe
    from tinyrnn.cli.verify import replay_all, show
    from tinyrnn.data.figures import ClassificationFigures
    from tinyrnn.errors import Mismatch, ModelError
    from tinyrnn.float_model import model_file
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.quantization.accuracy import evaluate, raw_sequences
    from tinyrnn.training import trainer

    output = Path(args.output)
    files.check_output(output, files.PACKED)
    floats = output.with_suffix(".pt")
    if os.path.realpath(floats) == os.path.realpath(output):
        raise ModelError(f"{output}: is the name of the float model; expected another name, such as {output.stem}.urnn")
    files.check_output(floats, files.FLOAT)
    recording = data.load("basic-motions")
    print(describe(recording))
    print(f"training a GRU of 32 units, seed {args.seed}", flush=True)
    console = screen.console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=None)

        def show_epoch(state: trainer.Progress) -> None:
            bar.update(task, total=state.epochs, completed=state.epoch)

        model = trainer.fit(recording, units=32, seed=args.seed, progress=show_epoch)
    model = replace(model, name="gesture")
    model_file.save(model, floats)
    network = quantize(model)
    size = urnn_file.write(network, output)
    result = evaluate(model, network, recording)
    print(f"wrote {floats} and {output}; running the test set on each runtime", flush=True)
    reports = replay_all(network, raw_sequences(network, recording.test), runtimes.find())
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for kind, found in (("float", result.float_figures), ("integer", result.integer_figures)):
        assert isinstance(found, ClassificationFigures), "the set has classes"
        table.add_row(f"{kind} accuracy", f"{found.accuracy_pct:.2f} %")
    table.add_row("same decision", f"{result.agreement_pct:.2f} %")
    table.add_row("test sequences", str(len(recording.test)))
    table.add_row(f"{output.name}, bytes", str(size))
    screen.console().print(table)
    show(reports)
    wrong = [report for report in reports if not report.exact]
    if wrong:
        raise Mismatch(f"{wrong[0].runtime} with kernels {wrong[0].kernels}: {wrong[0].first[0]}; please report it")
    absent = runtimes.missing()
    if absent:
        print(f"not installed: {', '.join(absent)}; `make runtimes` installs them")
    print("\nnext, with a board on USB:")
    print(f"  tinyrnn deploy {output}")
    print("  mpremote repl")
    print(f'  >>> import urnn; net = urnn.load("{output.name}"); net.selftest()')
    print(f"on this computer: tinyrnn info {output}; with your own data: tinyrnn train FOLDER")
    return 0
