# SPDX-License-Identifier: MIT
"""``tinyrnn train``: train a network on a recording and write model.pt, with one seed or several."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrnn import files
from tinyrnn.cli import screen
from tinyrnn.cli.recording_options import add_arguments, from_args, natural, positive
from tinyrnn.errors import ModelError, TinyrnnError
from tinyrnn.float_model import cells
from tinyrnn.text import counted
from tinyrnn.training.architecture import MOST_LAYERS, Architecture

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording
    from tinyrnn.float_model.model import FloatModel


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "train",
        help="train a GRU, LSTM, ... on a recording: DATA -> model.pt",
        description="Train a float GRU, or another recurrent network, on a recording and write model.pt. "
        "To resume an interrupted training, give the same command again.",
    )
    add_arguments(parser)
    options = parser.add_argument_group("the training")
    options.add_argument("-o", "--output", metavar="FILE", default="model.pt", help="the file to write (default: model.pt)")
    options.add_argument("--units", metavar="H", type=positive, default=32, help="units of each layer (default: 32)")
    options.add_argument("--layers", metavar="N", type=positive, help="number of layers, all of the same cell (default: 1)")
    options.add_argument("--cell", choices=cells.names(), help=f"kind of recurrent cell (default: {cells.DEFAULT})")
    options.add_argument(
        "--cells", metavar="A,B", type=_cells, help="layers of different cells, the input's first, such as lstm,gru"
    )
    options.add_argument(
        "--projection", metavar="P", type=positive, help="project the output of an LSTM to P numbers, fewer than its units"
    )
    options.add_argument("--rank", metavar="R", type=positive, help="make each matrix the product of two, of rank R")
    options.add_argument("--layernorm", action="store_true", help="add layer normalisation inside the cells")
    options.add_argument("--layernorm-between", action="store_true", help="add layer normalisation between the layers")
    options.add_argument(
        "--epochs", metavar="N", type=positive, help="passes over the training set (default: from the recording's size)"
    )
    options.add_argument(
        "--lr", metavar="RATE", type=_rate, help="peak learning rate (default: 0.005; for a regression: 0.01)"
    )
    options.add_argument(
        "--seed", metavar="N", type=natural, default=0, help="seed of the initial weights and the batches (default: 0)"
    )
    options.add_argument(
        "--seeds",
        metavar="N",
        type=positive,
        default=1,
        help="train N models with seeds SEED, SEED+1, ... and keep the one with the lowest training loss (default: 1)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, print a line for each seed and write the model. Returns 0. Raises DataError or ModelError."""
    output = Path(args.output)
    files.check_output(output, files.FLOAT, [args.data], "train on")  # before minutes of training, not after
    seeds = range(args.seed, args.seed + args.seeds)
    for seed in seeds[:100]:
        _check_checkpoint(output, seed, args.data)
    architecture = architecture_of(args)
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        cure = "pip install 'tinyrnn[train]'"
        raise TinyrnnError(f"PyTorch is not installed; expected it for `tinyrnn train`: {cure}") from None
    from tinyrnn.float_model import model_file

    recording = from_args(args)
    print(describe(recording), flush=True)
    models: list[FloatModel] = []
    print(f"{'seed':>4}  {'epochs':>6}  {'training loss':>13}  {headings(recording)}", flush=True)
    for seed in seeds:
        _check_checkpoint(output, seed, args.data)
        model = _fit(recording, architecture, seed, output, args)
        models.append(model)
        info = model.info
        print(f"{seed:4}  {info['epochs']:6}  {info['training_loss']:13.5f}  {figures(model)}", flush=True)
    # Not the best on the test set: choosing by the test set would make its figure too good
    best = min(models, key=lambda model: float(model.info["training_loss"]))
    if len(models) > 1:
        print(summary(models))
        print(f"kept: seed {best.info['seed']}, the lowest training loss")
    model_file.save(best, output)
    for seed in seeds:
        checkpoint_path(output, seed).unlink(missing_ok=True)
    if best.window:
        print(f"trained on windows of {windows(recording)}: call net.reset() at each window's start")
    print(f"wrote {output} ({output.stat().st_size} bytes); next: tinyrnn quantize {output}")
    return 0


