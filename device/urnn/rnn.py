# SPDX-License-Identifier: MIT
"""The simple recurrent network, tanh or ReLU. docs/numerics.md, equations 19 and 20.

Section b"RNN": u16 inputs I, u16 units H, u8 0 tanh, 1 ReLU, u8 0, u16 0, product W (H x I), product U (H x H).
"""

from .program import RELU, TANH


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the new state."""
    n = data[start + 2] | data[start + 3] << 8
    if not n or stop - start < 16 + 4 * n:
        raise ValueError("RNN: wrong length")
    h = program.state(n)
    a, at = program.product(data, start + 8, stop, n, program.width, program.x)
    b, at = program.product(data, at, stop, n, n, h)
    if at != stop or data[start + 4] > 1:
        raise ValueError("RNN: wrong length")
    program.add(RELU if data[start + 4] else TANH, a, b, h, n)
    program.x = h
    program.width = n
