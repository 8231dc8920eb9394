# SPDX-License-Identifier: MIT
"""The loader survives damaged and hostile files on every runtime, and the fuzzer finds the faults that it looks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fuzz
import fuzz_load
import pytest
import urnn
import urnn.gru
import urnn.kernels_plain
import urnn.program
from helpers.types import instance
from tinyrnn.errors import ModelError
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import parse, prove
from tinyrnn.runtimes import Runtime, verification
from urnn import format as frame

# Values for each byte with the CRC mended (255 is all); mutated files. Fewer where slow: `make fuzz` is all.
DEPTH = {
    "cpython": (64, 20_000),
    "unix-x64": (255, 100_000),
    "unix-i386": (255, 100_000),
    "unix-armhf": (16, 30_000),
    "webassembly": (32, 30_000),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models")
    fuzz.seed_models(path)
    return path


@pytest.fixture(scope="module")
def files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def cells_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cells")
    fuzz.cell_models(path)
    return path


@pytest.fixture(scope="module")
def cell_files(cells_folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(cells_folder.iterdir())]


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers have canaries around them, as in fuzz_load.main()."""
    monkeypatch.setattr(urnn.program.Program, "vector", fuzz_load.guarded)


def test_the_crc_finds_every_damaged_byte(runtime: Runtime, folder: Path) -> None:
    count = fuzz.fuzz(runtime, folder, "bytes", "0", "255", "seed0.urnn")
    assert count.loaded == 0
    assert count.refused == 255 * (folder / "seed0.urnn").stat().st_size


def test_every_damaged_byte_behind_the_crc(runtime: Runtime, folder: Path) -> None:
    values = DEPTH[runtime.name][0]
    count = fuzz.fuzz(runtime, folder, "bytes", "1", str(values), "seed0.urnn")
    assert count.cases == values * (folder / "seed0.urnn").stat().st_size
    assert min(count.loaded, count.refused) > count.cases // 10


def test_mutated_files(runtime: Runtime, folder: Path) -> None:
    cases = DEPTH[runtime.name][1]
    count = fuzz.fuzz(runtime, folder, "random", "1", "0", str(cases), "seed0.urnn", "seed1.urnn")
    assert count.cases == cases
    # Fewer loads would mean that the mutations no longer reach what lies behind the first checks
    assert cases // 10 < count.loaded < cases // 2


def test_mutated_files_of_every_cell(runtime: Runtime, cells_folder: Path) -> None:
    cases = DEPTH[runtime.name][1] // 4
    names = sorted(path.name for path in cells_folder.iterdir())
    count = fuzz.fuzz(runtime, cells_folder, "random", "2", "0", str(cases), *names)
    assert count.cases == cases
    assert cases // 20 < count.loaded < cases // 2


def test_the_same_files_everywhere(need_runtime: Callable[[str], Runtime], folder: Path, files: list[bytes]) -> None:
    """The host can make the same case again: a 32-bit runtime refuses exactly as many files."""
    seeds = [fuzz_load.sections_of(data) for data in files]
    loaded = 0
    for case in range(500, 1500):
        try:
            urnn.load(bytes(fuzz_load.mutant(case, 7, files, seeds)), kernels="plain")
            loaded += 1
        except ValueError:
            pass
    runtime = need_runtime("unix-i386")
    count = fuzz.fuzz(runtime, folder, "random", "7", "500", "1000", "seed0.urnn", "seed1.urnn")
    assert (count.cases, count.loaded) == (1000, loaded)


@pytest.mark.slow
@pytest.mark.usefixtures("guarded")
def test_in_range_is_what_the_host_proves(files: list[bytes], cell_files: list[bytes]) -> None:
    """The fuzzer accepts different results only for files that the packer would refuse."""
    verdicts = []
    for original in files + cell_files:
        del fuzz_load.guards[:]
        assert fuzz_load.in_range(urnn.load(original, kernels="plain"))
        for at in range(12, len(original) - 4):
            for value in (0x00, 0x3F, 0xC0, 0xFF) if original in files else (0x3F, 0xC0):
                data = bytearray(original)
                data[at] = value
                data = fuzz_load.repair(data)
                del fuzz_load.guards[:]
                try:
                    net = urnn.load(bytes(data), kernels="plain")
                    in_range = fuzz_load.in_range(net)
                    network = parse(bytes(data))
                except (ValueError, ModelError):
                    continue
                matrices = [m for cell in network.cells for _, m in cell.matrices] + [instance(Matrix, network.head)]
                if min(m.weight.min() for m in matrices) == -128:
                    continue  # the packer keeps to -127..127; the kernels compute with -128 as well
                try:
                    prove(network)
                    proven = True
                except ModelError:
                    proven = False
                assert in_range == proven, (at, value)
                verdicts.append(proven)
    assert verdicts.count(False) > 10
    assert verdicts.count(True) > 100


