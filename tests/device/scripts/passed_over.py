"""passed_over.py MODULE: the kernels that load() takes, why it does not take MODULE, and what asking for viper gives."""

import sys

import urnn

print(urnn.load("m.urnn").kernels)
print(urnn.kernels(True)[sys.argv[1]])
try:
    print(urnn.load("m.urnn", "viper").kernels)
except ValueError as error:
    print(error)
