"""Layer normalisation between cells, and in front of the head. docs/numerics.md, equations 28 to 32.

Section b"NORM": u16 inputs = outputs N, u16 0, the table of scale().
"""

from .part import table
from .program import SCALE


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its step; program.x becomes the normalised vector."""
    n = data[start] | data[start + 1] << 8
    t, at = table(data, start + 4, stop, n)
    if at != stop or n != program.width:
        raise ValueError("NORM: wrong length")
    y = program.vector(n)
    program.add(SCALE, t, program.x, y, n)
    program.x = y
