"""``tinyrnn import``: a network of PyTorch, ONNX or Keras as model.pt, or at once as a .urnn file."""

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
    from tinyrnn.importers.source_model import Source


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command's parser and return it."""
    parser = commands.add_parser(
        "import",
        help="take a network from PyTorch, ONNX or Keras: FILE -> model.pt or model.urnn",
        description="Read a network that another framework has saved, compare it with that framework on the same "
        "sequences, and write it as model.pt or, quantized, as a .urnn file. Nothing in the file is executed.",
    )
    parser.add_argument(
        "file", metavar="FILE", help="a PyTorch state_dict (.pt, .pth), torch.export program (.pt2), .onnx, .keras or .h5"
    )
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="model.pt, or .urnn to quantize at once")
    options = parser.add_argument_group("the model")
    options.add_argument("--name", help="a name to keep in the file (default: FILE's)")
    options.add_argument("--task", choices=TASKS, help="default: the recording's, or a guess that is printed")
    options.add_argument(
        "--when", choices=("last", "every"), help="the output that counts: of the last step, or of every step"
    )
    options.add_argument(
        "--labels", metavar="NAME,NAME,...", type=_names, default=(), help="classes, or targets of a regression"
    )
    options.add_argument("--channels", metavar="NAME,NAME,...", type=_names, default=(), help="names of the inputs")
    options.add_argument(
        "--range",
        metavar="LOW HIGH",
        nargs="+",
        type=float,
        help="values that the inputs take, where there is no recording: LOW HIGH, or a pair for each input",
    )
    options.add_argument(
        "--normalise",
        action="store_true",
        help="the model was trained on (x - mean) / deviation of the recording's channels",
    )
    asked = parser.add_argument_group("what a file may not say")
    asked.add_argument("--nonlinearity", choices=("tanh", "relu"), help="of an nn.RNN in a state_dict")
    asked.add_argument(
        "--activation",
        choices=("none", "relu", "tanh", "sigmoid"),
        help="behind every Linear of a state_dict but the last module",
    )
    asked.add_argument(
        "--order", metavar="NAME,NAME,...", type=_names, default=(), help="modules of a state_dict as the data pass them"
    )
    asked.add_argument("--key", help="entry of a checkpoint that holds the state_dict")
    asked.add_argument("--eps", type=float, help="of the norms in a state_dict (default 1e-5)")
    asked.add_argument("--output-name", metavar="NAME", help="of a graph with several outputs")
    asked.add_argument("--ignore-masking", action="store_true", help="masked steps of a Keras model are only padding")
    add_accept_error(parser)
    add_arguments(parser, optional=True)
    return parser


def run(args: argparse.Namespace) -> int:
    """Read, compare, write. Returns 0."""
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
        cure = "give a recording with --data, or the values that a sensor can give with --range LOW HIGH"
        raise ModelError(f"{path}: says nothing of the range of its inputs, which a .urnn file needs; {cure}")
    print(_described(model), flush=True)
    difference, count = framework_check.compare(source, model, recording)
    print(
        f"largest difference from {source.framework} on {count} sequences: {difference:.2g} "
        f"(allowed: {framework_check.LIMIT:g})"
    )
    if difference > framework_check.LIMIT:
        print(f"that is what the last bit of the inputs moves in {source.framework} itself, which computes in float32")
    info = {"imported": path.name, "framework": source.framework, "difference": difference, "tinyrnn": __version__}
    model = replace(model, info=info | _figures(model, recording))
    if not known:
        low, high = float_conversion.ASSUMED
        print(
            f"no --data and no --range: inputs are assumed to lie {-low:g} deviations around their mean, {low:g} to {high:g}"
        )
    try:
        _write(model, output, packed, args.accept_error)
    except ModelError as error:
        works = _range_that_works(source, settings)
        raise ModelError(f"{str(error).split('; expected')[0]}; {works}" if works else str(error)) from None
    return 0


def _range_that_works(source: Source, settings: Settings) -> str:
    """Where a network is refused with the ranges that were given: those of its own normalisation, if it fits with them."""
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
    return f"the range that was given is too wide for the network; expected one such as {works}, which works"


def _ranges(numbers: list[float] | None) -> tuple[tuple[float, float], ...]:
    """The pairs of --range. Raises ModelError."""
    given = numbers or []
    if len(given) % 2:
        raise ModelError(f"--range has {len(given)} numbers; expected LOW HIGH, or such a pair for each input")
    pairs = tuple(zip(given[::2], given[1::2], strict=True))
    for low, high in pairs:
        if max(abs(low), abs(high)) > 1e30:
            raise ModelError(f"--range is {low:g} to {high:g}; expected numbers that a sensor can give, within +-1e30")
        if not low < high:
            raise ModelError(f"--range is {low:g} to {high:g}; expected the lower end first")
    return pairs


def _recording(args: argparse.Namespace) -> Recording | None:
    """The recording of --data, if it is given. Its readers use no framework, but calibrating on it needs PyTorch."""
    from tinyrnn.importers import untrusted_files

    if args.data is None:
        needless = given(args)
        if needless or args.normalise:
            raise ModelError(f"{(needless or ['--normalise'])[0]} says something of a recording; name it with --data")
        return None
    if args.range:
        raise ModelError("--data and --range both say what values the inputs take; expected one of them")
    untrusted_files.need("torch", "to calibrate on a recording", "train")
    return from_args(args)


def _described(model: FloatModel) -> str:
    """3 inputs -> gru 8 -> 2 outputs, and what was taken for granted."""
    layers = " -> ".join(f"{layer.kind} {layer.units}" for layer in model.layers)
    names = ", ".join(model.labels)
    names = names if len(names) <= 60 else names[:57] + "..."
    when = "at the last step" if model.when == "last" else "at every step"
    inputs, outputs = counted(len(model.mean), "input"), counted(len(model.labels), "output")
    return f"{inputs} -> {layers} -> {outputs}; {model.task} {when}: {names}"


def _figures(model: FloatModel, recording: Recording | None) -> dict[str, float]:
    """The test figures on the recording, printed, where its labels are of the model's kind."""
    if recording is None or (recording.task, recording.when, len(recording.labels)) != (
        model.task,
        model.when,
        len(model.labels),
    ):
        return {}
    from tinyrnn.float_model.evaluation import evaluate

    score = evaluate(model, recording.test)
    if score.accuracy_pct is not None:
        print(
            f"test accuracy on {recording.name}: {score.accuracy_pct:.2f} %; by chance if the order of the labels is another"
        )
    else:
        print(f"test RMSE on {recording.name}: {score.rmse:.6g}, R2 {score.r2:.4f}")
    return score.figures()


def _write(model: FloatModel, output: Path, packed: bool, accept_error: bool) -> None:
    from tinyrnn.cli import quantizing
    from tinyrnn.float_model import model_file

    if not packed:
        try:
            quantizing.show(quantizing.measured(model))
        except ModelError as error:
            print(f"as it is, it cannot be quantized: {error}")
        model_file.save(model, output)
        print(f"wrote {output} ({output.stat().st_size} bytes); next: tinyrnn quantize {output}")
        return
    from tinyrnn.integer_model import urnn_file

    size = urnn_file.write(quantizing.quantize(model, accept_error), output)
    print(f"wrote {output} ({size} bytes), every bound proven; next: tinyrnn verify {output}")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}; expected different names with commas between")
    return names
