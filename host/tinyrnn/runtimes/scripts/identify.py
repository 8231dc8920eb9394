# SPDX-License-Identifier: MIT
"""Run on a board: report the firmware, the free memory and what is installed. One `key value` a line, in Python's notation.

The script keeps to the language of MicroPython 1.17, so that it also identifies firmware that is too old.
"""

import gc
import os
import sys


def fits(size):
    try:
        bytearray(size)
        return True
    except MemoryError:
        return False


def largest_block(limit):
    # The size of the largest bytearray that the heap has room for, within 1/64, found by bisection
    if fits(limit):
        return limit
    size = 0
    step = 1
    while step * 2 <= limit:
        step *= 2
    least = step >> 6
    while step > least and step > 64:
        if size + step < limit and fits(size + step):
            size += step
        step >>= 1
    return size


def emitters():
    found = []
    for name, body in (("native", "pass"), ("viper", "pass"), ("asm_thumb", "nop()"), ("asm_rv32", "nop()")):
        try:
            exec("import micropython\n@micropython." + name + "\ndef f():\n " + body + "\n", {})
            found.append(name)
        except (ImportError, SyntaxError, AttributeError, NameError):
            pass
    return found


def kind(path):
    # 1: folder, 2: file, 0: nothing
    try:
        return 1 if os.stat(path)[0] & 0x4000 else 2
    except OSError:
        return 0


def libraries():
    # The import path without the frozen modules
    return [folder for folder in sys.path if not folder.startswith(".frozen")]


def version_of(folder):
    # The version in use, which urnn/__init__.py names, or "flat" for a package that was copied by hand
    try:
        with open(folder + "/__init__.py") as f:
            for line in f.read(200).split("\n"):
                if line.startswith("__path__ += "):
                    return line.split('"')[1][1:]
    except (OSError, UnicodeError, IndexError):
        pass
    return "flat"


def models():
    found = []
    for name in os.listdir():
        if name.endswith(".urnn"):
            try:
                with open(name, "rb") as f:
                    size = f.seek(0, 2)
                    f.seek(max(size - 4, 0))
                    crc = f.read(4)
                found.append((name, size, "".join("%02x" % b for b in reversed(crc))))
            except OSError:
                pass
    return sorted(found)


def main(wanted=1 << 20):
    """wanted: bytes; the search for the largest free block stops at this size."""
    gc.collect()
    free = gc.mem_free() if hasattr(gc, "mem_free") else -1
    about = sys.implementation
    installed = []
    for folder in libraries():
        base = folder + "/urnn" if folder else "urnn"
        for path in (base, base + ".py", base + ".mpy"):
            if kind(path):
                installed.append((path, version_of(path) if path == base else "file"))
    flash = (-1, -1, -1)
    try:
        found = os.statvfs("")
        flash = (found[0], found[2], found[4] if len(found) > 4 else found[3])
    except (OSError, AttributeError):
        pass
    answer = (
        ("name", about[0]),
        ("version", tuple(about[1])[:3]),
        ("machine", getattr(about, "_machine", "")),
        ("mpy", getattr(about, "_mpy", getattr(about, "mpy", 0))),
        ("platform", sys.platform),
        ("heap", free),
        ("largest", largest_block(min(wanted, free) if free > 0 else wanted)),
        ("flash", flash),
        ("emitters", emitters()),
        ("libraries", libraries()),
        ("folder", os.getcwd()),
        ("installed", installed),
        ("models", models()),
    )
    return "\n".join("%s %r" % pair for pair in answer)
