# SPDX-License-Identifier: MIT
"""The device program of a .urnn file: the instructions that the device's own loader makes, with their operands resolved.

The host derives the proof of the 31-bit range (overflow_proof.py), the simulator and the size of the buffers from it. So
the computation of a cell is written in one place, its device module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import urnn
from urnn import format as frame


@dataclass(frozen=True)
class Span:
    """Consecutive numbers of one of the vectors that load() allocated."""

    vector: int  # number of the vector
    start: int  # first number
    length: int  # count of numbers


Operand = Span | memoryview | None  # a table or matrix is a view of the file; None: the sample, or not used


@dataclass(frozen=True)
class Instruction:
    """An instruction of urnn.program, and the section of the file whose cell made it."""

    code: int  # opcode, a constant of urnn.program
    a: Operand
    b: Operand
    c: Operand
    n: int
    section: int  # number of the section


class DeviceProgram:
    """The device program of a .urnn file. Raises ValueError as urnn.load() does."""

    def __init__(self, data: bytes) -> None:
        self.net = urnn.load(data, kernels="plain")
        self.lengths: list[int] = []  # count of numbers in each vector
        self.tags: list[bytes] = []  # tag of each section
        self._starts: list[int] = []
        for tag, start, _ in frame.unseal(data):
            self.tags.append(tag)
            self._starts.append(start)
        self._file = np.frombuffer(data, np.uint8)
        self._vectors: dict[int, tuple[int, int]] = {}  # id() of the array -> its number and address
        self.instructions: list[Instruction] = []
        section = 0
        for code, *operands, n in self.net.program:
            found = [self._operand(operand) for operand in operands]
            for operand in found:
                if isinstance(operand, memoryview):
                    section = self._section(operand)
            a, b, c = found
            self.instructions.append(Instruction(code, a, b, c, n, section))
        self.states = [self._span(state) for state in self.net.states]
        self.output = self._span(self.net.output)

    def _operand(self, operand: Any) -> Operand:
        if operand is None:
            return None
        at = _address(operand) - _address(self._file)
        if 0 <= at < len(self._file):
            return memoryview(operand)
        return self._span(operand)

    def _section(self, table: memoryview) -> int:
        at = _address(table) - _address(self._file)
        return max(i for i, start in enumerate(self._starts) if start <= at)

    def _span(self, operand: Any) -> Span:
        base: Any = operand.obj if isinstance(operand, memoryview) else operand
        if id(base) not in self._vectors:
            self._vectors[id(base)] = len(self.lengths), _address(base)
            self.lengths.append(len(base))
        number, address = self._vectors[id(base)]
        return Span(number, (_address(operand) - address) // 4, len(operand))


def _address(buffer: Any) -> int:
    return int(np.frombuffer(buffer, np.uint8).__array_interface__["data"][0])
