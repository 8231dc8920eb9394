"""Time whole steps on a board: argv = models, each with every kernel set but the plain loop, or with those of `-k NAME`.

For each model and kernel set a line: model, kernels, microseconds of all steps, steps, bytes of heap that a step takes,
and a sum over all outputs and states, by which the host sees whether they are right. The samples come from a generator
in integers that the host has too.
"""

import gc
import sys
import time

import urnn

STEPS = 20


def samples(inputs, count):
    """The samples: a linear congruential generator, its high bits, within +-2500."""
    seed = 1
    found = []
    for _ in range(count):
        sample = []
        for _ in range(inputs):
            seed = (seed * 1103 + 12345) & 0xFFFFF
            sample.append((seed >> 4) % 5001 - 2500)
        found.append(tuple(sample))
    return found


def digest(net, old):
    """A sum over the outputs and states of one step, and over those before."""
    for values in (net.output, net.state):
        for v in values:
            old = (old * 31 + (v & 0xFFFF)) & 0xFFFFF
    return old


def main(models, names):
    for model in models:
        for name in names or [k for k in urnn.kernels() if k != "plain"]:
            net = urnn.load(model, kernels=name)
            data = samples(net.inputs, STEPS)
            seen = 0
            for sample in data:  # once to compare; afterwards all is warm
                net.step(sample)
                seen = digest(net, seen)
            step = net.step
            gc.collect()
            gc.disable()
            before = gc.mem_alloc()
            step(data[0])
            step(data[1])
            allocated = (gc.mem_alloc() - before) // 2
            gc.enable()
            gc.collect()
            began = time.ticks_us()
            for sample in data:
                pass
            empty = time.ticks_diff(time.ticks_us(), began)
            began = time.ticks_us()
            for sample in data:
                step(sample)
            us = time.ticks_diff(time.ticks_us(), began) - empty
            print(model, net.kernels, us, STEPS, allocated, seen)
            net = step = data = None
            gc.collect()


if __name__ == "__main__":
    argv = sys.argv[1:]
    chosen = []
    while len(argv) > 1 and argv[0] == "-k":
        chosen.append(argv[1])
        argv = argv[2:]
    main(argv, chosen)
