# SPDX-License-Identifier: MIT
"""Sent to an RP2 board before anything else, and together with Ctrl-C to one that did not answer the first.

It stops the watchdog of the program that was interrupted: nobody feeds it any more, and it would reset the board in the
middle of a command. The next reset starts main.py, which arms it again. MicroPython has no call for this: it is the bit
ENABLE of the register CTRL, cleared through the register's alias.
"""


def _tinyrnn():
    try:
        import sys

        from machine import mem32

        for chip, control in (("RP2040", 0x40058000), ("RP2350", 0x400D8000)):  # datasheets: 4.7.6, 12.9.7
            if chip in sys.implementation._machine:
                mem32[control + 0x3000] = 1 << 30
    except (ImportError, AttributeError):
        pass


_tinyrnn()
del _tinyrnn
