# SPDX-License-Identifier: MIT
"""tinyrnn: train or import a small recurrent network, quantize it, and run it on a stock MicroPython board."""

__version__ = "0.1.0"
