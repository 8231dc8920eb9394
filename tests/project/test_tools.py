# SPDX-License-Identifier: MIT
"""The committed figures are those of the tools, satisfy what is promised, and are in the pages and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accuracy
import benchmarks
import pictures
import pytest
import readme
import sizes
from helpers.paths import ROOT
from shared import figure_tables, records
from tinyrnn.cli import comparison_table
from tinyrnn.errors import TinyrnnError
from tinyrnn.float_model import cells as float_cells
from tinyrnn.runtimes import Runtime, kernel_timing, verification

FIELDS = {
    "accuracy": "dataset cell hidden seed float_accuracy_pct int_accuracy_pct agreement_pct",
    "sizes": "part arch bytes",
    "bench": "runtime kernels cell inputs hidden outputs us_step ratio_to_plain "
    "cycles_step cycles_per_mac cycles_fixed bytes_allocated_step",
    "comparison": "runtime kernels cell hidden inputs outputs us_step us_fixed "
    "cycles_step cycles_per_mac cycles_fixed bytes_allocated_step",
}
HEAP_TOLERANCE_BYTES = 64  # a block or two that a stale word on the stack keeps


def committed(name: str) -> list[dict[str, Any]]:
    return json.loads((records.FIGURES / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    rows = committed(name)
    assert rows
    for row in rows:
        assert " ".join(row) == FIELDS[name]
        assert all(value is None or isinstance(value, (str, int, float)) for value in row.values())


@pytest.mark.parametrize("page", readme.PAGES)
def test_pages_have_the_committed_figures(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert readme.fill(text, readme.PAGES[page], page) == text, "run tools/readme.py"


def test_tables_follow_the_figures() -> None:
    names = tuple(figure_tables.TABLES)
    marks = "".join(f"{name}\n<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in names)
    text = readme.fill(marks, names, "page.md")
    assert "old" not in text
    assert readme.fill(text, names, "page.md") == text
    assert f"| {committed('bench')[0]['us_step']:.1f} (" in text
    with pytest.raises(TinyrnnError, match=r"page.md: expected <!-- sizes -->"):
        readme.fill(marks.replace("<!-- sizes -->", ""), names, "page.md")


def test_the_comparison_is_what_the_command_line_writes() -> None:
    case = kernel_timing.random_case(1, 2, 1)
    line = kernel_timing.Line("cpython", "plain", 10.0, 1.0)
    assert tuple(comparison_table._record(line, case)) == records.FIELDS["comparison"]


def test_pictures_follow_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure that changes, changes its picture; the same figures give the same file."""
    theme = pictures.THEMES["light"]
    first = pictures.svg("step-time", theme)
    assert pictures.svg("step-time", theme) == first
    for name in records.FIELDS:
        rows = committed(name)
        for row in rows:
            row.update({key: value * 2 for key, value in row.items() if key == "us_step"})
        records.write(name, rows, tmp_path)
    monkeypatch.setattr(pictures, "FIGURES", tmp_path)
    assert pictures.svg("step-time", theme) != first
    assert pictures.duration(391.6) == "392 µs"
    assert pictures.duration(23476.5) == "23.5 ms"


# ---- sizes


def test_committed_package_sizes_are_those_measured_now() -> None:
    now = sizes.package()
    parts = {row["part"] for row in now}
    assert [row for row in committed("sizes") if row["part"] in parts] == now, "make sizes, readme.py --take"


def test_committed_heap_is_that_measured_now(need_runtime: Callable[[str], Runtime]) -> None:
    need_runtime(sizes.HEAP_RUNTIME)
    then = {(row["part"], row["arch"]): row["bytes"] for row in committed("sizes")}
    for row in sizes.heap():
        was = then[row["part"], row["arch"]]
        assert abs(row["bytes"] - was) <= HEAP_TOLERANCE_BYTES, f"{row} was {was}: make sizes, readme.py --take"


def test_size_limits() -> None:
    assert (sizes.LIMIT_BYTES, sizes.HEAP_LIMIT_BYTES) == (13312, 3072)
    rows = committed("sizes")
    size = {(row["part"], row["arch"]): row["bytes"] for row in rows}
    totals = {arch: size["urnn_total", arch] for arch in sizes.BOARD_ARCHS}
    assert {arch: total for arch, total in totals.items() if total > sizes.LIMIT_BYTES} == {}
    for kernels in ("plain", "viper"):
        assert size[f"load_heap_{kernels}", "x86"] <= size["model_file", "any"] + 3072
    assert sizes.broken_limits(rows) == []


def test_a_broken_size_limit_is_said() -> None:
    rows = [dict(row) for row in committed("sizes")]
    for row in rows:
        if (row["part"], row["arch"]) == ("urnn_total", "armv6m"):
            row["bytes"] = 13313
        if row["part"] == "load_heap_viper":
            row["bytes"] = 20000
    said = "\n".join(sizes.broken_limits(rows))
    assert "armv6m is 13313 bytes; expected at most 13312" in said
    assert "load_heap_viper is 20000" in said


