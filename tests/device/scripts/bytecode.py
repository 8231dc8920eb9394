# SPDX-License-Identifier: MIT
"""Under MicroPython: bytecode.py MODEL HOW: that file with the bytecode kernels. Prints, for each matrix, the rows that are
byte code and all its rows, and then OK: the integers are those of the plain kernels, with HOW = ended
also after Ctrl-C in a product."""

import sys

import urnn
from urnn import kernels_bytecode

with open(sys.argv[1], "rb") as f:
    data = bytearray(f.seek(0, 2))  # once: the heap may be tight
    f.seek(0)
    f.readinto(data)
matrices = []  # what run() is given for each
pack = kernels_bytecode.pack


def packed(instructions):
    words = pack(instructions)
    matrices[:] = [part for part in words if part[0] is kernels_bytecode._matvec]  # the last call is the net's
    return words


kernels_bytecode.pack = packed
net = urnn.load(data, "bytecode")


def run():
    seen = []
    for v in (0, 1000, -2500, 77):
        net.step([v + 300 * c for c in range(net.inputs)])
        seen.append((list(net.output), list(net.state)))
    net.reset()
    return seen


print(" ".join(["%d/%d" % (code[1], n) for _, code, _, _, n in matrices]))
first = run()
again = run()
if sys.argv[2] == "ended":
    for _, code, _, _, _ in matrices:
        for _, generator in code[0]:
            generator[0].close()  # as an exception within it does
closed = run()
matrices.clear()
net = urnn.load(data, "plain")
if not run() == first == again == closed:
    raise RuntimeError("other integers")
print("OK")
