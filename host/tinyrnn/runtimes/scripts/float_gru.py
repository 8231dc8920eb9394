# SPDX-License-Identifier: MIT
"""A GRU in plain-Python floats, as one would write it by hand. The integer step's time is compared with it."""

import math


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


class FloatGRU:
    """torch.nn.GRU's equations and a dense head, on lists of floats.

    layer: weight_ih (3H rows of I), weight_hh (3H rows of H), bias_ih (3H), bias_hh (3H); the gates' order is r, z, n.
    head: weight (O rows of H), bias (O). mean, std: (I), in the sensor's unit.
    """

    def __init__(self, mean, std, layer, head):
        self.mean = mean
        self.std = std
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = layer
        self.weight, self.bias = head
        self.units = len(self.weight_hh[0])
        self.h = [0.0] * self.units
        self.output = [0.0] * len(self.bias)

    def step(self, sample):
        x = [(v - m) / s for v, m, s in zip(sample, self.mean, self.std)]
        a = affine(self.weight_ih, x, self.bias_ih)
        b = affine(self.weight_hh, self.h, self.bias_hh)
        h = self.h
        for j in range(self.units):
            k = j + self.units
            r = sigmoid(a[j] + b[j])
            z = sigmoid(a[k] + b[k])
            k += self.units
            n = math.tanh(a[k] + r * b[k])
            h[j] = (1 - z) * n + z * h[j]
        self.output = affine(self.weight, h, self.bias)


def affine(matrix, x, bias):
    """matrix x + bias."""
    out = []
    for i in range(len(bias)):
        row = matrix[i]
        total = bias[i]
        for k in range(len(x)):
            total += row[k] * x[k]
        out.append(total)
    return out
