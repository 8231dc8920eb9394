"""The vector operations in Arm Thumb assembler, for the Cortex-M0+ and all above. kernels_plain.py says what they do.

run() is all of them in one function that walks through a program of words, so that a step of a net is one call.

Four rows at once. The four weights of a column lie in one word W = u0 + u1 2^8 + u2 2^16 + u3 2^24, where u = w + 128, and
they are never taken apart: with A_r = sum of (W >> 8 r) x modulo 2^32,

    sum of u_r x = A_r - A_(r+1) 2^8,   A_4 = 0

so that a column costs its loads, 3 shifts, 4 multiplications and 4 additions: 14 cycles, 3.5 for each multiply-accumulate.
A_r starts at what -128 * sum(x) in every row makes of it: that takes off the 128 in u. docs/kernels.md counts the cycles.

The sample is read out of the object itself, a tuple, a list, or an array of 'h' or 'i', as py/obj*.h lays them out. Any
other object, or one of another length, is refused: 1 is returned, and Net.step() copies the integers.

Instructions that the assembler does not know are data(), with the instruction behind them. All are Armv6-M's.
Nothing here checks a bound: format.py and __init__.py have proven every length before an address is used.
"""

from array import array

import micropython

from .program import GRU, MATVEC, NORMALISE
from .tables import TANH

NAME = "asm_thumb"
CODES = (NORMALISE, MATVEC, GRU)
_TYPES = (tuple, list, array)


@micropython.asm_thumb
def address(r0):
    """Where the bytes of a buffer, or the items of a tuple or a list lie."""
    mov(r0, r0)


def pack(steps):
    """Steps of program.py -> the words that run() takes: each step's code, then its frame."""
    words = []
    for code, a, b, c, n in steps:
        m = address(a)
        c = address(c)
        if m & 3:
            raise ValueError("the file must lie at a multiple of 4")
        words.append(code)
        if code == MATVEC:
            cols = a[2] | a[3] << 8
            pairs = cols >> 1
            skip = -pairs & 3 if pairs else 4  # pairs that the first round of the loop leaves out, 48 bytes each
            b = address(b)
            # x, A_0..A_3, where to enter the loop, end of x, y now, y, end of y, first block
            words += (b, 0, 0, 0, 0, skip * 96 | cols & 1, b + 4 * cols, 0, c, c + 4 * n, m + 4)
        elif code == NORMALISE:
            words += (m + 4, c, n, address(_TYPES))
        else:
            words += (m, address(b), c, 4 * n, 8 * n, address(TANH))
    words.append(0)
    return array("i", words)


