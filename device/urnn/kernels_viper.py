"""The vector operations compiled to machine code by MicroPython's viper emitter. kernels_plain.py says what they do.

Nothing here checks a bound: format.py and net.py have proven every length before an address is used.

ptr8 and ptr16 load unsigned; ptr32 loads signed where words have 32 bits and unsigned on the 64-bit unix port. So sums
are right modulo 2^32 everywhere, and `(v & mask ^ sign) - sign` makes a signed number of one: on 32 bits it changes
nothing. `sign` is made at run time because viper takes no literal above 2^30 - 1 on 32-bit boards.

Weights are stored as w + 128, so the products are too large by 128 * sum(x); that is taken off once a row.

Idioms that every released emitter compiles rightly: bump a pointer and use constant offsets, never a 16- or 32-bit
access by variable index (micropython#18800); `0 - x` for minus x (micropython#19508).
"""

import micropython

from .tables import TANH

NAME = "viper"


@micropython.viper
def normalise(table: ptr32, sample, x: ptr32):
    sign = 1
    sign <<= 31
    mask = (sign - 1) | sign
    n = table[0]
    table = ptr32(int(table) + 4)
    i = 0
    while i < n:
        low = (int(table[0]) & mask ^ sign) - sign
        high = (int(table[1]) & mask ^ sign) - sign
        offset = (int(table[2]) & mask ^ sign) - sign
        v = int(sample[i])
        if v < low:
            v = low
        if v > high:
            v = high
        shift = table[4]
        x[0] = ((v - offset) * int(table[3]) + ((1 << shift) >> 1)) >> shift
        table = ptr32(int(table) + 20)
        x = ptr32(int(x) + 4)
        i += 1


@micropython.viper
def matvec(m: ptr8, x: ptr32, y: ptr32):
    sign = 1
    sign <<= 31
    mask = (sign - 1) | sign
    rows = int(m[0]) | int(m[1]) << 8
    cols = int(m[2]) | int(m[3]) << 8
    tail = cols & 7
    eights = cols >> 3
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
    row = 0
    while row < rows:
        r = row & 3
        if row > 0:
            if r == 0:
                block += 20 + (cols << 2)
        acc = int(ptr32(block + (r << 2))[0]) - excess
        m = ptr8(block + r + 20)
        x = ptr32(start)
        k = eights
        while k > 0:
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
            k -= 1
        k = tail
        while k > 0:
            acc += m[0] * x[0]
            m = ptr8(int(m) + 4)
            x = ptr32(int(x) + 4)
            k -= 1
        m = ptr8(block + r + 16)
        y[0] = ((acc & mask ^ sign) - sign) >> m[0]
        y = ptr32(int(y) + 4)
        row += 1


@micropython.viper
def gru(a: ptr32, b: ptr32, h: ptr32, units: int):
    sign = 1
    sign <<= 31
    mask = (sign - 1) | sign
    table = int(ptr16(TANH))
    gate = units << 2
    while units > 0:
        # r = sigmoid(saturate(a[r] + b[r]))
        v = ((int(a[0]) + int(b[0])) & mask ^ sign) - sign
        if v > 32767:
            v = 32767
        if v < -32767:
            v = -32767
        s = v
        if v < 0:
            s = 0 - v
        t = ptr16(table + ((s >> 8) << 1))
        r = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 255) + 128) >> 8)
        if v < 0:
            r = 0 - r
        r = (32769 + r) >> 1
        # z, the same
        p = ptr32(int(a) + gate)
        q = ptr32(int(b) + gate)
        v = ((int(p[0]) + int(q[0])) & mask ^ sign) - sign
        if v > 32767:
            v = 32767
        if v < -32767:
            v = -32767
        s = v
        if v < 0:
            s = 0 - v
        t = ptr16(table + ((s >> 8) << 1))
        z = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 255) + 128) >> 8)
        if v < 0:
            z = 0 - z
        z = (32769 + z) >> 1
        # n = tanh(saturate(a[n] + rshift(r * saturate(b[n]), 15)))
        p = ptr32(int(p) + gate)
        q = ptr32(int(q) + gate)
        v = (int(q[0]) & mask ^ sign) - sign
        if v > 32767:
            v = 32767
        if v < -32767:
            v = -32767
        v = ((int(p[0]) & mask ^ sign) - sign) + ((r * v + 16384) >> 15)
        if v > 32767:
            v = 32767
        if v < -32767:
            v = -32767
        s = v
        if v < 0:
            s = 0 - v
        t = ptr16(table + ((s >> 7) << 1))
        n = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 127) + 64) >> 7)
        if v < 0:
            n = 0 - n
        # h = rshift((32768 - z) * n + z * h, 15)
        v = (int(h[0]) & mask ^ sign) - sign
        h[0] = ((32768 - z) * n + z * v + 16384) >> 15
        a = ptr32(int(a) + 4)
        b = ptr32(int(b) + 4)
        h = ptr32(int(h) + 4)
        units -= 1
