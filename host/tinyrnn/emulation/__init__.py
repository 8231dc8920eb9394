# SPDX-License-Identifier: MIT
"""Emulated chips and boards: machine code on a core, cycles of a step, MicroPython on a serial port.

Imports runtimes, board, quantization and the integer network. Needs the extra `emulation`.
"""
