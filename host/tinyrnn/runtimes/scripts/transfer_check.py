# SPDX-License-Identifier: MIT
"""Sent by tinyrnn.board.link before anything else: it runs what follows only when it arrived whole.

An answer goes back as `=CRC-32 LENGTH KIND` and the text on the lines below; KIND is A for an answer, E for a traceback.
"""


class _tinyrnn:
    def __init__(self):
        self.file = None
        self.name = self.main = None  # of the last script: it needs to be sent once

    def run(self, name, source, call, crc):
        # source: bytes of a script that defines main(), empty when it is the last one again; call: its arguments.
        # The imports are in here, so that no name stays behind in the user's REPL but _tinyrnn, which the link removes
        import sys
        from binascii import crc32
        from io import StringIO

        kind = "A"
        if crc32(call, crc32(source, crc32(name))) & 0xFFFFFFFF != crc or not source and name != self.name:
            text = "damaged"
            kind = "N"
        else:
            try:
                if source:
                    self.name = self.main = None
                    space = {}
                    exec(source, space)
                    self.main = space["main"]
                    self.name = name
                text = self.main(*eval(call))
            except Exception as error:
                kind = "E"
                out = StringIO()
                sys.print_exception(error, out)
                text = out.getvalue()
        data = text.encode()
        print("\n=%08x %d %s" % (crc32(data) & 0xFFFFFFFF, len(data), kind))
        print(text)

    def write(self, text, path, last, crc):
        # The next piece of a file, in base64; a path begins one. Nothing is touched for what did not arrive whole
        from binascii import a2b_base64, crc32

        if crc32(path.encode(), crc32(text)) & 0xFFFFFFFF != crc:
            print("damaged")
            return
        if path:
            self.close()
            self.file = open(path, "wb")
        data = a2b_base64(text)
        self.file.write(data)
        if last:
            self.close()
        print("=%08x" % (crc & 0xFFFFFFFF))

    def close(self):
        if self.file:
            self.file.close()
        self.file = None


_tinyrnn = _tinyrnn()
