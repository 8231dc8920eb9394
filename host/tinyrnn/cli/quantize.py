# SPDX-License-Identifier: MIT
"""``tinyrnn quantize``: convert model.pt to a .urnn file."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyrnn.cli.quantizing import add_accept_error
from tinyrnn.text import counted


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "quantize",
        help="convert a float model to integers: model.pt -> model.urnn",
        description="Quantize model.pt to int8 weights and 16-bit states, prove that no sum can overflow, measure the "
        "difference from the float model, and write the .urnn file that `urnn.load()` reads on a board.",
    )
    parser.add_argument("model", metavar="MODEL.pt", help="written by `tinyrnn train` or `tinyrnn import`")
    parser.add_argument("-o", "--output", metavar="FILE", help="the file to write (default: MODEL.urnn beside MODEL.pt)")
    parser.add_argument("--name", help="name of the model, kept in the file (default: the name in MODEL.pt)")
    add_accept_error(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Quantize and write the file. Returns 0. Raises ModelError."""
    from dataclasses import replace

    from tinyrnn import files
    from tinyrnn.cli.quantizing import quantize
    from tinyrnn.float_model import model_file
    from tinyrnn.integer_model import urnn_file

    model = model_file.load(args.model)
    output = Path(args.output) if args.output else Path(args.model).with_suffix(".urnn")
    files.check_output(output, files.PACKED, [args.model], "quantize")
    network = quantize(model, args.accept_error)
    if args.name:
        network = replace(network, name=args.name)
    size = urnn_file.write(network, output)
    cells = " + ".join(f"{cell.tag.decode()} {cell.units}" for cell in network.cells)
    inputs, outputs = counted(network.inputs, "input"), counted(network.outputs, "output")
    print(f"{inputs} -> {cells} -> {outputs}, every bound proven")
    print(f"wrote {output} ({size} bytes); next: tinyrnn verify {output}")
    return 0
