# SPDX-License-Identifier: MIT
"""Where a runtime has no second core: one_core.py MODEL. Prints what load() says to cores=2."""

import sys

import urnn

with open(sys.argv[1], "rb") as f:
    data = bytearray(f.read())
try:
    urnn.load(data, cores=2)
except ValueError as error:
    print(error)
