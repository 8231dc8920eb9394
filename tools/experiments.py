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
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields, replace
from statistics import mean, median, stdev
from typing import Any

from shared import records
from shared.experiment_sets import SETS
from shared.paths import BUILD, ROOT
from shared.records import Record, TinyrnnError

UNITS, SEEDS = 16, 5
DEFAULT, OLD = "default", "old"
RIVAL = "tuned torch GRU"
BASELINES = ("most frequent class", "last value", "season before")


class Times:
    """The default multiplied by a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, value: float) -> float:
        return value * self.factor


# Name -> the fields of Hyperparameters that differ from the default of the recording, as a value or a function of it
SETTINGS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "no noise": {"noise": 0.0},
    "twice the noise": {"noise": Times(2)},
    "no offsets and gains": {"jitter": 0.0},
    "no dropout": {"dropout": 0.0},
    "twice the dropout": {"dropout": Times(2)},
    "no label smoothing": {"smoothing": 0.0},
    "loss on the last step only": {"early": 0.0},
    "no weight decay": {"weight_decay": 0.0},
    "half the learning rate": {"lr": Times(0.5)},
    "twice the learning rate": {"lr": Times(2)},
}


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
    epoch: int | None = None
    started = time.process_time()
    if settings == RIVAL:
        train, held = validation_split(complete)
        rival = with_parts(complete, train=chosen_of(complete.train, train))
        output, seconds = rivals.tuned(rival, chosen_of(complete.train, held), units, seed)
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
    what = "accuracy_pct" if complete.task == "classification" else "rmse"
    values = (label, name, seed, what, value, integers, epoch, round(seconds, 2))
    return dict(zip(records.FIELDS["experiments"], values, strict=True))


def changed(hyperparameters: Any, settings: str) -> Any:
    """The hyperparameters with the changes of SETTINGS. Raises TinyrnnError for a field that this version has not."""
    known = {field.name for field in fields(hyperparameters)}
    changes: dict[str, Any] = {}
    for key, value in SETTINGS[settings].items():
        if key not in known:
            raise TinyrnnError(f"{settings}: this version's hyperparameters have no {key}; expected {', '.join(known)}")
        changes[key] = value(getattr(hyperparameters, key)) if callable(value) else value
    return replace(hyperparameters, **changes)


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
        return dict(zip(records.FIELDS["experiments"], (label, name, 0, what, value, None, None, 0.0), strict=True))

    if recording.task == "classification":
        counts = np.bincount(np.asarray(recording.train.y))
        yield record(BASELINES[0], "accuracy_pct", round(100 * float(np.mean(y == counts.argmax())), 4))
    for label, forecast in zip(BASELINES[1:], (loaded.last_value, loaded.seasonal), strict=True):
        if forecast is not None:
            yield record(label, "rmse", figure("regression", forecast, y))


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
                if args.again or (label, name, seed) not in have:
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
    if not (BUILD / "experiments.json").exists():
        return {}
    return {key_of(record): record for record in records.read("experiments")}


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


def of(rows: Iterable[Record], settings: str, name: str, field: str = "value") -> dict[int, float]:
    """seed -> figure."""
    return {
        row["seed"]: row[field]
        for row in rows
        if (row["settings"], row["set"]) == (settings, name) and row[field] is not None
    }


def gain(what: str, new: float, old: float) -> float:
    """Positive if new is better: points of accuracy, or percent of the old RMSE."""
    return new - old if what == "accuracy_pct" else 100 * (old - new) / old


def compare(args: argparse.Namespace) -> int:
    """Print a line for each set, and the counts."""
    rows = records.read("experiments")
    table, counts, beaten = comparison(rows, args.old, args.new)
    records.show(f"{args.old} against {args.new}: mean and deviation of the seeds (accuracy in %, RMSE)", table)
    print(f"{args.new}: mean better on {counts[0]} sets, equal on {counts[1]}, worse on {counts[2]}")
    print(f"forecasts: {beaten}")
    return 0


def comparison(rows: list[Record], old: str, new: str) -> tuple[list[Record], tuple[int, int, int], str]:
    """The lines of the table; sets (better, equal, worse); a sentence about the last value."""
    table: list[Record] = []
    better = equal = worse = 0
    rival_beats = both = 0
    missed = []
    for name in SETS:
        first, second = of(rows, old, name), of(rows, new, name)
        seeds = sorted(set(first) & set(second))
        if not seeds:
            continue
        what = next(row["figure"] for row in rows if row["set"] == name)
        a, b = [first[seed] for seed in seeds], [second[seed] for seed in seeds]
        difference = gain(what, mean(b), mean(a))
        better, equal, worse = better + (difference > 1e-9), equal + (abs(difference) <= 1e-9), worse + (difference < -1e-9)
        ints = of(rows, new, name, "int_value")
        rival = of(rows, RIVAL, name)
        plain = [value for label in BASELINES for value in of(rows, label, name).values()]
        table.append(
            {
                "set": name,
                "seeds": str(len(seeds)),
                old: spread(a),
                new: spread(b),
                "gain": f"{difference:+.2f}" + (" points" if what == "accuracy_pct" else " %"),
                "integer": spread(list(ints.values())) if ints else "-",
                RIVAL: spread(list(rival.values())) if rival else "-",
                "without a model": ", ".join(digits(value) for value in plain),
            }
        )
        last = of(rows, BASELINES[1], name)
        if last and rival and mean(rival.values()) < last[0]:
            rival_beats += 1
            both += mean(b) < last[0]
            missed += [name] if mean(b) >= last[0] else []
    sentence = f"the {RIVAL} beats the last value on {rival_beats}, {new} on {both} of these"
    return table, (better, equal, worse), sentence + (f"; not on {', '.join(missed)}" if missed else "")


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation."""
    if len(values) < 2:
        return digits(values[0])
    return f"{digits(mean(values))} ± {digits(stdev(values))}"


