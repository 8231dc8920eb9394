# SPDX-License-Identifier: MIT
"""The estimate of a step's time: the model and its fit. There is no estimate without a measurement."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import costmodel
import numpy as np
import pytest
from tinyrnn import cli
from tinyrnn.board import catalogue, step_time
from tinyrnn.errors import BoardError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import Network
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import kernel_timing

PICO = catalogue.get("rpi-pico")


def network(cells: str | tuple[str, ...] = "gru", units: tuple[int, ...] = (16,), rank: int = 0) -> Network:
    return quantize(random_float_model(np.random.default_rng(0), 6, units, 4, cells, rank=rank))


def test_the_board_has_each_kernel_set_within_the_limit() -> None:
    found = step_time.estimates(network(), PICO)
    assert not isinstance(found, str)
    assert [each.kernels for each in found] == ["asm_thumb", "viper", "bytecode", "unrolled", "plain"]
    for each in found:
        assert 0 < each.error_pct <= costmodel.LIMIT_PCT
        assert each.us == pytest.approx(each.cycles / 125)


def test_the_estimate_follows_the_cycle_model() -> None:
    model = {"fixed": 1000, "mac": 2, "unit": 30, "input": 5, "layer": 7, "largest_macs": 2000, "error_pct": 4}
    board = replace(PICO, cost={"viper": {"gru": {**model, "source": "here"}}})
    macs = 16 * (3 * 22 + 4)
    cycles = 1000 + 2 * macs + 30 * 16 + 5 * 6 + 7
    assert step_time.estimates(network(), board) == [step_time.Estimate("viper", cycles, cycles / 125, 4.0, "here")]
    two = step_time.estimates(network(units=(16, 8)), board)
    assert not isinstance(two, str)
    assert step_time.estimates(network(units=(40,)), board) == "not measured for networks as large as this"
    assert two[0].cycles == 1000 + 2 * (16 * 66 + 8 * 72 + 8 * 4) + 30 * 24 + 5 * 6 + 7 * 2


def test_the_same_chip_has_the_same_figures() -> None:
    pico, same = (step_time.estimates(network(), board) for board in (PICO, catalogue.get("rpi-pico-w")))
    assert not isinstance(pico, str)
    assert same == [replace(each, source=f"same chip as rpi-pico: {each.source}") for each in pico]
    for board in catalogue.known().values():
        if board.key not in ("rpi-pico", "rpi-pico-w"):
            assert step_time.estimates(network(), board) == "not measured on this chip", board.key


@pytest.mark.parametrize("other", [network(("gru", "lstm"), (8, 8)), network(rank=2)], ids=["two-kinds", "low-rank"])
def test_no_estimate_of_what_was_not_measured(other: Network) -> None:
    assert "not measured for these cells" in step_time.estimates(other, PICO)


def test_wrong_figures_are_refused_in_one_line() -> None:
    board = replace(PICO, cost={"viper": {"gru": {"fixed": 1, "mac": "many", "unit": 1}}})
    with pytest.raises(BoardError, match=r"rpi-pico: \[cost.viper\] is .*; expected fixed, mac") as seen:
        step_time.estimates(network(), board)
    assert "\n" not in str(seen.value)


def test_the_fit_finds_the_coefficients() -> None:
    model = step_time.CycleModel(3000.0, 4.5, 200.0, 40.0, 90.0)
    cases = costmodel.networks("gru", "viper")[0]
    points = [costmodel.Point(case, model.cycles(case.macs, case.hidden, case.inputs, case.layers)) for case in cases]
    found = costmodel.fit(points)
    assert [getattr(found, name) for name in step_time.COEFFICIENTS] == pytest.approx([3000, 4.5, 200, 40, 90])
    assert costmodel.error_pct(found, replace(points[0], cycles=points[0].cycles / 2)) == pytest.approx(100)


@pytest.mark.parametrize("kernels", ["asm_thumb", "plain"])
def test_some_networks_are_left_for_prediction(kernels: str) -> None:
    fitted, unseen = costmodel.networks("gru", kernels)
    assert len(unseen) == 10
    assert not {case.title for case in fitted} & {case.title for case in unseen}


def test_write_keeps_older_measurements(tmp_path: Path) -> None:
    path = tmp_path / "rpi-pico.toml"
    old = costmodel.BOARD.read_text(encoding="utf-8").partition(costmodel.MARK)[0].partition("\n[[measured]]")[0]
    measured = '\n[[measured]]\nmodel = "a.urnn"\n'
    path.write_text(old.rstrip("\n") + "\n" + measured, encoding="utf-8")
    first, second = (costmodel.Fitted(step_time.CycleModel(fixed, 2, 3, 4, 5), 6, 7.0) for fixed in (1, 100))
    costmodel.write({"viper": {"gru": first}, "plain": {"gru": first}}, "then", path)
    costmodel.write({"viper": {"gru": second, "rnn": second}}, "now", path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith(old.rstrip("\n") + "\n" + costmodel.MARK)
    assert text.endswith(measured)
    assert text.count("[[measured]]") == 1
    seen = catalogue.load(path).cost
    assert {name: {cell: (table["fixed"], table["source"]) for cell, table in seen[name].items()} for name in seen} == {
        "viper": {"gru": (100, "now"), "rnn": (100, "now")},
        "plain": {"gru": (1, "then")},
    }


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.urnn"
    path.write_bytes(kernel_timing.random_case(6, 16, 4).data)
    assert cli.main(["info", str(path), "--board", "rpi-pico"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"a step, estimated: \d+ us with asm_thumb \(\+-\d %\), \d+ us with viper", out)
    assert cli.main(["info", str(path), "--board", "rpi-pico-2"]) in (0, 8)
    assert "a step: not measured on this chip" in capsys.readouterr().out
    assert cli.main(["info", str(path), "--board", "all"]) == 0
    assert "us (asm_thumb)" in capsys.readouterr().out
    assert cli.main(["info", str(path), "--board", "rpi-pico", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)[0]["step"]
    assert [step["kernels"] for step in steps][:2] == ["asm_thumb", "viper"]
