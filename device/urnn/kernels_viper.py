"""The vector operations compiled to machine code by MicroPython's viper emitter. kernels_plain.py says what they do.

Nothing here checks a bound: format.py and __init__.py have proven every length before an address is used.

ptr8 and ptr16 load unsigned; ptr32 loads signed where words have 32 bits and unsigned on the 64-bit unix port. So sums
are right modulo 2^32 everywhere, and `v << up >> up` makes a signed number of one: up is 32 where words have 64 bits,
and 0, which changes nothing, on every board.

Weights are stored as w + 128, so the products are too large by 128 * sum(x); that is taken off once a row.

Idioms that every released emitter compiles rightly: bump a pointer and use constant offsets, never a 16- or 32-bit
access by variable index (micropython#18800); `0 - x` for minus x (micropython#19508).
"""

import micropython

from .tables import TANH

NAME = "viper"


@micropython.viper
def normalise(table: ptr32, sample, x: ptr32):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    n = table[0]
    i = 0
    while i < n:
        v = int(sample[i])
        low = int(table[1]) << up >> up
        if v < low:
            v = low
        high = int(table[2]) << up >> up
        if v > high:
            v = high
        v = (v - int(table[3])) << up >> up
        shift = table[5]
        x[0] = (v * int(table[4]) + ((1 << shift) >> 1)) >> shift
        table = ptr32(int(table) + 20)
        x = ptr32(int(x) + 4)
        i += 1


@micropython.viper
def matvec(m: ptr8, x: ptr32, y: ptr32):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    rows = int(ptr16(m)[0])
    cols = int(ptr16(m)[1])
    start = int(x)
    # 128 * sum(x), the same for every row
    excess = 0
    k = cols
    while k > 0:
        excess += x[0]
        x = ptr32(int(x) + 4)
        k -= 1
    excess <<= 7
    block = int(m) + 4
    r = 0
    while rows > 0:
        acc = int(ptr32(block + (r << 2))[0]) - excess
        m = ptr8(block + r + 20)
        x = ptr32(start)
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
        y[0] = (acc << up >> up) >> int(ptr8(block + r)[16])
        y = ptr32(int(y) + 4)
        rows -= 1
        r += 1
        if r == 4:
            r = 0
            block += 20 + (cols << 2)


@micropython.viper
def gru(a: ptr32, b: ptr32, h: ptr32, units: int):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    table = int(ptr16(TANH))
    gate = units << 2
    # r and z, which lie one behind the other: sigmoid(saturate(a + b)), left in a
    k = units << 1
    while k > 0:
        v = (int(a[0]) + int(b[0])) << up >> up
        s = v
        if v < 0:
            s = 0 - v
        if s > 32767:
            s = 32767
        s &= 32767  # for a file that breaks the law: never a wild read
        t = ptr16(table + (s >> 8 << 1))
        s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 255) + 128) >> 8)
        if v < 0:
            s = 0 - s
        a[0] = (32769 + s) >> 1
        a = ptr32(int(a) + 4)
        b = ptr32(int(b) + 4)
        k -= 1
    while units > 0:
        # n = tanh(saturate(a[n] + rshift(r * saturate(b[n]), 15)))
        v = int(b[0]) << up >> up
        if v > 32767:
            v = 32767
        if v < -32767:
            v = -32767
        z = ptr32(int(a) - gate)
        r = ptr32(int(z) - gate)
        v = ((int(r[0]) * v + 16384) >> 15) + (int(a[0]) << up >> up)
        s = v
        if v < 0:
            s = 0 - v
        if s > 32767:
            s = 32767
        s &= 32767  # for a file that breaks the law: never a wild read
        t = ptr16(table + (s >> 7 << 1))
        s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 127) + 64) >> 7)
        if v < 0:
            s = 0 - s
        # h = rshift((32768 - z) * n + z * h, 15)
        v = int(z[0])
        h[0] = ((32768 - v) * s + v * (int(h[0]) << up >> up) + 16384) >> 15
        a = ptr32(int(a) + 4)
        b = ptr32(int(b) + 4)
        h = ptr32(int(h) + 4)
        units -= 1
