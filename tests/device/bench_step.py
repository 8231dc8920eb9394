"""Time of a step: bench_step.py MODEL FLOATS MILLISECONDS BATCHES -> lines "KERNELS MICROSECONDS STEPS".

MODEL: a .urnn file with test vectors. FLOATS: the same network as text: samples, the float outputs after
each, mean, std, and the weights and biases, in the order of main().
First each checks its own answer: the integers by selftest(), the floats against the host's outputs. Then
batches of so many steps that one takes about MILLISECONDS; the figure is the median of BATCHES. The garbage
collector does as it likes, within the time.
"""

import gc
import sys
import time

import urnn
from bench_float import FloatGRU

FLOAT_ERROR = 1e-2  # of a logit; 32-bit floats on the small ports


def now_us():
    return time.ticks_us() if hasattr(time, "ticks_us") else time.perf_counter_ns() // 1000


def since_us(began):
    return time.ticks_diff(time.ticks_us(), began) if hasattr(time, "ticks_us") else now_us() - began


def batch_us(step, samples, steps):
    """The time of so many steps, in microseconds."""
    n = len(samples)
    began = now_us()
    i = 0
    for _ in range(steps):
        step(samples[i])
        i += 1
        if i == n:
            i = 0
    return since_us(began)


def measure(step, samples, wanted_us, batches):
    """(microseconds a step, steps in a batch): the median of the batches."""
    steps = 1
    took = batch_us(step, samples, steps)
    while took < wanted_us // 4 and steps < 1 << 20:
        steps *= 2
        took = batch_us(step, samples, steps)
    steps = max(1, steps * wanted_us // max(took, 1))
    gc.collect()
    times = sorted([batch_us(step, samples, steps) for _ in range(batches)])
    return times[batches // 2] / steps, steps


def check_floats(net, samples, outputs):
    """Raise RuntimeError unless the floats give the host's outputs; outputs[t] is (O,) after samples[t]."""
    for t in range(len(samples)):
        net.step(samples[t])
        for i in range(len(outputs[t])):
            got = net.output[i]
            if not abs(got - outputs[t][i]) < FLOAT_ERROR:
                raise RuntimeError("float output %d, step %d: want %f, got %f" % (i, t, outputs[t][i], got))


def matrix(f, kind):
    """The next matrix of the text: a line with the number of rows, then the rows, spaces between numbers.

    Not a Python literal: its parse tree would not fit into the heap that the unix ports have by default.
    """
    return [[kind(word) for word in f.readline().split()] for _ in range(int(f.readline()))]


def main(model, floats, milliseconds, batches):
    wanted_us, batches = int(milliseconds) * 1000, int(batches)
    with open(floats) as f:
        samples = matrix(f, int)
        # The integers first: the floats fill the heap and leave no room in one piece
        for kernels in urnn.kernels():
            net = urnn.load(model, kernels)
            if not net.selftest().startswith("PASS") or net.kernels != kernels:
                raise RuntimeError("selftest of kernels %s, got %s" % (kernels, net.kernels))
            print(kernels, *measure(net.step, samples, wanted_us, batches))
        parts = [matrix(f, float) for _ in range(9)]
    outputs, mean, std, weight_ih, weight_hh, bias_ih, bias_hh, weight, bias = parts
    layer = weight_ih, weight_hh, bias_ih[0], bias_hh[0]
    net = FloatGRU(mean[0], std[0], layer, (weight, bias[0]))
    check_floats(net, samples, outputs)
    print("float", *measure(net.step, samples, wanted_us, batches))


main(*sys.argv[1:])
