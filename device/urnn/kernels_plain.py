# SPDX-License-Identifier: MIT
"""The kernels in plain Python. They are the definition: every other kernel set computes the same integers.

Vectors are array('i'). Matrices and tables of channels are views of the model file, which the loader has checked.
Every kernel takes (a, b, c, n): three vectors and the number of results.
"""

from .fixed import i32, rshift, saturate, sigmoid, tanh
from .program import GRU, MATVEC, NORMALISE

NAME = "plain"
CODES = (NORMALISE, MATVEC, GRU)


def normalise(table, sample, x, n):
    """x[c] = rshift((clamp(sample[c], low, high) - offset) * factor, shift): raw integers to the net's format.

    table: for each channel i32 low, high, offset, factor, shift. sample: n integers, however large.
    x: n integers of 16-bit range. TypeError for a sample with anything else in it.
    docs/numerics.md, equations 5 and 6. low=-8 high=7 offset=1 factor=4096 shift=1: sample 3 -> 4096
    """
    for c in range(n):
        at = 20 * c
        v = sample[c] | 0  # a TypeError for a float, which the limits might hide
        low = i32(table, at)
        high = i32(table, at + 4)
        v = low if v < low else high if v > high else v
        x[c] = rshift((v - i32(table, at + 8)) * i32(table, at + 12), i32(table, at + 16))


def matvec(m, x, y, n, first=0):
    """y[row] = (bias[row] + sum over k of w[row][k] * x[k]) >> shift[row]; the bias contains the rounding half.

    m: a matrix as format.matrix_bytes() describes it, weights int8. x: cols integers of 16-bit range. y: n = rows integers,
    and the array has room for whole blocks of four. Values beyond rows are undefined.
    Rounding: half up (equation 1). Bound: the packer proves |bias| + sum |w||x| < 2^30 for each row (equation 8).
    first: the first row to compute.
    bias=2 shift=2 w=(3, -1) x=(5, 9): (2 + 15 - 9) >> 2 = 2
    """
    cols = m[2] | m[3] << 8
    for row in range(first, n):
        r = row & 3
        block = 4 + (row >> 2) * (20 + 4 * cols)
        acc = i32(m, block + 4 * r)
        at = block + 20 + r
        for k in range(cols):
            acc += (m[at] - 128) * x[k]
            at += 4
        y[row] = acc >> m[block + 16 + r]


def gru(a, b, h, units):
    """h <- GRU(a, b, h) as PyTorch defines it: equations 9 to 12.

    a: W x + bias and b: U h + bias, 3 * units integers each, Q3.12 before saturation, gates in the order r, z, n.
    h: units integers, Q0.15, -32767..32767, replaced. The kernel may overwrite a.
    units=1, all of a and b 0, h=8192: r = z = 16384, n = 0, h -> 4096
    """
    for j in range(units):
        z = j + units
        n = z + units
        r = sigmoid(saturate(a[j] + b[j]))
        z = sigmoid(saturate(a[z] + b[z]))
        n = tanh(saturate(a[n] + rshift(r * saturate(b[n]), 15)))
        h[j] = rshift((32768 - z) * n + z * h[j], 15)


_KERNELS = (None, normalise, matvec, gru)


def pack(instructions):
    """Return what run() takes: the instructions, with each kernel instead of its code."""
    return [(_KERNELS[code], a, b, c, n) for code, a, b, c, n in instructions]


def run(program, _, box):
    """Execute what pack() returned; Program.link() describes the arguments."""
    for kernel, a, b, c, n in program:
        if b is None:
            kernel(a, box[0], c, n)
            count = box[1]
            if count[0] < 0x3FFFFFFF:
                count[0] += 1
        else:
            kernel(a, b, c, n)
