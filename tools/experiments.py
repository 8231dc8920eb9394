#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure the trainer's defaults on data sets that pip packages carry: experiments.py run|compare|ablation|speed.

run       train with the settings of --settings, each set and seed      -> build/experiments.json
compare   a table of two settings, beside the forecasts without a model and a torch GRU with a tuned learning rate
ablation  a line for each setting: what changes when one hyperparameter is changed
speed     CPU seconds of an epoch, beside a plain torch loop            -> build/speed.json

The test decides nothing in a training: each figure is of the weights that the trainer chose without it. The file is
written after each model, and a later run skips the models that it already has, so an interrupted run can be continued.
To measure an older version of the trainer, start this tool with it:
PYTHONPATH=OLD/host:OLD/device experiments.py run --label old. The sets need: pip install --no-deps aeon statsmodels.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

from shared import experiment_tables, records
from shared.experiment_sets import SETS
from shared.experiment_tables import BASE, BASELINES, CLASSES, DEFAULT, NUMBERS, OLD, PLAIN, RIVAL
from shared.paths import BUILD, FIGURES, ROOT
from shared.records import Record, TinyrnnError

UNITS, SEEDS = 16, 5


@dataclass(frozen=True)
class Times:
    """The default multiplied by a factor, rounded for a whole number."""

    factor: float

    def __call__(self, value: float) -> float:
        return round(value * self.factor) if isinstance(value, int) else value * self.factor


@dataclass(frozen=True)
class Change:
    """Fields of Hyperparameters that differ from the default of the recording, and the sets that can have them."""

    fields: dict[str, Any]  # field -> value, or a function of the default
    suits: Callable[[str], bool] = lambda name: True


def _classes(name: str) -> bool:
    return SETS[name].task == "classification"


def _forecasts(name: str) -> bool:
    return not _classes(name)


def _three_axes(name: str) -> bool:
    return name == "basic-motions"


# A setting that equals BASE on a set is not trained again: so one list serves any defaults. All but the default do not
# train again on all sequences at the end, which would take twice the time
SETTINGS: dict[str, Change] = {
    DEFAULT: Change({}),
    BASE: Change({}),
    "no noise": Change({"noise": 0.0}),
    "half the noise": Change({"noise": Times(0.5)}),
    "twice the noise": Change({"noise": Times(2)}),
    "no scaling": Change({"scaling": 0.0}),
    "scaling 0.2": Change({"scaling": 0.2}),
    "no offset": Change({"offset": 0.0}),
    "offset 0.2": Change({"offset": 0.2}),
    "no time shift": Change({"time_shift": 0.0}, _classes),
    "time shift 0.1": Change({"time_shift": 0.1}, _classes),
    "no time warp": Change({"time_warp": 0.0}),
    "time warp 0.2": Change({"time_warp": 0.2}),
    "no rotation": Change({"rotation": 0.0}, _three_axes),
    "rotation 15 degrees": Change({"rotation": 15.0}, _three_axes),
    "no dropout": Change({"dropout": 0.0}),
    "dropout 0.2": Change({"dropout": 0.2}),
    "dropout 0.4": Change({"dropout": 0.4}),
    "no label smoothing": Change({"label_smoothing": 0.0}, _classes),
    "label smoothing 0.1": Change({"label_smoothing": 0.1}, _classes),
    "loss on the last step only": Change({"early": 0.0}, _classes),
    "a tenth of the loss before the last step": Change({"early": 0.1}, _classes),
    "equal class weights": Change({"class_weights": "none"}, _classes),
    "balanced class weights": Change({"class_weights": "balanced"}, _classes),
    "no moving average": Change({"ema": 0.0}),
    "moving average 0.98": Change({"ema": 0.98}),
    "moving average 0.995": Change({"ema": 0.995}),
    "no early stopping": Change({"patience": 0}),
    "half the epochs": Change({"epochs": Times(0.5)}),
    "twice the epochs": Change({"epochs": Times(2)}),
    "difference: auto": Change({"difference": "auto"}, _forecasts),
    "difference: yes": Change({"difference": "yes"}, _forecasts),
    "difference: no": Change({"difference": "no"}, _forecasts),
    "no weight decay": Change({"weight_decay": 0.0}),
    "half the learning rate": Change({"lr": Times(0.5)}),
    "twice the learning rate": Change({"lr": Times(2)}),
}
# Sets for the ablation, of every kind; all of them train in seconds
ABLATION_SETS = [
    *("japanese-vowels", "italy-power", "chinatown", "digits"),
    *("uschange +1", "elnino +1", "sunspots +1", "nile +1", "machines +1"),
]


