# SPDX-License-Identifier: MIT
"""``tinyrnn import``: convert a network from PyTorch, ONNX or Keras to model.pt, or directly to a .urnn file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tinyrnn.cli.quantizing import add_accept_error
from tinyrnn.cli.recording_options import add_arguments, from_args, given
from tinyrnn.data import TASKS
from tinyrnn.errors import ModelError
from tinyrnn.text import counted

if TYPE_CHECKING:
    from tinyrnn.data.recording import Recording
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.importers.float_conversion import Settings
    from tinyrnn.importers.source_model import SourceModel


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "import",
        help="convert a network from PyTorch, ONNX or Keras: FILE -> model.pt or model.urnn",
        description="Read a network that another framework saved, compare it with that framework on the same "
        "sequences, and write it as model.pt or, quantized, as a .urnn file. Nothing in the file is executed.",
    )
    parser.add_argument(
        "file", metavar="FILE", help="a PyTorch state_dict (.pt, .pth), torch.export program (.pt2), .onnx, .keras or .h5"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        help="the file to write: model.pt, or model.urnn to quantize as well",
    )
    options = parser.add_argument_group("the model")
    options.add_argument("--name", help="name of the model, kept in the file (default: the name of FILE)")
    options.add_argument(
        "--task", choices=TASKS, help="what the outputs mean (default: as in the recording, or a guess that is printed)"
    )
    options.add_argument("--when", choices=("last", "every"), help="the steps whose output counts")
    options.add_argument(
        "--labels", metavar="NAME,NAME,...", type=_names, default=(), help="names of the classes, or of the targets"
    )
    options.add_argument("--channels", metavar="NAME,NAME,...", type=_names, default=(), help="names of the inputs")
    options.add_argument(
        "--range",
        metavar="LOW HIGH",
        nargs="+",
        type=float,
        help="range of the inputs' values, if there is no recording: LOW HIGH, or a pair for each input",
    )
    options.add_argument(
        "--normalise",
        action="store_true",
        help="the model was trained on (x - mean) / standard deviation of each channel of the recording",
    )
    asked = parser.add_argument_group("what the file may not say")
    asked.add_argument("--nonlinearity", choices=("tanh", "relu"), help="activation of an nn.RNN in a state_dict")
    asked.add_argument(
        "--activation",
        choices=("none", "relu", "tanh", "sigmoid"),
        help="activation after each Linear of a state_dict, except the last module",
    )
    asked.add_argument(
        "--order", metavar="NAME,NAME,...", type=_names, default=(), help="order in which data pass a state_dict's modules"
    )
    asked.add_argument("--key", help="entry of a checkpoint that holds the state_dict")
    asked.add_argument("--eps", type=float, help="epsilon of the normalisations in a state_dict (default: 1e-5)")
    asked.add_argument("--output-name", metavar="NAME", help="the output to import from a graph with several")
    asked.add_argument(
        "--ignore-masking", action="store_true", help="drop the masking of a Keras model: masked steps are only padding"
    )
    add_accept_error(parser)
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Read the network, compare it with its framework and write it. Returns 0. Raises ModelError or DataError."""
    from dataclasses import replace

    from tinyrnn import __version__, files, importers
    from tinyrnn.importers import float_conversion, framework_check, untrusted_files
    from tinyrnn.importers.source_model import Options

    path, output = Path(args.file), Path(args.output)
    packed = output.suffix.lower() == ".urnn"
    files.check_output(output, files.PACKED if packed else files.FLOAT, [path, args.data], "import")
    ranges = _ranges(args.range)
    if not packed:
        untrusted_files.need("torch", "to write model.pt", "train")
    recording = _recording(args)
    options = Options(
        args.nonlinearity, args.activation, args.order, args.key, args.eps, args.output_name, args.ignore_masking
    )
    source = importers.read(path, options)
    if args.normalise and recording is not None:
        source = float_conversion.normalised(source, recording)
    for note in source.notes:
        print(note, flush=True)
    settings = float_conversion.Settings(
        name=args.name or files.title(path.stem),
        task=args.task,
        when=args.when,
        labels=args.labels,
        channels=args.channels,
        ranges=ranges,
    )
    model = float_conversion.build(source, settings, recording, print)
    known = recording is not None or args.range or model.layers[0].kind == "embedding"
    if packed and not known:
        cure = "expected a recording with --data, or the range of the sensor's values with --range LOW HIGH"
        raise ModelError(f"{path}: does not say the range of its inputs, which a .urnn file needs; {cure}")
    print(_described(model), flush=True)
    difference, count = framework_check.compare(source, model, recording)
    print(
        f"largest difference from {source.framework} on {count} sequences: {difference:.2g} "
        f"(allowed: {framework_check.LIMIT:g})"
    )
    if difference > framework_check.LIMIT:
        print(f"{source.framework} computes in float32: a change in the last bit of its inputs makes as large a difference")
    info = {"imported": path.name, "framework": source.framework, "difference": difference, "tinyrnn": __version__}
    model = replace(model, info=info | _figures(model, recording))
    if not known:
        low, high = float_conversion.ASSUMED
        print(
            f"no --data and no --range: inputs are assumed to lie within {-low:g} standard deviations, {low:g} to {high:g}"
        )
    try:
        _write(model, output, packed, args.accept_error)
    except ModelError as error:
        works = _range_that_works(source, settings)
        raise ModelError(f"{str(error).split('; expected')[0]}; {works}" if works else str(error)) from None
    return 0


