# SPDX-License-Identifier: MIT
"""The documents against the code: examples, equation numbers, figures, tags, the hex dump, the API.

As a script, it prints what the documents contain: `test_docs.py errors`, `test_docs.py dump`.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest
import urnn
from shared.paths import ROOT
from tinyrnn.integer_model import cells as integer_cells
from tinyrnn.integer_model import network, simulator
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Channels, Network, Vectors, pack
from urnn import fixed, kernels_plain
from urnn import format as frame

EQUATIONS = 37


def doc(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def matrix(weight: list[list[int]], bias: list[int], shift: list[int]) -> Matrix:
    return Matrix(np.array(weight, np.int8), np.array(bias, np.int32), np.array(shift, np.uint8))


def tiny() -> Network:
    """The model of docs/format.md: one channel, one unit, two classes, every section."""
    return Network(
        task="classification",
        when="last",
        input=Channels(*(np.array([v], np.int32) for v in (-8, 7, 1, 4096, 1))),
        cells=(
            GRU(
                matrix([[64], [-32], [127]], [512, 512, 512], [10, 10, 10]),
                matrix([[16], [0], [-100]], [64, 4096, 64], [7, 7, 7]),
            ),
        ),
        head=matrix([[100], [-100]], [0, 5], [0, 1]),
        exponents=np.array([-20, -20], np.int8),
        labels=("no", "yes"),
        channels=("a",),
        input_exponents=np.array([0], np.int8),
        name="tiny",
        vectors=Vectors(np.array([[3], [-2]], np.int32), np.array([-470400, 235202]), np.array([-4704])),
    )


def errors() -> list[tuple[str, float, float]]:
    """(function, largest error, mean error) over all inputs, in units of 2^-15."""
    a = np.arange(-32767, 32768)
    real = {"tanh": np.tanh(a / 4096) * 32768, "sigmoid": 32768 / (1 + np.exp(-a / 4096))}
    found = [(name, np.abs(getattr(simulator, name)(a) - want)) for name, want in real.items()]
    return [(name, float(error.max()), float(error.mean())) for name, error in found]


def dump(data: bytes) -> list[str]:
    """Lines of sixteen bytes: the offset in hex, then the bytes."""
    return [f"{at:04x}  {data[at : at + 16].hex(' ')}" for at in range(0, len(data), 16)]


EXAMPLE = re.compile(r"\b(rshift|saturate|tanh|sigmoid)\(([-\d, ]+)\) (?:==|=) (-?\d+)")


@pytest.mark.parametrize("source", ["fixed.py", "numerics.md"])
def test_scalar_examples(source: str) -> None:
    """Each worked example, in the docstrings of fixed.py and in docs/numerics.md."""
    text = (
        doc(source)
        if source.endswith(".md")
        else "\n".join(getattr(fixed, name).__doc__ for name in ("rshift", "saturate", "tanh", "sigmoid"))
    )
    found = EXAMPLE.findall(text)
    assert {name for name, _, _ in found} == {"rshift", "saturate", "tanh", "sigmoid"}
    for name, arguments, want in found:
        got = getattr(fixed, name)(*ast.literal_eval(f"({arguments},)"))
        assert got == int(want), f"{source} says {name}({arguments}) is {want}, the code says {got}"


def test_normalise_example() -> None:
    said = re.search(
        r"low=(-?\d+) high=(-?\d+) offset=(-?\d+) factor=(\d+) shift=(\d+): sample (-?\d+) -> (-?\d+)",
        kernels_plain.normalise.__doc__,
    )
    assert said, "the docstring of normalise() has lost its worked example"
    *fields, sample, want = (int(v) for v in said.groups())
    table = Channels(*(np.array([v], np.int32) for v in fields)).to_bytes()
    x = array("i", [0])
    kernels_plain.normalise(table, (sample,), x, 1)
    assert x[0] == want
    assert f"the sample {sample} gives" in doc("numerics.md")


def test_matvec_example() -> None:
    said = re.search(r"bias=(-?\d+) shift=(\d+) w=(\(.*?\)) x=(\(.*?\)): .* = (-?\d+)", kernels_plain.matvec.__doc__)
    assert said, "the docstring of matvec() has lost its worked example"
    bias, shift, w, x, want = (ast.literal_eval(v) for v in said.groups())
    y = array("i", [0] * 4)
    kernels_plain.matvec(matrix([list(w)], [bias], [shift]).to_bytes(), array("i", x), y, 1)
    assert y[0] == want
    assert f"bias = {bias}, shift = {shift}, w = {w}, x = {x}" in doc("numerics.md")


def test_gru_example() -> None:
    said = re.search(r"all of a and b 0, h=(\d+): r = z = (\d+), n = (\d+), h -> (\d+)", kernels_plain.gru.__doc__)
    assert said, "the docstring of gru() has lost its worked example"
    h0, gate, n, want = (int(v) for v in said.groups())
    assert (fixed.sigmoid(0), fixed.tanh(0)) == (gate, n)
    h = array("i", [h0, 0, 0, 0])
    kernels_plain.gru(array("i", [0] * 4), array("i", [0] * 4), h, 1)
    assert h[0] == want
    assert f"h = {h0}: r = z = {gate}, n = {n}" in doc("numerics.md")


def test_equation_numbers() -> None:
    """The document numbers its equations without a gap, and the code cites only these."""
    assert [int(n) for n in re.findall(r"^\*\*\((\d+)\)", doc("numerics.md"), re.M)] == list(range(1, EQUATIONS + 1))
    cited = set()
    for path in [*ROOT.glob("device/urnn/*.py"), *ROOT.glob("host/tinyrnn/**/*.py"), *ROOT.glob("tools/*.py")]:
        for numbers in re.findall(r"(?:equation|Equation)s? (\d+(?:(?:, | and | to )\d+)*)", path.read_text()):
            cited |= {int(n) for n in re.findall(r"\d+", numbers)}
    assert {1, 2, 3, 4, 7, 8, 9, 12} <= cited <= set(range(1, EQUATIONS + 1))


def test_errors_of_the_table() -> None:
    """The figures of docs/numerics.md. The table's function never decreases and stays in its range."""
    for name, largest, mean in errors():
        assert re.search(rf"^\| {name} \| {largest:.3f} .*\| {mean:.3f} \|", doc("numerics.md"), re.M), (name, largest, mean)
    a = np.arange(-32767, 32768)
    assert (np.diff(simulator.tanh(a)) >= 0).all()
    s = simulator.sigmoid(a)
    assert (np.diff(s) >= 0).all()
    assert (s.min(), s.max()) == (11, 32757)
    assert set((s + s[::-1]).tolist()) == {32768, 32769}
    assert [fixed.tanh(v) for v in a.tolist()] == simulator.tanh(a).tolist()
    assert [fixed.sigmoid(v) for v in a.tolist()] == s.tolist()