def measure(settings: str, label: str, name: str, seed: int, units: int) -> Record:
    """Train one model and evaluate it, in floats and in the device's integers, on the test."""
    import torch
    from shared import rivals
    from shared.experiment_sets import chosen_of, keep_validation, load, validation_split, with_parts

    torch.set_num_threads(1)
    loaded = load(name)
    complete = loaded.recording
    y = complete.test.all_y()
    integers: float | None = None
    on_validation: float | None = None
    epoch: int | None = None
    started = time.process_time()
    if settings == RIVAL:
        train, kept = validation_split(complete)
        rival = with_parts(complete, train=chosen_of(complete.train, train))
        output, seconds = rivals.tuned(rival, chosen_of(complete.train, kept), units, seed)
        value = figure(complete.task, output, y)
    else:
        from tinyrnn.quantization.quantizer import quantize
        from tinyrnn.training import trainer

        recording = keep_validation(complete)
        hyperparameters = changed(trainer.default_hyperparameters(recording), settings)
        model = trainer.fit(recording, units=units, seed=seed, hyperparameters=hyperparameters)
        seconds = time.process_time() - started
        network = quantize(model)
        value = figure(complete.task, outputs(model, recording.test), y)
        integers = figure(complete.task, outputs(network, recording.test), y)
        epoch = model.info.get("best_epoch", model.info["epochs"])
        history = model.info.get("history", [])
        if getattr(recording, "validation", None) is not None:  # older versions have none
            # Of the epoch that was chosen: the final weights may have learnt the validation sequences too
            on_validation = next(entry[3] for entry in history if entry[0] == epoch)
    what = CLASSES if complete.task == "classification" else NUMBERS
    values = (label, name, seed, what, value, integers, on_validation, epoch, round(seconds, 2))
    return dict(zip(records.FIELDS["experiments"], values, strict=True))


def changed(hyperparameters: Any, settings: str) -> Any:
    """The hyperparameters with the changes of SETTINGS. Raises TinyrnnError for a field that this version has not."""
    known = {field.name for field in fields(hyperparameters)}
    changes: dict[str, Any] = {"refit": False} if "refit" in known and settings != DEFAULT else {}
    for key, value in SETTINGS[settings].fields.items():
        if key not in known:
            raise TinyrnnError(f"{settings}: this version's hyperparameters have no {key}; expected {', '.join(known)}")
        changes[key] = value(getattr(hyperparameters, key)) if callable(value) else value
    return replace(hyperparameters, **changes)


@functools.cache
def makes_a_difference(settings: str, name: str) -> bool:
    """Whether the settings suit the set and differ from its default."""
    from shared.experiment_sets import keep_validation, load
    from tinyrnn.training.trainer import default_hyperparameters

    if settings in (DEFAULT, RIVAL):
        return True
    if not SETTINGS[settings].suits(name):
        return False
    default = default_hyperparameters(keep_validation(load(name).recording))
    return settings == BASE or bool(changed(default, settings) != changed(default, BASE))


