"""Net: a loaded model. It owns the buffers; the file's bytes stay where they are and are read in place."""

from array import array
from struct import unpack_from

import time

from .cells import CELLS, zeros
from .format import matrix


def _ticks_us():
    if hasattr(time, "ticks_us"):  # MicroPython
        return time.ticks_us()
    return time.monotonic_ns() // 1000  # CircuitPython and CPython


class Net:
    """What urnn.load() returns.

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
        self.regression = width = 0
        self.every_step = False
        for tag, start, stop in sections:
            if self._head and tag[0] < 97:
                raise ValueError("section %r stands after the head" % tag)
            if tag == b"TASK":
                if stop - start != 4 or data[start] > 1 or data[start + 1] > 1:
                    raise ValueError("section TASK is not one this urnn knows: update urnn")
                self.regression = bool(data[start])
                self.every_step = bool(data[start + 1])
            elif tag == b"INPT" and not width:
                width = self._channels(data, start, stop)
            elif tag in CELLS and width:
                cell = CELLS[tag](data, start, stop, width, kernels)
                self._cells.append(cell)
                width = cell.units
            elif tag == b"DENS" and self._cells:
                self._dense(data, start, stop, width)
            elif tag == b"labl":
                self.labels = str(bytes(data[start:stop]), "utf-8").split("\n")
            elif tag == b"test":
                self._test = (data, start, stop)
            elif tag[0] < 97:
                raise ValueError("section %r is unknown or out of order: update urnn" % tag)
        if not self._head:
            raise ValueError("file has no head")
        if self.labels and len(self.labels) != len(self.output):
            raise ValueError("file has %d labels for %d outputs" % (len(self.labels), len(self.output)))

    def _channels(self, data, start, stop):
        # docs/numerics.md, equations 5 and 6: the law, proven here for every channel
        n = unpack_from("<I", data, start)[0] if stop - start >= 4 else 0
        if not 0 < n < 65536 or stop - start != 4 + 20 * n:
            raise ValueError("section INPT has %d bytes for %d channels" % (stop - start, n))
        for i in range(n):
            low, high, offset, factor, shift = unpack_from("<5i", data, start + 4 + 20 * i)
            good = 0 <= shift <= 24 and factor > 0 and -0x40000000 <= low <= offset <= high < 0x40000000
            if good:
                half = (1 << shift) >> 1
                top = (high - offset) * factor + half
                bottom = (low - offset) * factor + half
                good = top < 0x40000000 and bottom >= -0x40000000
                good = good and top >> shift <= 32767 and bottom >> shift >= -32767
            if not good:
                raise ValueError("input channel %d is out of range" % i)
        self.inputs = n
        self._input = memoryview(data)[start:stop]
        self._x = zeros(n)
        return n

    def _dense(self, data, start, stop, width):
        n = data[start] | data[start + 1] << 8
        at = start + 4 + ((n + 3) & -4)
        if not n or at > stop:
            raise ValueError("section DENS is cut off")
        self._exponents = memoryview(data)[start + 4 : start + 4 + n]
        self._head, at = matrix(data, at, stop, n, width)
        if at != stop:
            raise ValueError("section DENS has %d bytes too many" % (stop - at))
        self._y = zeros(n)
        self.output = memoryview(self._y)[:n]

    def step(self, sample):
        """Take one sample: a sequence of `inputs` integers as the sensor gives them, in [-2^30, 2^30).

        Allocates nothing. Afterwards output, argmax(), value() and state are those of this step.
        """
        if len(sample) != self.inputs:
            raise ValueError("sample has %d values, the model takes %d" % (len(sample), self.inputs))
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

    def label(self):
        """The name of the class, or its index where the file has no names."""
        i = self.argmax()
        return self.labels[i] if self.labels else i

    def value(self, i=0):
        """Output i as a float: a target in the user's unit, or a class's logit."""
        e = self._exponents[i]
        return self.output[i] * 2.0 ** (e - 256 if e > 127 else e)

    def reset(self):
        """Start a new sequence: the state becomes zero."""
        for cell in self._cells:
            h = cell.h
            for i in range(len(h)):
                h[i] = 0

    @property
    def state(self):
        """The state of all layers, array('h') in Q0.15: a copy to save; assign it to restore."""
        saved = array("h", bytes(2 * sum([cell.units for cell in self._cells])))
        at = 0
        for cell in self._cells:
            for i in range(cell.units):
                saved[at] = cell.h[i]
                at += 1
        return saved

    @state.setter
    def state(self, saved):
        if len(saved) != sum([cell.units for cell in self._cells]) or min(saved) < -32767 or max(saved) > 32767:
            raise ValueError("state is not of this model: its length or a value is out of range")
        at = 0
        for cell in self._cells:
            for i in range(cell.units):
                cell.h[i] = saved[at]
                at += 1

    def selftest(self):
        """Replay the vectors inside the file; return 'PASS, ...' with the time of a step.

        The state is as before afterwards. Raises ValueError when the file has no vectors, and RuntimeError, with
        position, want and got, when this runtime computes anything else than the host did.
        """
        if not self._test:
            raise ValueError("the file has no test vectors")
        data, at, stop = self._test
        steps, width = unpack_from("<HH", data, at) if stop - at >= 4 else (0, 0)
        kind = "<%d%s" % (self.inputs, "h" if width == 2 else "i")
        saved = self.state
        units = len(saved)
        outputs = len(self.output)
        last = at + 4 + ((steps * self.inputs * width + 3) & -4)
        if not steps or width not in (2, 4) or stop != last + 4 * outputs + 2 * units:
            raise ValueError("section test has the wrong length")
        self.reset()
        us = 0
        for t in range(steps):
            sample = unpack_from(kind, data, at + 4 + t * self.inputs * width)
            began = _ticks_us()
            self.step(sample)
            us += _ticks_us() - began
        want = unpack_from("<%di%dh" % (outputs, units), data, last)
        got = tuple(self.output) + tuple(self.state)
        self.state = saved
        for i in range(len(want)):
            if want[i] != got[i]:
                what = "output %d" % i if i < outputs else "state %d" % (i - outputs)
                raise RuntimeError(
                    "FAIL with kernels %s: %s after %d steps: want %d, got %d" % (self.kernels, what, steps, want[i], got[i])
                )
        return "PASS, %d steps, %d us/step, kernels %s" % (steps, us // steps, self.kernels)
