# SPDX-License-Identifier: MIT
"""LSTM, with or without a projection of its output. docs/numerics.md, equations 18 to 23.

Section b"LSTM": u16 inputs I, u16 units H, u8 k, u8 0, u16 outputs P or 0; product W (4H x I), product U (4H x P, or H
without a projection), and with one matrix R (P x H), whose results are h and saturate. Gates in the order i, f, o, g.
The state: h (P or H), then c (H) in Q(k).(15-k).
"""

from .format import matrix
from .program import LIMIT, MATVEC, MEMORY, MUL, SIGMOID, TANH


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the output h."""
    n = data[start + 2] | data[start + 3] << 8
    size = stop - start - 16
    if not n or size < 4 * n:
        raise ValueError("LSTM: wrong length")
    outputs = data[start + 6] | data[start + 7] << 8
    width = outputs or n
    if size < 4 * (n + outputs):
        raise ValueError("LSTM: wrong length")
    h = program.state(width)
    c = program.state(n)
    a, at = program.product(data, start + 8, stop, 4 * n, program.width, program.x)
    b, at = program.product(data, at, stop, 4 * n, width, h)
    late = memoryview(a)[3 * n :]
    program.add(SIGMOID, a, b, a, 3 * n)
    program.add(TANH, late, memoryview(b)[3 * n :], late, n)
    program.add(MEMORY, memoryview(data)[start + 4 : start + 8], a, c, n)
    m = program.vector(n) if outputs else h
    program.add(MUL, memoryview(a)[2 * n :], late, m, n)
    if outputs:
        r, at = matrix(data, at, stop, outputs, n)
        y = program.vector(outputs)
        program.add(MATVEC, r, m, y, outputs)
        program.add(LIMIT, None, y, h, outputs)
    if at != stop or data[start + 4] > 12:
        raise ValueError("LSTM: wrong length")
    program.x = h
    program.width = width
