# SPDX-License-Identifier: MIT
"""Under MicroPython: full_heap.py FREE PIECE MODEL KERNELS: serve with a full heap.

FREE bytes are free, in pieces of PIECE bytes; of the rest what is left is less than that in one piece. The model is loaded
once before, so that the modules for it are there.
"""

import gc
import sys

import urnn
from urnn import serve


def fill(free, piece):
    """Take the heap but for so many bytes, and return what keeps it."""
    gc.collect()
    count = (free + piece - 1) // piece
    holes = [None] * count
    kept = [None] * (count + 400)
    for i in range(count):
        holes[i] = bytearray(piece)
        kept[i] = bytearray(1)  # between two holes
    size = 1 << 18
    while size >= 64 and count < len(kept):
        try:
            kept[count] = bytearray(size)
            count += 1
        except MemoryError:
            size >>= 1
    return kept


urnn.load(sys.argv[3], sys.argv[4])
kept = fill(int(sys.argv[1]), int(sys.argv[2]))
gc.collect()
serve.serve()
print("END")
