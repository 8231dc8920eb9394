"""Run on a board: the time of a step, what it allocates, and the heap, with one kernel set."""

import gc
import time
from array import array
from binascii import crc32


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
    # Imports the kernels and cells, whose code is not the model's memory
    import urnn

    urnn.load(model, kernels)


def overwrite_stack(depth):
    # The collector takes whatever looks like an address on the stack for one
    return depth and overwrite_stack(depth - 1)


def main(model, kernels, samples, steps):
    """model: a file. samples: a few tuples of integers, fed in turn from the zero state, `steps` times in all.

    Answers `min median p99 mean allocated free_before free_after crc`: microseconds a step, bytes that 10 steps allocate
    (-1 where the board cannot say), bytes of heap, and the CRC-32 of the last output and state. The time of reading the
    clock is taken off. The mean is of the whole run, for clocks that tick in milliseconds.
    """
    import urnn

    load_once(model, kernels)
    overwrite_stack(8)
    before = free()
    net = urnn.load(model, kernels)
    after = free()
    times = array("i", bytes(4 * steps))
    clock = 1000000
    for t in range(20):
        began = ticks_us()
        clock = min(clock, since_us(began))
    gc.collect()
    count = len(samples)
    whole = ticks_us()
    for t in range(steps):
        sample = samples[t % count]
        began = ticks_us()
        net.step(sample)
        times[t] = since_us(began) - clock
    mean = since_us(whole) / steps
    crc = crc32(net.state, crc32(net.output))
    allocated = -1
    if hasattr(gc, "mem_alloc"):
        sample = samples[0]
        gc.collect()
        gc.disable()
        held = gc.mem_alloc()
        for t in range(10):
            net.step(sample)
        allocated = gc.mem_alloc() - held
        gc.enable()
    times = sorted(times)
    p99 = times[(99 * steps + 99) // 100 - 1]
    return "%d %d %d %.1f %d %d %d %08x" % (times[0], times[steps // 2], p99, mean, allocated, before, after, crc)
