# SPDX-License-Identifier: MIT
"""``tinyrnn evaluate``: the figures of a float model and of its integers on a recording, beside baselines."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.cli.recording_options import add_arguments, from_args, given
from tinyrnn.errors import DataError, ModelError
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.integer_model.network import Network
    from tinyrnn.quantization.accuracy import Evaluation

PARTS = ("test", "validation", "train", "all")
FAR_APART_PCT = 80.0  # with fewer equal decisions, the float model is perhaps another one


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a model on a recording: accuracy, confusion matrix, RMSE, baselines",
        description="Run the float model and its integers over a recording. Print accuracy, precision and recall of each "
        "class and the confusion matrix, or RMSE, MAE and R2 of each target, beside baselines that need no model.",
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print every figure as JSON")
    add_arguments(parser, optional=True)
    return parser


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose a model and the sequences to measure it on: MODEL, --float and --part."""
    parser.add_argument(
        "model", metavar="MODEL", help="model.pt, which is quantized in memory, or a .urnn file with model.pt beside it"
    )
    parser.add_argument(
        "--float",
        metavar="MODEL.pt",
        help="the float model of a .urnn file (default: MODEL.pt beside MODEL.urnn, if it exists)",
    )
    parser.add_argument("--part", choices=PARTS, default="test", help="the sequences to measure on (default: test)")


def run(args: argparse.Namespace) -> int:
    """Print the figures. Returns 0, also if the model does not beat its baselines. Raises ModelError or DataError."""
    import json

    from tinyrnn.cli import evaluation_tables
    from tinyrnn.quantization import accuracy

    model, network, notes = load(args.model, args.float)
    recording = recording_of(args, model)
    evaluated = accuracy.evaluate(model, network, recording, args.part, args.model)
    notes += notes_on(args, model, evaluated)
    if args.json:
        found = evaluation_tables.facts(evaluated)
        head = {"model": args.model, "part": args.part}
        found["remarks"] += notes
        print(json.dumps({**head, **found}, indent=2))
        return 0
    for note in [*notes, *recording.remarks]:
        print(note)
    evaluation_tables.show(evaluated)
    return 0


def notes_on(args: argparse.Namespace, model: FloatModel | None, evaluated: Evaluation) -> list[str]:
    """What the user should know of the figures, a sentence each."""
    notes = []
    if args.part == "validation" and model is not None and dict(model.info.get("settings", {})).get("refit"):
        notes.append("the network was trained again on these sequences too: the test says more")
    apart = evaluated.agreement_pct
    if args.model != args.float and Path(args.model).suffix != ".pt" and apart is not None and apart < FAR_APART_PCT:
        notes.append(f"warning: {_beside(args.model).name} may not be the float model of {args.model}: name it with --float")
    horizon = evaluated.recording.horizon
    if model is not None and model.info.get("horizon", horizon) != horizon:
        notes.append(f"warning: the model predicts {model.info['horizon']} steps ahead, here {horizon} are asked of it")
    return notes


def load(path: str, beside: str | None) -> tuple[FloatModel | None, Network | None, list[str]]:
    """The float model and the integer network of a file, either of which may be absent; and notes for the user.

    beside: the float model of a .urnn file, by default the .pt file of the same name. Raises ModelError.
    """
    from tinyrnn.cli.quantizing import measured
    from tinyrnn.float_model import model_file
    from tinyrnn.integer_model import urnn_file

    if _is_archive(path):
        if beside:
            raise ModelError(f"{path}: is a float model itself; expected --float only with a .urnn file")
        model = model_file.load(path)
        try:
            return model, measured(model).network, []
        except ModelError as error:
            return model, None, [f"float figures only, because the model cannot be quantized: {error}"]
    network = urnn_file.load(path).network
    if beside is None and not _beside(path).is_file():
        return None, network, [f"integer figures only: put {_beside(path).name} beside it or name it with --float"]
    try:
        model = model_file.load(beside or _beside(path))
        _check_same(model, network, path)
    except ModelError as error:
        if beside:
            raise
        return None, network, [f"integer figures only: {error}"]
    return model, network, []


def _is_archive(path: str) -> bool:
    """Whether the file is an archive, as torch.save() writes it. A file that cannot be read is none."""
    from tinyrnn import files

    try:
        with files.open_file(path) as stream:
            return stream.read(2) == b"PK"
    except OSError:
        return False


def _beside(path: str) -> Path:
    return Path(path).with_suffix(".pt")


def _check_same(model: FloatModel, network: Network, path: str) -> None:
    own = len(model.mean), len(model.labels), model.task, model.when
    if own != (network.inputs, network.outputs, network.task, network.when):
        raise ModelError(
            f"the float model has {counted(own[0], 'input')} and {counted(own[1], 'output')}, {own[2]} at {own[3]} step; "
            f"expected {network.inputs} and {network.outputs}, {network.task} at {network.when} step, as {path}: name"
            " another one with --float"
        )


def recording_of(args: argparse.Namespace, model: FloatModel | None) -> Recording:
    """The recording of --data, or the one that the model was trained on. Raises DataError."""
    from tinyrnn.cli import stored_recording

    if args.data:
        return from_args(args)
    if needless := given(args):
        raise DataError(f"{needless[0]} describes a recording; expected the recording with --data")
    recording = stored_recording.recording(model.info) if model else None
    if recording is None:
        raise DataError(f"{args.model}: does not say on which recording it was trained; expected one with --data")
    print(f"no --data: the recording of its training, {recording.name}", file=sys.stderr)
    return recording
