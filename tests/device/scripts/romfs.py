# SPDX-License-Identifier: MIT
"""romfs.py MODEL IMAGE KERNELS: load MODEL from a file and from the file systems in IMAGE, where it is read in place.

Prints `FILE BYTES`, then for each path in the image `PATH BYTES`: what load() took of the heap. Raises where the selftest
fails, or SKIP where the runtime has no ROMFS.
"""

import gc
import sys

import urnn

try:
    import vfs

    rom = vfs.VfsRom
except (ImportError, AttributeError):
    print("SKIP")
    sys.exit()

model, image, kernels = sys.argv[1:]
with open(image, "rb") as f:
    data = bytearray(f.read())
vfs.mount(rom(data), "/rom")


def used():
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


urnn.load(model, kernels)
for path in [model] + ["/rom/" + entry[0] for entry in vfs.VfsRom(data).ilistdir("/")]:
    before = used()
    net = urnn.load(path, kernels)
    grown = used() - before
    if not net.selftest().startswith("PASS") or net.kernel_set != kernels:
        raise RuntimeError(net.selftest())
    print(path, grown)
    net = None
