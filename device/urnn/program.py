"""A step of the net as a program: what the cells write at load, and what the kernels run.

A step of it is (code, a, b, c, n): a kernel, three vectors and a count. It computes n integers, mostly c from a and b.
Each code stands for one kernel; its definition in plain Python has the arguments (a, b, c, n).
b is None where a kernel takes the sample.
"""

import sys
from array import array

from .format import matrix

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

# Modules FAMILY_SET hold the kernels of a family: codes 0..15, 16..31, and so on.
FAMILIES = ("kernels", "gates")


class Program:
    """What the cells have written so far.

    x: the vector that the next cell takes, array('i'); width: its length. steps: the program. states: a view of each
    cell's state, 16-bit integers which the net keeps from one sample to the next. part: None, or what a product is read
    by whose matrix has 0 rows, set by part.py.
    """

    def __init__(self):
        self.x = None
        self.width = 0
        self.steps = []
        self.states = []
        self.part = None

    def add(self, code, a, b, c, n):
        """Append a step."""
        self.steps.append((code, a, b, c, n))

    def product(self, data, at, stop, rows, cols, x):
        """Check the matrix of rows x cols at data[at:] and append its product with x; return (result, next field)."""
        if self.part and stop - at > 8 and not data[at] | data[at + 1]:
            return self.part(data, at, stop, rows, cols, x, self)
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


tried = {}  # name of a module -> the module, or the text why this runtime cannot have it


def module(name):
    """The module of this package, or None where the runtime cannot have it; tried[name] says why."""
    found = tried.get(name)
    if not found or isinstance(found, str) and name in found:  # no module of that name: it may have come since
        # A decorator that the firmware lacks is a SyntaxError, an .mpy for another chip a ValueError, and a function for
        # which an old emitter has no jumps long enough a NotImplementedError. Kernels without proof raise anything.
        try:
            found = _import(name)
            family = name.split("_")[0]
            if family in FAMILIES and found.NAME != "plain":
                _import("proof_" + family).prove(found)
                _forget(".proof_")
        except MemoryError:
            raise
        except Exception as error:
            found = "%s: %s" % (type(error).__name__, error)
        tried[name] = found
    return None if isinstance(found, str) else found


def _import(name):
    return __import__(__name__[:-7] + name, None, None, ("NAME",))


def _forget(part):
    # Their kilobyte of the heap is the model's
    for name in list(sys.modules):
        if part in name:
            del sys.modules[name]
            try:
                delattr(sys.modules[__name__[:-8]], name[len(__name__) - 7 :])
            except (KeyError, AttributeError):
                pass


def link(steps, sets):
    """Return (run, program): run(program, program, box) executes all the steps. box: a list, box[0] is the sample.

    sets: names of kernel sets, best first; each step goes to the first that has its kernel, and neighbours in the same
    module become one call. A module has NAME, CODES, pack(steps) -> program, and run(program, program, box). A run()
    returns true for a sample that its NORMALISE does not take, having changed nothing but c. It takes at least arrays
    of n integers of 32 bits, c itself among them. box[1]: an array of one integer, the samples taken so far, 2^30 - 1 for
    more.
    """
    calls = []
    for step in steps:
        code = step[0]
        for name in sets:
            found = module(FAMILIES[code >> 4] + "_" + name)
            if found and code in found.CODES:
                break
        else:
            raise ValueError("no kernel %d" % code)
        if not calls or calls[-1][0] is not found:
            calls.append((found, []))
        calls[-1][1].append(step)
    chain = ()
    while calls:
        found, steps = calls.pop()
        chain = found.run, found.pack(steps), chain
    return (run, chain) if chain[2] else chain[:2]


def run(chain, _, box):
    """Execute what link() has split: (run, program, the rest) or ()."""
    while chain:
        call, program, chain = chain
        if call(program, program, box):
            return True
