# SPDX-License-Identifier: MIT
"""The kernels of all cells but PyTorch's GRU, in plain Python. They are the definition, as in kernels_plain.py.

Vectors are array('i') or parts of one. Their magnitude is 32767 at most, unless a line says otherwise. Tables are views of
the model file, which the cells have checked. Every kernel takes (a, b, c, n): three vectors and the number of results.
docs/numerics.md proves the bounds.
"""

from .fixed import i32, rshift, saturate, sigmoid, tanh
from .program import ADD, BLEND, EMBED, FINE, LEAK, LIMIT, MEMORY, MIX, MUL, RELU, SCALE, SIGMOID, TANH

NAME = "plain"
CODES = (SIGMOID, TANH, RELU, MUL, MIX, MEMORY, LEAK, BLEND, ADD, SCALE, EMBED, LIMIT, FINE)


def _i16(b, at):
    return b[at] + (((b[at + 1] ^ 128) - 128) << 8)


def sigmoids(a, b, c, n):
    """c = sigmoid(saturate(a + b)), equation 18.

    a, b: n integers, Q3.12 before saturation, |a + b| < 2^30. c: n integers, Q0.15; may be a or b. a=3 b=-3 -> 16384
    """
    for i in range(n):
        c[i] = sigmoid(saturate(a[i] + b[i]))


def tanhs(a, b, c, n):
    """c = tanh(saturate(a + b)), equation 19; arguments as sigmoids(). a=4000 b=96 -> 24956"""
    for i in range(n):
        c[i] = tanh(saturate(a[i] + b[i]))


def relu(a, b, c, n):
    """c = min(32767, max(0, a + b)), equation 20; arguments as sigmoids(), all in one format. a=9 b=-10 -> 0"""
    for i in range(n):
        v = a[i] + b[i]
        c[i] = 0 if v < 0 else 32767 if v > 32767 else v


def mul(a, b, c, n):
    """c = rshift(a * b, 15), equation 21: b in any format, times a in Q0.15. c may be a or b. a=16384 b=-3 -> -1"""
    for i in range(n):
        c[i] = rshift(a[i] * b[i], 15)


def mix(z, a, h, n):
    """h <- rshift((32768 - z) * a + z * h, 15), equation 12 with a instead of n. z: Q0.15, 0..32767.

    z=16384 a=0 h=8192 -> 4096
    """
    for i in range(n):
        h[i] = rshift((32768 - z[i]) * a[i] + z[i] * h[i], 15)


def memory(t, g, c, n):
    """LSTM's c <- saturate(f * c + i * g), and tanh of it, equations 22 and 23.

    t: u8 k, 0..12: c is in Q(k).(15-k). g: 4 * n integers, Q0.15, gates in the order i, f, o, g; tanh(c) replaces the last.
    c: n integers, replaced. k=1 i=16384 f=16384 g=8192 c=-4096 -> c = -2048 + 2048 = 0, tanh 0
    """
    k = t[0]
    for i in range(n):
        v = rshift(g[n + i] * c[i], 15) + rshift(rshift(g[i] * g[3 * n + i], 15), k)
        c[i] = v = saturate(v)
        g[3 * n + i] = tanh(rshift(v, 3 - k) if k < 4 else saturate(v << k - 3))


def leak(t, a, h, n):
    """FastRNN's h <- saturate(alpha * a + beta * h), equation 24.

    t: i32 alpha, beta, 0..32768, Q0.15; i32 k, 0..15. a: n integers, Q0.15. h: n integers, Q(k).(15-k), replaced.
    alpha=8192 beta=24576 k=0 a=400 h=800 -> 100 + 600 = 700
    """
    alpha, beta, k = i32(t, 0), i32(t, 4), t[8]
    for i in range(n):
        h[i] = saturate(rshift(rshift(alpha * a[i], 15), k) + rshift(beta * h[i], 15))


def blend(t, g, h, n):
    """FastGRNN's h <- saturate((zeta * (1 - z) + nu) * a + z * h), equations 25 and 26.

    t: i32 zeta, nu, 0..16384, Q1.14; i32 k, 0..15. g: n integers z, 0..32767, then n integers a, Q0.15.
    h: n integers, Q(k).(15-k), replaced. zeta=16384 nu=0 k=1 z=16384 a=800 h=100 -> 200 + 50 = 250
    """
    zeta, nu, k = i32(t, 0), i32(t, 4), t[8]
    for i in range(n):
        p = rshift(zeta * (32768 - g[i]), 15) + nu
        h[i] = saturate(rshift(rshift(p * g[n + i], 14), k) + rshift(g[i] * h[i], 15))


