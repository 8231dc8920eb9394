"""The line protocol over the REPL's own stdin and stdout: docs/protocol.md.

    from urnn import serve
    serve.serve()

Ends with the command quit, with the input's end, or with Ctrl-C Enter (or Ctrl-C twice at the start of a line).
"""

import gc
import sys
from array import array
from binascii import a2b_base64, b2a_base64, crc32

from . import __version__, kernels, load

WINDOW = 250  # bytes: most ports keep 260 that come while a step is computed, and a UART has no flow control
LINE = 512  # bytes of the longest line, its end not counted; a model with more inputs or outputs enlarges it


class _Refused(Exception):
    # "code text" of an error line
    pass


def frame(body):
    """The line that carries body: a space, the CRC-32 in 8 hexadecimal digits, a line feed."""
    return b"%s %08x\n" % (body, crc32(body))


def _b64(data):
    return b2a_base64(bytes(data), newline=False)  # 1.29 on webassembly takes an array's integers for bytes


class Server:
    """What stands between two commands. answer: the last command's, whole, for the host that asks again."""

    def __init__(self):
        self.net = None
        self.line = bytearray(LINE)
        self.seq = 0  # of the last command that was carried out
        self.answer = frame(b"0000 ok" + self.hello())

    def hello(self):
        return b" urnn 1 %s %d %d %s" % (__version__.encode(), WINDOW, len(self.line), ",".join(kernels()).encode())

    def load(self, path, kernels=b""):
        self.net = None
        gc.collect()
        try:
            path = str(path, "utf-8")
            net = load(path, str(kernels, "utf-8") or None)
            with open(path, "rb") as f:
                size = f.seek(0, 2)
                f.seek(size - 4)
                check = int.from_bytes(f.read(4), "little")
        except (OSError, ValueError) as e:
            raise _Refused("model %s: %s" % (path, e))
        counts = net.inputs, len(net.output), len(net.state)
        # Room for a sample, an output and a state in base64, and for the words around them
        line = max(LINE, 64 + 6 * max(counts))
        if line != len(self.line):
            self.line = bytearray(line)
        self.net = net
        return b" %d %d %d %d %d %08x %s" % (counts + (line, size, check, net.kernels.encode()))

    def state(self, data=None):
        net = self.net
        if data:
            data = a2b_base64(data)
            if len(data) != 2 * len(net.state):
                raise _Refused("length %d bytes of state" % len(data))
            net.state = array("h", data)
        return b" " + _b64(net.state)

    def run(self, command, kind, data):
        # step, steps, check: kind is b"h" or b"i", data the samples' little-endian integers in base64
        net = self.net
        data = a2b_base64(data)
        wide = kind == b"i"
        if not wide and kind != b"h":
            raise _Refused("value samples are h or i")
        n = net.inputs
        size = n * (4 if wide else 2)
        count = len(data) // size
        if not count or len(data) % size or count > 1 and command == b"step":
            raise _Refused("length %d bytes, a sample is %d" % (len(data), size))
        samples = array("i" if wide else "h", data)
        step = net.step
        output = net.output
        if command == b"check":
            crc = 0
            view = memoryview(samples)
            for i in range(0, len(view), n):
                step(view[i : i + n])
                crc = crc32(net.state, crc32(output, crc))
            return b" %d %s %08x" % (net.argmax(), _b64(output), crc)
        if count == 1:
            step(samples)
        else:
            view = memoryview(samples)
            outputs = array("i")
            if 32 + count * len(output) * 16 // 3 > len(self.line):
                raise _Refused("length of the answer")
            for i in range(0, len(view), n):
                step(view[i : i + n])
                outputs.extend(output)
            output = outputs
        return b" %d %s" % (net.argmax(), _b64(output))

    def execute(self, words):
        """Carry out a command, [number, name, arguments...]; the words of its answer."""
        command = words[1]
        try:
            if command in (b"step", b"steps", b"check", b"state", b"reset"):
                if not self.net:
                    raise _Refused("model none loaded")
                if command == b"state":
                    return self.state(*words[2:])
                if command == b"reset":
                    return self.net.reset(*words[2:]) or b""
                return self.run(*words[1:])
            if command == b"load":
                return self.load(*words[2:])
            if command == b"hello":
                return self.hello(*words[2:])
            if command == b"quit" and len(words) == 2:
                self.line = None
                return b""
            raise _Refused("command unknown")
        except TypeError:
            raise _Refused("command with too few or too many words")
        except ValueError as e:
            raise _Refused("value %s" % e)
        except MemoryError:
            gc.collect()
            raise _Refused("memory full")

    def respond(self, n):
        """The whole line that answers the n bytes in self.line."""
        line = memoryview(self.line)
        body = bytes(line[: max(n - 9, 0)])  # shorter than that when the line was too long
        words = body.split(b" ")
        expected = self.seq + 1 & 65535
        seq = -1
        if len(words) > 1 and len(words[0]) == 4 and line[n - 9 : n] == b" %08x" % crc32(body):
            try:
                seq = int(words[0], 16)
            except ValueError:
                pass
        if seq < 0:
            return frame(b"%04x err line damaged or too long" % expected)
        if words[1] != b"hello":
            if seq == self.seq:
                return self.answer
            if seq != expected:
                return frame(b"%04x err order %04x" % (expected, seq))
        try:
            answer = b"%s ok%s" % (words[0], self.execute(words))
        except _Refused as e:
            answer = b"%s err %s" % (words[0], str(e).encode())
        self.seq = seq
        self.answer = frame(answer)
        return self.answer


def _listen(server, read, out):
    one = bytearray(1)
    line = server.answer
    while True:
        out.write(line)
        if sys.implementation.name == "cpython":
            out.flush()
        buf = server.line
        if not buf:  # quit
            return
        size = len(buf)
        n = 0
        # A byte at a time: readline() takes no carriage return for an end, which a terminal and mpremote send, and
        # read(n) waits for n. 20 us a byte on an RP2040, a UART's byte takes 87.
        while read(one):
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
        line = server.respond(n)


def serve():
    """Answer lines until the end. The REPL's Ctrl-C is an ordinary byte meanwhile: noise does not stop the server."""
    try:
        from micropython import kbd_intr
    except ImportError:
        kbd_intr = None
    if kbd_intr:
        kbd_intr(-1)
    try:
        _listen(Server(), getattr(sys.stdin, "buffer", sys.stdin).readinto, getattr(sys.stdout, "buffer", sys.stdout))
    finally:
        if kbd_intr:
            kbd_intr(3)
