# SPDX-License-Identifier: MIT
"""Kernels prove themselves before a net uses them. The proofs are the definition's, and a wrong set is passed over."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers.integer_models import random_network, random_samples
from shared.paths import DEVICE_SCRIPTS
from tinyrnn.emulation.core_board import PACKAGE, CoreBoard
from tinyrnn.integer_model.network import pack
from tinyrnn.runtimes import SCRIPTS, Runtime, verification
from urnn import gates_plain, kernels_plain, program, proof_gates, proof_kernels

FAMILIES = {"kernels": (kernels_plain, proof_kernels), "gates": (gates_plain, proof_gates)}
SCRIPT = DEVICE_SCRIPTS / "passed_over.py"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_definition_proves_itself(family: str) -> None:
    """The error for a new or changed step names the CRC to write into its line."""
    plain, proof = FAMILIES[family]
    proof.prove(plain)
    assert {case[0] for case in proof._cases()} == set(plain.CODES), "every kernel has a step, and no other"
    assert set(program.FAMILIES) == set(FAMILIES)


# A module, a line of its run(), the same with a fault such as a compiler makes, the kernel that computes something else
FAULTS = (
    ("kernels_viper", "c[0] = (v * int(x[3]) + ((1 << s) >> 1)) >> s", "c[0] = (v * int(x[3]) + (1 >> 1)) >> s", 1),
    ("kernels_viper", "m = ptr8(w[15])", "m = ptr8(w[14])", 2),  # in the unrolled loop
    ("kernels_viper", "while int(q) != end1:", "while int(q) != end8:", 2),  # the columns left over
    ("kernels_viper", "n -= 4", "n -= 8", 2),  # the second block of rows
    ("kernels_viper", "x[0] = (a3 + a[3] << up >> up) >> m[3]", "x[0] = (a2 + a[3] << up >> up) >> m[3]", 2),
    ("kernels_viper", "if int(m) < -32767:", "if int(m) < -99999999:", 3),
    ("kernels_asm_thumb", "asr(r0, r6)", "lsr(r0, r6)", 1),
    ("gates_viper", "m = ptr8(int(m) << k)", "m = ptr8(int(m))", 17),
    ("gates_viper", "m = ptr8((int(m) >> 31 ^ 32767) & 32767)", "m = ptr8(32767)", 18),
    ("gates_viper", "m = ptr8(int(m) + v >> s << p)  # to Q3.12", "m = ptr8(int(m) + v >> s)", 21),
    ("gates_viper", "while p:", "while p > 1:", 25),
    ("gates_viper", "if v > s:", "if v > 99:", 26),
    ("gates_asm_thumb", "mul(r5, r0)  # f c", "mul(r5, r5)", 21),
)


def broken(folder: Path, module: str, line: str, fault: str) -> Path:
    """A copy of the package with a fault in one of its modules."""
    shutil.copytree(PACKAGE, folder / "urnn", ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "urnn" / f"{module}.py"
    text = file.read_text(encoding="utf-8")
    assert line in text
    head, _, tail = text.rpartition(line)
    file.write_text(head + fault + tail, encoding="utf-8")
    return folder / "urnn"


@pytest.mark.parametrize(("module", "line", "fault", "code"), FAULTS)
def test_a_fault_in_any_kernel_is_seen(tmp_path: Path, module: str, line: str, fault: str, code: int) -> None:
    """Each fault is in a copy of the package, on the Cortex-M0+ core."""
    board = CoreBoard(package=broken(tmp_path, module, line, fault))
    assert board.urnn.module(module) is None
    assert re.search(rf"kernel {code}: wrong integers", board.urnn.kernel_sets(True)[module])
    others = [name for name in ("kernels_viper", "gates_viper", "kernels_asm_thumb", "gates_asm_thumb") if name != module]
    assert all(board.urnn.module(name) for name in others)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wrong_set_is_passed_over(bounded32: Runtime, tmp_path: Path, family: str) -> None:
    """With firmware: the next set serves with the definition's integers, and the reason can be read."""
    lines = {"kernels": ("a0 = int(m) * int(x) + a0", "a0 = int(m) * int(x)"), "gates": ("int(b[0]) + int(m)", "int(m)")}
    broken(tmp_path, f"{family}_viper", *lines[family])
    network = random_network(10, "lstm", plain=False)
    (tmp_path / "m.urnn").write_bytes(pack(network))
    (tmp_path / "m.cases").write_bytes(verification.expected(network, [random_samples(network, 10, 5)]))
    out = bounded32.run(SCRIPT, f"{family}_viper", cwd=tmp_path, path=[tmp_path], timeout=120).splitlines()
    assert out[0] == ("bytecode" if family == "kernels" else "viper")
    assert re.match(r"ValueError: kernel \d+: wrong integers, CRC \d+$", out[1])
    assert out[2].startswith("no kernels 'viper'") if family == "kernels" else out[2] == "viper"
    replayed = bounded32.run(SCRIPTS / "replay.py", "best", "m.urnn", "m.cases", cwd=tmp_path, path=[tmp_path], timeout=120)
    assert re.match(r"DONE 1 5 0 ", replayed), replayed


def test_a_proof_is_forgotten(micropython: Runtime, tmp_path: Path) -> None:
    """The model gets the proof's memory back."""
    script = tmp_path / "left.py"
    script.write_text(
        "import sys, urnn\nurnn.kernel_sets()\n"
        "print([name for name in sys.modules if 'proof' in name], hasattr(urnn, 'proof_kernels'))\n",
        encoding="utf-8",
    )
    assert micropython.run(script, cwd=tmp_path, path=[verification.DEVICE], timeout=60).strip() == "[] False"


def test_a_module_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module without a file is looked for again, since it may have been copied meanwhile."""
    asked: list[str] = []
    original = program._import

    def counted(name: str) -> object:
        asked.append(name)
        return original(name)

    monkeypatch.setattr(program, "_import", counted)
    monkeypatch.setattr(program, "_modules", {})
    monkeypatch.setattr(program, "absent", {})
    for _ in range(3):
        assert program.module("kernels_viper") is None
        assert program.module("kernels_nowhere") is None
        assert program.module("kernels_plain") is kernels_plain
    assert asked == ["kernels_viper", "kernels_nowhere", "kernels_plain", "kernels_nowhere", "kernels_nowhere"]
    assert program.absent["kernels_nowhere"] == "ModuleNotFoundError: No module named 'urnn.kernels_nowhere'"
