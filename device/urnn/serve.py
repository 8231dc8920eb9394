# SPDX-License-Identifier: MIT
"""The line protocol over stdin and stdout of the REPL: docs/protocol.md.

    from urnn import serve
    serve.serve()

The command quit, the end of the input, or Ctrl-C Enter ends it (or Ctrl-C twice at the start of a line).

The import allocates the memory for answers, so that a full heap does not end a session.
"""

import gc
import sys
from array import array
from binascii import a2b_base64, b2a_base64, crc32

from . import __version__, kernel_sets, load

try:
    from micropython import kbd_intr
except ImportError:
    kbd_intr = None

WINDOW = 250  # bytes: most ports buffer 260 while a step is computed, and a UART has no flow control
LINE = 512  # bytes of the longest line without its end; a model with more inputs or outputs enlarges it


class _Refused(Exception):
    # The argument is "code text" of an error line
    pass


def frame(body):
    """The line that carries body: a space, the CRC-32 in 8 hexadecimal digits, a line feed."""
    return b"%s %08x\n" % (body, crc32(body))


_FULL = frame(b"0000 err memory full")  # when the reserve is not enough


def _reserve(size):
    # For the pieces of a line of that size, or for samples, outputs and their base64. It is a list, because clear() frees
    # its memory at once: the collector keeps whatever an old word on the stack happens to point to
    return [None] * (4 * size + 512 >> 2)


class Server:
    """The state of a session.

    said[:count]: the line to send. said is out, the answer to the last command, which the host may ask for again, or error
    for any other line. seq: number of the last command that was started. kept: bytes of its answer in out, 0 until it is
    complete. reserve: memory that is freed when the heap is full, until the answer is complete.
    """

    def __init__(self):
        self.one = bytearray(1)  # the byte that is read
        self.error = bytearray(48)
        self.net = self.line = self.said = None
        # Of the command that is being executed
        self.current = self.stepped = self.ended = False
        self.samples = self.outputs = None
        self.seq = self.done = self.crc = self.count = self.kept = 0
        self.fit(LINE)
        self.sets = ",".join(kernel_sets()).encode()

    def fit(self, size):
        """Allocate buffers for lines of that size. Raises MemoryError, and then keeps the old ones."""
        line = bytearray(size)
        if self.line:  # keep the command that is being executed
            n = min(size, len(self.line))
            line[:n] = memoryview(self.line)[:n]
        out = bytearray(size + 1)
        self.reserve = _reserve(size)
        self.line = line
        self.out = out

    def start(self):
        """Start a session with the greeting."""
        self.net = None
        self.ended = False
        self.seq = 0
        if len(self.line) != LINE:
            self.line = self.out = self.reserve = None
            gc.collect()
            self.fit(LINE)
        self.respond(0)

    def say(self, out, parts):
        """Write a line into a buffer that is large enough: parts, check and end."""
        body = b"".join(parts)
        n = len(body)
        end = n + 10
        out[:n] = body
        out[n:end] = b" %08x\n" % crc32(body)
        self.said = out
        self.count = end

    def hello(self):
        return b" urnn 1 %s %d %d " % (__version__.encode(), WINDOW, len(self.line)), self.sets

    def load(self, path, kernels=b""):
        try:
            path = str(path, "utf-8")
            if not self.done:
                self.net = None
                gc.collect()
                net = load(path, str(kernels, "utf-8") or None)
                # Room for a sample, an output and a state in base64, and for the words around them
                line = max(LINE, 64 + 6 * max(net.inputs, len(net.output), len(net.state)))
                if line != len(self.line):
                    self.fit(line)
                self.net = net
                self.done = 1
            net = self.net
            with open(path, "rb") as f:
                size = f.seek(0, 2)
                f.seek(size - 4)
                check = int.from_bytes(f.read(4), "little")
        except (OSError, ValueError) as e:
            self.net = None
            text = bytearray(("model %s: %s" % (path, e)).encode())[: len(self.line) - 18]
            for i in range(len(text)):
                if not 32 <= text[i] < 127:
                    text[i] = 63
            raise _Refused(str(text, "utf-8"))
        except MemoryError:
            if self.done:
                raise
            net = None
            gc.collect()
            raise _Refused("memory full")  # not from the reserve, which a model would never give back
        counts = net.inputs, len(net.output), len(net.state), len(self.line), size, check
        return b" %d %d %d %d %d %08x " % counts, net.kernel_set.encode()

    def state(self, data=None):
        net = self.net
        if data:
            data = a2b_base64(data)
            if len(data) != 2 * len(net.state):
                raise _Refused("length %d bytes of state" % len(data))
            net.state = array("h", data)
        return b" ", b2a_base64(bytes(net.state), newline=False)

    def run(self, words):
        # step, steps, check. words: number, name, kind b"h" or b"i", the samples' little-endian integers in base64
        net = self.net
        output = net.output
        width = 4 * len(output)
        command = words[1]
        if len(words) != 4:
            raise TypeError
        kind = words[2]
        if kind == b"i":
            code = "i"
            size = 4 * net.inputs
        elif kind == b"h":
            code = "h"
            size = 2 * net.inputs
        else:
            raise _Refused("value samples are h or i")
        if self.samples is None:
            # Refuse before the first step, or not at all
            data = a2b_base64(words.pop())
            count = len(data) // size
            if not count or len(data) % size or count > 1 and command == b"step":
                raise _Refused("length %d bytes, a sample is %d" % (len(data), size))
            if command == b"steps":
                if 32 + count * width * 4 // 3 > len(self.line):
                    raise _Refused("length of the answer")
                self.outputs = bytearray(count * width)
            self.samples = data
        data = self.samples
        check = command == b"check"
        outputs = self.outputs
        step = net.step
        at = self.done
        to = at // size * width
        crc = self.crc
        stepped = self.stepped
        try:
            while at < len(data):
                if not stepped:
                    step(array(code, data[at : at + size]))  # from a view, step() would have to copy the integers
                    stepped = True
                if check:
                    crc = crc32(net.state, crc32(output, crc))
                elif outputs:
                    outputs[to : to + width] = bytes(output)
                    to += width
                stepped = False
                at += size
        finally:
            self.done = at
            self.crc = crc
            self.stepped = stepped
        if not outputs:  # MicroPython 1.29 on webassembly converts an array with its integers as bytes
            outputs = bytes(output)
        answer = b" %d " % net.argmax(), b2a_base64(outputs, newline=False)
        if check:
            answer += (b" %08x" % crc,)
        return answer

    def execute(self, words):
        """Execute a command, [number, name, arguments...]; return the parts of its answer."""
        command = words[1]
        try:
            if command in (b"step", b"steps", b"check", b"state", b"reset"):
                if not self.net:
                    raise _Refused("model none loaded")
                if command == b"state":
                    return self.state(*words[2:])
                if command == b"reset":
                    return self.net.reset(*words[2:]) or ()
                return self.run(words)
            if command == b"load":
                return self.load(*words[2:])
            if command == b"hello":
                return self.hello(*words[2:])
            if command == b"quit" and len(words) == 2:
                self.ended = True
                return ()
            raise _Refused("command unknown")
        except TypeError:
            raise _Refused("command with too few or too many words")
        except ValueError as e:
            raise _Refused("value %s" % e)

    def words(self, n):
        """The words of the n bytes in the line, without the check; None when the check is wrong."""
        end = n - 9
        if end > 4 and n <= len(self.line):
            line = memoryview(self.line)
            body = line[:end]
            if line[end:n] == b" %08x" % crc32(body):
                return bytes(body).split(b" ")
        return None

    def answer(self, n):
        """Do what respond() does, while there is memory. A second call continues the same command."""
        if not n:
            words = [b"0000"]
            answer = self.hello()
        else:
            words = self.words(n)
            if not self.current:
                seq = self.seq + 1 & 65535
                number = b"%04x" % seq
                if not words or len(words) < 2 or words[0] != number and not self.other(words):
                    self.say(self.error, (number, b" err line damaged or too long"))
                    return
                if words[0] != number:
                    seq = int(words[0], 16)
                    if len(words) > 2 or words[1] != b"hello":
                        if seq == self.seq:
                            self.count = self.kept
                            self.said = self.out
                            if not self.kept:
                                self.full()
                        else:
                            self.say(self.error, (number, b" err order ", words[0]))
                        return
                self.seq = seq
                self.kept = 0
                self.current = True
            try:
                answer = self.execute(words)
            except _Refused as e:
                self.say(self.out, (words[0], b" err ", str(e).encode()))
                self.kept = self.count
                return
        self.say(self.out, (words[0], b" ok") + answer)
        self.kept = self.count

    def full(self):
        self.say(self.out, (b"%04x err memory full" % self.seq,))
        self.kept = self.count

    def other(self, words):
        """Whether the first word is another number than expected. It has four digits; int() would accept more."""
        try:
            return b"%04x" % (int(words[0], 16) & 65535) == words[0]
        except ValueError:
            return False

    def respond(self, n):
        """Answer the n bytes in line, 0 for the greeting; said[:count] is then the line to send.

        When memory runs out, it frees the reserve and continues where it was, so that no step is computed twice.
        """
        self.current = self.stepped = False
        self.done = self.crc = 0
        try:
            self.answer(n)
        except MemoryError:
            if self.reserve:
                self.reserve.clear()
            gc.collect()
            try:
                self.answer(n)
            except MemoryError:
                gc.collect()
                if self.current:
                    self.full()
                else:
                    self.say(self.error, (b"%04x err line damaged or too long" % (self.seq + 1 & 65535),))
        self.samples = self.outputs = None
        if not self.reserve:
            self.crc = 0
            self.reserve = None
            gc.collect()
            try:
                self.reserve = _reserve(len(self.line))
            except MemoryError:
                pass


