"""The vector operations compiled to machine code by MicroPython's viper emitter. kernels_plain.py says what they do.

run() is all of them in one function: it walks through a program of words, so that a step of a net is one call, without a
look-up, a cast or a temporary on the way. A step's words: code, then the places of a, b and c in bytes from the
program's own, then n. Code 0 is the end.

Nothing here checks a bound: format.py and __init__.py have proven every length before an address is used.

Four rows at once. The weights of rows 0 and 1 of a column lie in one half-word m = u0 + u1 2^8, where u = w + 128, and those
of rows 2 and 3 in the next; they are never taken apart: with a0 = sum of m x and a1 = sum of (m >> 8) x,

    sum of u1 x = a1,    sum of u0 x = a0 - a1 2^8

The 128 in u is taken off by where a0 and a1 start: a1 at -128 * sum(x), a0 at the same and 2^8 times it.

ptr8 and ptr16 load unsigned; ptr32 loads signed where words have 32 bits and unsigned on the 64-bit unix port. So sums
are right modulo 2^32 everywhere, and `v << up >> up` makes a signed number of one: up is 32 where words have 64 bits,
and 0, which changes nothing, on every board.

The first two locals live in registers, the others in memory: so m and x hold what is in use, addresses or integers alike,
and casts change from one to the other, which costs nothing. A product comes before the sum it goes into, because the
other order would save the sum to memory. docs/kernels.md counts the cycles.

Idioms that every released emitter compiles rightly: `while True` with a break around more than 2 kB; a store at index 0, or
of a local variable; a pointer that is bumped and constant offsets, never a 16- or 32-bit access by variable index
(micropython#18800); no minus before a local (micropython#19508). docs/kernels.md says what the others become.
"""

from array import array

import micropython
from micropython import const

from .tables import TANH

# The codes of program.py, for the compiler to put in
_NORMALISE = const(1)
_MATVEC = const(2)
_GRU = const(3)

NAME = "viper"
CODES = (_NORMALISE, _MATVEC, _GRU)
_LOW = -1 << 30
_HIGH = -1 - _LOW


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
                if far & 3:
                    raise ValueError("the file must lie at a multiple of 4")
        words[at + 1] = n
        at += 2
    return words


@micropython.viper
def run(m: ptr8, x: ptr32, box):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    home = int(x)
    here = home
    tanh = int(ptr16(TANH))
    while True:
        x = ptr32(here)
        code = x[0]
        if not code:
            break
        a = ptr32(home + (x[1] << up >> up))
        b = ptr32(home + (x[2] << up >> up))
        c = ptr32(home + (x[3] << up >> up))
        n = x[4]
        here += 20
        if code == _MATVEC:
            cols = int(ptr16(a)[1])
            end8 = int(b) + ((cols & -8) << 2)
            end1 = int(b) + (cols << 2)
            # -128 * sum(x), the same for every row
            x = b
            excess = 0
            k = cols
            while k:
                excess -= x[0]
                x = ptr32(int(x) + 4)
                k -= 1
            excess <<= 7
            both = (excess << 8) + excess
            a = ptr32(int(a) + 4)
            while n > 0:
                w = ptr16(int(a) + 20)
                q = b
                a0 = both
                a1 = excess
                a2 = both
                a3 = excess
                while int(q) != end8:
                    x = ptr32(q[0])
                    m = ptr8(w[0])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[1])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[1])
                    m = ptr8(w[2])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[3])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[2])
                    m = ptr8(w[4])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[5])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[3])
                    m = ptr8(w[6])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[7])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[4])
                    m = ptr8(w[8])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[9])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[5])
                    m = ptr8(w[10])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[11])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[6])
                    m = ptr8(w[12])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[13])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    x = ptr32(q[7])
                    m = ptr8(w[14])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[15])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    w = ptr16(int(w) + 32)
                    q = ptr32(int(q) + 32)
                while int(q) != end1:
                    x = ptr32(q[0])
                    m = ptr8(w[0])
                    a0 = int(m) * int(x) + a0
                    a1 = (int(m) >> 8) * int(x) + a1
                    m = ptr8(w[1])
                    a2 = int(m) * int(x) + a2
                    a3 = (int(m) >> 8) * int(x) + a3
                    w = ptr16(int(w) + 4)
                    q = ptr32(int(q) + 4)
                m = ptr8(int(a) + 16)
                x = c
                x[0] = (a0 - (a1 << 8) + a[0] << up >> up) >> m[0]
                x = ptr32(int(x) + 4)
                x[0] = (a1 + a[1] << up >> up) >> m[1]
                x = ptr32(int(x) + 4)
                x[0] = (a2 - (a3 << 8) + a[2] << up >> up) >> m[2]
                x = ptr32(int(x) + 4)
                x[0] = (a3 + a[3] << up >> up) >> m[3]
                c = ptr32(int(x) + 4)
                a = ptr32(int(w))
                n -= 4
        elif code == _NORMALISE:
            sample = box[0]
            low = _LOW
            high = _HIGH
            x = a
            k = 0
            while k < n:
                item = sample[k]
                # As objects, of any type: int() would take the low bits of a large integer. box stands for true
                if item < low:
                    return box
                if item > high:
                    return box
                v = int(item)
                s = int(x[0]) << up >> up  # low
                if v < s:
                    v = s
                s = int(x[1]) << up >> up  # high
                if v > s:
                    v = s
                v = (v - int(x[2])) << up >> up
                s = x[4]
                c[0] = (v * int(x[3]) + ((1 << s) >> 1)) >> s
                x = ptr32(int(x) + 20)
                c = ptr32(int(c) + 4)
                k += 1
            x = ptr32(box[1])
            v = x[0] + 1
            if not v >> 30:
                x[0] = v
        elif code == _GRU:
            gate = n << 2
            # r and z, which lie one behind the other: sigmoid(saturate(a + b)), left in a
            k = n << 1
            while k:
                m = ptr8(int(a[0]) + int(b[0]) << up >> up)
                x = ptr32(int(m) >> 31)  # the sign, -1 or 0
                m = ptr8((int(m) ^ int(x)) - int(x))  # the magnitude
                if int(m) >> 15:  # limited, whatever the sum was: never a wild read
                    m = ptr8(32767)
                t = ptr16(tanh + (int(m) >> 8 << 1))
                v = int(t[0])
                m = ptr8(((int(t[1]) - v) * (int(m) & 255) + 128 >> 8) + v)
                a[0] = (int(m) ^ int(x)) - int(x) + 32769 >> 1
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                k -= 1
            while n:
                # n = tanh(saturate(a[n] + rshift(r * saturate(b[n]), 15)))
                x = b
                m = ptr8(int(x[0]) << up >> up)
                if int(m) > 32767:
                    m = ptr8(32767)
                if int(m) < -32767:
                    m = ptr8(-32767)
                z = ptr32(int(a) - gate)
                x = ptr32(int(z) - gate)
                m = ptr8((int(x[0]) * int(m) + 16384 >> 15) + (int(a[0]) << up >> up))
                x = ptr32(int(m) >> 31)  # as above
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                t = ptr16(tanh + (int(m) >> 7 << 1))
                v = int(t[0])
                m = ptr8(((int(t[1]) - v) * (int(m) & 127) + 64 >> 7) + v)
                m = ptr8((int(m) ^ int(x)) - int(x))
                # h = n + rshift(z * (h - n), 15)
                x = c
                x[0] = (((int(x[0]) << up >> up) - int(m)) * int(z[0]) + 16384 >> 15) + int(m)
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(x) + 4)
                n -= 1
