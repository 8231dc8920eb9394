# SPDX-License-Identifier: MIT
"""The test that a module with the kernels of gates_plain.py must pass; proof_kernels.py explains it."""

from array import array

from .program import ADD, BLEND, EMBED, FINE, LEAK, LIMIT, MEMORY, MIX, MUL, RELU, SCALE, SIGMOID, TANH
from .proof_kernels import check


def prove(module):
    """Raise ValueError when a kernel gives other integers than its definition in gates_plain.py, or what it raises."""
    check(module, _cases(), (0,))


def _words(*values):
    return bytes(array("i", values))


def _cases():
    s = (-40000, -20000, -130, 0, 5000, 99999)
    t = (1, -12769, 3, -1, 27767, 2)
    p = (0, 11, 16384, 32757, 32767, 9999)
    q = (-32767, 32767, -1, 12345, -20000, 77)
    r = (32767, -9, 30000, -31000, 1, -32767)
    g = (p[3:] + p[:3]) * 2 + s + q  # i, f, o, g
    rows = bytes(array("h", (3, 6) + q + r + t[:1] * 5 + (-32768,)))
    gains = rows[4:28]
    return (
        (SIGMOID, s, t, q, 6, 914969970),
        (TANH, s, t, q, 6, 463604746),
        (RELU, s, t, q, 6, 288784049),
        (MUL, p, q, r, 6, 610183193),
        (MIX, p, q, r, 6, 745914662),
        (MEMORY, b"\1\0\0\0", g, q, 6, 495294280),
        (MEMORY, b"\5\0\0\0", g, r, 6, 512170235),
        (LEAK, _words(9000, 30000, 1), q, r, 6, 913920320),
        (BLEND, _words(16000, 9000, 0), p + q, r, 6, 365156967),
        (ADD, _words(*s), t, q, 6, 700565562),
        (SCALE, _words(3, 21845, 9, 9) + gains, s, q, 6, 722085304),
        (EMBED, rows, (1,), q, 6, 2284899),
        (EMBED, rows, (-1,), q, 6, 102869383),
        (EMBED, rows, (9,), q, 6, 123650253),
        (LIMIT, None, s, q, 6, 93095689),
        (FINE, bytes(array("h", (0, 3, 1, 0, 2, 14, 3, 1, 4, 9, 5, 30))), q, r, 6, 164778707),
    )
