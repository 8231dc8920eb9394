# SPDX-License-Identifier: MIT
"""On a board with two cores: the flash is written, for which MicroPython stops core 1, while it waits for the next step.

Short, for a slow emulator, on which the import alone takes more than a minute.
"""


def write(value):
    """A file over two blocks of the flash, read back."""
    data = bytes([value]) * 5000
    with open("written", "wb") as f:
        f.write(data)
    with open("written", "rb") as f:
        return f.read() == data


def steps(path):
    """The state after four steps with a file written before each."""
    import urnn

    net = urnn.load(path, cores=2)
    for value in range(4):
        if not write(value):
            raise RuntimeError("the file is not what was written")
        net.step((100 * value,) * net.inputs)
    return list(net.state)