def test_worst_cases_stay_in_the_31_bit_range() -> None:
    """The numbers that docs/numerics.md derives from the ranges lie within the 31-bit range."""
    text = doc("numerics.md").replace(" ", "")
    top = 32767
    worst = [1024 * 127 + 64, 1024 * 255 + 128, 32757 * top + 16384, 32768 * top + 16384, 258 * 127 * top]
    for value in worst:
        assert value < network.LIMIT
        assert str(value) in text
    assert 259 * 127 * top >= network.LIMIT
    assert (32768 * top + 16384) >> 15 == top
    assert (-32768 * top + 16384) >> 15 == -top
    # Every corner of equation 12, not only the outermost
    z = np.arange(11, 32758, dtype=np.int64)
    for n in (-top, top):
        for h in (-top, top):
            v = (32768 - z) * n + z * h
            assert np.abs(v).max() + 16384 < network.LIMIT
            assert np.abs((v + 16384) >> 15).max() <= top


def test_tags() -> None:
    """The table of sections has what the packer writes and what the loader knows."""
    listed = re.findall(r"^\| `([A-Z_a-z]+)` \|", doc("format.md"), re.M)
    others = set(integer_cells.known()) - {b"GRU"} | {b"PRODUCTS", b"HEAD", b"near"}
    written = [tag for tag, _, _ in frame.unseal(pack(tiny())) if tag != b"GRU"]
    assert [tag for tag in map(str.encode, listed) if tag not in {*others, b"GRU"}] == written
    assert others < set(map(str.encode, listed))
    source = (ROOT / "host/tinyrnn/integer_model/network.py").read_text() + (ROOT / "device/urnn/__init__.py").read_text()
    source += "".join(path.read_text() for path in (ROOT / "device/urnn").glob("*.py") if "def cell(" in path.read_text())
    in_code = {tag.encode() for tag in re.findall(r'\bb"([A-Z_]{3,}|[a-z]{4})"', source)}
    assert in_code == {tag.encode() for tag in listed}


def test_versions() -> None:
    assert f"version, now {frame.VERSION}" in doc("format.md")
    assert f"arithmetic, now {frame.ARITHMETIC}" in doc("format.md")
    assert f"`device/urnn/format.py`, now {frame.ARITHMETIC})" in doc("numerics.md")


def test_hex_dump() -> None:
    """The dump is the packed model, byte for byte, and the model passes its own vectors."""
    data = pack(tiny())
    said = re.findall(r"^([0-9a-f]{4}  (?:[0-9a-f]{2} ?)+?)(?:\s*;.*)?$", doc("format.md"), re.M)
    assert bytes.fromhex("".join(line[6:] for line in said)) == data
    offsets = [int(line[:4], 16) for line in said]
    lengths = [len(bytes.fromhex(line[6:])) for line in said]
    assert offsets == [sum(lengths[:i]) for i in range(len(lengths))]
    assert urnn.load(data, kernels="plain").selftest().startswith("PASS, 2 steps")


