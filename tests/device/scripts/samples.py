# SPDX-License-Identifier: MIT
"""Samples of every kind: samples.py MODEL KERNELS...: a line for each, the same on every runtime and kernel set.

A line: the sample's name, then what its step gives: output, state and steps, or the exception's name. The model has three
inputs. After an exception the net must be as before.
"""

import sys
from array import array

import urnn

EDGES = [2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**33 + 2**31]
EDGES += [2**62, 2**63, 2**64, 2**64 + 7, 2**70]


class Sequence:
    def __init__(self, values):
        self.values = values

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return self.values[i]


class Five:
    def __int__(self):
        return 5


def samples():
    yield "tuple", (5, -7, 100)
    yield "list", [5, -7, 100]
    for code in "bhilqfd":
        yield "array " + code, array(code, (5, -7, 100))
    for code in "BHILQ":
        yield "array " + code, array(code, (5, 7, 100))
    yield "array h, ends", array("h", (-32768, 32767, 0))
    yield "array i, ends", array("i", (-(2**31), 2**31 - 1, 2**30))
    yield "array H, end", array("H", (65535, 0, 1))
    yield "array I, end", array("I", (2**32 - 1, 2**31, 1))
    yield "array q, ends", array("q", (-(2**63), 2**63 - 1, 2**32))
    yield "bytes", b"\x05\x07\xff"
    yield "bytearray", bytearray(b"\x05\x07\xff")
    yield "memoryview of bytes", memoryview(b"\x05\x07\xff")
    yield "memoryview", memoryview(array("h", (1, 5, -7, 100)))[1:]
    yield "range", range(3, 6)
    yield "an own sequence", Sequence((5, -7, 100))
    yield "an own sequence with a large one", Sequence((5, 2**40, 100))
    yield "bool", (True, False, 1)
    # A large integer object that holds a small number
    one = 2**70 >> 70
    yield "was large", (one * 5, one * -7, one)
    for n in EDGES:
        for v in (n, -n):
            yield "tuple %d" % v, (1, v, 2)
            yield "list %d" % v, [v, v, v]
    for name, v in (
        ("None", None),
        ("text", "7"),
        ("bytes", b"7"),
        ("a tuple", (1,)),
        ("__int__", Five()),
        ("0.0", 0.0),
        ("1.5", 1.5),
        ("-1e9", -1e9),
        ("1e30", 1e30),
        ("inf", float("inf")),
        ("nan", float("nan")),
    ):
        for at in range(3):
            values = [1, 2, 3]
            values[at] = v
            yield "tuple with %s at %d" % (name, at), tuple(values)
            yield "list with %s at %d" % (name, at), values
    yield "a text", "123"
    for size in (0, 1, 2, 4, 9):
        for name, kind in (("tuple", tuple), ("list", list), ("bytes", bytes)):
            yield "%s of %d" % (name, size), kind([1] * size)
        for code in "bhif":
            yield "array %s of %d" % (code, size), array(code, [1] * size)
        yield "text of %d" % size, "1" * size
    for v in (0, 1, -1, 5, 2**40, None, True, 1.5, Five, Five()):
        yield "no sequence " + ("object" if v is Five or isinstance(v, Five) else repr(v)), v


def main(model, sets):
    for kernels in sets:
        net = urnn.load(model, kernels)
        for name, sample in samples():
            net.reset()
            net.step((100, -200, 300))
            before = list(net.output), list(net.state), net.steps
            try:
                net.step(sample)
                what = list(net.output), list(net.state), net.steps
            except (TypeError, ValueError) as e:
                what = type(e).__name__
                if (list(net.output), list(net.state), net.steps) != before:
                    what += ", and the net has changed"
            print(kernels, "|", name, "|", what)


main(sys.argv[1], sys.argv[2:])
