# SPDX-License-Identifier: MIT
"""Divides each step between the two cores of an RP2040 or RP2350: urnn.load(path, cores=2). docs/kernels.md has figures.

Core 1 stays in worker(), machine code that sleeps until the mailbox holds the address of an array of words. It executes
the words with the assembler's run() and clears the mailbox. No Python runs on core 1 and it allocates nothing. Its
interrupts are enabled, so that MicroPython can stop it while it writes to the flash. A soft reset ends it.

A step of a net becomes segments. Each has two arrays of words that do not depend on each other, one for each core. Products
are divided at a block of four rows. Those of a GRU are divided by units if their number is a multiple of 4, and so are
its gates: the vectors a and b then hold the r, z and n of core 0's units, followed by those of core 1's.
"""

# ruff: noqa: F821 (registers, instructions and labels)
import sys
import time
from array import array

import micropython

# On other boards a thread has no core of its own. Before 1.25, MicroPython waits for ever when it writes to the flash
# after a soft reset that ended a thread (micropython#16619)
if sys.platform != "rp2" or sys.implementation.version < (1, 25):
    raise ImportError("needs MicroPython 1.25 or newer on an RP2040 or RP2350")

import _thread

from . import kernels_asm_thumb as kernels
from .program import GRU, MATVEC

START_MS = 100  # longest wait for core 1
_mailbox = array("i", (0, 0))  # what core 1 does next: 0 nothing, 1 end, else an address; whether worker() runs there


@micropython.asm_thumb
def worker(r0, r1):
    """What core 1 does. r0: the mailbox; r1: run(), the function's object, which this call keeps alive."""
    # r0  what to do    r4  the mailbox    r5  run()'s machine code
    mov(r4, r0)
    ldr(r5, [r1, 8])  # type, number of arguments, machine code
    mov(r0, 1)
    orr(r5, r0)  # the bit of Thumb code
    label(WAIT)
    ldr(r0, [r4, 0])
    cmp(r0, 1)
    beq(END)  # 1
    bhi(WORK)  # an address
    data(2, 0xBF20)  # wfe: sleep until the other core's sev, or an interrupt
    b(WAIT)
    label(WORK)
    data(2, 0xF3BF, 0x8F5F)  # dmb: what core 0 wrote before is read after
    data(2, 0x47A8)  # blx r5: the words in r0
    data(2, 0xF3BF, 0x8F5F)  # dmb: the results are there before the word
    mov(r0, 0)
    str(r0, [r4, 0])  # core 0 waits for this
    b(WAIT)
    label(END)
    mov(r0, 0)
    str(r0, [r4, 4])  # core 0 works alone from now on
    str(r0, [r4, 0])


@micropython.asm_thumb
def run(r0, r1, r2):
    """Execute the segments of share(). As the assembler's run(): r0 words, r1 the same, r2 the box; 1 is a refusal."""
    # r0  core 0's words    r4  the mailbox
    # r2  scratch, the box  r5  machine code of the assembler's run()
    # r3  core 1's words    r6  place in the segments
    #                       r7  the box
    data(2, 0xC830)  # ldmia r0!, {r4, r5}
    mov(r6, r0)
    mov(r7, r2)
    label(NEXT)
    data(2, 0xCE09)  # ldmia r6!, {r0, r3}
    cmp(r0, 0)  # all done?
    beq(LEAVE)  # with 0
    cmp(r3, 0)  # none for core 1?
    beq(ALONE)
    ldr(r2, [r4, 4])  # is core 1 there?
    cmp(r2, 0)
    beq(BOTH)  # no, stop() was called: run both programs here
    label(BUSY)
    ldr(r2, [r4, 0])  # not 0 when this interrupts a step of another net
    cmp(r2, 0)
    bne(BUSY)
    data(2, 0xF3BF, 0x8F4F)  # dsb: what was written before is there
    str(r3, [r4, 0])  # core 1 begins
    data(2, 0xF3BF, 0x8F4F)  # dsb
    data(2, 0xBF40)  # sev: wake it
    data(2, 0x47A8)  # blx r5: core 0's part
    label(JOIN)
    ldr(r2, [r4, 0])
    cmp(r2, 0)
    bne(JOIN)
    data(2, 0xF3BF, 0x8F5F)  # dmb: its results are read after that
    b(NEXT)
    label(BOTH)
    mov(r0, r3)
    data(2, 0x47A8)  # blx r5: core 1's part
    sub(r6, 8)  # the same segment again
    data(2, 0xCE09)  # ldmia r6!, {r0, r3}
    label(ALONE)
    mov(r2, r7)  # for NORMALISE
    data(2, 0x47A8)  # blx r5: core 0's part
    cmp(r0, 0)  # refused?
    beq(NEXT)
    label(LEAVE)


@micropython.asm_thumb
def _code(r0):
    """The address of an assembler function's machine code, for blx: type, number of arguments, machine code."""
    ldr(r0, [r0, 8])
    mov(r1, 1)
    orr(r0, r1)  # the bit of Thumb code


@micropython.asm_thumb
def _arguments(r0):
    """The number of arguments of an assembler function."""
    ldr(r0, [r0, 4])


if _arguments(kernels.run) != 3:
    raise ImportError("this firmware lays out assembler functions in another way")