def outputs(model: Any, sequences: Any) -> Any:
    """(M, O) outputs of a float model or of a network of integers, for the steps that count."""
    import numpy as np
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.integer_model.simulator import Simulator

    found: list[Any] = [None] * len(sequences)
    order = np.argsort(sequences.lengths, kind="stable")
    for numbers in np.array_split(order, max(1, len(order) // 64)):
        x = np.zeros((len(numbers), int(sequences.lengths[numbers].max()), sequences.x[0].shape[1]))
        for row, number in enumerate(numbers):
            x[row, : len(sequences.x[number])] = sequences.x[number]
        if isinstance(model, FloatModel):
            out = model.forward(x, sequences.lengths[numbers])
        else:
            simulator = Simulator(model)
            out = simulator.values(simulator.run(model.raw(x))[0])
        for row, number in enumerate(numbers):
            steps = len(sequences.x[number])
            found[number] = out[row, steps - 1 : steps] if isinstance(sequences.y, np.ndarray) else out[row, :steps]
    return np.concatenate(found)


def figure(task: str, output: Any, y: Any) -> float:
    """The accuracy in percent, or the RMSE in the series' own unit."""
    import numpy as np

    if task == "classification":
        return round(100 * float(np.mean(output.argmax(axis=1) == y)), 4)
    return float(f"{float(np.sqrt(np.square(output - y).mean())):.6g}")


def baselines(name: str) -> Iterator[Record]:
    """Records of the forecasts that need no model."""
    import numpy as np
    from shared.experiment_sets import load

    loaded = load(name)
    recording = loaded.recording
    y = recording.test.all_y()

    def record(label: str, what: str, value: float) -> Record:
        return dict(zip(records.FIELDS["experiments"], (label, name, 0, what, value, None, None, None, 0.0), strict=True))

    if recording.task == "classification":
        counts = np.bincount(np.asarray(recording.train.y))
        yield record(BASELINES[0], CLASSES, round(100 * float(np.mean(y == counts.argmax())), 4))
    for label, forecast in zip(BASELINES[1:], (loaded.last_value, loaded.seasonal), strict=True):
        if forecast is not None:
            yield record(label, NUMBERS, figure("regression", forecast, y))


def run(args: argparse.Namespace) -> int:
    """Train what is not in build/experiments.json yet, in args.jobs processes."""
    from rich.console import Console
    from rich.progress import Progress

    have = known_records()
    for name in args.sets:
        for record in baselines(name):
            have[key_of(record)] = record
    todo = []
    for seed in range(args.seeds):
        for settings in args.settings:
            for name in args.sets:
                label = args.label or settings
                known = (label, name, seed) in have and not args.again
                if not known and makes_a_difference(settings, name):
                    todo.append((settings, label, name, seed, args.units))
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes below
    # Not forked: the progress display is a thread
    fresh = multiprocessing.get_context("spawn")
    with (
        Progress(console=Console(stderr=True), transient=True) as progress,
        ProcessPoolExecutor(args.jobs, mp_context=fresh) as pool,
    ):
        task = progress.add_task("", total=len(todo))
        waiting = [pool.submit(measure, *job) for job in todo]
        try:
            for done in as_completed(waiting):
                record = done.result()
                have[key_of(record)] = record
                records.write("experiments", sorted(have.values(), key=place))
                progress.update(task, advance=1, description=f"{record['set']}, seed {record['seed']}")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    records.write("experiments", sorted(have.values(), key=place))
    print(f"{len(todo)} models trained; written: {(BUILD / 'experiments.json').relative_to(ROOT)}")
    return 0


def known_records() -> dict[tuple[str, str, int], Record]:
    """Those of build/experiments.json, or of the old trainer from docs/figures: its code is not here."""
    if (BUILD / "experiments.json").exists():
        rows = records.read("experiments")
    else:
        rows = [row for row in records.read("experiments", FIGURES) if row["settings"] == OLD]
    return {key_of(row): row for row in rows}


def key_of(record: Record) -> tuple[str, str, int]:
    return record["settings"], record["set"], record["seed"]


def place(record: Record) -> tuple[Any, ...]:
    """The sort key of a record: settings in the order of this file, set, seed."""
    order = [*BASELINES, RIVAL, OLD, *SETTINGS]
    settings = record["settings"]
    sets = list(SETS)
    return (
        order.index(settings) if settings in order else len(order),
        settings,
        sets.index(record["set"]) if record["set"] in sets else len(sets),
        record["seed"],
    )


def compare(args: argparse.Namespace) -> int:
    """Print a line for each set, and the counts."""
    rows = records.read("experiments")
    for kind, title in ((CLASSES, "Accuracy in % of the test sequences"), (NUMBERS, "RMSE in the series' own unit")):
        found = experiment_tables.compare(rows, kind, args.old, args.new)
        if found.lines:
            show(
                f"{title}: mean and deviation of the seeds; gain in {experiment_tables.UNITS[kind]}",
                found.columns,
                found.lines,
            )
            print("\n".join(found.sentences).replace("`", ""))
    return 0


def ablation(args: argparse.Namespace) -> int:
    """Print a line for each setting."""
    rows = records.read("experiments")
    for kind in (CLASSES, NUMBERS):
        found = experiment_tables.effects(rows, kind, args.base)
        if found:
            title = (
                f"What a change of {args.base!r} gains, in {experiment_tables.UNITS[kind]}: negative, the change is worse"
            )
            show(title, experiment_tables.EFFECT_COLUMNS, experiment_tables.effect_lines(found))
    return 0


def show(title: str, columns: Iterable[str], lines: Iterable[tuple[str, ...]]) -> None:
    records.show(title, [dict(zip(columns, line, strict=True)) for line in lines])


def speed(args: argparse.Namespace) -> int:
    """CPU seconds of an epoch of the trainer and of a plain torch loop: the same sequences and batch size, one thread.

    No sequence is kept for validation, so that every version and the plain loop train on the same ones.
    """
    import torch
    from shared import rivals
    from shared.experiment_sets import load, uneven
    from tinyrnn.training import trainer

    torch.set_num_threads(1)
    generated = {f"uneven, {count} sequences": count for count in (60, 240)}
    before = records.read("speed", BUILD if (BUILD / "speed.json").exists() else FIGURES)
    rows = {(row["loop"], row["set"]): row for row in before}
    for name in (*generated, "japanese-vowels", "basic-motions"):
        recording = uneven(generated[name]) if name in generated else load(name).recording
        hyperparameters = trainer.default_hyperparameters(recording)
        count, steps = len(recording.train), int(recording.train.lengths.sum())
        seconds = trainer_epoch_s(trainer.fit, recording, replace(hyperparameters, epochs=4), args.units)
        plain = rivals.plain_epoch_s(recording, args.units, hyperparameters.batch)
        for loop, each in ((args.label or DEFAULT, seconds), (PLAIN, plain)):
            values = (loop, name, hyperparameters.batch, count, steps)
            figures = (round(each, 3), round(count / each, 1), round(steps / each))
            rows[loop, name] = dict(zip(records.FIELDS["speed"], (*values, *figures), strict=True))
            records.write("speed", list(rows.values()))
    records.show("CPU time of an epoch in one thread", rows.values())
    return 0


def trainer_epoch_s(fit: Callable[..., Any], recording: Any, hyperparameters: Any, units: int) -> float:
    """CPU seconds between the calls of `progress`, the median."""
    times: list[float] = []
    fit(
        recording,
        units=units,
        hyperparameters=hyperparameters,
        progress=lambda state: times.append(time.process_time()),
    )
    return median(after - before for before, after in itertools.pairwise(times))


def names_of(known: Iterable[str], option: str, **groups: list[str]) -> Callable[[str], list[str]]:
    """The type of an option that takes names with commas, "all", or the name of a group."""
    expected = list(known)

    def parse(text: str) -> list[str]:
        if text in groups:
            return groups[text]
        if text == "all":
            return expected
        for name in (found := text.split(",")):
            if name not in expected:
                raise argparse.ArgumentTypeError(f"{name!r}; expected names of {', '.join(expected)}, or all")
        return found

    parse.__name__ = option
    return parse


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the trainer's defaults on data sets that pip packages carry.")
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="train, and write build/experiments.json")
    settings = names_of([*SETTINGS, RIVAL], "settings")
    run_parser.add_argument(
        "--settings",
        type=settings,
        default=[DEFAULT],
        metavar="NAME,...",
        help=f"of {', '.join([*SETTINGS, RIVAL])}, or all",
    )
    run_parser.add_argument("--label", help="the name in the file, with one of --settings (default: its own)")
    run_parser.add_argument(
        "--sets",
        type=names_of(SETS, "sets", ablation=ABLATION_SETS),
        default=list(SETS),
        metavar="NAME,...",
        help="ablation: those of the ablation (default: all)",
    )
    run_parser.add_argument("--seeds", type=int, default=SEEDS, help=f"number of seeds: 0, 1, ... (default: {SEEDS})")
    run_parser.add_argument("--units", type=int, default=UNITS, help=f"units of the GRU (default: {UNITS})")
    run_parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one for each core)")
    run_parser.add_argument(
        "--again", action="store_true", help="train models again that build/experiments.json already has"
    )
    compare_parser = commands.add_parser("compare", help="a table of two settings in build/experiments.json")
    compare_parser.add_argument("--old", default=OLD)
    compare_parser.add_argument("--new", default=DEFAULT)
    ablation_parser = commands.add_parser("ablation", help="a line for each setting in build/experiments.json")
    ablation_parser.add_argument("--base", default=BASE, help=f"what the others are compared with (default: {BASE})")
    speed_parser = commands.add_parser("speed", help="CPU seconds of an epoch, and write build/speed.json")
    speed_parser.add_argument("--label", help=f"the name of this version in the file (default: {DEFAULT})")
    speed_parser.add_argument("--units", type=int, default=UNITS, help=f"units of the GRU (default: {UNITS})")
    args = parser.parse_args()
    if args.command == "run" and args.label and len(args.settings) > 1:
        parser.error("--label names one of --settings; expected one")
    if args.command == "run" and (args.seeds < 1 or args.units < 1 or args.jobs < 1):
        parser.error("expected 1 or more --seeds, --units and --jobs")
    commands_of: dict[str, Callable[[argparse.Namespace], int]] = {
        "run": run,
        "compare": compare,
        "ablation": ablation,
        "speed": speed,
    }
    return commands_of[args.command](args)


if __name__ == "__main__":
    records.finish(main)
