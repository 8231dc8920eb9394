"""The vector operations compiled to machine code by MicroPython's viper emitter. kernels_plain.py says what they do.

run() is all of them in one function: it walks through a program of words, so that a step of a net is one call, without a
look-up, a cast or a temporary on the way. A step's words: code, then the places of a, b and c in bytes from the
program's own, then n. Code 0 is the end.

Nothing here checks a bound: format.py and __init__.py have proven every length before an address is used.

ptr8 and ptr16 load unsigned; ptr32 loads signed where words have 32 bits and unsigned on the 64-bit unix port. So sums
are right modulo 2^32 everywhere, and `v << up >> up` makes a signed number of one: up is 32 where words have 64 bits,
and 0, which changes nothing, on every board.

Weights are stored as w + 128, so the products are too large by 128 * sum(x); that is taken off once a row.

Idioms that every released emitter compiles rightly: bump a pointer and use constant offsets, never a 16- or 32-bit
access by variable index (micropython#18800); `0 - x` for minus x (micropython#19508).
"""

from array import array

import micropython

from .program import GRU, MATVEC, NORMALISE
from .tables import TANH

NAME = "viper"
CODES = (NORMALISE, MATVEC, GRU)


@micropython.viper
def address(x: ptr8) -> int:
    """Where the bytes of x lie."""
    return int(x)


def pack(steps):
    """Steps of program.py -> the words that run() takes."""
    words = array("i", bytes(20 * len(steps) + 4))
    home = address(words)
    at = 0
    for code, a, b, c, n in steps:
        words[at] = code
        for x in (a, b, c):
            at += 1
            if x is not None:
                far = address(x) - home
                # Modulo 2^32: all the same where words have 32 bits
                words[at] = ((far + 0x80000000) & 0xFFFFFFFF) - 0x80000000
                if home >> 32 > 0 and words[at] != far:
                    raise ValueError("buffers too far apart")
        words[at + 1] = n
        at += 2
    return words


# The first two locals live in registers: they are the pointers of the innermost loop.
@micropython.viper
def run(m: ptr8, x: ptr32, box):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    home = int(x)
    here = home
    tanh = int(ptr16(TANH))
    code = 1
    while code:
        x = ptr32(here)
        code = x[0]
        a = ptr32(home + (x[1] << up >> up))
        b = ptr32(home + (x[2] << up >> up))
        c = ptr32(home + (x[3] << up >> up))
        n = x[4]
        here += 20
        if code == 2:  # MATVEC
            x = b
            cols = int(ptr16(a)[1])
            # 128 * sum(x), the same for every row
            excess = 0
            k = cols
            while k > 0:
                excess += x[0]
                x = ptr32(int(x) + 4)
                k -= 1
            excess <<= 7
            block = int(a) + 4
            r = 0
            while n > 0:
                acc = int(ptr32(block + (r << 2))[0]) - excess
                m = ptr8(block + r + 20)
                x = b
                k = cols
                while k > 7:
                    acc += (
                        m[0] * x[0]
                        + m[4] * x[1]
                        + m[8] * x[2]
                        + m[12] * x[3]
                        + m[16] * x[4]
                        + m[20] * x[5]
                        + m[24] * x[6]
                        + m[28] * x[7]
                    )
                    m = ptr8(int(m) + 32)
                    x = ptr32(int(x) + 32)
                    k -= 8
                while k > 0:
                    acc += m[0] * x[0]
                    m = ptr8(int(m) + 4)
                    x = ptr32(int(x) + 4)
                    k -= 1
                c[0] = (acc << up >> up) >> int(ptr8(block + r)[16])
                c = ptr32(int(c) + 4)
                n -= 1
                r += 1
                if r == 4:
                    r = 0
                    block += 20 + (cols << 2)
        elif code == 1:  # NORMALISE
            sample = box[0]
            x = a
            k = 0
            while k < n:
                v = int(sample[k])
                s = int(x[1]) << up >> up  # low
                if v < s:
                    v = s
                s = int(x[2]) << up >> up  # high
                if v > s:
                    v = s
                v = (v - int(x[3])) << up >> up
                s = x[5]
                c[0] = (v * int(x[4]) + ((1 << s) >> 1)) >> s
                x = ptr32(int(x) + 20)
                c = ptr32(int(c) + 4)
                k += 1
        elif code == 3:  # GRU
            gate = n << 2
            # r and z, which lie one behind the other: sigmoid(saturate(a + b)), left in a
            k = n << 1
            while k > 0:
                v = (int(a[0]) + int(b[0])) << up >> up
                s = v
                if v < 0:
                    s = 0 - v
                if s > 32767:
                    s = 32767
                s &= 32767  # for a file that breaks the law: never a wild read
                t = ptr16(tanh + (s >> 8 << 1))
                s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 255) + 128) >> 8)
                if v < 0:
                    s = 0 - s
                a[0] = (32769 + s) >> 1
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                k -= 1
            while n > 0:
                # n = tanh(saturate(a[n] + rshift(r * saturate(b[n]), 15)))
                v = int(b[0]) << up >> up
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                x = ptr32(int(a) - gate)
                v = ((int(ptr32(int(x) - gate)[0]) * v + 16384) >> 15) + (int(a[0]) << up >> up)
                s = v
                if v < 0:
                    s = 0 - v
                if s > 32767:
                    s = 32767
                s &= 32767  # for a file that breaks the law: never a wild read
                t = ptr16(tanh + (s >> 7 << 1))
                s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 127) + 64) >> 7)
                if v < 0:
                    s = 0 - s
                # h = rshift((32768 - z) * n + z * h, 15)
                v = int(x[0])
                c[0] = ((32768 - v) * s + v * (int(c[0]) << up >> up) + 16384) >> 15
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
