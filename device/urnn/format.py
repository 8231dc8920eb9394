"""THE model file, .urnn: its frame, its matrices, and the checks. docs/format.md is the prose of this module.

Little-endian. Header: b"URNN", u8 version, u8 arithmetic, u16 number of sections, u32 bytes of the file. Sections:
4-letter tag, u32 length, payload, zeros up to a multiple of 4. At the end the CRC-32 of all that comes before.
A tag that starts with a small letter may be skipped by a reader that does not know it, as in PNG.
"""

from binascii import crc32
from struct import pack, unpack_from

MAGIC = b"URNN"
VERSION = 1  # of the frame and the sections
ARITHMETIC = 1  # of docs/numerics.md: every rounding, table and saturation


def seal(sections):
    """The bytes of a file. sections: a list of (tag, payload), both bytes."""
    body = b""
    for tag, payload in sections:
        body += tag + pack("<I", len(payload)) + payload + bytes(-len(payload) & 3)
    head = MAGIC + pack("<BBHI", VERSION, ARITHMETIC, len(sections), 16 + len(body))
    return head + body + pack("<I", crc32(head + body) & 0xFFFFFFFF)


def unseal(data):
    """Check the frame; return a list of (tag, start, stop), where data[start:stop] is the payload.

    Raises ValueError. Every start is a multiple of 4, and every section lies within data.
    """
    size = len(data)
    if size < 16 or bytes(data[:4]) != MAGIC:
        raise ValueError("not a .urnn file")
    version, arithmetic, count, stated = unpack_from("<BBHI", data, 4)
    if version != VERSION or arithmetic != ARITHMETIC:
        raise ValueError("format %d.%d, not %d.%d" % (version, arithmetic, VERSION, ARITHMETIC))
    if stated != size or size & 3:
        raise ValueError("%d bytes, not %d: copy again" % (size, stated))
    end = size - 4
    if crc32(memoryview(data)[:end]) & 0xFFFFFFFF != unpack_from("<I", data, end)[0]:
        raise ValueError("CRC differs: copy again")
    found = []
    at = 12
    for _ in range(count):
        if at + 8 > end:
            break
        length = unpack_from("<I", data, at + 4)[0]
        start = at + 8
        # In two steps: a sum could leave the small integers
        if length > end - start:
            break
        found.append((bytes(data[at : at + 4]), start, start + length))
        at = start + ((length + 3) & -4)
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
