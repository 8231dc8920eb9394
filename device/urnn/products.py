# SPDX-License-Identifier: MIT
"""Products that are more than a matrix: of low rank, W = A B, with rows of finer weights, with layer normalisation.

Section b"PRODUCTS": empty; it precedes the first cell that has such a product.

It makes urnn.load() and `tinyrnn deploy` look for this module. A cell's product is then a matrix or, told from one by
0 in the place of its rows:

u16 0; u8 1 when normalised, else 0; u8 0; u16 rank K or 0; u16 number F of finer rows;
matrix B (K x cols) when there is a rank;
matrix (rows + F) x (K or cols);
the table of fine(), F times u16 row, u16 shift, rows ascending;
the table of scale() when it is normalised.
"""

from struct import unpack_from

from .format import matrix
from .program import FINE, LIMIT, MATVEC, SCALE


def cell(data, start, stop, program):
    """Let the program take such products from here on."""
    program.products = product


def product(data, at, stop, rows, cols, x, program):
    """Do what Program.product() does, for a product of this module."""
    _, norm, rank, extra = unpack_from("<4H", data, at)
    if norm > 1 or extra > rows:
        raise ValueError("product: update urnn")
    at += 8
    if rank:
        m, at = matrix(data, at, stop, rank, cols)
        y = program.vector(rank)
        program.add(MATVEC, m, x, y, rank)
        program.add(LIMIT, None, y, y, rank)  # changes nothing where the packer has proven the ranges
        x = y
        cols = rank
    m, at = matrix(data, at, stop, rows + extra, cols)
    y = program.vector(rows + extra)
    program.add(MATVEC, m, x, y, rows + extra)
    if extra:
        end = at + 4 * extra
        last = -1
        for i in range(at, end, 4):
            row, shift = unpack_from("<HH", data, i) if end <= stop else (0, 31)
            if not last < row < rows or shift > 30:
                raise ValueError("product: out of range")
            last = row
        program.add(FINE, memoryview(data)[at:end], memoryview(y)[rows:], y, extra)
        at = end
    if norm:
        t, at = table(data, at, stop, rows)
        program.add(SCALE, t, y, y, rows)
    return y, at


def table(data, at, stop, n):
    """Check the table of scale() for n integers; return (a view of it, where the next field starts)."""
    end = at + 16 + 4 * n
    if stop < end or not 0 < n <= 16384:
        raise ValueError("norm: wrong length")
    p, r, e, s = unpack_from("<4i", data, at)
    # The proof of the 31-bit range rests on the reciprocal of n, so all of it is checked
    if not (0 <= p < 15 and n <= 1 << p and r == ((2 << 14 + p) + n) // (2 * n) <= 32768 and 0 < e <= 32768 and 0 <= s < 16):
        raise ValueError("norm: out of range")
    return memoryview(data)[at:end], end
