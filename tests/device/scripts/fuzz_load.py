# SPDX-License-Identifier: MIT
"""Damaged model files against urnn.load(), on every runtime; the same arguments make the same files on all.

    fuzz_load.py random KERNELS SEED FIRST COUNT FILE...   mutated, cut, recombined files; cases FIRST...
    fuzz_load.py bytes KERNELS REPAIR VALUES FILE...       every byte of each file set to other values

KERNELS: names of kernel sets, as "viper,plain". REPAIR: 1 mends the CRC, so that the checks behind it are
reached. VALUES: how many other values each byte takes, 1..255.

A case passes when load() raises ValueError, or when it returns a net that
- takes extreme samples and runs its selftest (PASS, RuntimeError or ValueError) with every kernel set,
- leaves the file and the canaries around every buffer as they were, and
- computes the same outputs and states with all kernel sets, unless it breaks the 31-bit range of docs/numerics.md.
The plain kernels index views that are cut exactly, so their IndexError would be an access out of bounds. The
buffers of the sets lie between different canaries, so a read of one by a kernel without checks makes the
results differ.

Prints "FUZZ cases N loaded L refused R overflowing W": W loaded files whose results differ, and leave the 31-bit range.
A failure is printed with the case and the file in hex, and exits with status 1.
"""

import sys
from array import array
from binascii import crc32, hexlify
from struct import pack_into, unpack_from

import urnn
from urnn.format import unseal
from urnn.program import ADD, GRU, MATVEC, RELU, SIGMOID, TANH, Program

GUARD = 16  # canary words on each side of a buffer, and canary bytes / 4 on each side of a file
LIMIT = 1 << 30
BYTES = (0, 1, 2, 0x1E, 0x1F, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFE, 0xFF)
HALVES = (0, 1, 2, 3, 4, 0xFF, 0x5555, 0x5556, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF)
WORDS = (0, 1, 3, 4, 0xFFFF, 0x10000, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)
SAMPLES = (-LIMIT, LIMIT - 1, 0, 12345)


