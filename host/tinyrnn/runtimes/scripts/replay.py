# SPDX-License-Identifier: MIT
"""Compare every step of every sequence with the expected integers, on any runtime: replay.py KERNELS [MODEL CASES]...

KERNELS is a kernel set or `best`. CASES is little-endian: u32 number of sequences; for each sequence u32 number of steps;
for each step i32 sample[C], i32 output[O], i16 state[S] and zeros up to a multiple of 4.
For each pair of files the script prints up to MOST lines `DIFFER sequence step what index want got`, then
`DONE sequences steps differences us_step heap kernels`. heap is the number of bytes that load() took, -1 where the
runtime cannot tell.
"""

import gc
import sys
import time
from array import array
from struct import unpack

import urnn

MOST = 10


def ticks_us():
    return time.ticks_us() if hasattr(time, "ticks_us") else time.monotonic_ns() // 1000


def elapsed_us(began):
    now = ticks_us()
    return time.ticks_diff(now, began) if hasattr(time, "ticks_diff") else now - began


def used():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else -1


def differ(want, got, where, what):
    count = 0
    for i in range(len(want)):
        if want[i] != got[i]:
            count += 1
            if where[2] < MOST:
                where[2] += 1
                print("DIFFER", where[0], where[1], what, i, want[i], got[i])
    return count


def replay(model, cases, kernels):
    net = urnn.load(model, kernels)  # import the kernels: their code does not count as the model's
    net = None
    before = used()
    net = urnn.load(model, kernels)
    heap = used() - before if before >= 0 else -1
    outputs = len(net.output)
    units = len(net.state)
    sample = array("i", bytes(4 * net.inputs))
    output = array("i", bytes(4 * outputs))
    state = array("h", bytes(2 * ((units + 1) & -2)))
    steps = differences = us = 0
    where = [0, 0, 0]
    with open(cases, "rb") as f:
        (count,) = unpack("<I", f.read(4))
        for sequence in range(count):
            where[0] = sequence
            net.reset()
            (length,) = unpack("<I", f.read(4))
            for t in range(length):
                where[1] = t
                f.readinto(sample)
                f.readinto(output)
                f.readinto(state)
                began = ticks_us()
                net.step(sample)
                us += elapsed_us(began)
                differences += differ(output, net.output, where, "output")
                differences += differ(memoryview(state)[:units], net.state, where, "state")
            steps += length
        if f.read(1):
            raise ValueError("bytes follow the last sequence")
    print("DONE", count, steps, differences, "%.3f" % (us / max(steps, 1)), heap, net.kernel_set)


kernels = None if sys.argv[1] == "best" else sys.argv[1]
for i in range(2, len(sys.argv), 2):
    replay(sys.argv[i], sys.argv[i + 1], kernels)
