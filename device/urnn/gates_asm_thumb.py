"""The kernels of gates_plain.py in Arm Thumb assembler; gates_plain.py says what they do. SCALE and EMBED are viper's.

kernels_asm_thumb.py says how such a module works. Here a program starts with the place of the table of tanh; a step has
seven words: twice its number in the list of branches, a, b, c, the end of c, and two constants.

tanh is read at 8 bits like sigmoid, at twice its argument: the part between two entries, (d * 2 f + 128) >> 8, is the same
integer as (d * f + 64) >> 7. A magnitude is limited to 32767 before it becomes an address, whatever it came from.

FastRNN's leak is FastGRNN's blend with zeta 0, whose gate is beta, read in its place in the file once for every unit.
That shifts 2 p a by 15 instead of p a by 14: less than 2^31, and the same integer.
"""

# ruff: noqa: F821 (registers, instructions and labels)
from array import array

import micropython
from micropython import const

from .fixed import i32
from .kernels_asm_thumb import address
from .tables import TANH

# The codes of program.py, for the compiler to put in
_SIGMOID = const(16)
_TANH = const(17)
_RELU = const(18)
_MUL = const(19)
_MIX = const(20)
_MEMORY = const(21)
_LEAK = const(22)
_BLEND = const(23)
_ADD = const(24)
_LIMIT = const(27)

NAME = "asm_thumb"
CODES = (_SIGMOID, _TANH, _RELU, _MUL, _MIX, _MEMORY, _LEAK, _BLEND, _ADD, _LIMIT)
_END = 2 * len(CODES)


def pack(steps):
    """Steps of program.py -> the words that run() takes."""
    words = [address(TANH)]
    for code, a, b, c, n in steps:
        x = address(a)
        y = address(b)
        d = e = 0
        if code == _MEMORY:
            k = a[0]
            s = 3 - k if k < 3 else 0
            d = k | s << 8 | (k - 3 if k > 3 else 0) << 16  # shifts of i g, and of c right and left to Q3.12
            e = 1 << k >> 1 | (1 << s >> 1) << 16  # half of what the first two drop
            x = y + 12 * n  # g
            y = address(c)
        elif code == _BLEND:  # zeta; k, bytes from gate to gate, 2 nu
            d = i32(a, 0)
            e = a[8] | 4 << 8 | i32(a, 4) << 13
            x = y
            y += 4 * n
        elif code == _LEAK:
            e = a[8] | i32(a, 0) << 12
            x += 4  # beta
        z = address(c)
        if (x | y | z) & 3:
            raise ValueError("the file must lie at a multiple of 4")
        if n:
            words += (2 * CODES.index(code), x, y, 4 * n if code == _MEMORY else z, z + 4 * n, d, e)
    words.append(_END)
    return array("i", words + [0] * 6)  # read with the end's code


