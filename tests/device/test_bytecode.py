# SPDX-License-Identifier: MIT
"""The kernels that are written as byte code at load: what they consist of, and what happens where they cannot be used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.errors import TinyrnnError
from tinyrnn.float_model.random_models import random_float_model
from tinyrnn.integer_model.network import pack
from tinyrnn.quantization.quantizer import quantize
from tinyrnn.runtimes import Runtime, verification

SCRIPT = DEVICE_SCRIPTS / "bytecode.py"


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """``made(inputs, units, outputs)`` returns a folder with a GRU of this size as m.urnn."""

    def make(inputs: int, units: int, outputs: int) -> Path:
        model = random_float_model(np.random.default_rng(units), inputs, (units,), outputs)
        (tmp_path / "m.urnn").write_bytes(pack(quantize(model)))
        return tmp_path

    return make


SHAPES = [(1, 1, 1), (3, 7, 2), (6, 32, 4), (40, 17, 30), (6, 64, 4)]  # inputs, units, outputs


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_row_is_byte_code(micropython: Runtime, made: Callable[..., Path], shape: tuple[int, int, int]) -> None:
    """Products, digits of each base, code in several pieces of 8 kB, and a generator that has ended and starts anew."""
    folder = made(*shape)
    _, units, outputs = shape
    out = micropython.run(SCRIPT, "m.urnn", "ended", cwd=folder, path=[verification.DEVICE], timeout=120).splitlines()
    rows = (3 * units, 3 * units, outputs)
    assert out == [" ".join(f"{n}/{n}" for n in rows), "OK"]


@pytest.mark.parametrize("heapsize", ["120k", "152k"])
def test_a_tight_heap_takes_as_many_rows_as_fit(bounded32: Runtime, made: Callable[..., Path], heapsize: str) -> None:
    folder = made(6, 64, 4)
    out = bounded32.run(SCRIPT, "m.urnn", "whole", cwd=folder, path=[verification.DEVICE], timeout=120, heapsize=heapsize)
    rows, said = out.splitlines()
    assert said == "OK"
    inputs, states, _ = (tuple(map(int, word.split("/"))) for word in rows.split())
    assert inputs == (192, 192)
    assert 0 < states[0] < states[1] == 192


REFUSALS = (
    ("& 255 != 6", "& 255 != 5"),
    ("    mount(_F", "    raise OSError(1)\n    mount(_F"),
    ("x06\\x00", "x07\\x00"),
)


@pytest.mark.parametrize(("there", "instead"), REFUSALS)
def test_firmware_that_takes_none_uses_other_kernels(
    micropython: Runtime, made: Callable[..., Path], there: str, instead: str
) -> None:
    """Firmware of another version, without such a file system, or that refuses the file has one kernel set less."""
    folder = made(2, 3, 2)
    shutil.copytree(verification.DEVICE / "urnn", folder / "urnn")
    module = folder / "urnn" / "kernels_bytecode.py"
    text = module.read_text(encoding="utf-8")
    assert there in text
    module.write_text(text.replace(there, instead), encoding="utf-8")
    script = folder / "list.py"
    script.write_text("import urnn\nprint(urnn.kernel_sets())\n", encoding="utf-8")
    want = [name for name in verification.kernel_sets(micropython) if name != "bytecode"]
    assert micropython.run(script, cwd=folder, timeout=60).strip() == str(want)
    with pytest.raises(TinyrnnError, match="bytecode"):
        micropython.run(SCRIPT, "m.urnn", "whole", cwd=folder, path=[folder], timeout=60)
