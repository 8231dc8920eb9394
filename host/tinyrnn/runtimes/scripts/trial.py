# SPDX-License-Identifier: MIT
"""Run on a board in a fresh interpreter: import a package, load a model and run its self-test."""

import gc
import sys


def main(folder, name, model):
    """folder: contains the package `name`; "" means the import path. model: a file.

    Answers three lines: `PASS ...` or `FAIL ...`, the kernel sets, and the free bytes of heap with the net loaded.
    """
    if folder:
        sys.path.insert(0, folder)
    try:
        package = __import__(name)
    finally:  # even Ctrl-C must not leave the folder on the path
        if folder:
            sys.path.remove(folder)
    gc.collect()
    net = package.load(model)
    try:
        said = net.selftest()
    except ValueError:
        said = "PASS, loads, but the file holds no vectors"
    except RuntimeError as error:
        said = str(error)
    kernels = package.kernel_sets()
    del package
    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else -1
    return "%s\n%s\n%d" % (said, " ".join(kernels), free)
