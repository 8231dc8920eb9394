# SPDX-License-Identifier: MIT
"""``tinyrnn quantize``: convert model.pt to a .urnn file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.cli import stored_recording
from tinyrnn.cli.quantizing import add_accept_error
from tinyrnn.cli.recording_options import add_arguments, from_args, given
from tinyrnn.errors import DataError
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording
    from tinyrnn.float_model.model import FloatModel


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "quantize",
        help="convert a float model to integers: model.pt -> model.urnn",
        description="Quantize model.pt to int8 weights and 16-bit states, prove that no sum can overflow, measure the "
        "difference from the float model, and write the .urnn file that `urnn.load()` reads on a board. If the recording is "
        "there, print the figures of both on its test sequences.",
    )
    parser.add_argument("model", metavar="MODEL.pt", help="written by `tinyrnn train` or `tinyrnn import`")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (default: MODEL.urnn beside MODEL.pt)")
    parser.add_argument("--name", help="name of the model, kept in the file (default: the name in MODEL.pt)")
    add_accept_error(parser)
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Quantize, print the figures if there is a recording, and write the file. Returns 0. Raises ModelError or DataError."""
    from dataclasses import replace

    from tinyrnn import files
    from tinyrnn.cli import evaluation_tables
    from tinyrnn.cli.quantizing import quantize
    from tinyrnn.float_model import model_file
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.quantization.accuracy import evaluate

    model = model_file.load(args.model)
    output = Path(args.output) if args.output else Path(args.model).with_suffix(".urnn")
    files.check_output(output, files.PACKED, [args.model, args.data], "quantize")
    recording = _recording(args, model)
    network = quantize(model, args.accept_error)
    if args.name:
        network = replace(network, name=args.name)
    if recording is not None:
        evaluation_tables.show(evaluate(model, network, recording, name=args.model), complete=False)
    size = urnn_file.write(network, output)
    cells = " + ".join(f"{cell.tag.decode()} {cell.units}" for cell in network.cells)
    inputs, outputs = counted(network.inputs, "input"), counted(network.outputs, "output")
    print(f"{inputs} -> {cells} -> {outputs}, every bound proven")
    print(f"wrote {output} ({size} bytes); next: tinyrnn verify {output}")
    return 0


def _recording(args: argparse.Namespace, model: FloatModel) -> Recording | None:
    """The recording of --data, or the one that the model was trained on, if it is still there. Raises DataError."""
    from tinyrnn.quantization.accuracy import matching

    if args.data:
        recording = from_args(args)
        matching(model, recording, args.model)  # before a search for precision that may take a minute
        return recording
    if needless := given(args):
        raise DataError(f"{needless[0]} describes a recording; expected the recording with --data")
    try:
        stored = stored_recording.recording(model.info)
        if stored is not None:
            matching(model, stored, args.model)
        return stored
    except DataError as error:
        print(f"no figures on a recording: {error}")
        return None
