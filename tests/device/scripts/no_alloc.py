# SPDX-License-Identifier: MIT
"""Under MicroPython: no_alloc.py KERNELS MODEL: step() and argmax() with the heap locked. Prints OK."""

import gc
import sys
from array import array

import micropython
import urnn

net = urnn.load(sys.argv[2], sys.argv[1])
samples = [array("i", [v] * net.inputs) for v in (0, 1000, -0x40000000, 0x3FFFFFFF)]


def locked():
    micropython.heap_lock()
    try:
        for sample in samples:
            net.step(sample)
            net.argmax()
    finally:
        micropython.heap_unlock()


def allocates():
    micropython.heap_lock()
    try:
        try:
            bytearray(64)
        except MemoryError:
            return False
    finally:
        micropython.heap_unlock()
    return True


if allocates():
    raise RuntimeError("the lock does not hold on this runtime")


def growth():
    gc.collect()
    before = gc.mem_alloc()
    for i in range(50):
        net.step(samples[i & 3])
    return gc.mem_alloc() - before


locked()
print("OK", net.kernel_set, growth())
