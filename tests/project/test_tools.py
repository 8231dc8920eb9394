# SPDX-License-Identifier: MIT
"""What the tools measure satisfies the limits, equals the committed figures, and is in the pages and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import accuracy
import benchmarks
import pictures
import pytest
import readme
import sizes
from shared import figure_tables, records
from shared.architectures import ARCHITECTURES
from shared.paths import FIGURES, ROOT
from tinyrnn.cli import comparison_table
from tinyrnn.errors import TinyrnnError
from tinyrnn.runtimes import Runtime, kernel_timing, verification

HEAP_TOLERANCE_BYTES = 64  # a block or two that a stale word on the stack keeps


def committed(name: str) -> list[records.Record]:
    return records.read(name, FIGURES)


@pytest.mark.parametrize("page", readme.PAGES)
def test_pages_have_the_committed_figures(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert readme.fill(text, readme.PAGES[page], page) == text, "run tools/readme.py"


def test_tables_follow_the_figures() -> None:
    names = tuple(figure_tables.TABLES)
    marks = "".join(f"{name}\n<!-- {name} -->\nto be replaced\n<!-- /{name} -->\n" for name in names)
    text = readme.fill(marks, names, "page.md")
    assert "to be replaced" not in text
    assert readme.fill(text, names, "page.md") == text
    assert f"| {committed('bench')[0]['us_step']:.1f} (" in text
    with pytest.raises(TinyrnnError, match=r"page.md: expected <!-- sizes -->"):
        readme.fill(marks.replace("<!-- sizes -->", ""), names, "page.md")


def test_the_comparison_is_what_the_command_line_writes() -> None:
    case = kernel_timing.random_case(1, 2, 1)
    line = kernel_timing.Line("cpython", "plain", 10.0, 1.0)
    assert tuple(comparison_table._record(line, case)) == records.FIELDS["comparison"]


def test_pictures_follow_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed figure changes its picture. The same figures give the same file."""
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


def test_package_sizes_are_the_committed_ones_and_within_the_limits() -> None:
    now = sizes.package()
    assert sizes.broken_limits(now) == []
    parts = {row["part"] for row in now}
    assert [row for row in committed("sizes") if row["part"] in parts] == now, "make sizes, readme.py --take"


def test_heap_is_the_committed_one_and_within_the_limits(need_runtime: Callable[[str], Runtime]) -> None:
    need_runtime(sizes.HEAP_RUNTIME)
    then = {(row["part"], row["arch"]): row["bytes"] for row in committed("sizes")}
    now = sizes.heap()
    assert sizes.broken_limits(now) == []
    for row in now:
        was = then[row["part"], row["arch"]]
        assert abs(row["bytes"] - was) <= HEAP_TOLERANCE_BYTES, f"{row} was {was}: make sizes, readme.py --take"


def test_a_broken_size_limit_is_reported() -> None:
    total = {"part": "urnn_total", "arch": "armv6m", "bytes": 13312}
    file = {"part": "model_file", "arch": "any", "bytes": 5000}
    heap = {"part": "load_heap_viper", "arch": "x86", "bytes": 8072}
    assert sizes.broken_limits([total, file, heap]) == []
    assert sizes.broken_limits([total | {"bytes": 13313}, file, heap | {"bytes": 8073}]) == [
        "urnn_total for armv6m is 13313 bytes; expected at most 13312",
        "load_heap_viper is 8073 bytes; expected at most 8072: file + 3072",
    ]


# ---- accuracy


def accuracy_rows(dataset: str, cell: str, floats: float, ints: float, agreement: float) -> list[records.Record]:
    figures = {"float_accuracy_pct": floats, "int_accuracy_pct": ints, "agreement_pct": agreement}
    return [{"dataset": dataset, "cell": cell, "hidden": 32, "seed": seed} | figures for seed in range(5)]


@pytest.mark.slow
def test_a_trained_model_keeps_its_accuracy() -> None:
    """One seed of five, so its limits are a little wider than those of the means."""
    row = accuracy.measure("japanese-vowels", "gru", 0, accuracy.UNITS)
    assert float(row["float_accuracy_pct"]) >= 96
    assert abs(float(row["float_accuracy_pct"]) - float(row["int_accuracy_pct"])) <= 0.6
    assert float(row["agreement_pct"]) >= 99


@pytest.mark.parametrize(
    ("dataset", "cell", "figures", "said"),
    [
        ("japanese-vowels", "gru", (97.0, 96.8, 99.5), []),
        ("japanese-vowels", "gru", (96.9, 96.9, 99.5), ["float accuracy is 96.90; expected 97.0 at least"]),
        ("japanese-vowels", "gru", (98.0, 97.6, 99.5), ["distance of the means is 0.40; expected 0.3 at most"]),
        ("japanese-vowels", "gru", (98.0, 98.0, 99.4), ["agreement is 99.40; expected 99.5 at least"]),
        ("japanese-vowels", "lstm", (90.0, 90.5, 99.0), []),
        ("japanese-vowels", "lstm", (90.0, 90.0, 98.9), ["agreement is 98.90; expected 99.0 at least"]),
        ("japanese-vowels", "rnn", (90.0, 90.0, 98.0), []),
        ("japanese-vowels", "rnn", (90.0, 90.6, 98.0), ["distance of the means is 0.60; expected 0.5 at most"]),
        ("basic-motions", "gru", (97.0, 90.0, 90.0), []),
        ("basic-motions", "gru", (96.0, 96.0, 99.9), ["float accuracy is 96.00; expected 97.0 at least"]),
    ],
)
def test_a_broken_accuracy_limit_is_reported(
    dataset: str, cell: str, figures: tuple[float, float, float], said: list[str]
) -> None:
    rows = accuracy_rows(dataset, cell, *figures)
    assert accuracy.broken_limits(rows) == [f"{dataset}, {cell}: {line}" for line in said]


def test_limits_of_accuracy_are_for_all_seeds_of_one_size() -> None:
    rows = accuracy_rows("japanese-vowels", "gru", 50.0, 40.0, 60.0)
    assert len(accuracy.broken_limits(rows)) == 4
    assert accuracy.broken_limits(rows[:4]) == []
    assert accuracy.broken_limits([row | {"hidden": 8} for row in rows]) == []


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


def test_bench_measures_every_cell() -> None:
    for runtime in benchmarks.WITH_ALL_CELLS:
        assert {case.cell for case in benchmarks.cases(runtime)} == set(ARCHITECTURES)
    assert {(case.cell, case.inputs, case.hidden) for case in benchmarks.cases("unix-x64")} == {
        ("gru", inputs, hidden) for inputs, hidden, _ in benchmarks.SIZES
    }


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
    assert {row["bytes_allocated_step"] for row in rows if row["kernels"] != "float"} == {0}


# ---- records


def test_figures_that_break_a_limit_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = accuracy_rows("japanese-vowels", "gru", 50.0, 50.0, 100.0)
    records.write("accuracy", rows, tmp_path)
    monkeypatch.setattr(readme, "BUILD", tmp_path)
    monkeypatch.setattr(readme, "FIGURES", tmp_path / "figures")
    with pytest.raises(
        TinyrnnError, match=r"build/accuracy\.json breaks limits and is not taken:\n.*float accuracy is 50\.00"
    ):
        readme.take()
    assert not (tmp_path / "figures").exists()


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
