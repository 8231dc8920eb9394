# SPDX-License-Identifier: MIT
"""A net's program: the instructions that the cells write at load, and how they become calls of kernels.

An instruction is (code, a, b, c, n): a kernel, three vectors and a count. It computes n integers, mostly c from a and b.
A kernel's definition in plain Python has the arguments (a, b, c, n). b is None where the kernel takes the sample.
"""

import sys
from array import array

from .format import matrix

# The codes of the kernels. A module with machine code repeats its codes as constants for the compiler; a test compares
NORMALISE = 1
MATVEC = 2
GRU = 3

SIGMOID = 16
TANH = 17
RELU = 18
MUL = 19
MIX = 20
MEMORY = 21
LEAK = 22
BLEND = 23
ADD = 24
SCALE = 25
EMBED = 26
LIMIT = 27
FINE = 28

# A family is a range of codes: 0..15, 16..31. The module FAMILY_SET holds its kernels for a set
FAMILIES = ("kernels", "gates")


class Program:
    """What the cells have written so far.

    x: the vector that the next cell takes, array('i'). width: its length.
    instructions: a list. states: a view of each cell's state, 16-bit integers that the net keeps between samples.
    products: reads products that are more than a matrix; None until products.py sets it.
    """

    x = products = None
    width = 0

    def __init__(self):
        self.instructions = []
        self.states = []

    def add(self, code, a, b, c, n):
        """Append an instruction."""
        self.instructions.append((code, a, b, c, n))

    def product(self, data, at, stop, rows, cols, x):
        """Check the matrix of rows x cols at data[at:] and append its product with x; return (result, next field)."""
        if self.products and stop - at > 8 and not data[at] | data[at + 1]:
            return self.products(data, at, stop, rows, cols, x, self)
        m, at = matrix(data, at, stop, rows, cols)
        y = self.vector(rows)
        self.add(MATVEC, m, x, y, rows)
        return y, at

    def vector(self, n, room=0):
        """A new vector of n integers with room for whole blocks of four, as the kernels write them, or for `room`."""
        return array("i", bytes(4 * (room or (n + 3) & -4)))

    def state(self, n):
        """A state of n integers, zero at the start of each sequence."""
        h = self.vector(n)
        self.states.append(memoryview(h)[:n])
        return h

    def link(self, sets):
        """Return (run, words): run(words, words, box) executes all instructions.

        sets: names of kernel sets, best first. Each instruction goes to the first set that has its kernel, and neighbours
        in the same module become one call. A kernel module has

        NAME, CODES: its set, and the kernels in it.
        pack(instructions): returns words, whatever its run() takes.
        run(words, words, box): executes them. box[0] is the sample. box[1] is an array with one integer, the number of
        samples taken, which stays at 2^30 - 1. Returns true for a sample that its NORMALISE does not take, having changed
        nothing but c. It must take at least an array of n 32-bit integers, which may be c itself.

        The words are passed twice for viper's sake. It keeps the first two locals of a function in registers, arguments
        first, so its run(m: ptr8, x: ptr32, box) works in m and x. It reads the words from x; m, which starts with
        nothing, has to be given a buffer too. Other modules ignore the second argument.
        """
        calls = []
        for instruction in self.instructions:
            code = instruction[0]
            for name in sets:
                found = module(FAMILIES[code >> 4] + "_" + name)
                if found and code in found.CODES:
                    break
            else:
                raise ValueError("no kernel %d" % code)
            if not calls or calls[-1][0] is not found:
                calls.append((found, []))
            calls[-1][1].append(instruction)
        chain = ()
        while calls:
            found, part = calls.pop()
            chain = found.run, found.pack(part), chain
        return (run, chain) if chain[2] else chain[:2]


def run(chain, _, box):
    """Execute what link() split into several modules: (run, words, the rest) or ()."""
    while chain:
        call, words, chain = chain
        if call(words, words, box):
            return True


_modules = {}
absent = {}  # name of a module -> why this runtime does not have it


def module(name):
    """The module of this package, or None when it is missing here; absent[name] is then the reason."""
    if name not in _modules and name in absent.get(name, name):  # no file had that name: look again
        absent[name] = name + ": memory full"  # remains after a MemoryError; the name in it makes a later call try again
        # A decorator that the firmware lacks is a SyntaxError, and an .mpy for another chip a ValueError. A function is a
        # NotImplementedError for an old emitter whose jumps are too short. Wrong code can raise anything in its proof.
        try:
            found = _import(name)
            family = name.split("_")[0]
            if family in FAMILIES and found.NAME != "plain":
                _import("proof_" + family).prove(found)
                _forget(".proof_")
            _modules[name] = found
            del absent[name]
        except MemoryError:
            raise
        except Exception as error:
            absent[name] = "%s: %s" % (type(error).__name__, error)
    return _modules.get(name)


def _import(name):
    return __import__(__name__[:-7] + name, None, None, ("NAME",))


def _forget(part):
    # The model needs their kilobyte of the heap
    for name in list(sys.modules):
        if part in name:
            del sys.modules[name]
            try:
                delattr(sys.modules[__name__[:-8]], name[len(__name__) - 7 :])
            except (KeyError, AttributeError):
                pass
