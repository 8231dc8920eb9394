# SPDX-License-Identifier: MIT
"""passed_over.py MODULE: the kernels that load() takes, why it does not take MODULE, and what asking for viper gives."""

import sys

import urnn

print(urnn.load("m.urnn").kernel_set)
print(urnn.kernel_sets(True)[sys.argv[1]])
try:
    print(urnn.load("m.urnn", "viper").kernel_set)
except ValueError as error:
    print(error)
