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

from .cells import CELLS, zeros
from .format import matrix, unseal

__version__ = "0.1.0"
LAW = 1 << 30  # every intermediate v satisfies -LAW <= v < LAW


def _ticks_us():
    if hasattr(time, "ticks_us"):  # MicroPython
        return time.ticks_us()
    return time.monotonic_ns() // 1000  # CircuitPython and CPython


class Net:
    """A loaded model: what urnn.load() returns. The file's bytes stay where they are and are read in place.

    inputs: number of integers in a sample. labels: names of the classes or of the targets, maybe empty.
    kernels: name of the kernel set in use. output: the head's integers, one for each class or target.
    """

    def __init__(self, data, sections, kernels):
        self.kernels = kernels.NAME
        self._normalise = kernels.normalise
        self._matvec = kernels.matvec
        self.labels = ()
        self._cells = []
        self._test = self._head = None
        self.regression = self.every_step = False
        width = units = 0
        for tag, start, stop in sections:
            size = stop - start
            if tag == b"TASK" and size == 4 and data[start] | data[start + 1] < 2:
                self.regression = bool(data[start])
                self.every_step = bool(data[start + 1])
            elif tag == b"INPT" and not width and size >= 24:
                width = self.inputs = self._channels(data, start, size)
            elif tag in CELLS and width and not self._head and size >= 4:
                cell = CELLS[tag](data, start, stop, width, kernels)
                self._cells.append(cell)
                width = cell.units
                units += width
            elif tag == b"DENS" and units and not self._head and size >= 4:
                n = data[start] | data[start + 1] << 8
                at = start + 4 + ((n + 3) & -4)
                self._head, at = matrix(data, at, stop, n, width)
                if at != stop or not n:
                    raise ValueError("DENS: wrong length")
                self._exponents = memoryview(data)[start + 4 : start + 4 + n]
                self._y = zeros(n)
                self.output = memoryview(self._y)[:n]
            elif tag == b"labl":
                self.labels = str(bytes(data[start:stop]), "utf-8").split("\n")
            elif tag == b"test":
                self._test = (data, start, stop)
            elif tag[0] < 97:
                raise ValueError("section %r: update urnn" % tag)
        if not self._head or self.labels and len(self.labels) != n:
            raise ValueError("no head, or labels")
        self._h = array("i", bytes(4 * units))
        at = 0
        for cell in self._cells:
            cell.h = memoryview(self._h)[at : at + cell.units]
            at += cell.units

    def _channels(self, data, start, size):
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
        self._input = memoryview(data)[start : start + size]
        self._x = zeros(n)
        return n

    def step(self, sample):
        """Take one sample: a sequence of `inputs` integers as the sensor gives them, in [-2^30, 2^30).

        Allocates nothing. Afterwards output, argmax(), value() and state are those of this step.
        """
        if len(sample) != self.inputs:
            raise ValueError("%d values, not %d" % (len(sample), self.inputs))
        x = self._x
        self._normalise(self._input, sample, x)
        for cell in self._cells:
            x = cell.step(x)
        self._matvec(self._head, x, self._y)

    def argmax(self):
        """The class: index of the largest output, the first of equals."""
        y = self.output
        best = 0
        for i in range(1, len(y)):
            if y[i] > y[best]:
                best = i
        return best

    def value(self, i=0):
        """Output i as a float: a target in the user's unit, or a class's logit."""
        e = self._exponents[i]
        return self.output[i] * 2.0 ** (e - 256 if e > 127 else e)

    def reset(self):
        """Start a new sequence: the state becomes zero."""
        for i in range(len(self._h)):
            self._h[i] = 0

    @property
    def state(self):
        """The state of all layers, array('h') in Q0.15: a copy to save; assign it to restore."""
        return array("h", self._h)

    @state.setter
    def state(self, saved):
        h = self._h
        if len(saved) != len(h) or min(saved) < -32767 or max(saved) > 32767:
            raise ValueError("wrong state")
        for i in range(len(h)):
            h[i] = saved[i]

    def selftest(self):
        """Replay the vectors inside the file; return 'PASS, ...' with the time of a step.

        The state is as before afterwards. Raises ValueError when the file has no vectors, and RuntimeError, with
        position (outputs, then states), want and got, when this runtime computes anything else than the host did.
        """
        if not self._test:
            raise ValueError("no vectors")
        data, at, stop = self._test
        n = self.inputs
        saved = self.state
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
            us += _ticks_us() - began
        want = unpack_from("<%di%dh" % (outputs, len(saved)), data, last)
        got = tuple(self.output) + tuple(self.state)
        self.state = saved
        for i in range(len(want)):
            if want[i] != got[i]:
                raise RuntimeError("FAIL, %s: integer %d: want %d, got %d" % (self.kernels, i, want[i], got[i]))
        return "PASS, %d steps, %d us/step, %s" % (steps, us // steps, self.kernels)


# Best first. Each module holds the same functions with the same arguments and results.
_SETS = ("viper", "plain")


def _kernel_set(name):
    # A decorator that the firmware lacks is a SyntaxError, an .mpy for another chip a ValueError.
    try:
        return __import__("urnn.kernels_" + name, None, None, ("NAME",))
    except (ImportError, SyntaxError, ValueError):
        return None


def kernels():
    """The names of the kernel sets that this runtime can use, best first."""
    return [name for name in _SETS if _kernel_set(name)]


def load(source, kernels=None):
    """Read a model and return a Net, ready to step.

    source: the path of a .urnn file, or its bytes in a bytes-like object, which is then used in
    place and must lie at a multiple of 4 for viper: a bytearray does.
    kernels: the name of a kernel set; default the best that this runtime has.
    Raises ValueError for a file that is damaged, hostile or not for this version, and for kernels that are not here.
    """
    if isinstance(source, str):
        with open(source, "rb") as f:
            size = f.seek(0, 2)
            f.seek(0)
            data = bytearray(size)
            f.readinto(data)
    else:
        data = source
    found = _kernel_set(kernels) if kernels else _best
    if not found:
        raise ValueError("no kernels %r" % kernels)
    return Net(data, unseal(data), found)


# Imported with the package, not by the first load(): its code is not the model's memory.
_best = _kernel_set("viper") or _kernel_set("plain")
