# SPDX-License-Identifier: MIT
"""The kernels of gates_plain.py in Arm Thumb assembler, all but SCALE, EMBED and FINE, which viper executes.

kernels_asm_thumb.py explains how such a module works. Here the words start with the address of the table of tanh. An
instruction has seven words: twice its number in the list of branches, a, b, c, the end of c, and two constants.

tanh is read at 8 bits like sigmoid, at twice its argument: the part between two entries, (d * 2 f + 128) >> 8, is the same
integer as (d * f + 64) >> 7. Every magnitude is limited to 32767 before it becomes an address.

FastRNN's leak is FastGRNN's blend with zeta 0. Its gate is beta, which is read from the file once for every unit. The
blend shifts 2 p a by 15 instead of p a by 14: 2 p a is less than 2^31, and the result is the same integer.
"""

# ruff: noqa: F821 (registers, instructions and labels)
from array import array

import micropython
from micropython import const

from .fixed import i32
from .kernels_asm_thumb import address
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
_LIMIT = const(27)

NAME = "asm_thumb"
CODES = (_SIGMOID, _TANH, _RELU, _MUL, _MIX, _MEMORY, _LEAK, _BLEND, _ADD, _LIMIT)
_END = 2 * len(CODES)


def pack(instructions):
    """Return the words that run() takes."""
    words = [address(TANH)]
    for code, a, b, c, n in instructions:
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
    """Execute a program. r0: its words; r1 and r2 are not used. Returns 0."""
    # Save the caller's r8 to r11. On the stack: the next instruction, the table of tanh, then these
    mov(r4, r8)
    mov(r5, r9)
    mov(r6, r10)
    mov(r7, r11)
    data(2, 0xC802)  # ldmia r0!, {r1}: the table
    push({r0, r1, r4, r5, r6, r7})
    mov(r1, 1)
    lsl(r1, r1, 14)
    mov(r8, r1)
    lsl(r1, r1, 1)
    mov(r10, r1)

    # In every routine below:
    # r2, r3, r4  places in a, b, c, unless it says otherwise    r8   16384, the half of 2^15
    # r6, r7      the instruction's two constants                r9   end of c
    # r0, r1      scratch                                        r10  32768
    label(NEXT)
    data(2, 0x9800)  # ldr r0, [sp, 0]
    data(2, 0xC8FE)  # ldmia r0!, {r1-r7}: the branch, a, b, c, the end of c, two constants
    data(2, 0x9000)  # str r0, [sp, 0]: the next instruction
    mov(r9, r5)
    data(2, 0x448F)  # add pc, r1: to the branch of that number
    nop()  # pc is two instructions ahead of the addition
    b(SIGMOID)  # in the order of CODES
    b(TANH)
    b(RELU)
    b(MUL)
    b(MIX)
    b(MEMORY)
    b(BLEND)  # LEAK
    b(BLEND)
    b(ADD)
    b(LIMIT)

    # The end is the branch behind the last
    mov(r0, 0)  # the result
    pop({r1, r2, r4, r5, r6, r7})  # restore what was saved
    mov(r8, r4)
    mov(r9, r5)
    mov(r10, r6)
    mov(r11, r7)
    b(LEAVE)  # the function's own end is behind the last kernel

    # c = sigmoid(saturate(a + b))
    # r1  table of tanh                                        r7   place in the table, then the result
    # r5  v, its magnitude, the part between two entries       r12  32769
    # r6  sign of v, 0 or -1
    label(SIGMOID)
    data(2, 0x9901)  # ldr r1, [sp, 4]
    mov(r0, r10)
    add(r0, 1)
    mov(r12, r0)
    label(SIGMOID_1)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)
    add(r5, r5, r6)  # v - 1 where v < 0,
    eor(r5, r6)  # and its complement is -v
    data(2, 0x4555)  # cmp r5, r10: unsigned, so that no sum gives an address outside the table
    bcc(SIGMOID_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(SIGMOID_IN)
    lsr(r7, r5, 8)  # entry i of the table
    lsl(r7, r7, 1)  # of half-words
    add(r7, r7, r1)
    data(2, 0xB2ED)  # uxtb r5, r5
    ldrh(r0, [r7, 0])
    ldrh(r7, [r7, 2])  # entry i + 1
    sub(r7, r7, r0)
    mul(r7, r5)
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)
    add(r7, r7, r0)  # y = tanh(|v| / 2)
    eor(r7, r6)
    sub(r7, r7, r6)  # -y where v < 0
    data(2, 0x4467)  # add r7, r12: (32769 + y) >> 1
    lsr(r7, r7, 1)
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(SIGMOID_1)
    b(NEXT)

    # c = tanh(saturate(a + b)); registers as above
    label(TANH)
    data(2, 0x9901)  # ldr r1, [sp, 4]
    label(TANH_1)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    add(r5, r5, r6)  # v = a + b
    asr(r6, r5, 31)
    add(r5, r5, r6)  # magnitude, as above
    eor(r5, r6)
    data(2, 0x4555)  # cmp r5, r10
    bcc(TANH_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(TANH_IN)
    lsl(r5, r5, 1)  # twice the argument, to be read at 8 bits
    lsr(r7, r5, 8)  # entry i of the table
    lsl(r7, r7, 1)  # of half-words
    add(r7, r7, r1)
    data(2, 0xB2ED)  # uxtb r5, r5
    ldrh(r0, [r7, 0])
    ldrh(r7, [r7, 2])  # entry i + 1
    sub(r7, r7, r0)
    mul(r7, r5)
    add(r7, 128)  # rounded
    lsr(r7, r7, 8)
    add(r7, r7, r0)  # y = tanh(|v|)
    eor(r7, r6)
    sub(r7, r7, r6)  # -y where v < 0
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(TANH_1)
    b(NEXT)

    # c = min(32767, max(0, a + b))
    # r5  v = a + b    r6  b, then the sign of v
    label(RELU)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    add(r5, r5, r6)
    asr(r6, r5, 31)
    bic(r5, r6)  # 0 where v < 0
    data(2, 0x4555)  # cmp r5, r10
    bcc(RELU_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(RELU_IN)
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(RELU)
    b(NEXT)

    # c = rshift(a * b, 15)
    # r5  a, then the result    r6  b
    label(MUL)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    mul(r5, r6)
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(MUL)
    b(NEXT)

    # h <- a + rshift(z * (h - a), 15)
    # r2  place in z    r5  z
    # r3  place in a    r6  a
    # r4  place in h    r7  h
    label(MIX)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    ldr(r7, [r4, 0])
    sub(r7, r7, r6)
    mul(r7, r5)  # less than 2^31
    data(2, 0x4447)  # add r7, r8
    asr(r7, r7, 15)
    add(r7, r7, r6)
    data(2, 0xC480)  # stmia r4!, {r7}
    data(2, 0x454C)  # cmp r4, r9
    bne(MIX)
    b(NEXT)

    # c = a + b
    # r5  a, then the result    r6  b
    label(ADD)
    data(2, 0xCA20)  # ldmia r2!, {r5}
    data(2, 0xCB40)  # ldmia r3!, {r6}
    add(r5, r5, r6)
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(ADD)
    b(NEXT)

    # c = saturate(b)
    # r5  v, its magnitude, then the result    r6  sign of v
    label(LIMIT)
    data(2, 0xCB20)  # ldmia r3!, {r5}
    asr(r6, r5, 31)
    add(r5, r5, r6)  # magnitude, as above
    eor(r5, r6)
    data(2, 0x4555)  # cmp r5, r10
    bcc(LIMIT_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(LIMIT_IN)
    eor(r5, r6)
    sub(r5, r5, r6)  # with its sign again
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(LIMIT)
    b(NEXT)

    # h <- saturate(2 p a + z h), with p = zeta * (1 - z) + nu
    # r0  z                                     r6   zeta
    # r1  2 p, then z h, then the sign          r7   k
    # r2  place in z    r3  place in a          r11  bytes from one z to the next: 4, or 0 when all have the same
    # r4  place in h                            r12  2 nu
    # r5  a, then the sum and its magnitude     lr   half of 2^k
    label(BLEND)
    lsr(r0, r7, 12)
    mov(r12, r0)
    lsl(r0, r7, 20)
    lsr(r0, r0, 28)
    mov(r11, r0)
    mov(r0, 1)
    lsl(r0, r7)  # shifts take the lowest byte
    lsr(r0, r0, 1)  # 0 for k = 0
    mov(lr, r0)
    label(BLEND_1)
    ldr(r0, [r2, 0])
    data(2, 0x445A)  # add r2, r11
    mov(r1, r10)
    sub(r1, r1, r0)  # 32768 - z
    mul(r1, r6)
    data(2, 0x4441)  # add r1, r8
    asr(r1, r1, 15)
    lsl(r1, r1, 1)
    data(2, 0x4461)  # add r1, r12: 2 p
    data(2, 0xCB20)  # ldmia r3!, {r5}
    mul(r5, r1)
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)
    data(2, 0x4475)  # add r5, lr
    asr(r5, r7)  # in the state's format
    ldr(r1, [r4, 0])
    mul(r1, r0)  # z h
    data(2, 0x4441)  # add r1, r8
    asr(r1, r1, 15)
    add(r5, r5, r1)
    asr(r1, r5, 31)
    add(r5, r5, r1)  # magnitude, as above
    eor(r5, r1)
    data(2, 0x4555)  # cmp r5, r10
    bcc(BLEND_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(BLEND_IN)
    eor(r5, r1)
    sub(r5, r5, r1)  # with its sign again
    data(2, 0xC420)  # stmia r4!, {r5}
    data(2, 0x454C)  # cmp r4, r9
    bne(BLEND_1)
    b(NEXT)

    # c <- saturate(f * c + i * g), and tanh(c) in the place of g
    # r0  c, then a sign                                  r7   scratch, then the place in the table and the result
    # r1  table of tanh                                   r9   end of c
    # r2  place in g    r3  place in c                    r11  bytes of a gate
    # r4  places of o, f, i, then i g, then an entry      r12  half of what the first shift drops
    # r5  f c, then the new c, then the argument          lr   half of what the second shift drops
    # r6  three shifts, a byte each: of i g, of c right, of c left
    label(MEMORY)
    data(2, 0x9901)  # ldr r1, [sp, 4]
    mov(r11, r4)
    lsr(r4, r7, 16)
    mov(lr, r4)
    data(2, 0xB2BF)  # uxth r7, r7
    mov(r12, r7)
    label(MEMORY_1)
    mov(r7, r11)
    sub(r4, r2, r7)  # o
    sub(r4, r4, r7)  # f
    ldr(r5, [r4, 0])
    sub(r4, r4, r7)  # i
    ldr(r0, [r3, 0])
    mul(r5, r0)  # f c
    data(2, 0x4445)  # add r5, r8
    asr(r5, r5, 15)
    ldr(r4, [r4, 0])
    ldr(r7, [r2, 0])
    mul(r4, r7)  # i g
    data(2, 0x4444)  # add r4, r8
    asr(r4, r4, 15)
    data(2, 0x4464)  # add r4, r12
    asr(r4, r6)  # in the format of c; asr takes the lowest byte
    add(r5, r5, r4)
    asr(r0, r5, 31)
    add(r5, r5, r0)  # magnitude, as above
    eor(r5, r0)
    data(2, 0x4555)  # cmp r5, r10
    bcc(MEMORY_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(MEMORY_IN)
    eor(r5, r0)
    sub(r5, r5, r0)  # with its sign again
    data(2, 0xC320)  # stmia r3!, {r5}: the new c
    data(2, 0x4475)  # add r5, lr
    lsr(r7, r6, 8)
    asr(r5, r7)  # to Q3.12 from finer,
    lsr(r7, r7, 8)
    lsl(r5, r7)  # or from coarser
    asr(r0, r5, 31)
    add(r5, r5, r0)  # magnitude, as above
    eor(r5, r0)
    data(2, 0x4555)  # cmp r5, r10
    bcc(CELL_IN)
    mov(r5, r10)
    sub(r5, 1)  # limited to 32767
    label(CELL_IN)
    lsl(r5, r5, 1)  # from here as in TANH
    lsr(r7, r5, 8)
    lsl(r7, r7, 1)
    add(r7, r7, r1)
    data(2, 0xB2ED)  # uxtb r5, r5
    ldrh(r4, [r7, 0])
    ldrh(r7, [r7, 2])
    sub(r7, r7, r4)
    mul(r7, r5)
    add(r7, 128)
    lsr(r7, r7, 8)
    add(r7, r7, r4)
    eor(r7, r0)
    sub(r7, r7, r0)
    data(2, 0xC280)  # stmia r2!, {r7}: tanh(c)
    data(2, 0x454B)  # cmp r3, r9
    bne(MEMORY_1)
    b(NEXT)

    label(LEAVE)