class Random:
    """L'Ecuyer's combination of three generators for 16-bit words (CACM 31, 1988): no product leaves 2^23."""

    def __init__(self, seed, case):
        self.a = 1 + (seed * 31 + case) % 32362
        self.b = 1 + (case * 7 + seed) % 31726
        self.c = 1 + (case // 30011 * 131 + seed) % 31656
        for _ in range(4):
            self.below(1)

    def below(self, n):
        """0..n-1, for n up to 32362."""
        self.a = self.a * 157 % 32363
        self.b = self.b * 146 % 31727
        self.c = self.c * 142 % 31657
        return (self.a - self.b + self.c) % 32362 % n

    def pick(self, choices):
        return choices[self.below(len(choices))]


# Mutation of a file: a bytearray in, the same or another bytearray out


def flip(data, random):
    for _ in range(1 + random.below(3)):
        data[random.below(len(data))] ^= 1 << random.below(8)
    return data


def set_byte(data, random):
    data[random.below(len(data))] = random.pick(BYTES)
    return data


def set_half(data, random):
    at = random.below(len(data) >> 1) << 1
    value = random.pick(HALVES) if random.below(4) else unpack_from("<H", data, at)[0] + random.below(5) - 2
    pack_into("<H", data, at, value & 0xFFFF)
    return data


def set_word(data, random):
    at = random.below(len(data) >> 2) << 2
    value = random.pick(WORDS) if random.below(4) else unpack_from("<I", data, at)[0] + random.below(17) - 8
    pack_into("<I", data, at, value & 0xFFFFFFFF)
    return data


def cut(data, random):
    n = random.below(len(data))
    return data[: n & -4 if random.below(4) else n]


def grow(data, random):
    more = bytearray([random.below(256) if random.below(2) else 0 for _ in range(1 + random.below(40))])
    at = len(data) - 4 if random.below(2) and len(data) > 4 else random.below(len(data) + 1) & -4
    return data[:at] + more + data[at:]


def remove(data, random):
    at = random.below(len(data)) & -4
    return data[:at] + data[at + 4 * (1 + random.below(6)) :]


def splice(data, random):
    n = 1 + random.below(24)
    source = random.below(len(data))
    at = random.below(len(data))
    part = data[source : source + n]
    return data[:at] + part + data[at + len(part) :]


# Fields that say how long something is come up rarely by chance, so one mutation in three goes for those
SIMPLE = (flip, set_byte, set_half, set_word, cut, grow, remove, splice, flip, set_byte, set_half, set_word)


def recombine(seeds, random):
    """A file made of the sections of all seeds. Some are left out, doubled, exchanged or resized."""
    parts = list(random.pick(seeds))
    for _ in range(1 + random.below(3)):
        kind = random.below(5)
        at = random.below(len(parts))
        if kind == 0 and len(parts) > 1:
            parts.pop(at)
        elif kind == 1:
            parts.insert(random.below(len(parts) + 1), parts[at])
        elif kind == 2:
            other = random.below(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:  # a section of the same kind from another model, or of any kind
            donor = random.pick(seeds)
            same = [part for part in donor if part[0] == parts[at][0]]
            parts[at] = random.pick(same if same and random.below(4) else donor)
        else:
            tag, payload = parts[at]
            n = random.below(len(payload) + 1)
            payload = payload[:n] if random.below(2) else payload[:n] + bytes(random.below(12)) + payload[n:]
            if payload and random.below(2):
                payload = bytearray(payload)
                span = len(payload) if random.below(2) else min(8, len(payload))
                payload[random.below(span)] = random.pick(BYTES)
            parts[at] = (tag, bytes(payload))
    return frame(parts)


def frame(parts):
    """Build a file as urnn.format.seal() does, without the CRC, which repair() adds."""
    body = b"".join([_section(tag, payload) for tag, payload in parts])
    data = bytearray(b"URNN\x02\x01\0\0\0\0\0\0" + body + bytes(4))
    pack_into("<H", data, 6, len(parts))
    return data


def _section(tag, payload):
    head = bytearray(4)
    pack_into("<I", head, 0, len(payload) | len(tag) << 24)
    return bytes(head) + tag + bytes(-len(tag) & 3) + payload + bytes(-len(payload) & 3)


def repair(data, size=True, crc=True):
    """Set the stated size and the CRC to the right values, where there is room for them."""
    if size and len(data) >= 12:
        pack_into("<I", data, 8, len(data))
    if crc and len(data) >= 4:
        pack_into("<I", data, len(data) - 4, crc32(memoryview(data)[: len(data) - 4]) & 0xFFFFFFFF)
    return data


def mutant(case, seed, files, seeds):
    """The file of a case. files: the models' bytes. seeds: their sections, lists of (tag, payload)."""
    random = Random(seed, case)
    if random.below(3):
        data = bytearray(random.pick(files))
        rounds = 1 + random.below(3)
    else:
        data = recombine(seeds, random)
        rounds = random.below(2)
    for _ in range(rounds):
        if len(data) >= 4:
            data = random.pick(SIMPLE)(data, random)
    if random.below(8):
        data = data + bytes(-len(data) & 3)
    return repair(data, size=random.below(12) > 0, crc=random.below(16) > 0)


# Buffers between canaries, in place of those that the net allocates

guards = []
canary = 0


def guarded(program, n, room=0):
    """Make a vector as Program.vector() does, between canaries."""
    room = room or (n + 3) & -4
    whole = array("i", bytes(4 * (room + 2 * GUARD)))
    for i in range(GUARD):
        whole[i] = whole[GUARD + room + i] = canary
    guards.append((whole, room))
    return memoryview(whole)[GUARD : GUARD + room]


def intact(arena, data):
    """Whether the file and all canaries around it and around the buffers are unchanged."""
    edge = bytes([canary & 255]) * (4 * GUARD)
    if arena != edge + data + edge:
        return False
    for whole, room in guards:
        for i in range(GUARD):
            if whole[i] != canary or whole[GUARD + room + i] != canary:
                return False
    return True


class Fault(Exception):
    """A case that failed, with the reason. It is not a ValueError, which would look like a refusal."""


def use(data, kernels, sign):
    """Load data, step and test it; return (net, results). Raises ValueError from load() alone."""
    global canary
    canary = 0x5A5A5A5A * sign >> 1  # differs between kernel sets
    del guards[:]
    edge = bytes([canary & 255]) * (4 * GUARD)
    arena = bytearray(edge + data + edge)
    net = urnn.load(memoryview(arena)[4 * GUARD : 4 * GUARD + len(data)], kernels)
    if not all([place(step[3]) for step in net.program]):
        raise Fault("buffers without canaries: guarded() no longer stands in for what makes them")
    results = []
    try:
        for sample in SAMPLES:
            net.step((sample,) * net.inputs)
            results.append((list(net.output), list(net.state)))
        best = net.argmax()
        results.append((best, net.label()))
        for i in range(len(net.output)):
            net.value(i)
        before = list(net.state)
        try:
            said = net.selftest()
            if said[:6] != "PASS, ":
                raise Fault("kernels %s: selftest() returned %s" % (kernels, said))
            results.append("PASS")
        except RuntimeError:
            results.append("FAIL")
        except ValueError:
            results.append("no vectors")
        if list(net.state) != before:
            raise Fault("selftest() changed the state")
        net.reset()
    except Exception as error:  # of any class: after load() none is right
        if isinstance(error, Fault):
            raise
        raise Fault("kernels %s: %s after the load: %s" % (kernels, type(error).__name__, error))
    if not intact(arena, data):
        raise Fault("kernels %s wrote outside of the net's buffers" % kernels)
    return net, results


def bounds(m):
    """(bound of the accumulator, shift) for each row of a matrix; docs/numerics.md, equation 8."""
    rows, cols = unpack_from("<HH", m, 0)
    found = []
    for row in range(rows):
        block = 4 + (row >> 2) * (20 + 4 * cols)
        r = row & 3
        weights = sum([abs(m[block + 20 + r + 4 * k] - 128) for k in range(cols)])
        found.append((abs(unpack_from("<i", m, block + 4 * r)[0]) + weights * 32767, m[block + 16 + r]))
    return found


def place(vector):
    """(number of the buffer, offset) of a vector or of a slice of one; None outside of all buffers."""
    kept = vector[0]
    found = None
    for number in range(len(guards)):
        whole = guards[number][0]
        for mark in (0x2B1D, 0x1D2B):  # a number that is there by chance does not change with the vector's
            vector[0] = mark
            at = [i for i in range(len(whole)) if whole[i] == mark]
            found = at if mark == 0x2B1D else [i for i in at if i in found]
        if found:
            break
    vector[0] = kept
    return (number, found[0]) if found else None


def in_range(net):
    """Whether no accumulator can leave [-2^30, 2^30): the promise under which all kernel sets agree.

    What tinyrnn.integer_model.overflow_proof proves, here on any runtime: the largest magnitude of each number,
    32767 where nothing else is known, followed through the steps.
    """
    known = [[32767] * len(whole) for whole, _ in guards]

    def get(vector, n):
        number, at = place(vector)
        return known[number][at : at + n]

    def put(vector, values):
        number, at = place(vector)
        for i in range(len(values)):
            known[number][at + i] = values[i]

    for code, a, b, c, n in net.program:
        after = [32767] * n
        if code == MATVEC:
            rows = bounds(a)
            if max(get(b, unpack_from("<HH", a, 0)[1])) > 32767 or not all([bound < LIMIT for bound, _ in rows]):
                return False
            after = [32767 if bound <= 32767 << shift else (bound >> shift) + 1 for bound, shift in rows]
            after = [min(value, (bound >> shift) + 1) for value, (bound, shift) in zip(after, rows)]
        elif code in (GRU, SIGMOID, TANH, RELU):
            n *= 3 if code == GRU else 1
            if not all([w + u < LIMIT for w, u in zip(get(a, n), get(b, n))]):
                return False
            if code == GRU:
                put(a, [32768] * n)
        elif code == ADD:
            after = [value + abs(unpack_from("<i", a, 4 * i)[0]) for i, value in enumerate(get(b, n))]
            if not all([value < LIMIT for value in after]):
                return False
        put(c, after)
    return True


def check(data, kernel_sets):
    """One case: "refused", "loaded" or "overflowing". Raises Fault."""
    data = bytes(data)
    answers = []
    for i, kernels in enumerate(kernel_sets):
        try:
            net, results = use(data, kernels, -1 if i else 1)
        except ValueError:
            if answers:
                raise Fault("kernels %s refuse what kernels %s take" % (kernels, kernel_sets[0]))
            return "refused"
        except Fault:
            raise
        except Exception as error:  # what load() may not raise
            raise Fault("kernels %s: load() raised %s: %s" % (kernels, type(error).__name__, error))
        answers.append(results)
    for other in answers[1:]:
        if other != answers[0]:
            if in_range(net):
                raise Fault("kernels differ: %r" % (answers,))
            return "overflowing"
    return "loaded"


def run(cases, kernel_sets):
    """cases: yields (name, file). Prints the summary; returns the exit status."""
    counts = {"loaded": 0, "refused": 0, "overflowing": 0}
    for name, data in cases:
        copy = bytes(data)
        try:
            counts[check(copy, kernel_sets)] += 1
        except Fault as fault:
            print("FAIL case %s: %s" % (name, fault))
            print(str(hexlify(copy), "ascii"))
            return 1
    loaded = counts["loaded"] + counts["overflowing"]
    refused = counts["refused"]
    figures = (loaded + refused, loaded, refused, counts["overflowing"])
    print("FUZZ cases %d loaded %d refused %d overflowing %d" % figures)
    return 0


def random_cases(files, seed, first, count):
    seeds = [sections_of(data) for data in files]
    for case in range(first, first + count):
        yield "%d of seed %d" % (case, seed), mutant(case, seed, files, seeds)


def sections_of(data):
    return [(tag, bytes(data[start:stop])) for tag, start, stop in unseal(data)]


def byte_cases(files, mend, values):
    for number, original in enumerate(files):
        for at in range(len(original)):
            for i in range(values):
                data = bytearray(original)
                # Spread over the 255 others; the first differs in the highest bit
                data[at] ^= 1 + (127 + i * (255 // values)) % 255
                yield "byte %d of file %d" % (at, number), repair(data, size=False) if mend else data


def main(arguments):
    mode, kernels, a, b = arguments[:4]
    names = arguments[5:] if mode == "random" else arguments[4:]
    files = []
    for name in names:
        with open(name, "rb") as f:
            files.append(f.read())
    Program.vector = guarded
    if mode == "random":
        cases = random_cases(files, int(a), int(b), int(arguments[4]))
    else:
        cases = byte_cases(files, int(a), int(b))
    return run(cases, kernels.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
