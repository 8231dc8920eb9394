# SPDX-License-Identifier: MIT
"""``tinyrnn train``: train a network on a recording and write model.pt, with one seed or several."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyrnn import files
from tinyrnn.cli import screen, settings_file, stored_recording
from tinyrnn.cli.recording_options import add_arguments, from_args, load_options, natural, positive
from tinyrnn.errors import ModelError, TinyrnnError
from tinyrnn.float_model import cells
from tinyrnn.text import counted
from tinyrnn.training.architecture import MOST_LAYERS, Architecture
from tinyrnn.training.hyperparameters import DIFFERENCE, SETTINGS, Hyperparameters, Setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyrnn.data.recording import Recording
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.quantization.accuracy import Evaluation
    from tinyrnn.training.trainer import Progress

PAUSE_S = 5.0  # between the lines of a long training without a terminal


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "train",
        help="train a GRU, LSTM, ... on a recording: DATA -> model.pt",
        description="Train a float GRU, or another recurrent network, on a recording and write model.pt. A part of the "
        "training sequences chooses the best weights. To resume an interrupted training, give the same command again.",
    )
    add_arguments(parser)
    network = parser.add_argument_group("the network")
    network.add_argument("--units", metavar="H", type=positive, default=32, help="units of each layer (default: 32)")
    network.add_argument("--layers", metavar="N", type=positive, help="number of layers, all of the same cell (default: 1)")
    network.add_argument("--cell", choices=cells.names(), help=f"kind of recurrent cell (default: {cells.DEFAULT})")
    network.add_argument(
        "--cells", metavar="A,B", type=_cells, help="layers of different cells, the input's first, such as lstm,gru"
    )
    network.add_argument(
        "--projection", metavar="P", type=positive, help="project the output of an LSTM to P numbers, fewer than its units"
    )
    network.add_argument("--rank", metavar="R", type=positive, help="make each matrix the product of two, of rank R")
    network.add_argument("--layernorm", action="store_true", help="add layer normalisation inside the cells")
    network.add_argument("--layernorm-between", action="store_true", help="add layer normalisation between the layers")
    network.add_argument(
        "--embedding",
        metavar="D",
        type=positive,
        help="the input is a symbol, a whole number from 0: let D learnt numbers stand for it (default: 16 for text)",
    )
    options = parser.add_argument_group("the training")
    options.add_argument("-o", "--output", metavar="FILE", default="model.pt", help="the file to write (default: model.pt)")
    settings_file.add_argument(options)
    options.add_argument(
        "--seed", metavar="N", type=natural, default=0, help="seed of the initial weights and the batches (default: 0)"
    )
    options.add_argument(
        "--seeds",
        metavar="N",
        type=positive,
        default=1,
        help="train N models with seeds SEED, SEED+1, ... and keep the one with the lowest validation loss (default: 1)",
    )
    options.add_argument(
        "--folds",
        metavar="K|group",
        type=_folds,
        help="first measure by cross-validation: K parts, or one person or session at a time, are the test in turn",
    )
    options.add_argument("--device", default="cpu", help="where PyTorch computes, such as cuda (default: cpu)")
    settings = parser.add_argument_group(
        "hyperparameters", "The defaults depend on the size and the task of the recording: docs/training.md."
    )
    for each in SETTINGS:
        settings.add_argument(each.option, metavar="N" if each.whole else "X", type=_setting(each), help=each.help)
    settings.add_argument(
        "--class-weights", metavar="W", help="none, balanced, or CLASS=WEIGHT[,...]: weights of the classes in the loss"
    )
    settings.add_argument(
        "--difference",
        choices=DIFFERENCE,
        help="forecasts: learn the difference from the last value, which the board adds again; auto tries both",
    )
    settings.add_argument(
        "--refit",
        action=argparse.BooleanOptionalAction,
        help="train again on all training sequences, validation included, for as many epochs as were best",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Train, print a line for each seed and write the model. Returns 0. Raises DataError or ModelError."""
    output = Path(args.output)
    inputs = [args.data, args.test, args.validation if isinstance(args.validation, str) else None, args.settings]
    files.check_output(output, files.FLOAT, inputs, "train on")  # before minutes of training, not after
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
    if args.folds:
        _cross_validate(args, architecture)
    models: list[FloatModel] = []
    tested: list[Evaluation] = []
    print(headings(recording), flush=True)
    for seed in seeds:
        _check_checkpoint(output, seed, args.data)
        with shown(f"seed {seed}") as progress:
            model = _fit(recording, architecture, seed, args, progress, checkpoint_path(output, seed))
        models.append(model)
        tested.append(test(model, recording))
        print(line(str(seed), model, tested[-1]), flush=True)
    # Not the best on the test set: choosing by the test set would make its figure too good
    key = "training_loss" if recording.validation is None else "validation_loss"
    best = min(range(len(models)), key=lambda number: float(models[number].info[key]))
    if len(models) > 1:
        print(summary(tested, "seeds"))
        print(f"kept: seed {seeds[best]}, the lowest {key.replace('_', ' ')}")
    model, evaluated = models[best], tested[best]
    for text in about(model, recording, evaluated):
        print(text)
    model_file.save(replace(model, info={**model.info, stored_recording.KEY: stored_recording.words(args)}), output)
    for seed in seeds:
        checkpoint_path(output, seed).unlink(missing_ok=True)
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
        embedding=args.embedding or 0,
    )


