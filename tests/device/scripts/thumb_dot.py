# SPDX-License-Identifier: MIT
"""A dot product for the inline assembler: small, to try the ways in which assembler kernels are run and counted."""

# ruff: noqa: F821
import micropython


@micropython.asm_thumb
def dot(r0, r1, r2):
    """sum over k of w[k] * x[k]. r0: w, n bytes, unsigned. r1: x, n 32-bit words. r2: n > 0. The sum modulo 2^32.

    w=(1, 2, 255) x=(10, -20, 3): 10 - 40 + 765 = 735
    """
    mov(r3, 0)  # the sum
    label(NEXT)
    ldrb(r4, [r0, 0])
    ldr(r5, [r1, 0])
    mul(r4, r5)
    add(r3, r3, r4)
    add(r0, 1)
    add(r1, 4)
    sub(r2, 1)
    bne(NEXT)
    mov(r0, r3)


@micropython.asm_thumb
def scale(r0, r1, r2):
    """y[k] = -w[k] * 2 for n bytes w, signed: r0: w, r1: y, 32-bit words, r2: n. ldrsb is no name here: its opcode."""
    mov(r6, 0)
    label(AGAIN)
    data(2, 0x5783)  # ldrsb r3, [r0, r6]
    neg(r3, r3)
    lsl(r3, r3, 1)
    str(r3, [r1, 0])
    add(r1, 4)
    add(r6, 1)
    cmp(r6, r2)
    blt(AGAIN)


@micropython.asm_thumb
def total(r0):
    """The sum of the integers of the tuple in box, box = [tuple]: reads MicroPython's objects. Overwrites box[0] with 1."""
    ldr(r1, [r0, 0])  # the tuple: type, length, items
    mov(r2, 1)
    str(r2, [r0, 0])
    ldr(r2, [r1, 4])
    mov(r0, 0)
    label(MORE)
    ldr(r3, [r1, 8])
    asr(r3, r3, 1)  # a small integer n is 2 n + 1
    add(r0, r0, r3)
    add(r1, 4)
    sub(r2, 1)
    bne(MORE)
