# SPDX-License-Identifier: MIT
"""The product of matrix and vector for firmware without an emitter: bytecode that load() writes itself.

Bytecode takes longer for one multiplication than for two additions, and the rows of a matrix need the same sums again and
again. The file has w + 128 for a weight w. With its bits b_p, w + 128 = sum over p of 2^p b_p, and d_p = 2 b_p - 1 = +-1,

    2 w + 1 = sum over p of 2^p d_p,    2 (W x)[row] = sum over p of 2^p (sum over k of d_p x_k) - sum over k of x_k

The +-x_k of a few columns have few sums: 64 for seven columns, the other 64 being their negatives. They are computed once
for many rows and stay in local variables. A row then takes eight of them for seven weights, by Horner's rule. Digits of
base 4 and 16 and their odd values work in the same way. Which of them is best depends on the matrix.

The firmware's compiler needs 120 bytes of RAM for each term of such a row. So this module writes the bytecode itself, with
4 bytes for each term. It has the form of an .mpy file in RAM that the firmware imports: a generator, which keeps its
variables between steps.
"""

import gc
import io
import sys

from micropython import const  # ImportError in CPython, where plain serves

from . import kernels_plain
from .fixed import i32
from .kernels_unrolled import gru
from .program import GRU, MATVEC

try:
    from vfs import mount, umount
except ImportError:
    from os import mount, umount  # ImportError in CircuitPython, where unrolled serves

if getattr(sys.implementation, "_mpy", 0) & 255 != 6:
    raise ImportError("bytecode of another version")

NAME = "bytecode"
CODES = (MATVEC, GRU)

# Cycles on an RP2040, measured
_TERM = const(157)  # a local variable added
_PRODUCT = const(370)  # a constant times a local variable, added
_DIFFERENCE = const(230)  # a local variable set to the difference of two others
_SHIFT = const(143)
_LOCALS = const(2000)  # variables, at most; with half as many columns a row has 8 kB of products

# Bytecode of .mpy version 6
_SMALL = const(0x80)  # plus a number -16..47; _NUMBER is for any number
_NUMBER = b"\x22"
_LOAD = b"\x24"
_STORE = b"\x26"
_LOAD_X = b"\xb0"  # local variables 0 to 2 of each function
_LOAD_Y = b"\xb1"
_LOAD_2 = b"\xb2"
_STORE_2 = b"\xc2"
_UNPACK = b"\x30"
_JUMP = b"\x42"
_SET_ITEM = b"\x56"
_SIGN = const(0xD0)  # +a; one more is -a
_NEGATIVE = b"\xd1"
_LEFT = b"\xf0"
_RIGHT = b"\xf1"
_SUM = const(0xF2)  # a + b; one more is a - b
_ADD = b"\xf2"
_SUBTRACT = b"\xf3"
_MULTIPLY = b"\xf4"
_YIELD = b"\x51\x67\x59"  # yields None and drops what next() sends
_FAR = const(8000)  # bytes; a jump can pass 16384, and a row takes less than the difference
# What precedes the function in a file: header, the name f, a module that defines this function
_MODULE = b"M\x06\x00\x1f\x02\x00\x02f\x00\x02f\x00\x4c\x00\x02\x00\x32\x00\x16\x01\x51\x63\x01"
_PATH = "/_urnn"
_NAME = "_urnn_rows"


