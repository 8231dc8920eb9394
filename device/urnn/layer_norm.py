# SPDX-License-Identifier: MIT
"""Layer normalisation between cells, and in front of the head. docs/numerics.md, equations 28 to 32.

Section b"LAYER_NORM": the table of scale() in gates_plain.py.
"""

from .products import table
from .program import SCALE


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instruction; program.x becomes the normalised vector."""
    n = program.width
    t, at = table(data, start, stop, n)
    if at != stop:
        raise ValueError("LAYER_NORM: wrong length")
    y = program.vector(n)
    program.add(SCALE, t, program.x, y, n)
    program.x = y
