# SPDX-License-Identifier: MIT
"""Before a net uses a module of kernels, the module must pass a test: a few small instructions whose results are known.

A firmware's compiler can make machine code that differs from its source; docs/kernels.md lists such cases.
program.module() calls prove() of proof_FAMILY once for each module FAMILY_SET.
"""

from array import array
from binascii import crc32

from .program import GRU, MATVEC, NORMALISE


def prove(module):
    """Raise ValueError when a kernel gives other integers than its definition in kernels_plain.py, or what it raises."""
    sample = (-30000, 30001, -3)
    check(module, _cases(), (sample, list(sample), array("h", sample), array("i", sample)))


def check(module, cases, samples):
    """Run the kernels of a module.

    cases: at least one for each kernel of a family, (code, a, b, c, n, known). The arguments are those of an instruction,
    but with tuples for vectors. known: the lower 30 bits of the CRC-32 of the results and of b, which one kernel changes.
    samples: the same integers as each kind of sequence that a kernel takes. All but the first are for NORMALISE only.
    """
    for sample in samples:
        cases = [case for case in cases if case[0] in module.CODES]
        program = [(code, _vector(a), _vector(b), _vector(c), n) for code, a, b, c, n, _ in cases]
        words = module.pack(program)
        count = array("i", (0,))
        module.run(words, words, [sample, count])
        if program and program[0][2] is None and count[0] != 1:
            raise ValueError("kernel 1: counts %d steps for 1" % count[0])
        for i in range(len(program)):
            code, _, b, c, n = program[i]
            got = crc32(b or b"", crc32(memoryview(c)[:n])) & 0x3FFFFFFF
            if got != cases[i][5]:
                raise ValueError("kernel %d: wrong integers, CRC %d" % (code, got))
        cases = [case for case in cases if case[2] is None]


def _vector(v):
    # Copy bytes, because a constant can lie at any address
    return array("i", v) if isinstance(v, tuple) else v and bytearray(v)


def _cases():
    v = [(i * 20021 & 65535) - 32767 for i in range(24)]  # over all of 16 bits
    w = bytes([i * i * 5 + 3 * i & 255 for i in range(76)])
    # Each channel's low, high, offset, factor, shift
    table = bytes(array("i", (-20000, 9, -7, 3, 1, -8, 8, 5, 8192, 3, -8, 8, 0, 8001, 5)))
    # Five rows, in two blocks. 19 columns: two times eight and three left over, nine pairs and one left over
    head = bytes(array("i", (2000000, -3, 65536, -900000, 7 + (13 << 16) + (12 << 24))))
    m = b"\5\0\x13\0" + head + w + head + w[1:] + w[:1]
    return (
        (NORMALISE, table, None, (0,) * 4, 3, 355985109),
        (MATVEC, m, tuple(v[:19]), (0,) * 8, 5, 1042429556),
        (GRU, tuple(v[:12]), tuple([3 * x for x in v[12:]]), tuple(v[3:7]), 4, 865747980),
    )