def start():
    """Start worker() on core 1. Raises ValueError when another thread runs there."""
    if _mailbox[1]:
        return
    idle = array("i", (0,))  # no instructions: core 1 clears the mailbox as soon as worker() runs
    _mailbox[0] = kernels.address(idle)
    began = time.ticks_ms()
    while _mailbox[0]:
        if time.ticks_diff(time.ticks_ms(), began) > START_MS:
            _mailbox[0] = 0
            raise ValueError("cores: core 1 is busy with a thread")
        if not _mailbox[1]:
            try:
                _thread.start_new_thread(worker, (_mailbox, kernels.run))
                _mailbox[1] = 1
            except OSError:  # another thread runs, or is about to end
                pass


def stop():
    """Free core 1 for a thread of your own. Nets then run on core 0 alone, until start() is called."""
    while _mailbox[1]:
        if not _mailbox[0]:
            _mailbox[0] = 1
            _wake()


@micropython.asm_thumb
def _wake():
    """Wake core 1, which then reads the mailbox."""
    data(2, 0xF3BF, 0x8F4F)  # dsb
    data(2, 0xBF40)  # sev


def share(kernel_set, program, linked, box):
    """Divide a net's program between the cores; return what takes the place of linked.

    kernel_set, program, linked: the set's name, the instructions, and what Program.link() made of them. box: the net's; the
    words of each core are appended, since segments hold only their addresses.
    Raises ValueError for kernels that cannot be divided, and when core 1 has a thread.
    """
    if kernel_set != kernels.NAME:
        raise ValueError("cores=2: kernels %r, not %r" % (kernel_set, kernels.NAME))
    start()
    units = _units(program)
    program = list(program)
    call, words = linked
    chain = (call, words, ()) if call is kernels.run else words
    calls = []
    while chain:
        found, words, chain = chain
        part = []
        while program and (program[0][0] in kernels.CODES) == (found is kernels.run):
            part.append(program.pop(0))
        calls.append((run, _words(part, units, box)) if found is kernels.run else (found, words))
    for found, words in reversed(calls):
        chain = found, words, chain
    return chain[:2] if not chain[2] else (call, chain)


def _units(program):
    """Addresses of the vectors a and b of each GRU that can be divided by units: nothing else reads or writes them."""
    places = [kernels.address(v) for instruction in program for v in instruction[1:4] if v is not None]
    made = {kernels.address(c): n for code, _, _, c, n in program if code == MATVEC}
    found = set()
    for code, a, b, _, n in program:
        both = [kernels.address(v) for v in (a, b)] if code == GRU and not n & 3 and n > 4 else ()
        if both and all([places.count(p) == 2 and made.get(p) == 3 * n for p in both]):
            found.update(both)
    return found


def _words(instructions, units, box):
    """The words of run() for some instructions."""
    # core 0's words, core 1's; what their products write and read, both empty for a segment that nothing can join
    segments = []
    for instruction in instructions:
        frame = list(kernels.pack([instruction]))[:-1]
        code, a, b, c, n = instruction
        to = kernels.address(c)
        blocks = (n + 3) >> 2
        mine, others, product = frame, [], False
        if code == MATVEC and to in units:
            product = True
            n //= 3
            first = n >> 3 << 2
            mine = []
            for gate in range(0, 3 * n, n):
                mine += _rows(frame, gate, first, to)
                to += 4 * first
            for gate in range(0, 3 * n, n):
                others += _rows(frame, gate + first, n - first, to)
                to += 4 * (n - first)
        elif code == MATVEC and blocks > 1:
            product = True
            first = blocks >> 1 << 2
            mine = _rows(frame, 0, first, to)
            others = _rows(frame, first, n - first, to + 4 * first)
        elif code == GRU and kernels.address(a) in units:
            first = n >> 3 << 2
            mine = _gates(frame, 0, first)
            others = _gates(frame, first, n - first)
        writes, reads = ([kernels.address(c)], [kernels.address(b)]) if product else ([], [])
        last = segments[-1] if segments else None
        if not last:
            joins = False
        elif product and last[2]:
            joins = reads[0] not in last[2] and writes[0] not in last[3]
        else:
            joins = not others and not last[1]  # both on core 0, one after the other
        if joins:
            for old, new in zip(last, (mine, others, writes, reads)):
                old.extend(new)
        else:
            segments.append((mine, others, writes, reads))
    words = [kernels.address(_mailbox), _code(kernels.run)]
    for segment in segments:
        for program in segment[:2]:
            program = array("i", program + [0]) if program else None
            words.append(kernels.address(program) if program else 0)
            box.append(program)
    return array("i", words + [0, 0])


def _rows(frame, first, n, to):
    """The words of a product for n of its rows, starting with the first of a block, and with the results at `to`."""
    cols = frame[7] - frame[1]  # bytes of x, and of the weights of a block
    return frame[:9] + [to, to + 4 * n, frame[11] + (first >> 2) * (20 + cols)]


def _gates(frame, first, n):
    """The words of a GRU's gates for n units, starting with `first`."""
    code, a, b, h, _, _, table = frame
    return [code, a + 12 * first, b + 12 * first, h + 4 * first, 4 * n, 8 * n, table]
