# SPDX-License-Identifier: MIT
"""Kernel sets with machine code on emulated cores: their names, edge cases, and steps compared with the definition."""

from __future__ import annotations

from collections.abc import Sequence

import urnn
from tinyrnn.emulation import step_cycles
from tinyrnn.emulation.core_board import PACKAGE, CoreBoard
from tinyrnn.emulation.mpy_file import ASM, machine_functions
from tinyrnn.integer_model.limits import LIMIT
from tinyrnn.integer_model.network import Network, pack

# Kinds of code, viper or assembler, in the kernel sets of a Cortex-M0+. asm_dsp needs another core and is not listed.
KINDS = {
    name: {kind for _, kind in machine_functions((PACKAGE / f"kernels_{name}.py").read_text(encoding="utf-8"))}
    for name in sorted(urnn.KERNEL_SETS)
}
SETS = tuple(name for name, kinds in KINDS.items() if kinds)
ASSEMBLER = tuple(name for name, kinds in KINDS.items() if ASM in kinds)
Board = tuple[CoreBoard, str]  # a core with the device package, and the name of a kernel set
TOP = LIMIT - 1
EDGES = (0, 1, -1, 127, 128, -128, 255, 256, 32766, 32767, 32768, -32766, -32767, -32768, -32769, 65535, TOP >> 1, -TOP >> 1)


def compare_steps(board: Board, network: Network, samples: Sequence[Sequence[int]]) -> None:
    """Compare every output and state of each step with the definition's."""
    core, kernels = board
    data = pack(network)
    net, plain = core.load(data, kernels), urnn.load(bytearray(data), kernels="plain")
    assert net.kernel_set.split("+")[0] == kernels
    for number, sample in enumerate(samples):
        net.step(tuple(sample))
        plain.step(sample)
        step_cycles.check(kernels, number, [*net.output, *net.state], [*plain.output, *plain.state])
