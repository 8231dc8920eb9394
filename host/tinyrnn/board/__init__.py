# SPDX-License-Identifier: MIT
"""Boards on a port: find, identify, deploy, run, measure. ``link``, on top of ``raw_repl``, is the only way to a port.

The room may import runtimes, quantization, integer_model, float_model and data, but never cli or emulation.
"""
