# SPDX-License-Identifier: MIT
"""The kernels of gates_plain.py, compiled to machine code by MicroPython's viper emitter.

kernels_viper.py explains how such a module works: the words of a program, why sums are right modulo 2^32, what
`<< up >> up` does, what m and x are for, and which idioms every emitter compiles correctly.

Here x is mostly a sign, -1 or 0, and m the magnitude: `(m ^ x) - x` converts one to the other and back, and `m >> 15`
is true for a magnitude that is too large. tanh is read at 8 bits like sigmoid, at twice its argument. FastRNN's leak is
FastGRNN's blend with zeta 0 and beta as its gate. gates_asm_thumb.py explains why both give the same integers.
"""

import micropython
from micropython import const

from .kernels_viper import pack  # noqa: F401
from .tables import TANH

# Codes of program.py, as constants of the compiler
_SIGMOID = const(16)
_TANH = const(17)
_RELU = const(18)
_MUL = const(19)
_MIX = const(20)
_MEMORY = const(21)
_LEAK = const(22)
_BLEND = const(23)
_ADD = const(24)
_SCALE = const(25)
_EMBED = const(26)
_LIMIT = const(27)
_FINE = const(28)

NAME = "viper"
CODES = (_SIGMOID, _TANH, _RELU, _MUL, _MIX, _MEMORY, _LEAK, _BLEND, _ADD, _SCALE, _EMBED, _LIMIT, _FINE)


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
        far = x[4] << 2
        end = int(c) + far
        here += 20
        if code & 30 == _SIGMOID:  # or _TANH, one more
            k = code & 1
            r = (1 - k) * 32769
            while int(c) - end:
                m = ptr8(a[0])
                m = ptr8(int(b[0]) + int(m) << up >> up)
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:  # limited for any sum, so that no address lies outside the table
                    m = ptr8(32767)
                m = ptr8(int(m) << k)
                t = ptr16(tanh + (int(m) >> 8 << 1))
                v = int(t[0])
                m = ptr8(((int(t[1]) - v) * (int(m) & 255) + 128 >> 8) + v)
                c[0] = ((int(m) ^ int(x)) - int(x) << k) + r >> 1  # (32769 + y) >> 1, or y
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
        elif code == _RELU:
            x = c
            while int(x) - end:
                m = ptr8(a[0])
                m = ptr8(int(b[0]) + int(m) << up >> up)
                if int(m) >> 15:
                    m = ptr8((int(m) >> 31 ^ 32767) & 32767)
                x[0] = int(m)
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                x = ptr32(int(x) + 4)
        elif code == _MUL:
            x = c
            while int(x) - end:
                m = ptr8(a[0])
                x[0] = int(b[0]) * int(m) + 16384 << up >> up >> 15
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                x = ptr32(int(x) + 4)
        elif code == _MIX:  # h <- a + rshift(z * (h - a), 15)
            x = c
            while int(x) - end:
                m = ptr8(int(b[0]) << up >> up)
                x[0] = (((int(x[0]) << up >> up) - int(m)) * int(a[0]) + 16384 >> 15) + int(m)
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                x = ptr32(int(x) + 4)
        elif code == _MEMORY:
            k = a[0] & 255
            s = 0
            p = k - 3
            if k < 3:
                s = 3 - k
                p = 0
            r = 1 << k >> 1
            v = 1 << s >> 1
            while int(c) - end:
                # b: i; x: f, then o, then g
                x = ptr32(int(b) + far)
                m = ptr8(x[0])
                m = ptr8(int(c[0]) * int(m) + 16384 << up >> up >> 15)
                x = ptr32(int(x) + (far << 1))
                a = x
                x = ptr32(x[0])
                m = ptr8(((int(b[0]) * int(x) + 16384 << up >> up >> 15) + r >> k) + int(m))
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                m = ptr8((int(m) ^ int(x)) - int(x))
                c[0] = int(m)
                m = ptr8(int(m) + v >> s << p)  # to Q3.12
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                t = ptr16(tanh + (int(m) >> 7 << 1))
                m = ptr8(((int(t[1]) - int(t[0])) * (int(m) & 127) + 64 >> 7) + int(t[0]))
                a[0] = (int(m) ^ int(x)) - int(x)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
        elif code & 30 == _LEAK:  # or _BLEND, one more: c <- saturate(2 p a + z c), p of z; a: z, b: a
            k = int(a[2])
            if code == _LEAK:
                p = 0
                s = int(a[0])
                far = 0
                a = ptr32(int(a) + 4)
            else:
                p = int(a[0])
                s = int(a[1]) << 1
                a = b
                b = ptr32(int(b) + far)
                far = 4
            r = 1 << k >> 1
            while int(c) - end:
                x = a
                m = ptr8(x[0])
                a = ptr32(int(x) + far)
                x = ptr32(((32768 - int(m)) * p + 16384 >> 15 << 1) + s)
                x = ptr32((int(b[0]) * int(x) + 16384 << up >> up >> 15) + r >> k)
                m = ptr8((int(c[0]) * int(m) + 16384 << up >> up >> 15) + int(x))
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                c[0] = (int(m) ^ int(x)) - int(x)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
        elif code == _ADD:
            x = c
            while int(x) - end:
                m = ptr8(a[0])
                x[0] = int(b[0]) + int(m)
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                x = ptr32(int(x) + 4)
        elif code == _SCALE:
            p = int(a[0])
            v = 1 << p >> 1
            # The sum of the saturated
            q = b
            k = int(b) + far
            r = 0
            while int(q) - k:
                m = ptr8(int(q[0]) << up >> up)
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                r = (int(m) ^ int(x)) - int(x) + r
                q = ptr32(int(q) + 4)
            m = ptr8((r + v >> p) * int(a[1]) + 8192 >> 14)
            if int(m) > 32767:
                m = ptr8(32767)
            if int(m) < -32767:
                m = ptr8(-32767)
            r = int(m) - 1
            # Half the deviations from the mean, left in c, and the sum of their squares
            s = int(a[2])
            q = c
            while int(q) - end:
                m = ptr8(int(b[0]) << up >> up)
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                m = ptr8((int(m) ^ int(x)) - int(x) - r >> 1)
                q[0] = int(m)
                s = (int(m) * int(m) + v >> p) + s
                b = ptr32(int(b) + 4)
                q = ptr32(int(q) + 4)
            # s^-1/2
            k = 16
            x = ptr32(s)
            while int(x) < 268435456:
                x = ptr32(int(x) << 2)
                k -= 1
            x = ptr32(int(x) >> 14)
            m = ptr8(19400 - (int(x) * 3200 >> 14))
            p = 3
            while p:
                m = ptr8(int(m) * (49152 - (int(x) * (int(m) * int(m) >> 14) >> 14)) + 16384 >> 15)
                p -= 1
            r = int(m)
            v = 1 << k >> 1
            p = int(a[3])
            s = 1 << p >> 1
            a = ptr32(int(a) + 16)
            while int(c) - end:
                m = ptr8((int(c[0]) << up >> up) * r + v >> k)
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                m = ptr8((int(m) ^ int(x)) - int(x))
                t = ptr16(a)
                x = ptr32((int(t[1]) ^ 32768) - 32768)
                m = ptr8((((int(t[0]) ^ 32768) - 32768) * int(m) + s >> p) + int(x))
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                c[0] = (int(m) ^ int(x)) - int(x)
                a = ptr32(int(a) + 4)
                c = ptr32(int(c) + 4)
        elif code == _EMBED:
            t = ptr16(a)
            v = int(b[0]) << up >> up
            s = int(t[0]) - 1
            if v < 0:
                v = 0
            if v > s:
                v = s
            t = ptr16(int(a) + 4 + v * (far >> 1))
            while int(c) - end:
                m = ptr8((int(t[0]) ^ 32768) - 32768)
                if int(m) < -32767:
                    m = ptr8(-32767)
                c[0] = int(m)
                t = ptr16(int(t) + 2)
                c = ptr32(int(c) + 4)
        elif code == _LIMIT:
            while int(c) - end:
                m = ptr8(int(b[0]) << up >> up)
                x = ptr32(int(m) >> 31)
                m = ptr8((int(m) ^ int(x)) - int(x))
                if int(m) >> 15:
                    m = ptr8(32767)
                c[0] = (int(m) ^ int(x)) - int(x)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
        elif code == _FINE:
            q = ptr32(int(b) + far)
            while int(b) - int(q):
                t = ptr16(a)
                m = ptr8(int(b[0]) << 7)
                x = ptr32(int(c) + (int(t[0]) << 2))
                x[0] = (int(x[0]) + int(m) << up >> up) >> int(t[1])
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
