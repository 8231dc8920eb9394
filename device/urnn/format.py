# SPDX-License-Identifier: MIT
"""The model file, .urnn: its frame, its matrices, and the checks. This module is the definition; docs/format.md explains it.

All numbers are little-endian. The header: b"URNN", u8 version, u8 arithmetic, u16 number of sections, u32 bytes of the
file. A section: u32 with the length of the payload in the low 24 bits and that of the name in the high 8, the name, the
payload. Name and payload are each padded with zeros to a multiple of 4. The file ends with the CRC-32 of all that precedes.

A reader skips an unknown section whose name starts with a small letter, as in PNG, and refuses any other.
"""

from binascii import crc32
from struct import pack, unpack_from

MAGIC = b"URNN"
VERSION = 2  # of the frame and the sections
ARITHMETIC = 1  # of docs/numerics.md: every rounding, table and saturation


def seal(sections):
    """Return the bytes of a file. sections: a list of (name, payload), both bytes, a payload shorter than 2^24."""
    body = b""
    for name, payload in sections:
        body += pack("<I", len(payload) | len(name) << 24) + name + bytes(-len(name) & 3)
        body += payload + bytes(-len(payload) & 3)
    head = MAGIC + pack("<BBHI", VERSION, ARITHMETIC, len(sections), 16 + len(body))
    return head + body + pack("<I", crc32(head + body) & 0xFFFFFFFF)


def unseal(data):
    """Check the frame; return a list of (name, start, stop), where data[start:stop] is the payload.

    Raises ValueError. Every name has a letter, every start is a multiple of 4, and every section lies within data.
    """
    size = len(data)
    if size < 16 or bytes(data[:4]) != MAGIC:
        raise ValueError("not a .urnn file")
    version, arithmetic, count, stated = unpack_from("<BBHI", data, 4)
    if version != VERSION or arithmetic != ARITHMETIC:
        raise ValueError("format %d.%d, not %d.%d: quantize again" % (version, arithmetic, VERSION, ARITHMETIC))
    if stated != size or size & 3:
        raise ValueError("%d bytes, not %d: copy again" % (size, stated))
    end = size - 4
    if crc32(memoryview(data)[:end]) & 0xFFFFFFFF != unpack_from("<I", data, end)[0]:
        raise ValueError("CRC differs: copy again")
    found = []
    at = 12
    for _ in range(count):
        # At the end this reads the CRC, whose section would not fit
        low, high, n = unpack_from("<HBB", data, at)
        at += 4
        start = at + ((n + 3) & -4)
        stop = start + (low | high << 16)
        if stop > end or not n:
            break
        found.append((bytes(data[at : at + n]), start, stop))
        at = (stop + 3) & -4
    if at != end or len(found) != count:
        raise ValueError("section %d is cut off" % len(found))
    return found


def matrix_bytes(rows, cols):
    """The size of a matrix in the file: u16 rows, u16 cols, then blocks of four rows.

    A block: i32 bias[4], u8 shift[4], u8 weight[cols][4], that is column by column, weights stored as w + 128.
    """
    return 4 + ((rows + 3) >> 2) * (20 + 4 * cols)


def matrix(data, start, stop, rows, cols):
    """Check the matrix of rows x cols at data[start:]; return (a view of it, where the next field starts).

    Raises ValueError unless all of it lies before stop, every shift is in 0..30 and every bias in [-2^30, 2^30).
    """
    size = matrix_bytes(rows, cols)
    if stop - start < size or unpack_from("<HH", data, start) != (rows, cols):
        raise ValueError("matrix not %d x %d" % (rows, cols))
    for block in range(start + 4, start + size, 20 + 4 * cols):
        for r in range(4):
            # The top byte of a bias, 0..0x3f or 0xc0..0xff, tells that it is a small integer
            if data[block + 16 + r] > 30 or (data[block + 4 * r + 3] + 64) & 255 > 127:
                raise ValueError("matrix at %d: out of range" % start)
    return memoryview(data)[start : start + size], start + size
