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

# ruff: noqa: F821 (registers, instructions and labels)
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
            words += (m, c, n, address(_TYPES))
        else:
            words += (m, address(b), c, 4 * n, 8 * n, address(TANH))
    words.append(0)
    return array("i", words)


@micropython.asm_thumb
def run(r0, r1, r2):
    """Execute a program. r0: its words; r1: the same; r2: the items of the box. 0, or 1 when the sample is refused."""
    mov(r4, r8)  # the caller's registers, and the box
    mov(r5, r9)  # which are r8 to r11
    mov(r6, r10)  # of a sort that push
    mov(r7, r11)  # does not take
    push({r2, r4, r5, r6, r7})

    # Between steps: r0 the next step. Within one: lr its frame.
    label(NEXT)
    data(2, 0xC802)  # ldmia r0!, {r1}: the code
    mov(lr, r0)  # the frame
    mov(r7, r0)  # and here, to read it
    cmp(r1, 2)  # 2 is MATVEC
    beq(MATVEC)  # the one that comes most often
    bhi(TO_GRU)  # 3 is GRU
    cmp(r1, 1)  # 1 is NORMALISE
    beq(TO_NORMALISE)  # once a step
    b(DONE)  # 0 is the end
    label(TO_GRU)
    b(GRU)  # further than bhi reaches
    label(TO_NORMALISE)
    b(NORMALISE)  # further than beq reaches

    label(MATVEC)
    # sum(x): r1 x, r2 its end, r3 the sum
    ldr(r1, [r7, 0])  # x
    ldr(r2, [r7, 24])  # its end
    mov(r3, 0)  # nothing yet
    sub(r2, 16)  # the last place with four integers before the end
    b(SUM_4)  # there may be none
    label(SUM)
    data(2, 0xC970)  # ldmia r1!, {r4, r5, r6}
    add(r3, r3, r4)  # first
    add(r3, r3, r5)  # second
    add(r3, r3, r6)  # third
    data(2, 0xC910)  # ldmia r1!, {r4}
    add(r3, r3, r4)  # fourth
    label(SUM_4)
    cmp(r1, r2)  # four more?
    bls(SUM)  # yes
    add(r2, 16)  # the end
    b(SUM_1)  # there may be none
    label(SUM_LAST)
    data(2, 0xC910)  # ldmia r1!, {r4}
    add(r3, r3, r4)  # one of the three or fewer that are left
    label(SUM_1)
    cmp(r1, r2)  # one more?
    bne(SUM_LAST)  # yes
    # e = -128 sum(x): A_3 = e, A_2 = e + A_3 2^8, A_1 = e + A_2 2^8, A_0 = e + A_1 2^8
    lsl(r3, r3, 7)  # 128 sum(x)
    neg(r3, r3)  # e
    str(r3, [r7, 16])  # A_3
    lsl(r2, r3, 8)  # A_3 2^8
    add(r2, r2, r3)  # plus e
    str(r2, [r7, 12])  # A_2
    lsl(r2, r2, 8)  # A_2 2^8
    add(r2, r2, r3)  # plus e
    str(r2, [r7, 8])  # A_1
    lsl(r2, r2, 8)  # A_1 2^8
    add(r2, r2, r3)  # plus e
    str(r2, [r7, 4])  # A_0
    ldr(r1, [r7, 32])  # y
    str(r1, [r7, 28])  # y now
    ldr(r0, [r7, 40])  # first block

    label(BLOCK)
    mov(r12, r0)  # the block: biases, shifts
    add(r0, 20)  # weights
    mov(r7, lr)  # the frame
    data(2, 0xCFFE)  # ldmia r7, {r1-r7}: x, A_0..A_3, where to enter the loop, end of x
    mov(r8, r2)  # A_0
    mov(r9, r3)  # A_1
    mov(r10, r4)  # A_2
    mov(r11, r5)  # A_3
    lsr(r6, r6, 1)  # carry: the number of columns is odd
    bcc(EVEN)  # it is even
    data(2, 0xC804)  # ldmia r0!, {r2}: the odd column
    data(2, 0xC910)  # ldmia r1!, {r4}
    lsr(r3, r2, 24)  # W >> 24
    mul(r3, r4)  # times x
    data(2, 0x449B)  # add r11, r3: A_3 += (W >> 24) x
    lsr(r3, r2, 16)  # W >> 16
    mul(r3, r4)  # times x
    data(2, 0x449A)  # add r10, r3: A_2 += (W >> 16) x
    lsr(r3, r2, 8)  # W >> 8
    mul(r3, r4)  # times x
    data(2, 0x4499)  # add r9, r3: A_1 += (W >> 8) x
    mul(r2, r4)  # W times x
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    label(EVEN)
    data(2, 0x44B7)  # add pc, r6: enter the loop; 0 is at COLUMNS
    nop()  # pc is two instructions ahead of the addition
    label(COLUMNS)
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)  # W >> 24
    mul(r6, r4)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)  # W >> 16
    mul(r6, r4)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)  # W >> 8
    mul(r6, r4)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)  # W times x
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)  # W >> 24
    mul(r6, r5)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)  # W >> 16
    mul(r6, r5)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)  # W >> 8
    mul(r6, r5)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)  # W times x
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)  # W >> 24
    mul(r6, r4)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)  # W >> 16
    mul(r6, r4)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)  # W >> 8
    mul(r6, r4)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)  # W times x
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)  # W >> 24
    mul(r6, r5)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)  # W >> 16
    mul(r6, r5)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)  # W >> 8
    mul(r6, r5)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)  # W times x
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)  # W >> 24
    mul(r6, r4)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)  # W >> 16
    mul(r6, r4)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)  # W >> 8
    mul(r6, r4)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)  # W times x
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)  # W >> 24
    mul(r6, r5)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)  # W >> 16
    mul(r6, r5)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)  # W >> 8
    mul(r6, r5)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)  # W times x
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    data(2, 0xC80C)  # ldmia r0!, {r2, r3}: two columns' weights
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: two integers of x
    lsr(r6, r2, 24)  # W >> 24
    mul(r6, r4)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r2, 16)  # W >> 16
    mul(r6, r4)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r2, 8)  # W >> 8
    mul(r6, r4)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r2, r4)  # W times x
    data(2, 0x4490)  # add r8, r2: A_0 += W x
    lsr(r6, r3, 24)  # W >> 24
    mul(r6, r5)  # times x
    data(2, 0x44B3)  # add r11, r6: A_3 += (W >> 24) x
    lsr(r6, r3, 16)  # W >> 16
    mul(r6, r5)  # times x
    data(2, 0x44B2)  # add r10, r6: A_2 += (W >> 16) x
    lsr(r6, r3, 8)  # W >> 8
    mul(r6, r5)  # times x
    data(2, 0x44B1)  # add r9, r6: A_1 += (W >> 8) x
    mul(r3, r5)  # W times x
    data(2, 0x4498)  # add r8, r3: A_0 += W x
    cmp(r1, r7)  # end of x?
    beq(ROWS)  # yes
    b(COLUMNS)  # further than bne reaches

    label(ROWS)
    mov(r2, r8)  # A_r - A_(r+1) 2^8
    mov(r3, r9)  # A_1
    mov(r4, r10)  # A_2
    mov(r5, r11)  # A_3: row 3
    lsl(r6, r3, 8)  # A_1 2^8
    sub(r2, r2, r6)  # row 0
    lsl(r6, r4, 8)  # A_2 2^8
    sub(r3, r3, r6)  # row 1
    lsl(r6, r5, 8)  # A_3 2^8
    sub(r4, r4, r6)  # row 2
    mov(r1, r12)  # biases
    data(2, 0xC9C0)  # ldmia r1!, {r6, r7}
    add(r2, r2, r6)  # row 0
    add(r3, r3, r7)  # row 1
    data(2, 0xC9C0)  # ldmia r1!, {r6, r7}
    add(r4, r4, r6)  # row 2
    add(r5, r5, r7)  # row 3
    ldr(r6, [r1, 0])  # four shifts; asr takes the lowest byte
    asr(r2, r6)  # row 0
    lsr(r6, r6, 8)  # next shift
    asr(r3, r6)  # row 1
    lsr(r6, r6, 8)  # next shift
    asr(r4, r6)  # row 2
    lsr(r6, r6, 8)  # next shift
    asr(r5, r6)  # row 3
    mov(r7, lr)  # the frame
    ldr(r1, [r7, 28])  # y now
    data(2, 0xC13C)  # stmia r1!, {r2-r5}: four rows of y
    str(r1, [r7, 28])  # y of the next block
    ldr(r2, [r7, 36])  # end of y
    cmp(r1, r2)  # all rows?
    bcs(MATVEC_END)  # yes
    b(BLOCK)  # further than bcc reaches
    label(MATVEC_END)
    mov(r0, lr)  # the frame
    add(r0, 44)  # the next step is behind it
    b(NEXT)  # and runs

    label(GRU)
    # r0 a, r1 b, r2 TANH, r3 32767, r8 32769, r9 end of z
    ldr(r2, [r7, 20])  # the table
    mov(r3, 1)  # a bit
    lsl(r3, r3, 15)  # 32768
    add(r4, r3, 1)  # 32769
    mov(r8, r4)  # to stay
    sub(r3, 1)  # 32767
    ldr(r0, [r7, 0])  # a
    ldr(r1, [r7, 4])  # b
    ldr(r4, [r7, 16])  # bytes of r and z
    add(r4, r4, r0)  # behind a
    mov(r9, r4)  # end of z
    label(SIGMOID)  # of r and z, which lie one behind the other: left in a
    ldr(r5, [r0, 0])  # a
    data(2, 0xC940)  # ldmia r1!, {r6}
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    cmp(r5, r3)  # limited to 32767, whatever the sum was: never a wild read
    bls(SIGMOID_IN)  # it is within
    mov(r5, r3)  # 32767
    label(SIGMOID_IN)
    lsr(r7, r5, 8)  # r7 the place in the table
    lsl(r7, r7, 1)  # half-words
    add(r7, r7, r2)  # entry i
    data(2, 0xB2ED)  # uxtb r5, r5: between two entries
    ldrh(r4, [r7, 0])  # its value
    ldrh(r7, [r7, 2])  # that of entry i + 1
    sub(r7, r7, r4)  # the step between them
    mul(r7, r5)  # the part of it
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)  # in units
    add(r7, r7, r4)  # y
    eor(r7, r6)  # the sign again
    sub(r7, r7, r6)  # -y where v < 0
    data(2, 0x4447)  # add r7, r8: (32769 + y) >> 1
    lsr(r7, r7, 1)  # the gate
    data(2, 0xC080)  # stmia r0!, {r7}
    data(2, 0x4548)  # cmp r0, r9
    bne(SIGMOID)  # more of r and z

    # Now r0 a of n, r1 b of n; r8 16384, r9 end of h, r10 bytes of a gate, r11 h, r12 the sign
    lsr(r4, r3, 1)  # 16383
    add(r4, 1)  # 16384
    mov(r8, r4)  # to stay
    mov(r7, lr)  # the frame
    ldr(r5, [r7, 8])  # h
    ldr(r6, [r7, 12])  # bytes of a gate
    mov(r11, r5)  # to stay
    mov(r10, r6)  # to stay
    add(r5, r5, r6)  # behind h
    mov(r9, r5)  # end of h
    label(UNIT)
    mov(r4, r10)  # bytes of a gate
    sub(r4, r0, r4)  # r4 z
    mov(r7, r10)  # bytes of a gate
    sub(r7, r4, r7)  # r7 r
    data(2, 0xC920)  # ldmia r1!, {r5}: saturate(b)
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    cmp(r5, r3)  # limited to 32767
    bls(UNIT_IN)  # it is within
    mov(r5, r3)  # 32767
    label(UNIT_IN)
    eor(r5, r6)  # the sign again
    sub(r5, r5, r6)  # -v where v < 0
    ldr(r7, [r7, 0])  # r
    mul(r5, r7)  # a + rshift(r * b, 15)
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)  # rounded down, after the half
    data(2, 0xC840)  # ldmia r0!, {r6}
    add(r5, r5, r6)  # v
    asr(r6, r5, 31)  # r12 the sign, r5 the magnitude
    mov(r12, r6)  # to stay
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    cmp(r5, r3)  # as above
    bls(TANH_IN)  # it is within
    mov(r5, r3)  # 32767
    label(TANH_IN)
    lsr(r7, r5, 7)  # r7 the place in the table
    lsl(r7, r7, 1)  # half-words
    add(r7, r7, r2)  # entry i
    lsl(r5, r5, 25)  # r5 between two entries
    lsr(r5, r5, 25)  # the lowest 7 bits
    ldrh(r6, [r7, 0])  # its value
    ldrh(r7, [r7, 2])  # that of entry i + 1
    sub(r7, r7, r6)  # the step between them
    mul(r7, r5)  # the part of it
    add(r7, 64)  # rounded
    lsr(r7, r7, 7)  # in units
    add(r7, r7, r6)  # y
    mov(r6, r12)  # the sign
    eor(r7, r6)  # the sign again: n
    sub(r7, r7, r6)  # -y where v < 0
    mov(r6, r11)  # h <- n + rshift(z * (h - n), 15)
    ldr(r5, [r6, 0])  # h
    ldr(r4, [r4, 0])  # z
    sub(r5, r5, r7)  # h - n
    mul(r5, r4)  # less than 2^31
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)  # rounded down, after the half
    add(r5, r5, r7)  # the new h
    data(2, 0xC620)  # stmia r6!, {r5}
    mov(r11, r6)  # next h
    data(2, 0x454E)  # cmp r6, r9
    bne(UNIT)  # more units
    mov(r0, lr)  # the frame
    add(r0, 24)  # the next step is behind it
    b(NEXT)  # and runs

    label(NORMALISE)
    # r0 the sample, r1 the table, r2 x, r3 the number of channels, r4 the types
    data(2, 0x9800)  # ldr r0, [sp, 0]: the box
    ldr(r0, [r0, 0])  # the sample
    data(2, 0xCF1E)  # ldmia r7!, {r1-r4}
    mov(r7, r2)  # x, to write it
    data(2, 0xCC60)  # ldmia r4!, {r5, r6}: tuple, list
    ldr(r4, [r4, 0])  # array
    mov(r8, r4)  # to stay
    lsl(r4, r0, 30)  # no object, but an integer or a name
    bne(REFUSE)  # it has no words
    ldr(r4, [r0, 0])  # its type
    cmp(r4, r5)  # a tuple?
    bne(NO_TUPLE)  # no
    ldr(r5, [r0, 4])  # tuple: type, length, items
    add(r0, 8)  # its items
    b(ITEMS)  # objects, as those of a list
    label(NO_TUPLE)
    ldr(r5, [r0, 8])  # list and array: type, room or typecode, length, place of the items
    cmp(r4, r6)  # a list?
    bne(NO_LIST)  # no
    ldr(r0, [r0, 12])  # its items
    label(ITEMS)
    cmp(r5, r3)  # as many as channels?
    bne(REFUSE)  # no
    label(ITEM)
    data(2, 0xC810)  # ldmia r0!, {r4}: 2 v + 1
    asr(r4, r4, 1)  # v; carry: it is an integer
    bcc(REFUSE)  # it is none, or a large one
    data(2, 0xC710)  # stmia r7!, {r4}
    sub(r5, 1)  # one less to come
    bne(ITEM)  # the next
    b(COUNT)  # all are there
    label(REFUSE)
    mov(r4, 1)  # the result
    b(LEAVE)  # nothing is changed but x
    label(NO_LIST)
    data(2, 0x4544)  # cmp r4, r8
    bne(REFUSE)  # no array either
    cmp(r5, r3)  # as many as channels?
    bne(REFUSE)  # no
    ldrb(r6, [r0, 4])  # typecode
    ldr(r0, [r0, 12])  # its items
    mov(r4, 0)  # ldrsh has no other form than with two registers
    cmp(r6, 105)  # "i"
    beq(WORDS)  # of 32 bits
    cmp(r6, 104)  # "h"
    bne(REFUSE)  # neither
    label(HALVES)
    data(2, 0x5F06)  # ldrsh r6, [r0, r4]
    add(r0, 2)  # the next
    data(2, 0xC740)  # stmia r7!, {r6}
    sub(r5, 1)  # one less to come
    bne(HALVES)  # the next
    b(COUNT)  # all are there
    label(WORDS)
    data(2, 0xC840)  # ldmia r0!, {r6}
    data(2, 0xC740)  # stmia r7!, {r6}
    sub(r5, 1)  # one less to come
    bne(WORDS)  # the next

    label(COUNT)
    data(2, 0x9800)  # ldr r0, [sp, 0]: the box
    ldr(r0, [r0, 4])  # the array behind the sample
    ldr(r0, [r0, 12])  # its items
    ldr(r4, [r0, 0])  # the samples taken so far
    add(r4, 1)  # and this one
    lsr(r5, r4, 30)  # 0 for a small integer
    bne(CLAMP)  # the count has ended
    str(r4, [r0, 0])  # so many
    label(CLAMP)
    ldr(r0, [r2, 0])  # v
    data(2, 0xC930)  # ldmia r1!, {r4, r5}: low, high
    cmp(r0, r4)  # below low?
    bge(LOW_IN)  # no
    mov(r0, r4)  # low
    label(LOW_IN)
    cmp(r0, r5)  # above high?
    ble(HIGH_IN)  # no
    mov(r0, r5)  # high
    label(HIGH_IN)
    data(2, 0xC970)  # ldmia r1!, {r4, r5, r6}: offset, factor, shift
    sub(r0, r0, r4)  # v - offset
    mul(r0, r5)  # times factor
    mov(r7, 1)  # half: 2^shift / 2
    lsl(r7, r6)  # 2^shift
    lsr(r7, r7, 1)  # half of it, 0 for shift 0
    add(r0, r0, r7)  # rounded
    asr(r0, r6)  # in the net's format
    data(2, 0xC201)  # stmia r2!, {r0}
    sub(r3, 1)  # one channel less to come
    bne(CLAMP)  # the next
    mov(r0, lr)  # the frame
    add(r0, 16)  # the next step is behind it
    b(NEXT)  # and runs

    label(DONE)
    mov(r4, 0)  # the result: done
    label(LEAVE)
    mov(r0, r4)  # where the caller expects it
    pop({r2, r4, r5, r6, r7})  # as they were pushed
    mov(r8, r4)  # the caller's
    mov(r9, r5)  # again
    mov(r10, r6)  # again
    mov(r11, r7)  # again
