"""The kernels of gates_plain.py compiled to machine code by MicroPython's viper emitter; gates_plain.py says what they do.

kernels_viper.py says how such a module works: the words of a program, why sums are right modulo 2^32, what `<< up >> up`
does, and which idioms every emitter compiles rightly.
"""

import micropython

from .kernels_viper import pack  # noqa: F401
from .program import ADD, BLEND, EMBED, LEAK, LIMIT, MEMORY, MIX, MUL, RELU, SCALE, SIGMOID, TANH
from .tables import TANH as TABLE

NAME = "viper"
CODES = (SIGMOID, TANH, RELU, MUL, MIX, MEMORY, LEAK, BLEND, ADD, SCALE, EMBED, LIMIT)


@micropython.viper
def run(a: ptr32, b: ptr32, box):
    up = 1
    up = (up << 31 >> 31) + 1 << 4
    home = int(a)
    here = home
    tanh = int(ptr16(TABLE))
    code = 1
    while code:
        x = ptr32(here)
        code = x[0]
        a = ptr32(home + (x[1] << up >> up))
        b = ptr32(home + (x[2] << up >> up))
        c = ptr32(home + (x[3] << up >> up))
        n = x[4]
        here += 20
        far = n << 2
        if code == 0:
            n = 0
        elif code < 18:  # SIGMOID, TANH: the table read at 8 and at 7 bits
            k = 24 - code
            while n > 0:
                v = (int(a[0]) + int(b[0])) << up >> up
                s = v
                if v < 0:
                    s = 0 - v
                if s > 32767:
                    s = 32767
                s &= 32767  # for a file that breaks the law: never a wild read
                t = ptr16(tanh + (s >> k << 1))
                s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & (1 << k) - 1) + (1 << k >> 1)) >> k)
                if v < 0:
                    s = 0 - s
                if k == 8:
                    s = (32769 + s) >> 1
                c[0] = s
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 18:  # RELU
            while n > 0:
                v = (int(a[0]) + int(b[0])) << up >> up
                if v < 0:
                    v = 0
                if v > 32767:
                    v = 32767
                c[0] = v
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 19:  # MUL
            while n > 0:
                c[0] = (int(a[0]) * int(b[0]) + 16384) << up >> up >> 15
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 20:  # MIX
            while n > 0:
                v = int(a[0])
                c[0] = ((32768 - v) * int(b[0]) + v * int(c[0]) + 16384) << up >> up >> 15
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 21:  # MEMORY
            k = a[0] & 255
            while n > 0:
                # b: i; x: f, then o, then g
                x = ptr32(int(b) + far)
                v = (int(x[0]) * int(c[0]) + 16384) << up >> up >> 15
                x = ptr32(int(x) + far)
                x = ptr32(int(x) + far)
                s = (int(b[0]) * int(x[0]) + 16384) << up >> up >> 15
                v += (s + (1 << k >> 1)) >> k
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                c[0] = v
                if k > 3:
                    v <<= k - 3
                else:
                    s = 3 - k
                    v = (v + (1 << s >> 1)) >> s
                s = v
                if v < 0:
                    s = 0 - v
                if s > 32767:
                    s = 32767
                s &= 32767
                t = ptr16(tanh + (s >> 7 << 1))
                s = int(t[0]) + (((int(t[1]) - int(t[0])) * (s & 127) + 64) >> 7)
                if v < 0:
                    s = 0 - s
                x[0] = s
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code < 24:  # LEAK, BLEND: c <- saturate(part of the new + part of c)
            p = int(a[0])
            s = int(a[1])
            k = int(a[2])
            while n > 0:
                if code == 22:
                    v = (p * int(b[0]) + 16384) << up >> up >> 15
                    r = s
                else:
                    r = int(b[0])  # z
                    x = ptr32(int(b) + far)
                    v = ((p * (32768 - r) + 16384) >> 15) + s
                    v = (v * int(x[0]) + 8192) << up >> up >> 14
                v = (v + (1 << k >> 1)) >> k
                v += (r * int(c[0]) + 16384) << up >> up >> 15
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                c[0] = v
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 24:  # ADD
            while n > 0:
                c[0] = int(a[0]) + int(b[0])
                a = ptr32(int(a) + 4)
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 25:  # SCALE
            p = int(a[0])
            # The sum of the saturated
            x = b
            k = n
            r = 0
            while k > 0:
                v = int(x[0]) << up >> up
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                r += v
                x = ptr32(int(x) + 4)
                k -= 1
            r = ((((r + (1 << p >> 1)) >> p) * int(a[1])) + 8192) >> 14
            if r > 32767:
                r = 32767
            if r < -32767:
                r = -32767
            # Half the deviations from the mean, left in c, and the sum of their squares
            s = int(a[2])
            x = c
            k = n
            while k > 0:
                v = int(b[0]) << up >> up
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                v = (v - r + 1) >> 1
                x[0] = v
                s += (v * v + (1 << p >> 1)) >> p
                b = ptr32(int(b) + 4)
                x = ptr32(int(x) + 4)
                k -= 1
            # s^-1/2
            k = 16
            while s < 268435456:
                s <<= 2
                k -= 1
            s >>= 14
            r = 19400 - ((s * 3200) >> 14)
            p = 3
            while p > 0:
                r = (r * (49152 - ((s * ((r * r) >> 14)) >> 14)) + 16384) >> 15
                p -= 1
            p = int(a[3])
            x = ptr32(int(a) + 16)
            while n > 0:
                v = ((int(c[0]) << up >> up) * r + (1 << k >> 1)) >> k
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                t = ptr16(x)
                v = (v * ((int(t[0]) ^ 32768) - 32768) + (1 << p >> 1)) >> p
                v += (int(t[1]) ^ 32768) - 32768
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                c[0] = v
                x = ptr32(int(x) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        elif code == 27:  # LIMIT
            while n > 0:
                v = int(b[0]) << up >> up
                if v > 32767:
                    v = 32767
                if v < -32767:
                    v = -32767
                c[0] = v
                b = ptr32(int(b) + 4)
                c = ptr32(int(c) + 4)
                n -= 1
        else:  # EMBED
            t = ptr16(a)
            v = int(b[0]) << up >> up
            s = int(t[0]) - 1
            if v < 0:
                v = 0
            if v > s:
                v = s
            t = ptr16(int(a) + 4 + v * (n << 1))
            while n > 0:
                v = (int(t[0]) ^ 32768) - 32768
                if v < -32767:
                    v = -32767
                c[0] = v
                t = ptr16(int(t) + 2)
                c = ptr32(int(c) + 4)
                n -= 1
