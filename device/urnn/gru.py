# SPDX-License-Identifier: MIT
"""PyTorch's GRU. docs/numerics.md, equations 9 to 12.

Section b"GRU": u16 inputs I, u16 units H, product W (3H x I), product U (3H x H); gates in the order r, z, n.
"""

from .program import GRU


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the new state, Q0.15."""
    n = data[start + 2] | data[start + 3] << 8
    if not n or stop - start < 16 + 4 * n:
        raise ValueError("GRU: wrong length")
    h = program.state(n)
    a, at = program.product(data, start + 4, stop, 3 * n, program.width, program.x)  # W x + b, Q3.12 before saturation
    b, at = program.product(data, at, stop, 3 * n, n, h)  # U h + c, the same
    if at != stop:
        raise ValueError("GRU: wrong length")
    program.add(GRU, a, b, h, n)
    program.x = h
    program.width = n
