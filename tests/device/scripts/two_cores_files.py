# SPDX-License-Identifier: MIT
"""On a board with two cores: write to the flash, for which MicroPython stops core 1 while it waits for the next step.

Short, since the slow emulator takes more than a minute for the import alone.
"""


def write(value):
    """Write a file over two blocks of the flash and read it back."""
    data = bytes([value]) * 5000
    with open("written", "wb") as f:
        f.write(data)
    with open("written", "rb") as f:
        return f.read() == data


def steps(path):
    """The state after four steps, with a file written before each."""
    import urnn

    net = urnn.load(path, cores=2)
    for value in range(4):
        if not write(value):
            raise RuntimeError("the file is not what was written")
        net.step((100 * value,) * net.inputs)
    return list(net.state)
