# SPDX-License-Identifier: MIT
"""Heap growth of urnn.load(): heap_load.py MODEL KERNELS -> "import BYTES load BYTES again BYTES".

import: of `import urnn` and its kernels, as on a board with just these; load: of the first load(); again: of one
more load(), the first model being kept. Garbage is collected before each reading: only what stays counts.
The package is that of the working directory.
"""

import gc
import sys


def used():
    # Twice: the first collection may free what holds the rest.
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


sys.path[:] = [""]  # every module keeps its path in the heap: the figures must not depend on where a checkout lies
start = used()

import urnn

path, kernels = sys.argv[1:]
urnn.kernel_sets()  # imports every set there is: forcing plain where viper is best would import it in load()
imported = used()
net = urnn.load(path, kernels)
loaded = used()
other = urnn.load(path, kernels)
again = used()
if net.kernel_set != kernels or other.kernel_set != kernels:
    raise RuntimeError("load() took kernels %s, want %s" % (net.kernel_set, kernels))
net.selftest()
print("import", imported - start, "load", loaded - imported, "again", again - loaded)
