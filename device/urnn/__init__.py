# SPDX-License-Identifier: MIT
"""urnn: recurrent networks in integers, on a stock MicroPython board.

    import urnn
    net = urnn.load("gesture.urnn")
    net.step((120, -30, 990))     # raw sensor integers in
    net.argmax()                  # the class

load() allocates everything the net will ever need; step() allocates nothing.
"""

from array import array
from struct import unpack_from

from .format import unseal
from .program import NORMALISE, Program, absent, module

__version__ = "0.1.0"
KERNEL_SETS = ("asm_thumb", "viper", "bytecode", "unrolled", "plain")  # that load() chooses from, best first
_len = len  # MicroPython takes a thousand cycles to find a built-in name, and few for one of this module
_RANGE = 1 << 30  # every intermediate v satisfies -_RANGE <= v < _RANGE: the 31-bit range


try:
    from time import ticks_diff, ticks_us
except ImportError:  # CircuitPython and CPython
    from time import monotonic_ns

    def ticks_us():
        return monotonic_ns() // 1000

    def ticks_diff(end, began):
        return end - began


def _channels(data, start, size, program):
    # docs/numerics.md, equations 5 and 6: proves the 31-bit range for every channel
    n = size // 20
    if not 0 < n <= 65535 or size != 20 * n:
        raise ValueError("INPT: wrong length")
    for at in range(start, start + size, 20):
        low, high, offset, factor, shift = unpack_from("<5i", data, at)
        good = 0 <= shift <= 15 and 0 < factor < _RANGE and -_RANGE <= low <= offset <= high < _RANGE
        if good:
            for end in (low, high):
                v = (end - offset) * factor + (1 << shift >> 1)
                good = good and -_RANGE <= v < _RANGE and -32767 <= v >> shift <= 32767
        if not good:
            raise ValueError("INPT: out of range")
    program.x = program.vector(n, n)  # no longer than a sample, as which it serves in _take()
    program.width = n
    program.add(NORMALISE, memoryview(data)[start : start + size], None, program.x, n)
    return n


def _names(data, start, stop):
    return str(bytes(data[start:stop]), "utf-8").split("\n")


def _heads(data, start, stop, n):
    count = data[start] | data[start + 1] << 8
    at = start + 4
    names = _names(data, at + 4 * count, stop)
    found = []
    end = 0
    if len(names) == count:  # so the sizes before them lie within the section
        for name in names:
            begin = end
            end += data[at] | data[at + 1] << 8
            if begin != end:
                found.append((name, begin, end))
            at += 4
    if end != n or len(found) != count:
        raise ValueError("HEAD: out of range")
    return tuple(found)


