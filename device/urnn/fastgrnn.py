# SPDX-License-Identifier: MIT
"""FastGRNN: the gate and the candidate share one W and one U. docs/numerics.md, equations 18, 19, 25 to 27.

Section b"FASTGRNN": u16 inputs I, u16 units H; i32 zeta, nu, k; H i32, the candidate's bias less the gate's;
product W (H x I) with the gate's bias; product U (H x H). The state is in Q(k).(15-k).
"""

from struct import unpack_from

from .program import ADD, BLEND, SIGMOID, TANH


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the new state."""
    n = data[start + 2] | data[start + 3] << 8
    at = start + 16 + 4 * n
    if stop < at or not n:
        raise ValueError("FASTGRNN: wrong length")
    zeta, nu, k = unpack_from("<3I", data, start + 4)
    for i in range(start + 19, at, 4):
        # The top byte tells that a bias is in -2^24..2^24 - 1
        if (data[i] + 1) & 255 > 1:
            zeta = 32768
    if zeta > 16384 or nu > 16384 or k > 15:
        raise ValueError("FASTGRNN: out of range")
    h = program.state(n)
    a, at = program.product(data, at, stop, n, program.width, program.x)
    b, at = program.product(data, at, stop, n, n, h)
    if at != stop:
        raise ValueError("FASTGRNN: wrong length")
    g = program.vector(2 * n)
    program.add(SIGMOID, a, b, g, n)
    program.add(ADD, memoryview(data)[start + 16 : start + 16 + 4 * n], a, a, n)
    program.add(TANH, a, b, memoryview(g)[n:], n)
    program.add(BLEND, memoryview(data)[start + 4 : start + 16], g, h, n)
    program.x = h
    program.width = n
