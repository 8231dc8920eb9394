# SPDX-License-Identifier: MIT
"""A table of vectors in front of the cells: the net's input is one symbol. docs/numerics.md, equation 33.

Section b"EMBEDDING": u16 symbols N, u16 outputs D, N x D i16.
"""

from .program import EMBED


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instruction; program.x becomes a row of the table."""
    symbols = data[start] | data[start + 1] << 8
    n = data[start + 2] | data[start + 3] << 8
    if program.width != 1 or not symbols * n or stop - start != 4 + 2 * symbols * n:
        raise ValueError("EMBEDDING: wrong length")
    y = program.vector(n)
    program.add(EMBED, memoryview(data)[start:stop], program.x, y, n)
    program.x = y
    program.width = n
