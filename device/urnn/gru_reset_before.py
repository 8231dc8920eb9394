# SPDX-License-Identifier: MIT
"""The GRU with the reset before the recurrent product, as in its paper and ONNX. docs/numerics.md, equations 18 to 21.

Section b"GRU_RESET_BEFORE": u16 inputs I, u16 units H, product W (3H x I), product U of r and z (2H x H), product of
n (H x H).
"""

from .program import MIX, MUL, SIGMOID, TANH


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the new state, Q0.15."""
    n = data[start + 2] | data[start + 3] << 8
    if not n or stop - start < 16 + 4 * n:
        raise ValueError("GRU_RESET_BEFORE: wrong length")
    h = program.state(n)
    a, at = program.product(data, start + 4, stop, 3 * n, program.width, program.x)
    b, at = program.product(data, at, stop, 2 * n, n, h)
    program.add(SIGMOID, a, b, a, 2 * n)
    m = program.vector(n)
    program.add(MUL, a, h, m, n)
    b, at = program.product(data, at, stop, n, n, m)
    if at != stop:
        raise ValueError("GRU_RESET_BEFORE: wrong length")
    program.add(TANH, memoryview(a)[2 * n :], b, b, n)
    program.add(MIX, memoryview(a)[n:], b, h, n)
    program.x = h
    program.width = n
