# SPDX-License-Identifier: MIT
"""``tinyrnn report``: write a page that shows how good a model is on a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.cli.recording_options import add_arguments, from_args

if TYPE_CHECKING:
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.integer_model.urnn_file import UrnnFile

PARTS = ("test", "validation", "train", "all")  # as in quantization/accuracy.py, which imports numpy


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "report",
        help="write a page with curves, confusion matrices, the worst sequences, sizes and step times",
        description="Run the float and the integer model over the test part of a recording and write an HTML page about "
        "them. The page is one file, which loads nothing and runs no script.",
    )
    parser.add_argument("model", metavar="MODEL", help="a float model (.pt), which is quantized in memory, or a .urnn file")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page to write (default: MODEL.html beside MODEL)")
    parser.add_argument(
        "--float",
        metavar="MODEL.pt",
        help="the float model of a .urnn file (default: MODEL.pt beside MODEL.urnn, if it exists)",
    )
    parser.add_argument("--part", choices=PARTS, default="test", help="the sequences to run (default: test)")
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure and write the page. Returns 0. Raises DataError and ModelError."""
    from tinyrnn import files
    from tinyrnn.errors import DataError, ModelError
    from tinyrnn.text import counted

    if not args.data:
        raise DataError(f"no recording; expected one to measure on: tinyrnn report {args.model} --data DATA")
    output = Path(args.output) if args.output else Path(args.model).with_suffix(".html")
    files.check_output(output, files.REPORT, [args.model, args.float, args.data], "read")
    _check_libraries()
    source, file, model = _models(args)
    recording = from_args(args)

    from tinyrnn.report import page, subject

    measured = subject.measure(source, file, model, recording, args.part)
    data = page.render(measured)
    try:
        files.write(output, data)
    except OSError as error:
        raise ModelError(f"{output}: {error.strerror}; expected a writable folder with enough room: choose another -o") from None
    print(f"wrote {output} ({len(data)} bytes): {counted(len(measured.sequences), 'sequence')}; open it in a browser")
    return 0


def _check_libraries() -> None:
    """Raise RuntimeMissing if a library that only the report needs is not installed."""
    import importlib.util

    from tinyrnn.errors import RuntimeMissing

    for name in ("matplotlib", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise RuntimeMissing(f"{name} is not installed, which draws the report: pip install 'tinyrnn[report]'")


def _models(args: argparse.Namespace) -> tuple[str, UrnnFile, FloatModel | None]:
    """What the user named in words, the integer model and, if it is there, the float model. Raises ModelError."""
    from tinyrnn.float_model import model_file
    from tinyrnn.integer_model import urnn_file
    from tinyrnn.integer_model.network import pack
    from tinyrnn.quantization import precision_search

    path = Path(args.model)
    if path.suffix.lower() == ".urnn":
        beside = path.with_suffix(".pt")
        given = args.float or (beside if beside.is_file() else None)
        words = f"{path}{f', float model {given}' if given else ''}"
        return words, urnn_file.load(path), model_file.load(given) if given else None
    model = model_file.load(path)
    network = precision_search.measured(model).network
    return f"{path}, quantized for this report", urnn_file.UrnnFile(path.with_suffix(".urnn"), pack(network), network), model