def _listen(server, stdin, stdout):
    one = server.one
    whole = sys.implementation.name == "cpython"
    while True:
        if whole:
            stdout.write(server.said[: server.count])
            stdout.flush()
        else:
            stdout.write(server.said, server.count)
        if server.ended:
            return
        buf = server.line
        size = len(buf)
        n = 0
        # One byte at a time: for readline() a carriage return, which a terminal and mpremote send, is no end, and read(n)
        # waits for n bytes. It takes 20 us a byte on an RP2040; a byte on a UART takes 87.
        while stdin.readinto(one):
            c = one[0]
            if c < 14:
                if c == 10 or c == 13:
                    if n:
                        break
                    continue
                if c == 3 and n == 1 and buf[0] == 3:
                    return
            if n < size:
                buf[n] = c
            n += 1
        if not n or n == 1 and buf[0] == 3:
            return
        try:
            server.respond(n)
        except MemoryError:  # an interrupt has taken the freed memory
            server.said = _FULL
            server.count = len(_FULL)


_server = Server()


def serve():
    """Answer lines until the end. Meanwhile Ctrl-C is an ordinary byte, so that noise does not stop the server."""
    if kbd_intr:
        kbd_intr(-1)
    try:
        _server.start()
        _listen(_server, getattr(sys.stdin, "buffer", sys.stdin), getattr(sys.stdout, "buffer", sys.stdout))
    finally:
        _server.net = None
        if kbd_intr:
            kbd_intr(3)