@micropython.asm_thumb
def run(r0, r1, r2):
    """Execute a program. r0: its words; r1 and r2: not used. 0."""
    mov(r4, r8)  # the caller's registers
    mov(r5, r9)  # which are r8 to r11
    mov(r6, r10)  # of a sort that push
    mov(r7, r11)  # does not take
    data(2, 0xC802)  # ldmia r0!, {r1}: the table
    push({r0, r1, r4, r5, r6, r7})
    # For all steps: r8 16384, r10 32768; on the stack the next step, then the table
    mov(r1, 1)  # a bit
    lsl(r1, r1, 14)  # 16384: the half of what 15 places drop
    mov(r8, r1)  # to stay
    lsl(r1, r1, 1)  # 32768
    mov(r10, r1)  # to stay

    # Of each: r2 a, r3 b, r4 c, r9 the end of c, r6 and r7 constants
    label(NEXT)
    data(2, 0x9800)  # ldr r0, [sp, 0]: the step
    data(2, 0xC8FE)  # ldmia r0!, {r1-r7}: all of it
    data(2, 0x9000)  # str r0, [sp, 0]: the next
    mov(r9, r5)  # the end of c
    data(2, 0x448F)  # add pc, r1: to the branch of that number
    nop()  # pc is two instructions ahead of the addition
    b(SIGMOID)  # in the order of CODES
    b(TANH)  # 1
    b(RELU)  # 2
    b(MUL)  # 3
    b(MIX)  # 4
    b(MEMORY)  # 5
    b(BLEND)  # 6: LEAK
    b(BLEND)  # 7
    b(ADD)  # 8
    b(LIMIT)  # 9

    # the end: 10
    mov(r0, 0)  # the result: done
    pop({r1, r2, r4, r5, r6, r7})  # as they were pushed
    mov(r8, r4)  # the caller's
    mov(r9, r5)  # again
    mov(r10, r6)  # again
    mov(r11, r7)  # again
    b(LEAVE)  # the function's own end is behind the last kernel

    label(SIGMOID)
    # r1 the table, r12 32769
    data(2, 0x9901)  # ldr r1, [sp, 4]: the table
    mov(r0, r10)  # 32768
    add(r0, 1)  # 32769
    mov(r12, r0)  # to stay
    label(SIGMOID_1)
    data(2, 0xCA20)  # ldmia r2!, {r5}: a
    data(2, 0xCB40)  # ldmia r3!, {r6}: b
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10: unsigned, so whatever the sum was: never a wild read
    bcc(SIGMOID_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(SIGMOID_IN)
    lsr(r7, r5, 8)  # r7 the place in the table
    lsl(r7, r7, 1)  # half-words
    add(r7, r7, r1)  # entry i
    data(2, 0xB2ED)  # uxtb r5, r5: between two entries
    ldrh(r0, [r7, 0])  # its value
    ldrh(r7, [r7, 2])  # that of entry i + 1
    sub(r7, r7, r0)  # the step between them
    mul(r7, r5)  # the part of it
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)  # in units
    add(r7, r7, r0)  # y
    eor(r7, r6)  # the sign again
    sub(r7, r7, r6)  # -y where v < 0
    data(2, 0x4467)  # add r7, r12: (32769 + y) >> 1
    lsr(r7, r7, 1)  # the gate
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(SIGMOID_1)  # more
    b(NEXT)  # the next step

    label(TANH)
    data(2, 0x9901)  # ldr r1, [sp, 4]: the table
    label(TANH_1)
    data(2, 0xCA20)  # ldmia r2!, {r5}: a
    data(2, 0xCB40)  # ldmia r3!, {r6}: b
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10: as above
    bcc(TANH_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(TANH_IN)
    lsl(r5, r5, 1)  # twice, to be read at 8 bits
    lsr(r7, r5, 8)  # r7 the place in the table
    lsl(r7, r7, 1)  # half-words
    add(r7, r7, r1)  # entry i
    data(2, 0xB2ED)  # uxtb r5, r5: between two entries
    ldrh(r0, [r7, 0])  # its value
    ldrh(r7, [r7, 2])  # that of entry i + 1
    sub(r7, r7, r0)  # the step between them
    mul(r7, r5)  # the part of it
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)  # in units
    add(r7, r7, r0)  # y
    eor(r7, r6)  # the sign again
    sub(r7, r7, r6)  # -y where v < 0
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(TANH_1)  # more
    b(NEXT)  # the next step

    label(RELU)
    data(2, 0xCA20)  # ldmia r2!, {r5}: a
    data(2, 0xCB40)  # ldmia r3!, {r6}: b
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)  # all ones where v < 0
    bic(r5, r6)  # 0 there
    data(2, 0x4555)  # cmp r5, r10
    bcc(RELU_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(RELU_IN)
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(RELU)  # more
    b(NEXT)  # the next step

    label(MUL)
    data(2, 0xCA20)  # ldmia r2!, {r5}: a
    data(2, 0xCB40)  # ldmia r3!, {r6}: b
    mul(r5, r6)  # a b
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)  # rounded down, after the half
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(MUL)  # more
    b(NEXT)  # the next step

    label(MIX)
    data(2, 0xCA20)  # ldmia r2!, {r5}: z
    data(2, 0xCB40)  # ldmia r3!, {r6}: a
    ldr(r7, [r4, 0])  # h <- a + rshift(z * (h - a), 15)
    sub(r7, r7, r6)  # h - a
    mul(r7, r5)  # less than 2^31
    data(2, 0x4447)  # add r7, r8
    asr(r7, r7, 15)  # rounded down, after the half
    add(r7, r7, r6)  # the new h
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(MIX)  # more
    b(NEXT)  # the next step

    label(ADD)
    data(2, 0xCA20)  # ldmia r2!, {r5}: a
    data(2, 0xCB40)  # ldmia r3!, {r6}: b
    add(r5, r5, r6)  # a + b
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(ADD)  # more
    b(NEXT)  # the next step

    label(LIMIT)
    data(2, 0xCB20)  # ldmia r3!, {r5}: v
    asr(r6, r5, 31)  # r6 the sign, r5 the magnitude
    add(r5, r5, r6)  # v - 1 where v < 0
    eor(r5, r6)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10
    bcc(LIMIT_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(LIMIT_IN)
    eor(r5, r6)  # the sign again
    sub(r5, r5, r6)  # -v where v < 0
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(LIMIT)  # more
    b(NEXT)  # the next step

    label(BLEND)
    # r2 z, r3 a, r4 h, r6 zeta, r7 k; r11 bytes from z to z, r12 2 nu, lr half of 2^k
    lsr(r0, r7, 12)  # 2 nu
    mov(r12, r0)  # to stay
    lsl(r0, r7, 20)  # above the 4 bits
    lsr(r0, r0, 28)  # 4, or 0: the same for all
    mov(r11, r0)  # to stay
    mov(r0, 1)  # half: 2^k / 2
    lsl(r0, r7)  # 2^k: shifts take the lowest byte
    lsr(r0, r0, 1)  # half of it, 0 for k = 0
    mov(lr, r0)  # to stay
    label(BLEND_1)
    ldr(r0, [r2, 0])  # z
    data(2, 0x445A)  # add r2, r11: the next
    mov(r1, r10)  # 32768
    sub(r1, r1, r0)  # 32768 - z
    mul(r1, r6)  # times zeta
    data(2, 0x4441)  # add r1, r8
    asr(r1, r1, 15)  # rounded down, after the half
    lsl(r1, r1, 1)  # twice
    data(2, 0x4461)  # add r1, r12: 2 p
    data(2, 0xCB20)  # ldmia r3!, {r5}: a
    mul(r5, r1)  # 2 p a
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)  # rounded down, after the half
    data(2, 0x4475)  # add r5, lr
    asr(r5, r7)  # in the state's format
    ldr(r1, [r4, 0])  # h
    mul(r1, r0)  # z h
    data(2, 0x4441)  # add r1, r8
    asr(r1, r1, 15)  # rounded down, after the half
    add(r5, r5, r1)  # v
    asr(r1, r5, 31)  # r1 the sign, r5 the magnitude
    add(r5, r5, r1)  # v - 1 where v < 0
    eor(r5, r1)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10
    bcc(BLEND_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(BLEND_IN)
    eor(r5, r1)  # the sign again
    sub(r5, r5, r1)  # -v where v < 0
    data(2, 0xC420)  # stmia r4!, {r5}: the new h
    data(2, 0x454C)  # cmp r4, r9
    bne(BLEND_1)  # more units
    b(NEXT)  # the next step

    label(MEMORY)
    # r1 the table, r2 g, r3 c, r6 three shifts; r11 bytes of a gate, r12 half of the first shift, lr of the second
    data(2, 0x9901)  # ldr r1, [sp, 4]: the table
    mov(r11, r4)  # bytes of a gate
    lsr(r4, r7, 16)  # half of the second
    mov(lr, r4)  # to stay
    data(2, 0xB2BF)  # uxth r7, r7: half of the first
    mov(r12, r7)  # to stay
    label(MEMORY_1)
    mov(r7, r11)  # bytes of a gate
    sub(r4, r2, r7)  # o
    sub(r4, r4, r7)  # f
    ldr(r5, [r4, 0])  # of this unit
    sub(r4, r4, r7)  # i
    ldr(r0, [r3, 0])  # c
    mul(r5, r0)  # f c
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)  # rounded down, after the half
    ldr(r4, [r4, 0])  # i
    ldr(r7, [r2, 0])  # g
    mul(r4, r7)  # i g
    data(2, 0x4444)  # add r4, r8
    asr(r4, r4, 15)  # rounded down, after the half
    data(2, 0x4464)  # add r4, r12
    asr(r4, r6)  # in the format of c; asr takes the lowest byte
    add(r5, r5, r4)  # v
    asr(r0, r5, 31)  # r0 the sign, r5 the magnitude
    add(r5, r5, r0)  # v - 1 where v < 0
    eor(r5, r0)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10
    bcc(MEMORY_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(MEMORY_IN)
    eor(r5, r0)  # the sign again
    sub(r5, r5, r0)  # -v where v < 0
    data(2, 0xC320)  # stmia r3!, {r5}: the new c
    data(2, 0x4475)  # add r5, lr
    lsr(r7, r6, 8)  # next shift
    asr(r5, r7)  # to Q3.12 from finer
    lsr(r7, r7, 8)  # next shift
    lsl(r5, r7)  # or from coarser
    asr(r0, r5, 31)  # r0 the sign, r5 the magnitude
    add(r5, r5, r0)  # v - 1 where v < 0
    eor(r5, r0)  # and its complement: -v
    data(2, 0x4555)  # cmp r5, r10
    bcc(CELL_IN)  # it is within
    mov(r5, r10)  # 32768
    sub(r5, 1)  # 32767
    label(CELL_IN)
    lsl(r5, r5, 1)  # as in TANH
    lsr(r7, r5, 8)  # r7 the place in the table
    lsl(r7, r7, 1)  # half-words
    add(r7, r7, r1)  # entry i
    data(2, 0xB2ED)  # uxtb r5, r5: between two entries
    ldrh(r4, [r7, 0])  # its value
    ldrh(r7, [r7, 2])  # that of entry i + 1
    sub(r7, r7, r4)  # the step between them
    mul(r7, r5)  # the part of it
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)  # in units
    add(r7, r7, r4)  # y
    eor(r7, r0)  # the sign again
    sub(r7, r7, r0)  # -y where v < 0
    data(2, 0xC280)  # stmia r2!, {r7}: tanh(c) in the place of g
    data(2, 0x454B)  # cmp r3, r9
    bne(MEMORY_1)  # more units
    b(NEXT)  # the next step

    label(LEAVE)
