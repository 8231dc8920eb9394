"""The integer network: matrices, cells, the .urnn file, the proof of its 31-bit range, and a simulator in numpy.

Imports the device package `urnn`, whose loader and format it uses; nothing of the float network.
"""