def checkpoint_path(output: Path, seed: int) -> Path:
    """Where the checkpoint of one seed lies, beside the model."""
    return files.beside(output, f".seed{seed}.part")


def _check_checkpoint(output: Path, seed: int, data: str) -> None:
    files.check_output(checkpoint_path(output, seed), files.CHECKPOINT, [data], "train on")


def describe(recording: Recording) -> str:
    """The recording in some lines: its sequences and split, its inputs, its outputs, and the reader's remarks."""
    count = len(recording.labels)
    outputs = f"{count} classes" if recording.task == "classification" else counted(count, "target")
    when = "at the last step" if recording.when == "last" else "at every step"
    if recording.horizon:
        when += f", {counted(recording.horizon, 'step')} ahead"
    kept = 0 if recording.validation is None else len(recording.validation)
    lines = [
        f"{recording.name}: {len(recording.train)} training, {kept} validation and "
        f"{counted(len(recording.test), 'test sequence')} of {windows(recording)}",
        f"split: {recording.split}",
    ]
    if recording.symbols:
        lines.append(f"input: 1 of {len(recording.symbols)} characters; output: the next character")
    else:
        # All of them: a forgotten column, which may tell the answer, is to be seen
        lines.append(f"{counted(len(recording.channels), 'input')}: {', '.join(recording.channels)}")
        names = ", ".join(recording.labels)
        lines.append(f"{outputs} {when}: {names if len(names) <= 70 else names[:67] + '...'}")
    return "\n".join(screen.shown(text) for text in [*lines, *recording.remarks])


def windows(recording: Recording) -> str:
    """The length of the training sequences: "100 steps", or "7 to 29 steps"."""
    lengths = recording.train.lengths
    least, most = int(lengths.min()), int(lengths.max())
    return counted(most, "step") if least == most else f"{least} to {most} steps"


def test(model: FloatModel, recording: Recording) -> Evaluation:
    """The model and its integers on the test."""
    from tinyrnn.quantization import precision_search
    from tinyrnn.quantization.accuracy import evaluate

    try:
        network = precision_search.measured(model).network
    except ModelError:  # `tinyrnn quantize` will say why
        network = None
    return evaluate(model, network, recording)


def headings(recording: Recording, first: str = "seed") -> str:
    """The headings of the columns that line() fills."""
    from tinyrnn.quantization.accuracy import seed_headings

    kind = "training" if recording.validation is None else "validation"
    figure = "" if recording.validation is None else "accuracy  " if recording.task == "classification" else "    RMSE  "
    return f"{first:>4}  {'epochs':>6}  {'best':>4}  {kind + ' loss':>15}  {figure}{seed_headings(recording.task, ['test'])}"


def line(name: str, model: FloatModel, tested: Evaluation) -> str:
    """The figures of one seed, aligned for the table. Those of validation are from before the training on all sequences."""
    from tinyrnn.quantization.accuracy import seed_line

    info = model.info
    loss = info.get("validation_loss", info["training_loss"])
    figure = ""
    if "validation_figure" in info:
        found = info["validation_figure"]
        figure = f"{found:6.2f} %  " if model.task == "classification" else f"{found:8.5g}  "
    return f"{name:>4}  {info['epochs']:6}  {info['best_epoch']:4}  {loss:15.5f}  {figure}{seed_line([tested])}"


def summary(tested: list[Evaluation], what: str) -> str:
    """Mean, sample standard deviation (n - 1) and worst figure over the seeds or folds, of floats and of integers."""
    return f"{len(tested)} {what}, test " + "; ".join(
        _mean([getattr(each, f"{kind}_figures") for each in tested], kind) for kind in ("float", "integer")
    )


def _mean(figures: list[Any], kind: str) -> str:
    if None in figures:
        return f"{kind}: not known"
    classes = hasattr(figures[0], "accuracy_pct")
    values = [float(each.accuracy_pct if classes else each.overall_rmse) for each in figures]
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    worst = min(values) if classes else max(values)
    digits, unit = (".2f", " %") if classes else (".6g", "")
    name = "accuracy" if classes else "RMSE"
    return (
        f"{kind} {name}: mean {mean:{digits}}{unit}, standard deviation {deviation:{digits}}, worst {worst:{digits}}{unit}"
    )