def test_every_length(files: list[bytes], cell_files: list[bytes]) -> None:
    """A file cut off anywhere gives a ValueError, also with the right size and CRC."""
    for data in files + cell_files:
        for n in range(len(data)):
            for mend in (False, True):
                cut = bytearray(data[:n])
                if mend and n >= 16:
                    fuzz_load.repair(cut)
                assert fuzz_load.check(cut, ["plain"]) == "refused"


# The fuzzer against loaders and kernels with a fault: each must be found


def find_fault(files: list[bytes]) -> str:
    kernels = ["plain"]
    for _, data in fuzz_load.byte_cases(files[:1], True, 64):
        try:
            fuzz_load.check(data, kernels)
        except fuzz_load.Fault as fault:
            return str(fault)
    return ""


def replace_matvec(monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., None]) -> None:
    kernels = list(urnn.kernels_plain._KERNELS)
    kernels[urnn.program.MATVEC] = kernel
    monkeypatch.setattr(urnn.kernels_plain, "_KERNELS", kernels)


@pytest.mark.usefixtures("guarded")
def test_no_fault_without_one(files: list[bytes]) -> None:
    assert find_fault(files) == ""


@pytest.mark.usefixtures("guarded")
def test_a_matrix_that_is_not_checked_is_found(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def unchecked(data: memoryview, start: int, stop: int, rows: int, cols: int) -> tuple[memoryview, int]:
        size = urnn.format.matrix_bytes(rows, cols)
        return memoryview(data)[start : start + size], start + size

    monkeypatch.setattr(urnn.program, "matrix", unchecked)
    monkeypatch.setattr(urnn.program, "matrix", unchecked)
    assert "IndexError after the load" in find_fault(files)


@pytest.mark.usefixtures("guarded")
def test_another_exception_is_found(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urnn.gru, "cell", lambda *_: [][0])
    assert "load() raised IndexError" in find_fault(files)


@pytest.mark.usefixtures("guarded")
def test_a_write_outside_is_found(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = urnn.kernels_plain.matvec

    def careless(m: memoryview, x: memoryview, y: memoryview, n: int) -> None:
        plain(m, x, y, n)
        for whole, room in fuzz_load.guards:  # as a kernel without checks would
            whole[fuzz_load.GUARD + room] = 0

    replace_matvec(monkeypatch, careless)
    assert "wrote outside" in find_fault(files)


@pytest.mark.usefixtures("guarded")
def test_a_changed_file_is_found(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = urnn.kernels_plain.matvec

    def scribble(m: memoryview, x: memoryview, y: memoryview, n: int) -> None:
        plain(m, x, y, n)
        m[20] = 30  # the first row's shift

    replace_matvec(monkeypatch, scribble)
    assert "wrote outside" in find_fault(files)


@pytest.mark.usefixtures("guarded")
def test_a_read_outside_is_found(files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without checks reads beyond its vector. The second set finds another canary there."""
    plain = urnn.kernels_plain.matvec

    def greedy(m: memoryview, x: memoryview, y: memoryview, n: int) -> None:
        plain(m, x, y, n)
        whole, room = fuzz_load.guards[0]
        y[0] += whole[fuzz_load.GUARD + room] & 255

    replace_matvec(monkeypatch, greedy)
    with pytest.raises(fuzz_load.Fault, match="kernels differ"):
        fuzz_load.check(files[0], ["plain", "plain"])


# Names of sections that no packer writes

NAMES = (
    b"",
    b"NOSUCH",
    b"PROGRAM",
    b"SERVE",
    b"KERNELS_PLAIN",
    b"GRU.GRU",
    b"../GRU",
    b"GRU ",
    b"_GRU",
    b"GR\xff",
    b"_",
    b"1",
)
SKIPPED = (b"x", b"future_section", b"gru", b"g\xff", b"\xff", b"l" * 255)
NAMES_SCRIPT = """import sys, urnn
refused = 0
for name in sys.argv[1:]:
    try:
        urnn.load(name, "plain").selftest()
    except ValueError:
        refused += 1
print(refused, len(sys.argv) - 1)
"""


def named(data: bytes, name: bytes) -> bytes:
    """The file with one more section in the place of a cell."""
    first, *others = fuzz_load.sections_of(data)
    return bytes(frame.seal([first, (name, b"\1\0\2\0"), *others]))


def test_other_names_of_sections(runtime: Runtime, files: list[bytes], tmp_path: Path) -> None:
    """A name with a capital is a ValueError, also if the package has a module of that name. A small letter is skipped."""
    (tmp_path / "names.py").write_text(NAMES_SCRIPT, encoding="utf-8")
    for names, refused in ((NAMES, len(NAMES)), (SKIPPED, 0)):
        paths = [f"{number}.urnn" for number in range(len(names))]
        for path, name in zip(paths, names, strict=True):
            (tmp_path / path).write_bytes(named(files[0], name))
        out = runtime.run(tmp_path / "names.py", *paths, cwd=tmp_path, path=[verification.DEVICE], timeout=60)
        assert out.split() == [str(refused), str(len(names))]
