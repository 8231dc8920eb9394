"""The product of matrix and vector with the dual multiplications of 16 bits of a Cortex-M4, M7 or M33 (RP2350).

Not chosen by itself, only by load(path, kernels="asm_dsp"): its integers were compared on emulated cores of all three
kinds, its time was measured on none. What is not a product runs in asm_thumb.

x is packed to two integers a word, once a vector. A block of four rows has the four weights of a column, u = w + 128, in
one word; uxtb16 takes rows 0 and 2 of it apart, and 1 and 3, pkhbt and pkhtb put those of two columns together, and smlad
adds both products to a row: 12 instructions and the loads for 8 multiply-accumulates. Each row's sum starts at
-128 * sum(x), which takes off the 128 in u. All of it is modulo 2^32, as in asm_thumb.

Instructions that the assembler does not know are data(), with the instruction behind them.
"""

# ruff: noqa: F821 (registers, instructions and labels)
from array import array

import micropython

from .kernels_asm_thumb import address
from .program import MATVEC

NAME = "asm_dsp"
CODES = (MATVEC,)


@micropython.asm_thumb
def _cpuid():
    mov(r0, 0xE0)  # the register's address is 0xE000ED00
    lsl(r0, r0, 24)
    mov(r1, 0xED)
    lsl(r1, r1, 8)
    add(r0, r0, r1)
    ldr(r0, [r0, 0])


if _cpuid() >> 4 & 0xFFF not in (0xC24, 0xC27, 0xD21):  # Cortex-M4, M7, M33
    raise ImportError("no dual multiplication")


def pack(steps):
    """Steps of program.py -> the words that run() takes: a frame for each product, and room for the longest x, packed."""
    words = []
    room = 0
    for _, m, x, y, n in steps:
        cols = m[2] | m[3] << 8
        pairs = (cols + 1) >> 1
        room = max(room, pairs)
        # x, its end, packed x, its end, its words are odd, y, its end, y now, first block, its biases, words too far, where
        # the sums start
        words += (address(x), address(x) + 4 * cols, 0, 4 * pairs, pairs & 1, address(y), address(y) + 4 * n)
        words += (0, address(m) + 4, 0, 4 * (cols & 1), 0)
    words.append(0)
    n = len(words)
    program = array("i", words + [0] * room)
    for at in range(2, n, 12):
        program[at] = address(program) + 4 * n
        program[at + 1] += program[at]
    return program


