# SPDX-License-Identifier: MIT
"""Time a step with each kernel set, and in floats: time_kernel_sets.py MILLISECONDS BATCHES NAME...

NAME.urnn is a model file. NAME.txt holds the samples as a matrix. If there is a float network, it follows: the float
outputs after each sample, mean, std, and the weights and biases in the order that floats() reads them.
Prints a line `NAME KERNELS MICROSECONDS ALLOCATED CRC` for each. MICROSECONDS is the median over the batches; each batch
runs for about MILLISECONDS, garbage collections included. ALLOCATED is the bytes of heap that a step takes, -1 where the
runtime cannot tell. CRC is the CRC-32 of outputs and state after each sample, which the host compares with its own.
floats() checks its own outputs and prints `ok`, or `NAME float - - memory` when the network does not fit into the heap.
"""

import gc
import sys
import time
from binascii import crc32

import urnn
from float_gru import FloatGRU

FLOAT_ERROR = 1e-2  # largest error of a logit; the small ports have 32-bit floats


def now_us():
    return time.ticks_us() if hasattr(time, "ticks_us") else time.perf_counter_ns() // 1000


def since_us(began):
    return time.ticks_diff(time.ticks_us(), began) if hasattr(time, "ticks_us") else now_us() - began


def batch_us(step, samples, rounds):
    """The time of that many rounds over all samples, in microseconds, without the time of the loop itself."""
    began = now_us()
    for _ in range(rounds):
        for sample in samples:
            pass
    empty = since_us(began)
    began = now_us()
    for _ in range(rounds):
        for sample in samples:
            step(sample)
    return since_us(began) - empty


def median_us(step, samples, wanted_us, batches):
    """Microseconds per step: the median of the batches."""
    if batch_us(step, samples[:1], 1) > wanted_us // 8:
        samples = samples[:1]
    rounds = 1
    took = batch_us(step, samples, rounds)
    while took < wanted_us // 4 and rounds < 1 << 20:
        rounds *= 2
        took = batch_us(step, samples, rounds)
    rounds = max(1, rounds * wanted_us // max(took, 1))
    gc.collect()
    times = sorted([batch_us(step, samples, rounds) for _ in range(batches)])
    return times[batches // 2] / (rounds * len(samples))


def allocated(step, sample):
    """Bytes of heap that a step takes; -1 where the runtime cannot tell, or when the heap is too small."""
    if not hasattr(gc, "mem_alloc"):
        return -1
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    try:
        step(sample)
        return gc.mem_alloc() - before
    except MemoryError:
        return -1
    finally:
        gc.enable()


def integers(name, samples, wanted_us, batches):
    for kernels in urnn.kernel_sets():
        net = urnn.load(name + ".urnn", kernels)
        crc = 0
        for sample in samples:
            net.step(sample)
            crc = crc32(net.state, crc32(net.output, crc))
        us = median_us(net.step, samples, wanted_us, batches)
        print(name, kernels, us, allocated(net.step, samples[0]), "%08x" % crc)
        net = None
        gc.collect()


def floats(name, f, samples, wanted_us, batches):
    parts = [matrix(f, float) for _ in range(9)]
    outputs, mean, std, weight_ih, weight_hh, bias_ih, bias_hh, weight, bias = parts
    layer = weight_ih, weight_hh, bias_ih[0], bias_hh[0]
    net = FloatGRU(mean[0], std[0], layer, (weight, bias[0]))
    for t in range(len(samples)):
        net.step(samples[t])
        for i in range(len(outputs[t])):
            got = net.output[i]
            if not abs(got - outputs[t][i]) < FLOAT_ERROR:
                raise RuntimeError("float output %d, step %d: want %f, got %f" % (i, t, outputs[t][i], got))
    us = median_us(net.step, samples, wanted_us, batches)
    print(name, "float", us, allocated(net.step, samples[0]), "ok")


def matrix(f, kind):
    """The next matrix of the text: a line with the number of rows, then the rows, with spaces between the numbers.

    The text is no Python literal, because its parse tree would not fit into the unix ports' default heap.
    """
    return [[kind(word) for word in f.readline().split()] for _ in range(int(f.readline() or 0))]


def main(milliseconds, batches, *names):
    wanted_us, batches = int(milliseconds) * 1000, int(batches)
    for name in names:
        with open(name + ".txt") as f:
            samples = matrix(f, int)
            # The integers come first: the floats would fill the heap and leave no large free block
            integers(name, samples, wanted_us, batches)
            gc.collect()
            if f.readline():  # an empty line in front of the floats
                try:
                    floats(name, f, samples, wanted_us, batches)
                except MemoryError:
                    print(name, "float", "-", "-", "memory")
        gc.collect()


main(*sys.argv[1:])
