# SPDX-License-Identifier: MIT
"""On an RP2: put gesture.urnn into the last blocks of the flash, load it from there; prints the heap that took and PASS."""

import gc

import rp2
import urnn

BLOCK = 4096


def write():
    with open("gesture.urnn", "rb") as f:
        data = f.read()
    flash = rp2.Flash()
    first = len(memoryview(flash)) // BLOCK - (len(data) + BLOCK - 1) // BLOCK
    flash.writeblocks(first, data + bytes(-len(data) % BLOCK))
    return first * BLOCK, len(data)


def used():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def load(at, size):
    return urnn.load(memoryview(rp2.Flash())[at : at + size])


place = write()
load(*place).selftest()  # imports what these import
bytearray(20000)  # over what the collector may still find on the stack
before = used()
net = load(*place)
print(used() - before, net.selftest())
