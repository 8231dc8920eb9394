# SPDX-License-Identifier: MIT
"""FastRNN. docs/numerics.md, equations 19 and 24.

Section b"FASTRNN": u16 inputs I, u16 units H, i32 alpha, beta, k; product W (H x I), product U (H x H).
The state is in Q(k).(15-k).
"""

from struct import unpack_from

from .program import LEAK, TANH


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the new state."""
    n = data[start + 2] | data[start + 3] << 8
    if not n or stop - start < 16 + 4 * n:
        raise ValueError("FASTRNN: wrong length")
    h = program.state(n)
    a, at = program.product(data, start + 16, stop, n, program.width, program.x)
    b, at = program.product(data, at, stop, n, n, h)
    alpha, beta, k = unpack_from("<3I", data, start + 4)
    if at != stop or alpha > 32768 or beta > 32768 or k > 15:
        raise ValueError("FASTRNN: wrong length, or out of range")
    program.add(TANH, a, b, a, n)
    program.add(LEAK, memoryview(data)[start + 4 : start + 16], a, h, n)
    program.x = h
    program.width = n