class _File(io.IOBase):
    """A file to read, whose pieces are made when they are needed."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.left = b""

    def readinto(self, buffer):
        # For the importer, less than it asked for is the end of the file
        at = 0
        while at < len(buffer):
            if not len(self.left):  # a memoryview is always true
                try:
                    self.left = memoryview(next(self.pieces))
                except StopIteration:
                    break
            n = min(len(buffer) - at, len(self.left))
            buffer[at : at + n] = self.left[:n]
            self.left = self.left[n:]
            at += n
        return at

    def ioctl(self, request, argument):
        return 240 if request == 11 else 0  # bytes to read at a time


class _Folder:
    """A file system with this one file."""

    def __init__(self, pieces):
        self.pieces = pieces

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        if not path.endswith(".mpy"):
            raise OSError(2)
        return (0x8000,) + (0,) * 9

    def open(self, path, mode):
        return _File(self.pieces)


def _function(state, size, code):
    """Return the generator function f(x, y) with the bytecode in `code`, an iterable of pieces.

    state: places for variables and temporaries. size: bytes of the code.
    """
    # What precedes the code: a generator of two arguments, its places, names for it and for them
    state -= 1
    prelude = [(state & 15) << 3 | 2]
    state >>= 4
    flag = 64
    while state or flag:
        prelude[-1] |= 128
        prelude.append(flag | (state & 3) << 4)
        state >>= 2
        flag = 0
    prelude += [6, 1, 1, 1]
    size = (size + len(prelude)) << 3

    def file():
        yield _MODULE
        yield bytes([size >> 21 & 127 | 128, size >> 14 & 127 | 128, size >> 7 & 127 | 128, size & 127] + prelude)
        for piece in code:
            yield piece

    mount(_Folder(file()), _PATH)
    sys.path.insert(0, _PATH)
    try:
        return __import__(_NAME).f
    finally:
        del sys.path[0]
        sys.modules.pop(_NAME, None)
        umount(_PATH)


def _wide(n):
    """A number 0..8191 in two bytes, so that all instructions with a number have the same length."""
    return bytes((n >> 7 | 128, n & 127))


def _back(distance):
    """A jump back by a distance in bytes, counted from the jump itself."""
    distance = 0x4000 - 3 - distance
    return _JUMP + bytes((distance & 127 | 128, distance >> 7))


class _Rows:
    """Some rows of a matrix m, y[row] = (W x + bias) >> shift, as one function in bytecode.

    count, cols: numbers of rows and columns. width: length of x. bits: of a digit, or 0 for products of weights and
    columns. groups of columns: (first column, columns, variable of the first sum, sums). column: variable of column 0.
    code: bytecode of a row. state: places for variables and temporaries. size: bytes of all the code.
    """

    def __init__(self, count, cols, width, small):
        self.count = count
        self.cols = cols
        self.width = width
        # Choose what takes the fewest cycles
        cost = count * cols * _PRODUCT
        bits = 0
        columns = cols
        for b in (1, 2, 4) if small else ():
            for c in range(1, min(9 // b, cols) + 1):
                n = (cols + c - 1) // c
                sums = n << (b * c - 1)
                now = count * (8 // b * (n * _TERM + _SHIFT) - _SHIFT) + sums * _DIFFERENCE
                if now < cost and sums + 2 * width < _LOCALS:
                    cost = now
                    bits = b
                    columns = c
        self.bits = bits
        self.groups = []
        local = 3
        n = (cols + columns - 1) // columns
        end = 0
        for i in range(n):
            start = end
            end = cols * (i + 1) // n
            sums = 1 << (bits * (end - start) - 1) if bits else 0
            self.groups.append((start, end - start, local, sums))
            local += sums
        self.column = local
        # The code that all rows share, with 0 for the rest
        if bits:
            code = bytes((_SMALL + bits,)) + _LEFT + (_LOAD + b"\0\0\0") * n
            code = (code * (8 // bits))[2:] + _LOAD_2 + _ADD
        else:
            code = b"".join([_NUMBER + b"\0\0" + _LOAD + _wide(local + k) + _MULTIPLY + _ADD for k in range(cols)])
            code = code[:7] + code[8:]
        code += _NUMBER + b"\0\0\0\0\0" + _ADD + b"\0" + _RIGHT  # the bias, and how far to shift
        self.code = bytearray(code + _LOAD_Y + _NUMBER + b"\0\0" + _SET_ITEM)
        self.state = local + 2 * width + 8
        size = 8 * local + 16 * cols + 3 * width + count * len(self.code)
        self.size = size + size // _FAR * 5 + 16

    def begin(self):
        """Code that sets the variables: the columns, every sum of a group's columns times digits, and -sum of x.

        In base 2^bits, digit i of a sum's number belongs to the group's column i: 0 for the largest digit, 1 for that
        less 2. The last column's digit is positive.
        """
        column = self.column
        yield _LOAD_X + _UNPACK + _wide(self.width)
        for k in range(self.width):
            yield _STORE + _wide(column + k)
        if not self.bits:
            return
        for start, count, local, sums in self.groups:
            start += column
            for k in range(start, start + count):
                yield _LOAD + _wide(k)
                if k > start:
                    yield _ADD
            if self.bits > 1:
                yield bytes((_SMALL + (1 << self.bits) - 1,)) + _MULTIPLY
            yield _STORE + _wide(local)
            place = 1
            for k in range(start, start + count):
                yield (_LOAD + _wide(k)) * 2 + _ADD + _STORE_2
                for m in range(place, min(place << self.bits, sums)):
                    yield _LOAD + _wide(local + m - place) + _LOAD_2 + _SUBTRACT + _STORE + _wide(local + m)
                place <<= self.bits
        for k in range(column, column + self.cols):
            yield _LOAD + _wide(k)
            if k > column:
                yield _ADD
        yield _NEGATIVE + _STORE_2

    def rows(self, m, first):
        """Code of each row, in the same buffer."""
        code = self.code
        bits = self.bits
        groups = self.groups
        top = (1 << bits) - 1
        for row in range(first, first + self.count):
            at = 4 + (row >> 2) * (20 + 4 * self.cols) + (row & 3)
            bias = i32(m, at + 3 * (row & 3))
            shift = m[at + 16]
            at += 20
            to = 1
            if bits:
                bias += bias
                shift += 1
                for place in range(8 - bits, -1, -bits):
                    for start, count, local, sums in groups:
                        k = at + 4 * start
                        end = k + 4 * count
                        digits = 0
                        while end > k:
                            end -= 4
                            digits = digits << bits | m[end] >> place & top
                        minus = digits < sums
                        if not minus:
                            digits = sums + sums - 1 - digits
                        digits += local
                        code[to] = digits >> 7 | 128
                        code[to + 1] = digits & 127
                        code[to + 2] = (_SUM if to > 1 else _SIGN) + minus
                        to += 4
                    to += 2
            else:
                for k in range(at, at + 4 * self.cols, 4):
                    w = m[k] - 128
                    code[to] = w >> 7 & 127 | 128
                    code[to + 1] = w & 127
                    to += 8 if to > 1 else 7
            for place in (28, 21, 14, 7):
                code[to] = bias >> place & 127 | 128
                to += 1
            code[to] = bias & 127
            code[to + 2] = _SMALL + shift
            code[to + 6] = row >> 7 | 128
            code[to + 7] = row & 127
            yield code

    def pieces(self, m, first):
        """All the code: the body of an endless loop that yields after each product."""
        at = back = 0
        for piece in self.parts(m, first):
            if at - back > _FAR:  # too far for one jump back: insert another as its target, and a jump over that
                yield _JUMP + b"\x43"
                at += 2
                yield _back(at - back)
                back = at
                at += 3
            yield piece
            at += len(piece)
        yield _YIELD + _back(at + 3 - back)
        yield bytes(self.size - at - 6)

    def parts(self, m, first):
        for piece in self.begin():
            yield piece
        for piece in self.rows(m, first):
            yield piece

    def function(self, m, first):
        return _function(self.state, self.size, self.pieces(m, first))


def _small(m, n, cols):
    """Whether every row stays in the 31-bit range with digits, whose sum is twice that of the row."""
    for row in range(n):
        at = 4 + (row >> 2) * (20 + 4 * cols) + (row & 3)
        bound = cols << 4
        for k in range(at + 20, at + 20 + 4 * cols, 4):
            bound += abs(m[k] + m[k] - 255)
        if (bound << 15) + 2 * abs(i32(m, at + 3 * (row & 3))) >> 30:
            return False
    return True


def _compile(m, x, y, n):
    """Return (generators, rows): the first rows of the matrix as generators, as many as fit in the heap."""
    cols = m[2] | m[3] << 8
    generators = []
    row = 0
    if n < 8192 and 2 * len(x) < _LOCALS:
        small = _small(m, n, cols)
        count = n
        while row < n:
            count = min(count, n - row)
            gc.collect()
            try:
                rows = _Rows(count, cols, len(x), small)
                f = bytearray(rows.size), bytearray(4 * rows.state + 64)  # the heap may be in pieces
                f = None
                gc.collect()
                f = rows.function(m, row)
                generators.append((f, [f(x, y)]))
                row += count
            except MemoryError:
                f = None
                count -= (count >> 3) + 1
                if count < 4:
                    break
    return generators, row


_ended = iter(())


def _matvec(code, x, y, n):
    generators, row, m = code
    for f, g in generators:
        try:
            next(g[0])
        except StopIteration:  # Ctrl-C ended it; free its memory for the next
            g[0] = _ended
            g[0] = f(x, y)
            next(g[0])
    if row < n:
        kernels_plain.matvec(m, x, y, n, row)


def pack(instructions):
    """Return what run() takes: kernels instead of codes, and the matrices as bytecode as far as they fit in the heap."""
    # A vector that goes from a product to the gates only becomes a list: bytecode reads its items in half the time
    results = [instruction[3] for instruction in instructions if instruction[0] == MATVEC]
    lists = {}
    for code, a, b, _, _ in instructions:
        if code == GRU:
            for v in (a, b):
                if any([v is y for y in results]):
                    lists[id(v)] = [0] * len(v)
    program = []
    matrices = []
    for code, a, b, c, n in instructions:
        if code == GRU:
            program.append((gru, lists.get(id(a), a), lists.get(id(b), b), c, n))
        else:
            matrices.append((-len(a), len(program)))
            program.append((_matvec, a, b, lists.get(id(c), c), n))
    matrices.sort()  # the largest first: it is given the largest piece of the heap
    gc.collect()
    try:
        reserve = bytearray(min(gc.mem_free() + gc.mem_alloc() >> 4, 1 << 15))  # for the user's program
    except MemoryError:
        reserve = None
    for _, i in matrices:
        _, m, x, y, n = program[i]
        program[i] = _matvec, (_compile(m, x, y, n) if reserve else ((), 0)) + (m,), x, y, n
    del reserve
    return program


run = kernels_plain.run