@micropython.asm_thumb
def run(r0, r1, r2):
    """Execute a program. r0: its words; r1: the same; r2 is not used. 0."""
    mov(r4, r8)  # the caller's registers
    mov(r5, r9)  # which are r8 to r11
    mov(r6, r10)  # of a sort that push
    mov(r7, r11)  # does not take
    push({r4, r5, r6, r7})
    mov(r7, r0)  # the frame

    label(NEXT)
    ldr(r1, [r7, 0])  # x
    cmp(r1, 0)  # the end?
    bne(PRODUCT)  # no
    b(DONE)  # further than beq reaches
    label(PRODUCT)
    ldr(r2, [r7, 4])  # its end
    ldr(r3, [r7, 8])  # packed x
    mov(r4, 0)  # sum(x)
    b(PACK_IN)  # there may be no pair
    label(PACK)
    data(2, 0xC960)  # ldmia r1!, {r5, r6}
    add(r4, r4, r5)  # first
    add(r4, r4, r6)  # second
    data(2, 0xEAC5, 0x4506)  # pkhbt r5, r5, r6, lsl 16
    data(2, 0xC320)  # stmia r3!, {r5}
    label(PACK_IN)
    add(r5, r1, 4)  # the second of the pair
    cmp(r5, r2)  # is there one?
    bcc(PACK)  # yes
    cmp(r1, r2)  # is there a first?
    beq(PACKED)  # no
    ldr(r5, [r1, 0])  # the last of an odd number
    add(r4, r4, r5)  # counts
    data(2, 0xB2AD)  # uxth r5, r5: and 0, by which whatever lies behind its weights is multiplied
    str(r5, [r3, 0])  # packed
    label(PACKED)
    lsl(r4, r4, 7)  # 128 sum(x)
    neg(r4, r4)  # where the sums start
    str(r4, [r7, 44])  # once for all blocks
    ldr(r1, [r7, 20])  # y
    str(r1, [r7, 28])  # y now
    ldr(r0, [r7, 32])  # first block

    label(BLOCK)
    str(r0, [r7, 36])  # its biases
    add(r0, 20)  # its weights
    ldr(r4, [r7, 44])  # -128 sum(x)
    mov(r8, r4)  # row 0
    mov(r9, r4)  # row 1
    mov(r10, r4)  # row 2
    mov(r11, r4)  # row 3
    ldr(r1, [r7, 8])  # packed x
    ldr(r4, [r7, 12])  # its end
    mov(lr, r4)  # to stay
    ldr(r4, [r7, 16])  # an odd number of words?
    cmp(r4, 0)  # two are taken at a time
    bne(SECOND)  # so begin with the second

    label(FIRST)
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: weights u of a column, v of the next
    data(2, 0xC910)  # ldmia r1!, {r4}: both x
    data(2, 0xFA3F, 0xF582)  # uxtb16 r5, r2: u0, u2
    data(2, 0xFA3F, 0xF292)  # uxtb16 r2, r2, ror 8: u1, u3
    data(2, 0xFA3F, 0xF683)  # uxtb16 r6, r3: v0, v2
    data(2, 0xFA3F, 0xF393)  # uxtb16 r3, r3, ror 8: v1, v3
    data(2, 0xEAC5, 0x4C06)  # pkhbt r12, r5, r6, lsl 16: u0, v0
    data(2, 0xFB2C, 0x8804)  # smlad r8, r12, r4, r8
    data(2, 0xEAC6, 0x4625)  # pkhtb r6, r6, r5, asr 16: u2, v2
    data(2, 0xFB26, 0xAA04)  # smlad r10, r6, r4, r10
    data(2, 0xEAC2, 0x4C03)  # pkhbt r12, r2, r3, lsl 16: u1, v1
    data(2, 0xFB2C, 0x9904)  # smlad r9, r12, r4, r9
    data(2, 0xEAC3, 0x4322)  # pkhtb r3, r3, r2, asr 16: u3, v3
    data(2, 0xFB23, 0xBB04)  # smlad r11, r3, r4, r11
    label(SECOND)
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: the same again
    data(2, 0xC910)  # ldmia r1!, {r4}: both x
    data(2, 0xFA3F, 0xF582)  # uxtb16 r5, r2: u0, u2
    data(2, 0xFA3F, 0xF292)  # uxtb16 r2, r2, ror 8: u1, u3
    data(2, 0xFA3F, 0xF683)  # uxtb16 r6, r3: v0, v2
    data(2, 0xFA3F, 0xF393)  # uxtb16 r3, r3, ror 8: v1, v3
    data(2, 0xEAC5, 0x4C06)  # pkhbt r12, r5, r6, lsl 16: u0, v0
    data(2, 0xFB2C, 0x8804)  # smlad r8, r12, r4, r8
    data(2, 0xEAC6, 0x4625)  # pkhtb r6, r6, r5, asr 16: u2, v2
    data(2, 0xFB26, 0xAA04)  # smlad r10, r6, r4, r10
    data(2, 0xEAC2, 0x4C03)  # pkhbt r12, r2, r3, lsl 16: u1, v1
    data(2, 0xFB2C, 0x9904)  # smlad r9, r12, r4, r9
    data(2, 0xEAC3, 0x4322)  # pkhtb r3, r3, r2, asr 16: u3, v3
    data(2, 0xFB23, 0xBB04)  # smlad r11, r3, r4, r11
    data(2, 0x4571)  # cmp r1, lr: end of x?
    bne(FIRST)  # no

    ldr(r4, [r7, 40])  # the word behind an odd number of columns is the next block's
    sub(r0, r0, r4)  # back to it
    mov(r2, r8)  # row 0
    mov(r3, r9)  # row 1
    mov(r4, r10)  # row 2
    mov(r5, r11)  # row 3
    ldr(r1, [r7, 36])  # biases
    ldr(r6, [r1, 0])  # row 0
    add(r2, r2, r6)
    ldr(r6, [r1, 4])  # row 1
    add(r3, r3, r6)
    ldr(r6, [r1, 8])  # row 2
    add(r4, r4, r6)
    ldr(r6, [r1, 12])  # row 3
    add(r5, r5, r6)
    ldr(r6, [r1, 16])  # four shifts; asr takes the lowest byte
    asr(r2, r6)  # row 0
    lsr(r6, r6, 8)  # next shift
    asr(r3, r6)  # row 1
    lsr(r6, r6, 8)  # next shift
    asr(r4, r6)  # row 2
    lsr(r6, r6, 8)  # next shift
    asr(r5, r6)  # row 3
    ldr(r1, [r7, 28])  # y now
    data(2, 0xC13C)  # stmia r1!, {r2-r5}: four rows of y
    str(r1, [r7, 28])  # y of the next block
    ldr(r2, [r7, 24])  # end of y
    cmp(r1, r2)  # all rows?
    bcc(BLOCK)  # no
    add(r7, 48)  # the next frame
    b(NEXT)  # runs

    label(DONE)
    pop({r4, r5, r6, r7})
    mov(r8, r4)  # the caller's registers
    mov(r9, r5)  # again
    mov(r10, r6)  # as they
    mov(r11, r7)  # were
    mov(r0, 0)  # the result
