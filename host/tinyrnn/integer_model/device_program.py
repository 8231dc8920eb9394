"""The program of a .urnn file, as the device's own loader writes it, with its vectors and tables found again.

Everything the host derives from it: the proof of the 31-bit range (overflow_proof.py), the simulator, the buffers' size. So
a cell says what it computes in one place, its device module.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import urnn
from urnn import format as frame


@dataclass(frozen=True)
class Span:
    """A part of one of the vectors that load() made: the whole, or from an offset on."""

    vector: int  # which
    start: int  # in numbers
    length: int


Operand = Span | memoryview | None  # a table or a matrix is a view of the file; None: the sample, or not used


@dataclass(frozen=True)
class Instruction:
    """One kernel: a step of urnn.program, and the section of the file whose cell wrote it."""

    code: int
    a: Operand
    b: Operand
    c: Operand
    n: int
    section: int


class DeviceProgram:
    """The program of a file's bytes. Raises ValueError where urnn.load() does."""

    def __init__(self, data: bytes) -> None:
        self.net = urnn.load(data, kernels="plain")
        self.lengths: list[int] = []  # of the vectors
        self.tags: list[bytes] = []
        self._starts: list[int] = []
        for tag, start, _ in frame.unseal(data):
            self.tags.append(tag)
            self._starts.append(start)
        self._file = np.frombuffer(data, np.uint8)
        self._vectors: dict[int, tuple[int, int]] = {}  # id of the array -> its number, address
        self.steps: list[Instruction] = []
        section = 0
        for code, *operands, n in self.net.program:
            found = [self._operand(operand) for operand in operands]
            for operand in found:
                if isinstance(operand, memoryview):
                    section = self._section(operand)
            a, b, c = found
            self.steps.append(Instruction(code, a, b, c, n, section))
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
