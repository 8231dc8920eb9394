# SPDX-License-Identifier: MIT
"""Emulated chips and boards: machine code on a core, cycles of a step, MicroPython on a serial port.

It may import runtimes, board, quantization, float_model and integer_model. Its packages are in the extra `dev`.
"""
