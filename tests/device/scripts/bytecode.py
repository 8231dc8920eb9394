"""Under MicroPython: bytecode.py MODEL HOW: that file with the bytecode kernels. Prints, for each matrix, the rows that are
byte code and all its rows, and then OK: the integers are those of the plain kernels, with HOW = ended
also after Ctrl-C in a product."""

import sys

import urnn
from urnn import kernels_bytecode

with open(sys.argv[1], "rb") as f:
    data = bytearray(f.read())
net = urnn.load(data, "bytecode")


def products(found):
    """The arguments of _matvec() in whatever link() has made of them."""
    for part in found:
        if isinstance(part, tuple) and part and part[0] is kernels_bytecode._matvec:
            yield part
        elif isinstance(part, (tuple, list)):
            for inner in products(part):
                yield inner


def run():
    seen = []
    for v in (0, 1000, -2500, 77):
        net.step([v + 300 * c for c in range(net.inputs)])
        seen.append((list(net.output), list(net.state)))
    net.reset()
    return seen


matrices = list(products(net.program.linked))
print(" ".join(["%d/%d" % (code[1], n) for _, code, _, _, n in matrices]))
first = run()
again = run()
if sys.argv[2] == "ended":
    for _, code, _, _, _ in matrices:
        for _, generator in code[0]:
            generator[0].close()  # as an exception within it does
closed = run()
del matrices
net = urnn.load(data, "plain")
if not run() == first == again == closed:
    raise RuntimeError("other integers")
print("OK")
