# SPDX-License-Identifier: MIT
"""Stops an RP2 board's watchdog. It is sent before anything else, and with each further Ctrl-C when the first had no answer.

The interrupted program no longer feeds its watchdog, which would reset the board in the middle of a command. The next
reset starts main.py, which arms the watchdog again. MicroPython has no call to stop it, so the script clears the bit
ENABLE of the register CTRL through the register's alias.
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
