# SPDX-License-Identifier: MIT
"""Run on a board, in several calls: load a net, time some steps, then count the bytes that a step allocates."""

import gc
import time
from array import array
from binascii import crc32

net = samples = None
done = 0  # steps since the zero state


def ticks_us():
    return time.ticks_us() if hasattr(time, "ticks_us") else time.monotonic_ns() // 1000


def since_us(began):
    if hasattr(time, "ticks_diff"):
        return time.ticks_diff(ticks_us(), began)
    return ticks_us() - began


def free():
    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else -1


def load_once(model, kernels):
    # Import the kernels and cells now: their code does not count as the model's memory
    import urnn

    urnn.load(model, kernels)


def overwrite_stack(depth):
    # The collector keeps whatever an old address on the stack seems to point to
    return depth and overwrite_stack(depth - 1)


def load(model, kernels, given):
    """model: a file. given: a few samples (tuples of integers), which steps() feeds in turn from the zero state.

    Answers `us free_before free_after`: microseconds of a first step, which does not count; free bytes of heap before and
    after the load, -1 where the board cannot tell.
    """
    global net, samples, done
    import urnn

    net = None
    load_once(model, kernels)
    overwrite_stack(8)
    before = free()
    net = urnn.load(model, kernels)
    after = free()
    samples = given
    done = 0
    began = ticks_us()
    net.step(samples[0])
    us = since_us(began)
    net.reset()
    return "%d %d %d" % (us, before, after)


def steps(count):
    """Run `count` more steps. Answers `whole crc us us us ...`: the microseconds of the loop, the CRC-32 of the last output
    and state, and the microseconds of each step without the time that reading the clock takes.
    """
    global done
    times = array("i", bytes(4 * count))
    clock = 1000000
    for t in range(20):
        began = ticks_us()
        clock = min(clock, since_us(began))
    gc.collect()
    used = net  # looking up a global name at each step would cost some microseconds
    fed = samples
    several = len(fed)
    whole = ticks_us()
    for t in range(count):
        sample = fed[(done + t) % several]
        began = ticks_us()
        used.step(sample)
        times[t] = since_us(began) - clock
    whole = since_us(whole)
    done += count
    return "%d %08x %s" % (whole, crc32(net.state, crc32(net.output)) & 0xFFFFFFFF, " ".join([str(us) for us in times]))


def allocated(count):
    """Bytes that `count` steps allocate, -1 where the board cannot tell. Releases the net."""
    global net
    found = -1
    if hasattr(gc, "mem_alloc"):
        sample = samples[0]
        gc.collect()
        gc.disable()
        try:
            held = gc.mem_alloc()
            for _ in range(count):
                net.step(sample)
            found = gc.mem_alloc() - held
        finally:
            gc.enable()
    net = None
    return "%d" % found


def main(verb, *args):
    return {"load": load, "steps": steps, "allocated": allocated}[verb](*args)