class Net:
    """A loaded model, which urnn.load() returns. The file's bytes stay where they are and are read in place.

    Attributes:
        inputs: number of integers in a sample
        labels: names of the classes or of the targets, maybe empty
        kernel_set: name of the kernel set in use
        output: the head's integers, one for each class or target
        heads: (name, start, stop) of each head's part of output, where there are several
        regression: whether the outputs are targets
        every_step: whether each step's output counts, or only that of the last
        window: steps of the longest sequence that the model was trained on, 0 where the file does not say
        program: for tools: the instructions that step() executes, see program.py
        states: for tools: a view of each cell's state
    """

    labels = heads = ()
    _test = None

    def __init__(self, data, sections, sets, share=None):
        self.kernel_set = sets[0]
        program = Program()
        n = 0
        for name, start, stop in sections:
            size = stop - start
            if name == b"INPT" and not program.x:
                self.inputs = _channels(data, start, size, program)
            elif name == b"DENS" and program.states and not n and size >= 8:
                n, self.window, regression, every = unpack_from("<HHBB", data, start)
                start += 8
                y, at = program.product(data, start + ((n + 3) & -4), stop, n, program.width, program.x)
                if at != stop or not n or regression | every > 1:
                    raise ValueError("DENS: wrong length")
                self.regression = bool(regression)
                self.every_step = bool(every)
                self._exponents = memoryview(data)[start : start + n]
                self.output = memoryview(y)[:n]
            elif name == b"HEAD" and n and size >= 8:
                self.heads = _heads(data, start, stop, n)
            elif name == b"labl":
                self.labels = _names(data, start, stop)
            elif name == b"test":
                self._test = (data, start, stop)
            elif name[0] < 97:
                # The name of a cell's section is that of its module, in capitals
                text = str(name, "utf-8").lower()
                cell = program.x and not n and text.replace("_", "").isalpha() and getattr(module(text), "cell", None)
                if not cell:
                    raise ValueError("section %r: update urnn" % name)
                cell(data, start, stop, program)
        if not n or self.labels and len(self.labels) != n:
            raise ValueError("no head, or labels")
        self.program = program.instructions
        self.states = program.states
        self._count = array("i", (0,))
        box = [0, self._count]
        call = program.link(sets)
        if share:
            call = share(sets[0], self.program, call, box)
        # All that step() needs, found at once. 0: the assembler checks the length by itself
        self._call = call + (box, sets[0] != "asm_thumb" and self.inputs)

    def step(self, sample):
        """Take one sample: a sequence of `inputs` integers as the sensor gives them.

        Allocates nothing for integers in [-2^30, 2^30). Any other integer counts as the nearest of these. Raises ValueError
        for another number of integers and TypeError for an item that is none; the state is then as before.
        Afterwards output, argmax(), label(), value() and state are those of this step.
        """
        # No more locals: MicroPython takes a block of the heap for a call that needs more than 11 words
        run, words, box, n = self._call
        box[0] = sample
        if n and _len(sample) != n or run(words, words, box):
            self._take(sample)

    def _take(self, sample):
        if len(sample) != self.inputs:
            raise ValueError("%d values, not %d" % (len(sample), self.inputs))
        # The kernels do not read every object, nor large integers. They do read the vector that NORMALISE writes
        run, words, box, _ = self._call
        box[0] = x = self.program[0][3]
        for i in range(self.inputs):
            v = sample[i]
            if not -0x3FFFFFFF <= v <= 0x3FFFFFFF:
                v = _RANGE - 1 if v | 0 > 0 else -_RANGE  # a float has no operator |
            x[i] = v
        run(words, words, box)

    @property
    def steps(self):
        """The number of steps since load() or reset(), 2^30 - 1 for more. Training saw no sequence longer than `window`."""
        return self._count[0]

    def argmax(self, head=0):
        """The class: index of the largest output, the first of equals. Where there are several heads: the class of one."""
        y = self.output
        best = first = 0
        stop = len(y)
        if self.heads:
            _, first, stop = self.heads[head]
            best = first
        for i in range(first + 1, stop):
            if y[i] > y[best]:
                best = i
        return best - first

    def label(self, head=0):
        """The name of the class argmax(head), or its index as text where the file has no names."""
        i = self.argmax(head)
        if not self.labels:
            return str(i)
        return self.labels[i + self.heads[head][1] if self.heads else i]

    def value(self, i=0):
        """Output i as a float: a target in the user's unit, or a class's logit."""
        e = self._exponents[i]
        return self.output[i] * 2.0 ** (e - 256 if e > 127 else e)

    def reset(self):
        """Start a new sequence: the state and steps become zero."""
        self._count[0] = 0
        for h in self.states:
            for i in range(len(h)):
                h[i] = 0

    @property
    def state(self):
        """The state of all layers, array('h'), 16 bits each: a copy to save; assign it to restore."""
        return array("h", [v for h in self.states for v in h])

    @state.setter
    def state(self, saved):
        good = len(saved) == sum([len(h) for h in self.states])
        for v in saved:
            good = good and -32768 < v | 0 < 32768  # TypeError for a float, before anything is changed
        if not good:
            raise ValueError("wrong state")
        at = 0
        for h in self.states:
            for i in range(len(h)):
                h[i] = saved[at]
                at += 1

    def selftest(self):
        """Replay the vectors inside the file; return 'PASS, ...' with the time of a step and the kernel set.

        The state and steps are as before afterwards. Raises ValueError when the file has no vectors. Raises RuntimeError,
        with position (outputs, then states), want and got, when an integer differs from the host's.
        """
        if not self._test:
            raise ValueError("no vectors")
        data, at, stop = self._test
        n = self.inputs
        saved = self.state
        count = self.steps
        outputs = len(self.output)
        steps, width = unpack_from("<HH", data, at) if stop - at >= 4 else (0, 0)
        last = at + 4 + ((steps * n * width + 3) & -4)
        if not steps or width not in (2, 4) or stop != last + 4 * outputs + 2 * len(saved):
            raise ValueError("test: wrong length")
        self.reset()
        us = 0
        for t in range(steps):
            sample = unpack_from("<%d%s" % (n, "h" if width == 2 else "i"), data, at + 4 + t * n * width)
            began = ticks_us()
            self.step(sample)
            us += ticks_diff(ticks_us(), began)
        want = unpack_from("<%di%dh" % (outputs, len(saved)), data, last)
        got = tuple(self.output) + tuple(self.state)
        self.state = saved
        self._count[0] = count
        for i in range(len(want)):
            if want[i] != got[i]:
                raise RuntimeError("FAIL, %s: integer %d: want %d, got %d" % (self.kernel_set, i, want[i], got[i]))
        return "PASS, %d steps, %d us/step, %s" % (steps, us // steps, self.kernel_set)


def kernel_sets(missing=False):
    """The names of the kernel sets that this runtime can use, and has the memory for, best first.

    Args:
        missing: return a dictionary instead, module -> the reason why this runtime does not have it. A set NAME is the
            module kernels_NAME, and gates_NAME beside it once a net has needed that.
    """
    found = []
    for name in KERNEL_SETS:
        try:
            if module("kernels_" + name):
                found.append(name)
        except MemoryError:
            pass
    return absent if missing else found


def load(source, kernels=None, cores=1):
    """Read a model and return a Net, ready to step.

    Args:
        source: the path of a .urnn file, or its bytes in a bytes-like object. The object is used in place and must lie at
            a multiple of 4 for machine code: a bytearray does.
        kernels: the name of a kernel set; default the best that this runtime has
        cores: 2 divides each step between the two cores of an RP2040 or RP2350, see cores.py

    Raises:
        ValueError: the file is damaged, hostile or for another version, or the kernels or cores are missing
    """
    sets = _sets
    if kernels:
        sets = ("asm_dsp",) + KERNEL_SETS  # asm_dsp is never the default
        if kernels not in sets or not module("kernels_" + kernels):
            raise ValueError("no kernels %r: expected %s" % (kernels, ", ".join(kernel_sets())))
        sets = sets[sets.index(kernels) :]
    data = source
    if isinstance(source, str):
        with open(source, "rb") as f:
            try:
                data = memoryview(f)  # in ROMFS the file stays where it is, in flash
                found = module("kernels_" + sets[0])
                if hasattr(found, "address") and found.address(data) & 3:  # machine code reads words
                    data = bytearray(data)
            except TypeError:
                data = bytearray(f.seek(0, 2))
                f.seek(0)
                f.readinto(data)
    share = None
    if cores != 1:
        both = cores == 2 and module("cores")
        if not both:
            raise ValueError("cores=%r: not on this board" % cores)
        share = both.share
    return Net(data, unseal(data), sets, share)


# The best set is imported with the package and not by the first load(), which needs all the memory for the model.
_sets = KERNEL_SETS
while not module("kernels_" + _sets[0]):
    _sets = _sets[1:]
