"""urnn: recurrent networks in integers, on a stock MicroPython board.

    import urnn
    net = urnn.load("gesture.urnn")
    net.step((120, -30, 990))     # raw sensor integers in
    net.argmax()                  # the class

load() allocates everything the net will ever need; step() allocates nothing.
"""

import time
from array import array
from struct import unpack_from

from .format import unseal
from .program import NORMALISE, Program, link, module, tried

__version__ = "0.1.0"
_len = len  # a name of this module: MicroPython looks up its own in a list, a thousand cycles long
LAW = 1 << 30  # every intermediate v satisfies -LAW <= v < LAW


def _ticks_us():
    if hasattr(time, "ticks_us"):  # MicroPython
        return time.ticks_us()
    return time.monotonic_ns() // 1000  # CircuitPython and CPython


def _since_us(began):
    if hasattr(time, "ticks_diff"):  # ticks wrap
        return time.ticks_diff(_ticks_us(), began)
    return _ticks_us() - began


def _channels(data, start, size, program):
    # docs/numerics.md, equations 5 and 6: the law, proven here for every channel
    n = unpack_from("<I", data, start)[0]
    if n > 65535 or size != 4 + 20 * n:
        raise ValueError("INPT: wrong length")
    for at in range(start + 4, start + size, 20):
        low, high, offset, factor, shift = unpack_from("<5i", data, at)
        good = 0 <= shift <= 15 and 0 < factor < LAW and -LAW <= low <= offset <= high < LAW
        if good:
            for end in (low, high):
                v = (end - offset) * factor + (1 << shift >> 1)
                good = good and -LAW <= v < LAW and -32767 <= v >> shift <= 32767
        if not good:
            raise ValueError("INPT: out of range")
    program.x = program.vector(n, n)  # no longer than a sample, as which it serves in _take()
    program.width = n
    program.add(NORMALISE, memoryview(data)[start : start + size], None, program.x, n)
    return n


def _heads(data, start, stop, n):
    count = unpack_from("<I", data, start)[0]
    if count > (stop - start - 4) >> 2:
        raise ValueError("HEAD: wrong length")
    found = []
    at = start + 4 + 4 * count
    end = 0
    for name in str(bytes(data[at:stop]), "utf-8").split("\n"):
        if len(found) < count:
            begin = end
            end += unpack_from("<H", data, start + 4 + 4 * len(found))[0]
            found.append((name, begin, end))
            if begin == end:
                end = 0
                break
    if end != n or len(found) != count:
        raise ValueError("HEAD: out of range")
    return tuple(found)