def digits(value: float) -> str:
    return f"{value:.4g}"


def ablation_table(rows: list[Record], base: str = DEFAULT) -> list[Record]:
    """A line for each setting: what the default gains over it, over the sets and seeds that both have."""
    table = []
    for settings in SETTINGS:
        if settings == base:
            continue
        line: Record = {"settings": settings}
        for what, unit in (("accuracy_pct", "accuracy, points"), ("rmse", "RMSE, %")):
            changes = []
            for name in SETS:
                first, second = of(rows, base, name), of(rows, settings, name)
                seeds = set(first) & set(second)
                if seeds and any(row["set"] == name and row["figure"] == what for row in rows):
                    changes.append(gain(what, mean(second[s] for s in seeds), mean(first[s] for s in seeds)))
            line[unit] = f"{mean(changes):+.2f}" if changes else "-"
            line[f"{unit.split(',')[0]}: better/worse"] = (
                f"{sum(c > 1e-9 for c in changes)}/{sum(c < -1e-9 for c in changes)} of {len(changes)}" if changes else "-"
            )
        if set(line.values()) != {settings, "-"}:
            table.append(line)
    return table


def ablation(args: argparse.Namespace) -> int:
    rows = records.read("experiments")
    records.show("What a change of the default gains (a negative number: the default is better)", ablation_table(rows))
    return 0


def speed(args: argparse.Namespace) -> int:
    """CPU seconds of an epoch of the trainer and of a plain torch loop, same data, same batch, one thread."""
    import torch
    from shared import rivals
    from shared.experiment_sets import keep_validation, load, uneven
    from tinyrnn.training import trainer

    torch.set_num_threads(1)
    rows = {(row["loop"], row["set"]): row for row in (records.read("speed") if (BUILD / "speed.json").exists() else [])}
    for name in ("uneven", "japanese-vowels", "basic-motions"):
        complete = uneven() if name == "uneven" else load(name).recording
        recording = keep_validation(complete)
        hyperparameters = trainer.default_hyperparameters(recording)
        count, steps = len(recording.train), int(recording.train.lengths.sum())
        seconds = trainer_epoch_s(trainer.fit, recording, replace(hyperparameters, epochs=4), args.units)
        plain = rivals.plain_epoch_s(recording, args.units, hyperparameters.batch)
        for loop, each in ((args.label or DEFAULT, seconds), ("plain torch loop", plain)):
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


def names_of(known: Iterable[str], option: str) -> Callable[[str], list[str]]:
    """The type of an option that takes names with commas, or "all"."""
    expected = list(known)

    def parse(text: str) -> list[str]:
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
        "--sets", type=names_of(SETS, "sets"), default=list(SETS), metavar="NAME,...", help="default: all"
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
    commands.add_parser("ablation", help="a line for each setting in build/experiments.json")
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