def add(t, a, c, n):
    """c = a + t, equation 27. t: n i32. a: n integers, |a + t| < 2^30. c: n integers; may be a. t=5 a=-7 -> -2"""
    for i in range(n):
        c[i] = a[i] + i32(t, 4 * i)


def rsqrt(w):
    """y << 4 | j, with w^-1/2 = y * 2^(j - 28) within 0.02 %; w in 1..2^30 - 1, y in 8192..16384 (equation 30).

    rsqrt(1 << 28) == 16384 << 4, rsqrt(1) == 16384 << 4 | 14
    """
    j = 0
    while w < 1 << 28:
        w <<= 2
        j += 1
    w >>= 14
    y = 19400 - (w * 3200 >> 14)
    for _ in range(3):  # Newton's method
        y = rshift(y * (49152 - (w * (y * y >> 14) >> 14)), 15)
    return y << 4 | j  # not a tuple, which would be allocated


def scale(t, a, c, n):
    """c = gain * (a - mean) / deviation + bias: layer normalisation, equations 28 to 32.

    t: u32 p, r, e, s; for each of the n integers i16 gain, bias. n <= 2^p, p <= 14; r = 2^(14 + p) / n rounded; e: epsilon,
    1..32768; s: shift of the gains, 0..15. a: n integers, saturated here. c: n integers in the bias' format; may be a.
    n=2 p=1 r=16384 e=1 s=14 gains 16384 biases 0: a=(300, 100) -> mean 200, halves (50, -50), c=(4095, -4095)
    """
    p, e, s = t[0], i32(t, 8), t[12]
    total = 0
    for i in range(n):
        total += saturate(a[i])
    mean = saturate(rshift(rshift(total, p) * i32(t, 4), 14))
    for i in range(n):
        d = rshift(saturate(a[i]) - mean, 1)
        e += rshift(d * d, p)
        c[i] = d
    y = rsqrt(e)
    j = y & 15
    y >>= 4
    for i in range(n):
        at = 16 + 4 * i
        q = saturate(rshift(c[i] * y, 16 - j))
        c[i] = saturate(rshift(q * _i16(t, at), s) + _i16(t, at + 2))


def embed(t, x, c, n):
    """c = row x[0] of the table, equation 33. t: u16 symbols N, u16 n; N x n i16. x: the symbol, limited to 0..N-1.

    N=2 n=1 rows (5) (7): x=9 -> 7
    """
    last = (t[0] | t[1] << 8) - 1
    at = x[0]
    at = 4 + 2 * n * (0 if at < 0 else last if at > last else at)
    for i in range(n):
        c[i] = saturate(_i16(t, at))
        at += 2


def limit(_, a, c, n):
    """c = saturate(a), equation 2. a: n integers of any size. c: n integers; may be a. a=-40000 -> -32767"""
    for i in range(n):
        c[i] = saturate(a[i])


def fine(t, a, c, n):
    """c[row] = (c[row] + 128 * a) >> shift for n rows of finer weights, equation 36.

    t: n times u16 row, u16 shift 0..30. a: n integers, the sums with the weights' high parts, |128 * a| < 2^30. c: a vector
    that has these rows, the sums with the low parts and the bias, replaced. row=0 shift=3 a=5 c=-9 -> (640 - 9) >> 3 = 78
    """
    for i in range(n):
        row = t[4 * i] | t[4 * i + 1] << 8
        c[row] = (c[row] + (a[i] << 7)) >> t[4 * i + 2]


_KERNELS = (sigmoids, tanhs, relu, mul, mix, memory, leak, blend, add, scale, embed, limit, fine)


def pack(instructions):
    """Return what run() takes: the instructions, with each kernel instead of its code."""
    return [(_KERNELS[code - SIGMOID], a, b, c, n) for code, a, b, c, n in instructions]


def run(program, _, box):
    """Execute what pack() returned; Program.link() describes the arguments."""
    for kernel, a, b, c, n in program:
        kernel(a, b, c, n)
