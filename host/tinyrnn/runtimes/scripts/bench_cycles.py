# SPDX-License-Identifier: MIT
"""Time whole steps on a board: bench_cycles.py KERNELS MODEL...

For each model a line: model, microseconds of the steps, how many, bytes of heap that a step takes, and a sum over all
outputs and states, by which the host sees whether they are right. The samples come from a generator in integers that the
host has too. Kernels that allocate take more steps: the collector works in some of them only, when it likes.
"""

import gc
import sys
import time

import urnn

STEPS = 20
ROUNDS = 10  # of so many steps, for kernels that allocate


def samples(inputs, count):
    """The samples: a linear congruential generator, its high bits, within +-2500.

    Nothing on the way reaches 2^30: what was an integer object once may stay one when it is small again, and such
    samples are slower.
    """
    seed = 1
    for _ in range(count):
        sample = []
        for _ in range(inputs):
            seed = (seed * 1103 + 12345) & 0x7FFFF
            sample.append((seed >> 4) % 5001 - 2500)
        yield tuple(sample)


def digest(net, old):
    """A sum over the outputs and states of one step, and over those before."""
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
