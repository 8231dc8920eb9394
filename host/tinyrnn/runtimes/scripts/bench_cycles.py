# SPDX-License-Identifier: MIT
"""Time whole steps on a board: bench_cycles.py KERNELS MODEL...

Prints a line for each model: the model, the time of all steps in microseconds, the number of steps, the bytes of heap that
a step allocates, and a checksum over all outputs and states, which the host compares with its own. The samples come from
an integer generator that the host has too. Kernels that allocate run more steps, because only some steps include a garbage
collection.
"""

import gc
import sys
import time

import urnn

STEPS = 20
ROUNDS = 10  # repetitions of the STEPS, for kernels that allocate


def samples(inputs, count):
    """Samples from the high bits of a linear congruential generator, within +-2500.

    No intermediate value reaches 2^30. A larger one would be an integer object on the heap, its small successors might
    stay objects, and such samples are slower.
    """
    seed = 1
    for _ in range(count):
        sample = []
        for _ in range(inputs):
            seed = (seed * 1103 + 12345) & 0x7FFFF
            sample.append((seed >> 4) % 5001 - 2500)
        yield tuple(sample)


def digest(net, old):
    """The checksum after one step: ``old``, continued over the step's outputs and states."""
    for values in (net.output, net.state):
        for v in values:
            old = (old * 31 + (v & 0xFFFF)) & 0xFFFFF
    return old


def main(kernels, models):
    for model in models:
        net = urnn.load(model, kernels=kernels)
        if net.kernel_set.split("+")[0] != kernels:
            raise RuntimeError("kernels %s, not %s" % (net.kernel_set, kernels))
        seen = 0
        few = list(samples(net.inputs, STEPS))
        for sample in few:
            net.step(sample)
            seen = digest(net, seen)
        step = net.step
        gc.collect()
        gc.disable()
        before = gc.mem_alloc()
        step(few[0])
        allocated = gc.mem_alloc() - before
        gc.enable()
        gc.collect()
        rounds = ROUNDS if allocated else 1
        began = time.ticks_us()
        for _ in range(rounds):
            for sample in few:
                pass
        empty = time.ticks_diff(time.ticks_us(), began)
        began = time.ticks_us()
        for _ in range(rounds):
            for sample in few:
                step(sample)
        us = time.ticks_diff(time.ticks_us(), began) - empty
        print(model, us, rounds * STEPS, allocated, seen)
        net = step = few = None
        gc.collect()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
