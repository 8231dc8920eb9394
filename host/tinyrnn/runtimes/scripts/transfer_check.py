# SPDX-License-Identifier: MIT
"""Checks transfers on the board. tinyrnn.board.link sends it first; it runs a later script only if that arrived undamaged.

An answer goes back as `=CRC-32 LENGTH KIND`, with the text on the lines below. KIND is A for an answer, E for a traceback
and N for a script that was damaged.
"""


class _tinyrnn:
    def __init__(self):
        self.file = None
        self.name = self.main = None  # of the last script, which need not be sent again

    def run(self, name, source, call, crc):
        # source: bytes of a script that defines main(), empty to run the last one again. call: bytes of its arguments.
        # The imports are local, so that _tinyrnn is the only name in the user's REPL; the link removes it
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
        # Write the next piece of a file, in base64. A path starts a new file. A damaged piece changes nothing
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