def _range_that_works(source: SourceModel, settings: Settings) -> str:
    """After a network was refused with the given ranges: those of its own normalisation, if it can be quantized with them.

    Returns the end of an error message, or "".
    """
    from dataclasses import replace

    from tinyrnn.importers import float_conversion
    from tinyrnn.quantization.precision_search import measured

    if not settings.ranges:
        return ""
    try:
        model = float_conversion.build(source, replace(settings, ranges=()), None)
        if measured(model).error.far:
            return ""
    except ModelError:
        return ""
    low, high = model.calibration.minimum, model.calibration.maximum
    pairs = [f"{a:.6g} {b:.6g}" for a, b in zip(low, high, strict=True)]
    works = f"--range {pairs[0] if len(set(pairs)) == 1 else ' '.join(pairs)}"
    return f"the given --range is too wide for the network; expected one such as {works}, which works"


def _ranges(numbers: list[float] | None) -> tuple[tuple[float, float], ...]:
    """The (low, high) pairs of --range. Raises ModelError for an odd count, or an empty or huge range."""
    given = numbers or []
    if len(given) % 2:
        raise ModelError(f"--range has {len(given)} numbers; expected LOW HIGH, or a pair for each input")
    pairs = tuple(zip(given[::2], given[1::2], strict=True))
    for low, high in pairs:
        if max(abs(low), abs(high)) > 1e30:
            raise ModelError(f"--range is {low:g} to {high:g}; expected numbers that a sensor can give, within +-1e30")
        if not low < high:
            raise ModelError(f"--range is {low:g} to {high:g}; expected the lower end first")
    return pairs


def _recording(args: argparse.Namespace) -> Recording | None:
    """The recording of --data, if given. Calibrating on it needs PyTorch; reading it does not."""
    from tinyrnn.importers import untrusted_files

    if args.data is None:
        needless = given(args)
        if needless or args.normalise:
            raise ModelError(f"{(needless or ['--normalise'])[0]} describes a recording; expected the recording with --data")
        return None
    if args.range:
        raise ModelError("--data and --range both give the range of the inputs; expected one of them")
    untrusted_files.need("torch", "to calibrate on a recording", "train")
    return from_args(args)


def _described(model: FloatModel) -> str:
    """One line such as "3 inputs -> gru 8 -> 2 outputs; classification at the last step: a, b"."""
    layers = " -> ".join(f"{layer.kind} {layer.units}" for layer in model.layers)
    names = ", ".join(model.labels)
    names = names if len(names) <= 60 else names[:57] + "..."
    when = "at the last step" if model.when == "last" else "at every step"
    inputs, outputs = counted(len(model.mean), "input"), counted(len(model.labels), "output")
    return f"{inputs} -> {layers} -> {outputs}; {model.task} {when}: {names}"


def _figures(model: FloatModel, recording: Recording | None) -> dict[str, float]:
    """Print and return the test figures on the recording; {} if its labels do not match the model's outputs."""
    if recording is None or (recording.task, recording.when, len(recording.labels)) != (
        model.task,
        model.when,
        len(model.labels),
    ):
        return {}
    from tinyrnn.data.figures import RegressionFigures
    from tinyrnn.float_model.evaluation import evaluate

    found = evaluate(model, recording.test)
    if isinstance(found, RegressionFigures):
        print(f"test RMSE on {recording.name}: {found.overall_rmse:.6g}, R2 {found.r2.mean():.4f}")
    else:
        seen = f"{found.accuracy_pct:.2f} %"
        print(f"test accuracy on {recording.name}: {seen}, if the model's labels are in the same order")
    return found.entries()


def _write(model: FloatModel, output: Path, packed: bool, accept_error: bool) -> None:
    from tinyrnn.cli import quantizing
    from tinyrnn.float_model import model_file

    if not packed:
        try:
            quantizing.show(quantizing.measured(model))
        except ModelError as error:
            print(f"it cannot be quantized as it is: {error}")
        model_file.save(model, output)
        print(f"wrote {output} ({output.stat().st_size} bytes); next: tinyrnn quantize {output}")
        return
    from tinyrnn.integer_model import urnn_file

    size = urnn_file.write(quantizing.quantize(model, accept_error), output)
    print(f"wrote {output} ({size} bytes), every bound proven; next: tinyrnn verify {output}")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}; expected distinct names, separated by commas")
    return names
