# SPDX-License-Identifier: MIT
"""Clocks and counters among the columns: by name, and by value."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from tinyrnn.data import clocks
from tinyrnn.data.csv_table import read_table
from tinyrnn.errors import DataError

CLOCKS = """
t, T, ms, us, s, time, Time, TIMESTAMP, timestamp_ms, Timestamp [us], t (s), Time (s), seconds_elapsed
elapsed (s), loggingSample(N), loggingTime(txt), epoch (ms), epoch, unix_time, Zeit, Zeit (s), Uhrzeit, Datum
No, No., Nr., sample, Sample Number, id, ID, index, #, row, frame, SampleTimeFine, PacketCounter, ticks_ms
uptime_ms, unnamed 1, Unnamed: 0, %time, Time since start in ms, date, YYYY-MO-DD HH-MI-SS_SSS, local time
"""
SENSORS = """
ax, temp, temperature, temps, gyro x, tx, sample_rate, x, timer current, usage, count, steps, number, NO2, T_1
t 2, T (°C), s1, total, heart rate, uv index, speed (m/s), device, class id, downtime cost, timing belt
"""


def each(names: str) -> list[str]:
    return re.split(r",\s|\n", names.strip())


@pytest.mark.parametrize("name", each(CLOCKS))
def test_names_of_clocks_and_counters(name: str) -> None:
    assert clocks.is_clock(name)


@pytest.mark.parametrize("name", each(SENSORS))
def test_names_of_sensors(name: str) -> None:
    assert not clocks.is_clock(name)


def test_a_column_that_rises_in_every_file_is_a_counter() -> None:
    rng = np.random.default_rng(0)
    count = np.arange(20.0)[:, None]
    noise = rng.normal(size=(20, 1))
    first, second = np.hstack([count, noise, count]), np.hstack([count * 2 + 5, noise, -count])
    assert clocks.rising([first, second]) == [0]
    assert clocks.rising([first]) == [0, 2]
    assert clocks.rising([first, second[:3]]) == [0]
    assert clocks.rising([first[:7]]) == []  # too few rows to tell
    assert clocks.rising([np.repeat(first, 2, axis=0)]) == []  # a value that repeats does not count rows
    assert clocks.rising([]) == []


def test_a_counter_is_refused_unless_it_is_kept(tmp_path: Path) -> None:
    x = np.column_stack([np.arange(10.0), np.tile([0.0, 1.0], 5)])
    clocks.check_rising(("n", "ax"), [x], ["n"], "d.csv")
    with pytest.raises(DataError) as caught:
        clocks.check_rising(("n", "ax"), [x], [], "d.csv")
    assert str(caught.value) == (
        "d.csv: column 'n' rises in every row from 0 to 9, like a clock or a counter, which is rarely a useful input;"
        ' expected a decision: --drop "n" to leave it out or --keep "n" to use it'
    )
    with pytest.raises(DataError, match=r"--drop '\"a, b\"' to leave it out"):
        clocks.check_rising(("a, b", "ax"), [x, x], [], tmp_path)


def test_each_new_name_is_refused_in_a_table(tmp_path: Path) -> None:
    for name in ("seconds_elapsed", "loggingSample(N)", "epoch (ms)", "Zeit", "No", "sample", "id"):
        (tmp_path / "d.csv").write_text(f"{name},ax\n5,1\n3,2\n")
        with pytest.raises(DataError, match=r"looks like a clock or a row number") as caught:
            read_table(tmp_path / "d.csv").features((), ())
        assert f'--drop "{name}"' in str(caught.value)


def test_units_of_time_columns() -> None:
    units = {"time_ms": 1e-3, "t (s)": 1, "Time (µs)": 1e-6, "seconds_elapsed": 1, "epoch (ms)": 1e-3, "ns": 1e-9}
    assert {name: clocks.unit(name) for name in units} == units
    assert clocks.unit("time [min]") == 60
    assert [clocks.unit(name) for name in ("timestamp", "t", "day", "time_min")] == [None] * 4