def about(model: FloatModel, recording: Recording, evaluated: Evaluation) -> Iterator[str]:
    """What the user should know of the model that is kept: baselines, differences, windows."""
    from tinyrnn.data.figures import ClassificationFigures
    from tinyrnn.training.optimization import too_few

    told = []
    for baseline, figures in evaluated.baselines:
        if isinstance(figures, ClassificationFigures):
            told.append(f"{baseline.description}: {figures.accuracy_pct:.2f} %")
        else:
            told.append(f"{baseline.description}: {figures.overall_rmse:.5g}")
    name = "accuracy" if recording.task == "classification" else "RMSE"
    yield f"baselines on the test, {name}: {', '.join(told)}"
    verdict = evaluated.verdict()
    if verdict:
        yield verdict
    if recording.validation is not None and too_few(recording):
        kept = counted(len(recording.validation.all_y()), "validation answer")
        yield f"{kept}: too few to choose an epoch by, so the last one is kept"
    if model.info.get("difference"):
        yield "the network learnt the difference from the last value, which the board adds again"
    if recording.symbols:
        both = (("float", evaluated.float_figures), ("integer", evaluated.integer_figures))
        each = [f"{kind} {found.cross_entropy_bits:.4f}" for kind, found in both if isinstance(found, ClassificationFigures)]
        yield f"bits a character on the test: {', '.join(each)}"
    if model.window:
        yield f"trained on windows of {windows(recording)}: call net.reset() at each window's start"


def _cross_validate(args: argparse.Namespace, architecture: Architecture) -> None:
    """Train on all but one fold, test on that one, for each fold; print mean and deviation."""
    from tinyrnn import data

    tested: list[Evaluation] = []
    for name, recording in data.load_folds(args.data, args.folds, **load_options(args)):
        if not tested:
            print(headings(recording, "fold"), flush=True)
        with shown(f"fold {name}") as progress:
            model = _fit(recording, architecture, args.seed, args, progress, None)
        tested.append(test(model, recording))
        print(screen.shown(line(name, model, tested[-1])), flush=True)
    print(summary(tested, "folds"))


@contextmanager
def shown(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show the progress of a training: a live line on a terminal, otherwise a line now and then if it is long."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = screen.console(stderr=True)
    text = [TextColumn(what, markup=False) for what in ("{task.description}", "{task.fields[loss]}")]
    columns: list[Any] = [text[0], BarColumn(bar_width=20), text[1], TimeRemainingColumn()]
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(screen.shown(title), total=None, loss="")
        said_s = time.monotonic()

        def show(state: Progress) -> None:
            nonlocal said_s
            told = f"epoch {state.epoch}/{state.epochs}  loss {state.loss:.4f}"
            if state.validation_loss is not None:
                told += f"  validation {state.validation_loss:.4f}, best epoch {state.best_epoch}"
            told += f"  {state.steps_per_s:.0f} steps/s"
            name = f"{title}, {state.run}" if state.run else title
            bar.update(task, description=screen.shown(name), total=state.epochs, completed=state.epoch, loss=told)
            if not console.is_terminal and time.monotonic() - said_s >= PAUSE_S:
                said_s = time.monotonic()
                print(f"{name}: {told}", file=sys.stderr, flush=True)

        yield show


def _fit(
    recording: Recording,
    architecture: Architecture,
    seed: int,
    args: argparse.Namespace,
    progress: Callable[[Progress], None],
    checkpoint: Path | None,
) -> FloatModel:
    from tinyrnn.training import trainer

    def notice(text: str) -> None:
        print(f"tinyrnn: {text}", file=sys.stderr, flush=True)

    given = {each.name: getattr(args, each.name) for each in fields(Hyperparameters)}
    return trainer.fit(
        recording,
        architecture=architecture,
        seed=seed,
        settings={name: value for name, value in given.items() if value is not None},
        device=args.device,
        progress=progress,
        checkpoint=checkpoint,
        notice=notice,
    )


def _cells(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in cells.names():
            raise argparse.ArgumentTypeError(f"{name!r}; expected cells of {', '.join(cells.names())}, such as lstm,gru")
    return names


def _folds(text: str) -> int | str:
    if text == "group":
        return text
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) < 10_000:
        raise argparse.ArgumentTypeError(f"{text!r}; expected 2 or more, or group")
    return int(text)


def _setting(setting: Setting) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value: float = int(text) if setting.whole else float(text)
            setting.check(value)
        except (ValueError, ModelError):
            seen = f"{text!r}; expected {setting.expected}, such as {setting.example:g}"
            raise argparse.ArgumentTypeError(seen) from None
        return value

    return parse
