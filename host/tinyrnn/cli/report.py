# SPDX-License-Identifier: MIT
"""``tinyrnn report``: write a page that shows how good a model is on a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.cli import evaluate
from tinyrnn.cli.recording_options import add_arguments

if TYPE_CHECKING:
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.integer_model.network import Network
    from tinyrnn.integer_model.urnn_file import UrnnFile


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "report",
        help="write a page with curves, confusion matrices, the worst sequences, sizes and step times",
        description="Run the float and the integer model over the test part of a recording and write an HTML page about "
        "them. The page is one file, which loads nothing and runs no script.",
    )
    evaluate.add_model(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="the page to write (default: MODEL.html beside MODEL)")
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and write the page. Returns 0. Raises DataError and ModelError."""
    from dataclasses import replace

    from tinyrnn import files
    from tinyrnn.errors import ModelError
    from tinyrnn.text import counted

    output = Path(args.output) if args.output else Path(args.model).with_suffix(".html")
    files.check_output(output, files.REPORT, [args.model, args.float, args.data], "read")
    _check_libraries()
    model, network, notes = evaluate.load(args.model, args.float)
    file = _packed(args.model, model, network)
    recording = evaluate.recording_of(args, model)

    from tinyrnn.report import page, subject

    measured = subject.measure(args.model, file, model, recording, args.part)
    notes += evaluate.notes_on(args, model, measured.evaluation)
    data = page.render(replace(measured, notes=tuple(notes)))
    try:
        files.write(output, data)
    except OSError as error:
        raise ModelError(
            f"{output}: {error.strerror}; expected a writable folder with enough room: choose another -o"
        ) from None
    for note in [*notes, *recording.remarks]:
        print(note)
    print(f"wrote {output} ({len(data)} bytes, {counted(len(measured.sequences), 'sequence')}); open it in a browser")
    return 0


def _check_libraries() -> None:
    """Raise RuntimeMissing if a library that only the report needs is not installed."""
    import importlib.util

    from tinyrnn.errors import RuntimeMissing

    for name in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise RuntimeMissing(f"{name} is not installed, which the report needs: pip install 'tinyrnn[report]'")


def _packed(path: str, model: FloatModel | None, network: Network | None) -> UrnnFile:
    """The .urnn file of the network: the user's own, or one in memory for a float model. Raises ModelError."""
    from tinyrnn import files
    from tinyrnn.cli import quantizing
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.integer_model.network import pack

    if files.replaceable(Path(path), files.PACKED):
        return urnn_file.load(path)
    if network is None:
        assert model is not None, "one of them was loaded"
        network = quantizing.measured(model).network  # raises the error that says why it cannot be quantized
    return urnn_file.UrnnFile(Path(path).with_suffix(".urnn"), pack(network), network)