# ---- accuracy


@pytest.mark.parametrize("dataset", accuracy.DATASETS)
def test_accuracy_is_as_promised(dataset: str) -> None:
    rows = [row for row in committed("accuracy") if (row["dataset"], row["cell"]) == (dataset, "gru")]
    assert [(row["cell"], row["hidden"], row["seed"]) for row in rows] == [("gru", 32, seed) for seed in range(5)]
    mean = {
        key: sum(row[key] for row in rows) / len(rows) for key in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
    }
    assert mean["float_accuracy_pct"] >= 97
    if dataset == "japanese-vowels":
        assert abs(mean["float_accuracy_pct"] - mean["int_accuracy_pct"]) <= 0.3
        assert max(abs(row["float_accuracy_pct"] - row["int_accuracy_pct"]) for row in rows) <= 0.6
        assert mean["agreement_pct"] >= 99.5


def test_every_cell_keeps_its_accuracy() -> None:
    """The integer models within half a point of the float models on the mean; GRU and LSTM decide as they do."""
    committed_rows = committed("accuracy")
    for cell in dict.fromkeys(str(row["cell"]) for row in committed_rows):
        rows = [row for row in committed_rows if (row["cell"], row["dataset"]) == (cell, "japanese-vowels")]
        assert [(row["hidden"], row["seed"]) for row in rows] == [(32, seed) for seed in range(5)]
        floats, ints, agree = (
            sum(float(row[key]) for row in rows) / len(rows)
            for key in ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
        )
        assert abs(floats - ints) <= 0.5, cell
        assert agree >= (99 if cell.startswith(("lstm", "gru")) else 98), cell


def test_accuracy_summary() -> None:
    row = {"dataset": "d", "cell": "gru", "hidden": 1, "seed": 0}
    figures = ("float_accuracy_pct", "int_accuracy_pct", "agreement_pct")
    rows: list[records.Record] = [
        {**row, **dict(zip(figures, values, strict=True))} for values in ((90.0, 91.0, 99.0), (94.0, 92.0, 97.0))
    ]
    first, second = accuracy.summary(rows)
    assert first.endswith("float 92.00 (deviation 2.83), integer 91.50, agreement 98.00 %")
    assert second.endswith("float 90.00, integer 91.00, agreement 97.00 %, integer and float 2.00 points apart")


# ---- bench


def test_bench_is_as_promised() -> None:
    rows = committed("bench")
    assert benchmarks.broken_limits(rows) == []
    judged = {
        (row["kernels"], row["inputs"])
        for row in rows
        if (row["runtime"], row["cell"], row["hidden"]) == ("unix-i386", "gru", 32)
    }
    kinds = ("viper", "bytecode", "unrolled", "plain", "float")
    assert judged == {(kernels, inputs) for kernels in kinds for inputs in (6, 12)}


def test_bench_has_every_cell_and_the_cycles() -> None:
    rows = committed("bench")
    for runtime in benchmarks.WITH_ALL_CELLS:
        assert {row["cell"] for row in rows if row["runtime"] == runtime} == set(accuracy.ARCHITECTURES)
    for row in rows:
        chip = row["runtime"] == benchmarks.CHIP
        counted = [row[field] is not None for field in ("cycles_step", "cycles_per_mac", "cycles_fixed")]
        assert counted == [chip, chip, chip and row["cell"] in float_cells.names()]
        if row["kernels"] != "float" and row["runtime"] != "cpython":
            assert row["bytes_allocated_step"] == 0


def test_bench_says_which_ratio_is_broken() -> None:
    row = {"runtime": "unix-i386", "cell": "gru", "inputs": 6, "hidden": 32, "outputs": 4, "us_step": 1.0}
    slow = [
        {**row, "kernels": "viper", "ratio_to_plain": 14.9},
        {**row, "kernels": "float", "ratio_to_plain": 1.0},
    ]
    assert len(benchmarks.broken_limits(slow)) == 2


def test_bench_runs_and_checks_its_answers(micropython: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_timing, "BATCH_MS", 20)  # webassembly's clock ticks in milliseconds
    rows = benchmarks.measure(micropython, kernel_timing.random_case(2, 4, 3))
    kernels = [*verification.kernel_sets(micropython), "float"]
    assert [row["kernels"] for row in rows] == kernels
    assert next(row for row in rows if row["kernels"] == "plain")["ratio_to_plain"] == 1


# ---- records


def test_records_with_other_fields_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TinyrnnError, match="expected part, arch, bytes"):
        records.write("sizes", [{"part": "x", "bytes": 1}], tmp_path)
    assert list(tmp_path.iterdir()) == []
    good: list[records.Record] = [{"part": "x", "arch": "any", "bytes": 1}]
    assert records.read("sizes", records.write("sizes", good, tmp_path).parent) == good
    (tmp_path / "sizes.json").write_text("[{")
    with pytest.raises(TinyrnnError, match="not JSON"):
        records.read("sizes", tmp_path)
    with pytest.raises(TinyrnnError, match="make bench"):
        records.read("bench", tmp_path)
