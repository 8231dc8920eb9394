# SPDX-License-Identifier: MIT
"""The scalar arithmetic: rounding shift, saturation, table look-up. docs/numerics.md has the equations.

Every intermediate value stays in the 31-bit range, -2^30..2^30 - 1. On 32-bit boards, MicroPython holds such an integer
without allocating.
"""

from .tables import TANH


def rshift(x, n):
    """x / 2^n rounded to the nearest integer, halves up; n >= 0. All rounding is done this way (equation 1).

    rshift(5, 1) == 3, rshift(-5, 1) == -2, rshift(-6, 2) == -1
    """
    return (x + (1 << n >> 1)) >> n


def saturate(x):
    """x limited to -32767..32767, the range of gates and state (equation 2). saturate(-40000) == -32767"""
    return 32767 if x > 32767 else -32767 if x < -32767 else x


def tanh(a):
    """tanh of a in Q3.12, |a| <= 32767; result in Q0.15, odd in a (equation 3). tanh(4096) == 24956"""
    s = -a if a < 0 else a
    i = s >> 7
    y = TANH[i] + rshift((TANH[i + 1] - TANH[i]) * (s & 127), 7)
    return -y if a < 0 else y


def sigmoid(a):
    """The logistic function of a in Q3.12, |a| <= 32767; result in Q0.15, 11..32757 (equation 4).

    (1 + tanh(a / 2)) / 2, from the same table read at half the argument. sigmoid(0) == 16384
    """
    s = -a if a < 0 else a
    i = s >> 8
    y = TANH[i] + rshift((TANH[i + 1] - TANH[i]) * (s & 255), 8)
    return rshift(32768 - y if a < 0 else 32768 + y, 1)


def i32(b, at):
    """The little-endian 32-bit integer at b[at:], which is in [-2^30, 2^30); allocates nothing."""
    return b[at] + (b[at + 1] << 8) + (b[at + 2] << 16) + (((b[at + 3] ^ 128) - 128) << 24)
