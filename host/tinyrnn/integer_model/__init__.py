# SPDX-License-Identifier: MIT
"""The integer network: matrices, cells, the .urnn file, the proof of its 31-bit range, a simulator in numpy.

Imports the device package `urnn`, for its loader and file format; nothing of the float network.
"""
