# SPDX-License-Identifier: MIT
"""On a board with two cores: the same net on one core and on two, every integer compared, under interference.

Functions for tests/device/test_cores.py. They raise RuntimeError when two cores differ from one.
"""

import gc
import time

import urnn
from urnn import cores


def samples(inputs, count):
    """Integers within +-2500, the same each time."""
    seed = 1
    for _ in range(count):
        sample = []
        for _ in range(inputs):
            seed = (seed * 1103 + 12345) & 0x7FFFF
            sample.append((seed >> 4) % 5001 - 2500)
        yield tuple(sample)


def pair(path):
    """The net on one core, and on two."""
    return urnn.load(path), urnn.load(path, cores=2)


def nothing(at):
    """Do not interfere."""


def garbage(at):
    """Allocate heavily on core 0."""
    kept = [bytearray(at % 97 + 1) for _ in range(20)]
    kept = "%s" % len(kept)
    gc.collect()


def same(path, steps, disturb=nothing):
    """Compare outputs and state of this many steps, and return the number. disturb(number) is called before each step."""
    one, two = pair(path)
    at = 0
    for sample in samples(one.inputs, steps):
        disturb(at)
        one.step(sample)
        two.step(sample)
        if list(one.output) != list(two.output) or one.state != two.state:
            raise RuntimeError("%s: step %d differs" % (path, at))
        at += 1
    return at


def cost(path):
    """Microseconds of 20 steps on one core, and on two."""
    found = []
    for net in pair(path):
        step = net.step
        given = list(samples(net.inputs, 20))
        began = time.ticks_us()
        for sample in given:
            step(sample)
        found.append(time.ticks_diff(time.ticks_us(), began))
    return "%d %d" % tuple(found)


def allocated(path):
    """Bytes of heap that a step takes on two cores."""
    net = urnn.load(path, cores=2)
    sample = (0,) * net.inputs
    net.step(sample)
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    net.step(sample)
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def refused(path):
    """Take samples of a wrong length and of unsupported types between good ones; return the errors."""
    one, two = pair(path)
    said = ""
    for sample in samples(one.inputs, 20):
        try:
            two.step(sample + (0,))
        except ValueError as error:
            said = str(error)
        try:
            two.step(("a",) * one.inputs)
        except TypeError:
            said += "."
        few = bytes([v & 127 for v in sample])
        for net in (one, two):
            net.step(sample)
            net.step(few)
        if list(one.output) != list(two.output) or one.state != two.state:
            raise RuntimeError("%s: differs" % path)
    return said


def stopped(path):
    """Use core 1 for something else while a net exists; return the error of a step meanwhile."""
    import _thread

    one, two = pair(path)
    gate = [0, 0]

    def other():
        while not gate[0]:
            pass
        gate[1] = 1

    said = ""
    at = 0
    for sample in samples(one.inputs, 40):
        if at == 10:
            cores.stop()
        elif at == 15:
            _thread.start_new_thread(other, ())
            try:
                urnn.load(path, cores=2)
            except ValueError as error:
                said = str(error)
        elif at == 20:
            gate[0] = 1
            cores.start()
            if not gate[1]:
                said = "cores.start() did not wait"
        elif at > 30:
            cores.stop()
            cores.start()
        one.step(sample)
        two.step(sample)
        if list(one.output) != list(two.output) or one.state != two.state:
            raise RuntimeError("step %d differs" % at)
        at += 1
    return said


def forever(path):
    """Step until Ctrl-C with a dot every ten steps. Return whether both nets have the same state and can go on."""
    one, two = pair(path)
    seen = 0
    given = list(samples(one.inputs, 50))
    try:
        while True:
            for sample in given:
                if seen % 10 == 0:
                    print(".", end="")  # tells the host that it is at work, and how far
                two.step(sample)
                one.step(sample)
                seen += 1
    except KeyboardInterrupt:
        pass
    if list(two.state) != list(one.state):
        one.step(given[seen % 50])
    two.step(given[0])
    one.step(given[0])
    return list(two.state) == list(one.state) and list(two.output) == list(one.output)


def load_until_stopped(path):
    """Load for two cores again and again until Ctrl-C."""
    try:
        while True:
            print(".", end="")
            urnn.load(path, cores=2)
    except KeyboardInterrupt:
        return True


def interrupted(path, ms=1, steps=300):
    """Step one net in interrupts during the steps of another, both on two cores; return how often."""
    from machine import Timer

    one, two = pair(path)
    inner, other = pair(path)
    sample = (100,) * one.inputs
    calls = [0]

    def handle(timer):
        other.step(sample)
        calls[0] += 1

    timer = Timer()
    timer.init(period=ms, callback=handle, hard=True)
    try:
        for given in samples(one.inputs, steps):
            two.step(given)
            one.step(given)
            if list(one.output) != list(two.output) or one.state != two.state:
                raise RuntimeError("%s: differs" % path)
    finally:
        timer.deinit()
    for _ in range(calls[0]):
        inner.step(sample)
    if inner.state != other.state:
        raise RuntimeError("the interrupts' net differs after %d" % calls[0])
    return calls[0]