@micropython.asm_thumb
def run(r0, r1, r2):
    """Execute a program. r0: its words; r1: the same; r2: the items of the box. 0, or 1 when the sample is refused."""
    mov(r4, r8)  # the caller's registers, and the box
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    push({r2, r4, r5, r6, r7})

    # Between steps: r0 the next step. Within one: lr its frame.
    label(NEXT)
    data(2, 0xC802)  # ldmia r0!, {r1}: the code
    mov(lr, r0)
    mov(r7, r0)
    cmp(r1, 2)
    beq(MATVEC)
    bhi(TO_GRU)
    cmp(r1, 1)
    beq(TO_NORMALISE)
    b(DONE)
    label(TO_GRU)
    b(GRU)
    label(TO_NORMALISE)
    b(NORMALISE)

    label(MATVEC)
    # sum(x): r1 x, r2 its end, r3 the sum
    ldr(r1, [r7, 0])
    ldr(r2, [r7, 24])
    mov(r3, 0)
    sub(r2, 16)
    b(SUM_4)
    label(SUM)
    data(2, 0xC970)  # ldmia r1!, {r4, r5, r6}
    add(r3, r3, r4)
    add(r3, r3, r5)
    add(r3, r3, r6)
    data(2, 0xC910)  # ldmia r1!, {r4}
    add(r3, r3, r4)
    label(SUM_4)
    cmp(r1, r2)
    bls(SUM)
    add(r2, 16)
    b(SUM_1)
    label(SUM_LAST)
    data(2, 0xC910)  # ldmia r1!, {r4}
    add(r3, r3, r4)
    label(SUM_1)
    cmp(r1, r2)
    bne(SUM_LAST)
    # e = -128 sum(x): A_3 = e, A_2 = e + A_3 2^8, A_1 = e + A_2 2^8, A_0 = e + A_1 2^8
    lsl(r3, r3, 7)
    neg(r3, r3)
    str(r3, [r7, 16])
    lsl(r2, r3, 8)
    add(r2, r2, r3)
    str(r2, [r7, 12])
    lsl(r2, r2, 8)
    add(r2, r2, r3)
    str(r2, [r7, 8])
    lsl(r2, r2, 8)
    add(r2, r2, r3)
    str(r2, [r7, 4])
    ldr(r1, [r7, 32])  # y
    str(r1, [r7, 28])
    ldr(r0, [r7, 40])  # first block

    label(BLOCK)
    mov(r12, r0)
    add(r0, 20)  # weights
    mov(r7, lr)
    data(2, 0xCFFE)  # ldmia r7, {r1-r7}: x, A_0..A_3, where to enter the loop, end of x
    mov(r8, r2)
    mov(r9, r3)
    mov(r10, r4)
    mov(r11, r5)
    lsr(r6, r6, 1)  # carry: the number of columns is odd
    bcc(EVEN)
    data(2, 0xC804)  # ldmia r0!, {r2}: the odd column
    data(2, 0xC910)  # ldmia r1!, {r4}
    lsr(r3, r2, 24)
    mul(r3, r4)
    data(2, 0x449B)  # add r11, r3: A_3 += (W >> 24) x
    lsr(r3, r2, 16)
    mul(r3, r4)
    data(2, 0x449A)  # add r10, r3: A_2 += (W >> 16) x
    lsr(r3, r2, 8)
    mul(r3, r4)
    data(2, 0x4499)  # add r9, r3: A_1 += (W >> 8) x
    mul(r2, r4)
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    label(EVEN)
    data(2, 0x44B7)  # add pc, r6: enter the loop; 0 is at COLUMNS
    nop()
    label(COLUMNS)
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)
    mul(r6, r4)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)
    mul(r6, r4)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)
    mul(r6, r4)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)
    mul(r6, r5)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)
    mul(r6, r5)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)
    mul(r6, r5)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)
    mul(r6, r4)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)
    mul(r6, r4)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)
    mul(r6, r4)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)
    mul(r6, r5)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)
    mul(r6, r5)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)
    mul(r6, r5)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)
    mul(r6, r4)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)
    mul(r6, r4)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)
    mul(r6, r4)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)
    mul(r6, r5)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)
    mul(r6, r5)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)
    mul(r6, r5)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)
    mul(r6, r4)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)
    mul(r6, r4)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)
    mul(r6, r4)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)
    mul(r6, r5)
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)
    mul(r6, r5)
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)
    mul(r6, r5)
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    cmp(r1, r7)
    beq(ROWS)
    b(COLUMNS)

    label(ROWS)
    mov(r2, r8)  # A_r - A_(r+1) 2^8
    mov(r3, r9)
    mov(r4, r10)
    mov(r5, r11)
    lsl(r6, r3, 8)
    sub(r2, r2, r6)
    lsl(r6, r4, 8)
    sub(r3, r3, r6)
    lsl(r6, r5, 8)
    sub(r4, r4, r6)
    mov(r1, r12)  # biases
    data(2, 0xC9C0)  # ldmia r1!, {r6, r7}
    add(r2, r2, r6)
    add(r3, r3, r7)
    data(2, 0xC9C0)  # ldmia r1!, {r6, r7}
    add(r4, r4, r6)
    add(r5, r5, r7)
    ldr(r6, [r1, 0])  # four shifts; asr takes the lowest byte
    asr(r2, r6)
    lsr(r6, r6, 8)
    asr(r3, r6)
    lsr(r6, r6, 8)
    asr(r4, r6)
    lsr(r6, r6, 8)
    asr(r5, r6)
    mov(r7, lr)
    ldr(r1, [r7, 28])
    data(2, 0xC13C)  # stmia r1!, {r2-r5}: four rows of y
    str(r1, [r7, 28])
    ldr(r2, [r7, 36])
    cmp(r1, r2)
    bcs(MATVEC_END)
    b(BLOCK)
    label(MATVEC_END)
    mov(r0, lr)
    add(r0, 44)
    b(NEXT)

    label(GRU)
    # r0 a, r1 b, r2 TANH, r3 32767, r8 32769, r9 end of z
    ldr(r2, [r7, 20])
    mov(r3, 1)
    lsl(r3, r3, 15)
    add(r4, r3, 1)
    mov(r8, r4)
    sub(r3, 1)
    ldr(r0, [r7, 0])
    ldr(r1, [r7, 4])
    ldr(r4, [r7, 16])
    add(r4, r4, r0)
    mov(r9, r4)
    label(SIGMOID)  # of r and z, which lie one behind the other: left in a
    ldr(r5, [r0, 0])
    data(2, 0xC940)  # ldmia r1!, {r6}
    add(r5, r5, r6)
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)
    eor(r5, r6)
    cmp(r5, r3)  # limited to 32767, whatever the sum was: never a wild read
    bls(SIGMOID_IN)
    mov(r5, r3)
    label(SIGMOID_IN)
    lsr(r7, r5, 8)  # r7 the place in the table
    lsl(r7, r7, 1)
    add(r7, r7, r2)
    data(2, 0xB2ED)  # uxtb r5, r5: between two entries
    ldrh(r4, [r7, 0])
    ldrh(r7, [r7, 2])
    sub(r7, r7, r4)
    mul(r7, r5)
    add(r7, 128)
    lsr(r7, r7, 8)
    add(r7, r7, r4)
    eor(r7, r6)  # the sign again
    sub(r7, r7, r6)
    data(2, 0x4447)  # add r7, r8: (32769 + y) >> 1
    lsr(r7, r7, 1)
    data(2, 0xC080)  # stmia r0!, {r7}
    data(2, 0x4548)  # cmp r0, r9
    bne(SIGMOID)

    # Now r0 a of n, r1 b of n; r8 16384, r9 end of h, r10 bytes of a gate, r11 h, r12 the sign
    lsr(r4, r3, 1)
    add(r4, 1)
    mov(r8, r4)
    mov(r7, lr)
    ldr(r5, [r7, 8])
    ldr(r6, [r7, 12])
    mov(r11, r5)
    mov(r10, r6)
    add(r5, r5, r6)
    mov(r9, r5)
    label(UNIT)
    mov(r4, r10)
    sub(r4, r0, r4)  # r4 z
    mov(r7, r10)
    sub(r7, r4, r7)  # r7 r
    data(2, 0xC920)  # ldmia r1!, {r5}: saturate(b)
    asr(r6, r5, 31)
    add(r5, r5, r6)
    eor(r5, r6)
    cmp(r5, r3)
    bls(UNIT_IN)
    mov(r5, r3)
    label(UNIT_IN)
    eor(r5, r6)
    sub(r5, r5, r6)
    ldr(r7, [r7, 0])
    mul(r5, r7)  # a + rshift(r * b, 15)
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)
    data(2, 0xC840)  # ldmia r0!, {r6}
    add(r5, r5, r6)
    asr(r6, r5, 31)  # r12 the sign, r5 the magnitude
    mov(r12, r6)
    add(r5, r5, r6)
    eor(r5, r6)
    cmp(r5, r3)  # as above
    bls(TANH_IN)
    mov(r5, r3)
    label(TANH_IN)
    lsr(r7, r5, 7)  # r7 the place in the table
    lsl(r7, r7, 1)
    add(r7, r7, r2)
    lsl(r5, r5, 25)  # r5 between two entries
    lsr(r5, r5, 25)
    ldrh(r6, [r7, 0])
    ldrh(r7, [r7, 2])
    sub(r7, r7, r6)
    mul(r7, r5)
    add(r7, 64)
    lsr(r7, r7, 7)
    add(r7, r7, r6)
    mov(r6, r12)
    eor(r7, r6)  # the sign again: n
    sub(r7, r7, r6)
    mov(r6, r11)  # h <- n + rshift(z * (h - n), 15)
    ldr(r5, [r6, 0])
    ldr(r4, [r4, 0])
    sub(r5, r5, r7)
    mul(r5, r4)
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)
    add(r5, r5, r7)
    data(2, 0xC620)  # stmia r6!, {r5}
    mov(r11, r6)
    data(2, 0x454E)  # cmp r6, r9
    bne(UNIT)
    mov(r0, lr)
    add(r0, 24)
    b(NEXT)

    label(NORMALISE)
    # r0 the sample, r1 the table, r2 x, r3 the number of channels, r4 the types
    data(2, 0x9800)  # ldr r0, [sp, 0]: the box
    ldr(r0, [r0, 0])
    data(2, 0xCF1E)  # ldmia r7!, {r1-r4}
    mov(r7, r2)
    data(2, 0xCC60)  # ldmia r4!, {r5, r6}: tuple, list
    ldr(r4, [r4, 0])  # array
    mov(r8, r4)
    cmp(r0, 1)  # the integer 0: the sample is in x
    beq(CLAMP)
    lsl(r4, r0, 30)  # no object, but an integer or a name
    bne(REFUSE)
    ldr(r4, [r0, 0])  # its type
    cmp(r4, r5)
    bne(NO_TUPLE)
    ldr(r5, [r0, 4])  # tuple: type, length, items
    add(r0, 8)
    b(ITEMS)
    label(NO_TUPLE)
    ldr(r5, [r0, 8])  # list and array: type, room or typecode, length, place of the items
    cmp(r4, r6)
    bne(NO_LIST)
    ldr(r0, [r0, 12])
    label(ITEMS)
    cmp(r5, r3)
    bne(REFUSE)
    label(ITEM)
    data(2, 0xC810)  # ldmia r0!, {r4}: 2 v + 1
    asr(r4, r4, 1)
    bcc(REFUSE)
    data(2, 0xC710)  # stmia r7!, {r4}
    sub(r5, 1)
    bne(ITEM)
    b(CLAMP)
    label(REFUSE)
    mov(r4, 1)
    b(LEAVE)
    label(NO_LIST)
    data(2, 0x4544)  # cmp r4, r8
    bne(REFUSE)
    cmp(r5, r3)
    bne(REFUSE)
    ldrb(r6, [r0, 4])
    ldr(r0, [r0, 12])
    mov(r4, 0)
    cmp(r6, 105)  # "i"
    beq(WORDS)
    cmp(r6, 104)  # "h"
    bne(REFUSE)
    label(HALVES)
    data(2, 0x5F06)  # ldrsh r6, [r0, r4]
    add(r0, 2)
    data(2, 0xC740)  # stmia r7!, {r6}
    sub(r5, 1)
    bne(HALVES)
    b(CLAMP)
    label(WORDS)
    data(2, 0xC840)  # ldmia r0!, {r6}
    data(2, 0xC740)  # stmia r7!, {r6}
    sub(r5, 1)
    bne(WORDS)

    label(CLAMP)
    ldr(r0, [r2, 0])
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: low, high
    cmp(r0, r4)
    bge(LOW_IN)
    mov(r0, r4)
    label(LOW_IN)
    cmp(r0, r5)
    ble(HIGH_IN)
    mov(r0, r5)
    label(HIGH_IN)
    data(2, 0xC970)  # ldmia r1!, {r4, r5, r6}: offset, factor, shift
    sub(r0, r0, r4)
    mul(r0, r5)
    mov(r7, 1)  # half: 2^shift / 2
    lsl(r7, r6)
    lsr(r7, r7, 1)
    add(r0, r0, r7)
    asr(r0, r6)
    data(2, 0xC201)  # stmia r2!, {r0}
    sub(r3, 1)
    bne(CLAMP)
    mov(r0, lr)
    add(r0, 16)
    b(NEXT)

    label(DONE)
    mov(r4, 0)
    label(LEAVE)
    mov(r0, r4)
    pop({r2, r4, r5, r6, r7})
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