def architecture_of(args: argparse.Namespace) -> Architecture:
    """The network that the options describe. Raises ModelError if they contradict each other."""
    if args.cells and (args.cell or args.layers):
        other = "--cell" if args.cell else "--layers"
        raise ModelError(f"--cells and {other} both choose the layers; expected one of them")
    if (args.layers or 1) > MOST_LAYERS:  # checked here, before a huge tuple of cells is made
        raise ModelError(f"--layers {args.layers}; expected at most {MOST_LAYERS}: no board holds more")
    return Architecture(
        cells=args.cells or (args.cell or "gru",) * (args.layers or 1),
        units=args.units,
        projection=args.projection or 0,
        rank=args.rank or 0,
        layernorm=args.layernorm,
        layernorm_between=args.layernorm_between,
    )


def checkpoint_path(output: Path, seed: int) -> Path:
    """Where the checkpoint of one seed lies, beside the model."""
    return files.beside(output, f".seed{seed}.part")


def _check_checkpoint(output: Path, seed: int, data: str) -> None:
    files.check_output(checkpoint_path(output, seed), files.CHECKPOINT, [data], "train on")


def describe(recording: Recording) -> str:
    """The recording in two lines: its sequences and split, then its channels and outputs."""
    count = len(recording.labels)
    outputs = f"{count} classes" if recording.task == "classification" else counted(count, "target")
    when = "at the last step" if recording.when == "last" else "at every step"
    names = screen.shown(", ".join(recording.labels))
    names = names if len(names) <= 70 else names[:67] + "..."
    return (
        f"{screen.shown(recording.name)}: {len(recording.train)} training and "
        f"{counted(len(recording.test), 'test sequence')} of {windows(recording)}; split: {recording.split}\n"
        f"{counted(len(recording.channels), 'channel')} -> {outputs} {when}: {names}"
    )


def windows(recording: Recording) -> str:
    """The length of the training sequences: "100 steps", or "7 to 29 steps"."""
    lengths = recording.train.lengths
    least, most = int(lengths.min()), int(lengths.max())
    return counted(most, "step") if least == most else f"{least} to {most} steps"


def headings(recording: Recording) -> str:
    """The heading of the column that figures() fills."""
    return "test accuracy" if recording.task == "classification" else f"{'test RMSE':>13}  {'test R2':>8}"


def figures(model: FloatModel) -> str:
    """The test figures of one model, aligned for the table."""
    info = model.info
    if model.task == "classification":
        return f"{info['float_accuracy_pct']:11.2f} %"
    return f"{info['float_rmse']:13.6g}  {info['float_r2']:8.4f}"


def summary(models: list[FloatModel]) -> str:
    """Mean, sample standard deviation (n - 1) and worst test figure over the seeds."""
    classes = models[0].task == "classification"
    key, unit = ("float_accuracy_pct", " %") if classes else ("float_rmse", "")
    values = [float(model.info[key]) for model in models]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    worst = min(values) if classes else max(values)
    digits = ".2f" if classes else ".6g"
    what = "test accuracy" if classes else "test RMSE"
    return (
        f"{len(values)} seeds, {what}: mean {mean:{digits}}{unit}, "
        f"standard deviation {deviation:{digits}}, worst {worst:{digits}}{unit}"
    )


def _fit(recording: Recording, architecture: Architecture, seed: int, output: Path, args: argparse.Namespace) -> FloatModel:
    """Train with one seed, with a progress bar on a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from tinyrnn.training import trainer

    console = screen.console(stderr=True)
    text = [TextColumn(what, markup=False) for what in ("{task.description}", "{task.fields[loss]}")]
    columns: list[Any] = [text[0], BarColumn(), text[1], TimeRemainingColumn()]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"seed {seed}", total=None, loss="")

        def show(state: trainer.Progress) -> None:
            figures = f"epoch {state.epoch}/{state.epochs}  loss {state.loss:.4f}"
            bar.update(task, total=state.epochs, completed=state.epoch, loss=figures)

        def notice(text: str) -> None:
            print(f"tinyrnn: {text}", file=sys.stderr, flush=True)

        return trainer.fit(
            recording,
            architecture=architecture,
            epochs=args.epochs,
            seed=seed,
            lr=args.lr,
            progress=show,
            checkpoint=checkpoint_path(output, seed),
            notice=notice,
        )


def _cells(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in cells.names():
            raise argparse.ArgumentTypeError(f"{name!r}; expected cells of {', '.join(cells.names())}, such as lstm,gru")
    return names


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number above 0 and up to 1, such as 0.005")
    return value
