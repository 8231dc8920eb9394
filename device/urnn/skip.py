# SPDX-License-Identifier: MIT
"""A skip connection: the head reads some channels of the sample behind the last cell's output.

With it a forecast is the last value plus a learnt difference. Both are copied, so no arithmetic is added.

Section b"SKIP": u16 length H of the last cell's output, u16 number K of channels, K times u16 channel.
"""

from .program import LIMIT


def cell(data, start, stop, program):
    """Check the section data[start:stop] and append its instructions; program.x becomes the cell's output, then channels."""
    n = data[start] | data[start + 1] << 8
    k = data[start + 2] | data[start + 3] << 8
    if not k or n != program.width or stop - start != 4 + 2 * k:
        raise ValueError("SKIP: wrong length")
    # The normalised sample, in which there is one integer for each channel
    x = program.instructions[0][3]
    y = program.vector(n + k)
    # The kernel does not read the table. Host tools see by it that the copies belong to this section
    program.add(LIMIT, memoryview(data)[start:stop], program.x, y, n)
    for i in range(k):
        at = start + 4 + 2 * i
        c = data[at] | data[at + 1] << 8
        if c >= len(x):
            raise ValueError("SKIP: out of range")
        program.add(LIMIT, None, memoryview(x)[c:], memoryview(y)[n + i :], 1)
    program.x = y
    program.width = n + k
