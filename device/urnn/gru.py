"""PyTorch's GRU. docs/numerics.md, equations 9 to 12.

Section b"GRU ": u16 inputs I, u16 units H, matrix W (3H x I), matrix U (3H x H); gates in the order r, z, n.
"""

from .format import matrix
from .program import GRU, MATVEC


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its steps to the program; program.x becomes the new state, Q0.15."""
    units = data[start + 2] | data[start + 3] << 8
    w, at = matrix(data, start + 4, stop, 3 * units, program.width)
    u, at = matrix(data, at, stop, 3 * units, units)
    if at != stop or not units:
        raise ValueError("GRU: wrong length")
    a = program.vector(3 * units)  # W x + b, Q3.12 before saturation
    b = program.vector(3 * units)  # U h + c, the same
    h = program.state(units)
    program.add(MATVEC, w, program.x, a, 3 * units)
    program.add(MATVEC, u, h, b, 3 * units)
    program.add(GRU, a, b, h, units)
    program.x = h
    program.width = units