def test_device_api() -> None:
    """docs/device.md describes every public name of urnn and of Net, and no other."""
    net = urnn.load(pack(tiny()), kernels="plain")
    names = {name for name in dir(net) if not name.startswith("_")}
    listed = re.findall(r"^\| `net\.(\w+)", doc("device.md"), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == names
    assert set(re.findall(r"\burnn\.(load|kernel_sets)\(", doc("device.md"))) == {"load", "kernel_sets"}


@pytest.fixture(scope="module")
def with_the_cell_of_the_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the cell of docs/adding-a-cell.md, each block at the place that the page names."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("host", "device", "boards", "docs", "tools", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "package.json"):
        shutil.copy(ROOT / name, copy)
    text = doc("adding-a-cell.md")
    places = re.findall(r"^\| `(\S+)` \|", text.split("## ")[0], re.M)
    blocks = dict(re.findall(r"^`(\S+)`:\n\n```python\n(.*?)^```", text, re.M | re.S))
    assert {path.replace("ugrnn", "NAME") for path in blocks} | {"docs/cells.md"} == set(places)
    assert len(places) <= 6
    for path, code in blocks.items():
        assert not (copy / path).exists(), path
        (copy / path).write_text(code)
    (row,) = re.findall(r"^```markdown\n(.*?\n)```", text, re.M | re.S)
    page = (copy / "docs/cells.md").read_text()
    last = page.rindex("\n", 0, page.index("\n\n", page.index("| `fastgrnn` |"))) + 1
    (copy / "docs/cells.md").write_text(page[:last] + row + page[last:])
    for tool in ("sections", "manifest"):
        _in_the_copy(copy, f"tools/{tool}.py")
    return copy


def _in_the_copy(copy: Path, *command: str, cwd: Path | None = None) -> str:
    path = os.pathsep.join(str(copy / name) for name in ("host", "device", "tests", "tools"))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, *command], cwd=cwd or copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_cell_of_the_page_from_training_to_every_integer(with_the_cell_of_the_page: Path, tmp_path: Path) -> None:
    """The cell is trained, quantized and compared, and the commands describe it."""
    copy = with_the_cell_of_the_page
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    x = rng.normal(0, 0.3, (60, 20, 3)) + np.where(y, 1.0, -1.0)[:, None, None]
    np.savez(tmp_path / "data.npz", x=x, y=y)

    def tinyrnn(*arguments: str) -> str:
        return _in_the_copy(copy, "-m", "tinyrnn", *arguments, cwd=tmp_path)

    assert "ugrnn" in tinyrnn("train", "--help")
    tinyrnn("train", "data.npz", "--cell", "ugrnn", "--units", "6", "--epochs", "20", "-o", "m.pt")
    assert "UGRNN 6" in tinyrnn("quantize", "m.pt")
    assert "UGRNN" in tinyrnn("info", "m.urnn")
    assert "bit-exact on all of them" in tinyrnn("verify", "m.urnn", "--runtime", "cpython", "--sequences", "3")


@pytest.mark.slow
def test_the_cell_of_the_page_is_in_every_test_and_table(with_the_cell_of_the_page: Path) -> None:
    """The tests of all cells run on it without a change, and the tools' lists include it."""
    copy = with_the_cell_of_the_page
    files = ("float_model/test_float_cells.py", "training/test_torch_cells.py", "device/test_cells.py")
    chosen = "(ugrnn or document) and not armhf and not webassembly and not i386"
    out = _in_the_copy(
        copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *(f"tests/{each}" for each in files)
    )
    assert re.search(r"(\d+) passed", out)
    listed = _in_the_copy(copy, "-c", "from shared.architectures import ARCHITECTURES; print(*ARCHITECTURES)")
    assert "ugrnn" in listed.split()
    assert "| `UGRNN` |" in (copy / "docs/format.md").read_text()
    assert "device/urnn/ugrnn.py" in (copy / "package.json").read_text()


def test_generated_table() -> None:
    done = subprocess.run([sys.executable, "tools/tables.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: clone the repository to run this test")
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_private_paths() -> None:
    """No file names a path of a builder's machine or the host of a package registry."""
    # Put together here, so that this file passes its own test
    words = ["/" + "work", "../" + "shared", "pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".", "proxy." + "golang"]
    absolute = re.compile(r"(?<![\w.}])" + words[0] + r"\b")
    found = []
    for path in _tracked():
        if path.suffix not in {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".mjs", ".json", ""} or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if absolute.search(line) or any(word in line for word in words[1:]):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)


if __name__ == "__main__":
    if sys.argv[1:] == ["errors"]:
        for name, largest, mean in errors():
            print(f"{name}: largest {largest:.3f}, mean {mean:.3f} units of 2^-15")
    else:
        print("\n".join(dump(pack(tiny()))))


def test_every_hyperparameter_is_in_the_table_of_training() -> None:
    from tinyrnn.training.hyperparameters import SETTINGS

    table = [line for line in doc("training.md").splitlines() if line.startswith("| `--")]
    named = {option for line in table for option in re.findall(r"`(--[a-z-]+)`", line.split("|")[1])}
    assert named == {each.option for each in SETTINGS} | {"--class-weights", "--difference", "--refit"}
