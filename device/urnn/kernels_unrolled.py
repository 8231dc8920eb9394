# SPDX-License-Identifier: MIT
"""The kernels for firmware without an emitter: each row of a matrix as an expression of its own, in bytecode.

load() writes `y[0]=(640-3*x0+17*x1-...)>>7`, row by row, and lets the firmware compile it. A multiply-accumulate then takes
four bytecodes, without a loop, an index or a weight to fetch. A step allocates nothing. load() pays for it, with about 5
bytes of RAM for each weight and the time to compile. A matrix that would take more than half of the free heap uses the
plain kernel.
"""

import gc

from . import kernels_plain
from .fixed import i32
from .program import GRU, MATVEC, NORMALISE
from .tables import TANH

NAME = "unrolled"
CODES = (NORMALISE, MATVEC, GRU)
ROWS = 16  # at most in one function; each function unpacks x
COMPILING = 100  # bytes for each weight, of source and parse tree, while a function is compiled


def _compile(m, x, n):
    """Return a matrix of the file as functions f(x, y), each for some rows, or None when they do not fit."""
    cols = m[2] | m[3] << 8
    stride = 20 + 4 * cols
    rows = ROWS
    small = hasattr(gc, "mem_free")  # a board, whose heap has a bound
    if small:
        gc.collect()
        room = gc.mem_free() >> 1
        if 5 * n * cols > room:
            return None
        rows = max(1, min(ROWS, room // (2 * COMPILING * cols)))
    unpack = "def f(x,y):\n " + "".join(["x%d," % k for k in range(len(x))]) + "=x\n"
    functions = []
    for first in range(0, n, rows):
        parts = [unpack]
        for row in range(first, min(n, first + rows)):
            block = 4 + (row >> 2) * stride
            r = row & 3
            parts.append(" y[%d]=(%d" % (row, i32(m, block + 4 * r)))
            for k in range(cols):
                w = m[block + 20 + r + 4 * k] - 128
                if w:
                    parts.append("%+d*x%d" % (w, k))
            parts.append(")>>%d\n" % m[block + 16 + r])
        found = {}
        try:
            exec("".join(parts), found)
        except MemoryError:  # the heap has only small pieces
            return None
        functions.append(found["f"])
        if small:
            gc.collect()
    return functions


def _matvec(functions, x, y, n):
    for f in functions:
        f(x, y)


def _normalise(table, sample, x, n):
    c = 0
    for low, high, offset, factor, half, shift in table:
        v = sample[c] | 0  # a TypeError for a float
        if v < low:
            v = low
        elif v > high:
            v = high
        x[c] = ((v - offset) * factor + half) >> shift
        c += 1


def _curve(bits):
    """Return (start, slope) of each interval of TANH over both signs. bits = 7: (start + slope * v) >> 7 is tanh(v - 32768).

    Equation 3 is odd, so it rounds in two ways, for v >= 32768 and below. Here only the start differs. v = 0 gives the
    result of v = 1.
    """
    start = []
    slope = []
    half = 1 << (bits - 1)
    n = 32768 >> bits
    for i in range(n - 1, -1, -1):
        slope.append(TANH[i + 1] - TANH[i])
        start.append(half - 1 - (TANH[i + 1] << bits))
    for i in range(n):
        slope.append(TANH[i + 1] - TANH[i])
        start.append((TANH[i] << bits) + half)
    for i in range(2 * n):
        start[i] -= slope[i] * i << bits
    return start, slope


_tanh = _curve(7)
_sigmoid = _curve(8)
_sigmoid = [v + (32769 << 8) for v in _sigmoid[0]], _sigmoid[1]  # equation 4; the last shift is then 9


def gru(a, b, h, n):
    start, slope = _sigmoid
    first, steep = _tanh
    k = n
    m = n + n
    for j in range(n):
        v = a[j] + b[j] + 32768
        i = v >> 8
        if i >> 8:  # outside the table: take its last value, or its first
            v = 65535 if v > 0 else 0
            i = v >> 8
        r = (start[i] + slope[i] * v) >> 9
        v = b[m]
        if not -32768 < v < 32768:
            v = 32767 if v > 0 else -32767
        v = a[m] + ((r * v + 16384) >> 15) + 32768
        i = v >> 7
        if i >> 9:
            v = 65535 if v > 0 else 0
            i = v >> 7
        r = (first[i] + steep[i] * v) >> 7
        v = a[k] + b[k] + 32768
        i = v >> 8
        if i >> 8:
            v = 65535 if v > 0 else 0
            i = v >> 8
        v = (start[i] + slope[i] * v) >> 9
        h[j] = ((32768 - v) * r + v * h[j] + 16384) >> 15
        k += 1
        m += 1


def pack(instructions):
    """Return what run() takes: the instructions with kernels instead of codes, and the matrices compiled."""
    program = []
    for instruction in instructions:
        code, a, b, c, n = instruction
        call = kernels_plain.pack([instruction])[0]
        if code == NORMALISE:
            table = []
            for at in range(0, 20 * n, 20):
                low, high, offset, factor, shift = [i32(a, at + 4 * i) for i in range(5)]
                table.append((low, high, offset, factor, 1 << shift >> 1, shift))
            call = _normalise, table, b, c, n
        elif code == GRU:
            call = gru, a, b, c, n
        else:
            functions = _compile(a, b, n)
            if functions:
                call = _matvec, functions, b, c, n
        program.append(call)
    return program


run = kernels_plain.run