class Net:
    """A loaded model: what urnn.load() returns. The file's bytes stay where they are and are read in place.

    inputs: number of integers in a sample. labels: names of the classes or of the targets, maybe empty.
    kernels: name of the kernel set in use. output: the head's integers, one for each class or target.
    heads: (name, start, stop) of each head's part of output, where there are several.
    window: steps of the longest sequence that the model was trained on, 0 where the file does not say.
    """

    def __init__(self, data, sections, sets):
        self.kernels = sets[0]
        self.labels = self.heads = ()
        self._test = None
        self.regression = self.every_step = False
        self.window = 0
        program = Program()
        n = 0
        for tag, start, stop in sections:
            size = stop - start
            if tag == b"TASK" and size == 4 and data[start] | data[start + 1] < 2:
                self.regression = bool(data[start])
                self.every_step = bool(data[start + 1])
                self.window = data[start + 2] | data[start + 3] << 8
            elif tag == b"INPT" and not program.x and size >= 24:
                self.inputs = _channels(data, start, size, program)
            elif tag == b"DENS" and program.states and not n and size >= 4:
                n = data[start] | data[start + 1] << 8
                at = start + 4 + ((n + 3) & -4)
                y, at = program.product(data, at, stop, n, program.width, program.x)
                if at != stop or not n:
                    raise ValueError("DENS: wrong length")
                self._exponents = memoryview(data)[start + 4 : start + 4 + n]
                self.output = memoryview(y)[:n]
            elif tag == b"HEAD" and n and size >= 8:
                self.heads = _heads(data, start, stop, n)
            elif tag == b"labl":
                self.labels = str(bytes(data[start:stop]), "utf-8").split("\n")
            elif tag == b"test":
                self._test = (data, start, stop)
            elif tag[0] < 97:
                # A cell's section has the name of its module
                name = str(tag, "utf-8").strip().lower()
                cell = program.x and not n and size >= 4 and name.isalpha() and module(name)
                if not cell:
                    raise ValueError("section %r: update urnn" % tag)
                cell.cell(data, start, stop, program)
        if not n or self.labels and len(self.labels) != n:
            raise ValueError("no head, or labels")
        self._states = program.states
        self._steps = program.steps  # the linked program may hold addresses only
        # What step() needs, in one look-up. The assembler looks at the length itself: 0 is for any
        self._count = array("i", (0,))
        self._call = link(program.steps, sets) + ([0, self._count], self.kernels != "asm_thumb" and self.inputs)

    def step(self, sample):
        """Take one sample: a sequence of `inputs` integers as the sensor gives them.

        Allocates nothing for integers in [-2^30, 2^30); any other is taken for the nearest of these. ValueError for
        another number of them, TypeError for what is no integer; the state is then as before.
        Afterwards output, argmax(), value() and state are those of this step.
        """
        # No more locals: MicroPython takes a block of the heap for a call that needs more than 11 words
        run, program, box, n = self._call
        box[0] = sample
        if n and _len(sample) != n or run(program, program, box):
            self._take(sample)

    def _take(self, sample):
        if len(sample) != self.inputs:
            raise ValueError("%d values, not %d" % (len(sample), self.inputs))
        # An object or an integer that the kernels do not read: they find all where the normalised ones are to be
        run, program, box, _ = self._call
        box[0] = x = self._steps[0][3]
        for i in range(self.inputs):
            v = sample[i]
            if not -0x3FFFFFFF <= v <= 0x3FFFFFFF:
                v = LAW - 1 if v | 0 > 0 else -LAW  # a float has no such operator
            x[i] = v
        run(program, program, box)

    @property
    def steps(self):
        """The number of steps since load() or reset(), 2^30 - 1 for more. Beyond `window` the model is on new ground."""
        return self._count[0]

    def argmax(self, head=0):
        """The class: index of the largest output, the first of equals; of several heads, that of one of them."""
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

    def value(self, i=0):
        """Output i as a float: a target in the user's unit, or a class's logit."""
        e = self._exponents[i]
        return self.output[i] * 2.0 ** (e - 256 if e > 127 else e)

    def reset(self):
        """Start a new sequence: the state and steps become zero."""
        self._count[0] = 0
        for h in self._states:
            for i in range(len(h)):
                h[i] = 0

    @property
    def state(self):
        """The state of all layers, array('h'), 16 bits each: a copy to save; assign it to restore."""
        return array("h", [v for h in self._states for v in h])

    @state.setter
    def state(self, saved):
        good = len(saved) == sum([len(h) for h in self._states])
        for v in saved:
            good = good and -32768 < v | 0 < 32768  # TypeError for a float, before anything is changed
        if not good:
            raise ValueError("wrong state")
        at = 0
        for h in self._states:
            for i in range(len(h)):
                h[i] = saved[at]
                at += 1

    def selftest(self):
        """Replay the vectors inside the file; return 'PASS, ...' with the time of a step.

        The state and steps are as before afterwards. Raises ValueError when the file has no vectors, and RuntimeError, with
        position (outputs, then states), want and got, when this runtime computes anything else than the host did.
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
            began = _ticks_us()
            self.step(sample)
            us += _since_us(began)
        want = unpack_from("<%di%dh" % (outputs, len(saved)), data, last)
        got = tuple(self.output) + tuple(self.state)
        self.state = saved
        self._count[0] = count
        for i in range(len(want)):
            if want[i] != got[i]:
                raise RuntimeError("FAIL, %s: integer %d: want %d, got %d" % (self.kernels, i, want[i], got[i]))
        return "PASS, %d steps, %d us/step, %s" % (steps, us // steps, self.kernels)


_SETS = ("asm_thumb", "viper", "bytecode", "unrolled", "plain")  # best first


def kernels(missing=False):
    """The names of the kernel sets that this runtime can use, and has the memory for, best first.

    missing: a dictionary instead, module -> why this runtime cannot have it, of those that were tried so far: of each set
    kernels_NAME, and gates_NAME where a net has asked for it.
    """
    found = []
    for name in _SETS:
        try:
            if module("kernels_" + name):
                found.append(name)
        except MemoryError:
            pass
    return {name: why for name, why in tried.items() if isinstance(why, str)} if missing else found


def _at(name, data):
    # The address of data, for kernels that need one
    found = module("kernels_" + name)
    return found.address(data) if hasattr(found, "address") else 0


def load(source, kernels=None, cores=1):
    """Read a model and return a Net, ready to step.

    source: the path of a .urnn file, or its bytes in a bytes-like object, which is then used in
    place and must lie at a multiple of 4 for viper: a bytearray does.
    kernels: the name of a kernel set; default the best that this runtime has. cores: 2 divides each step between the two
    cores of an RP2040 or RP2350, see cores.py.
    Raises ValueError for a file that is damaged, hostile or not for this version, and for kernels or cores that are not
    here.
    """
    sets = _sets
    if kernels:
        sets = ("asm_dsp",) + _SETS  # which is never the default
        if kernels not in sets or not module("kernels_" + kernels):
            raise ValueError("no kernels %r: expected %s" % (kernels, ", ".join(_kernels())))
        sets = sets[sets.index(kernels) :]
    data = source
    if isinstance(source, str):
        with open(source, "rb") as f:
            try:
                data = memoryview(f)  # in ROMFS the file stays where it is, in flash
                if _at(sets[0], data) & 3:
                    data = bytearray(data)
            except TypeError:
                data = bytearray(f.seek(0, 2))
                f.seek(0)
                f.readinto(data)
    net = Net(data, unseal(data), sets)
    if cores != 1:
        both = cores == 2 and module("cores")
        if not both:
            raise ValueError("cores=%r: not on this board" % cores)
        both.share(net)
    return net


_kernels = kernels  # load() has an argument of that name
# The best set is imported with the package, not by the first load(): its code is not the model's memory.
_sets = _SETS
while not module("kernels_" + _sets[0]):
    _sets = _sets[1:]
