# SPDX-License-Identifier: MIT
# Run on a board by tools/stream.py: microseconds of the line protocol's parts, on the board's own clock.
# Prints `empty US`, then `send` twice, upon which the host sends a damaged line of 50 and of 200 bytes, then `byte US`.
import gc
import sys
import time

import micropython
from urnn import serve

N = 100


class Null:
    def write(self, data, n):
        return n


def mean_us(call):
    gc.collect()
    began = time.ticks_us()
    for _ in range(N):
        call()
    return time.ticks_diff(time.ticks_us(), began) / N


def answer(body):
    # A request once its line is read: the same number again and again, carried out each time
    line = serve.frame(body)[:-1]
    server.line[: len(line)] = line
    server.seq = 0
    server.respond(len(line))


def read_us():
    # Reading and answering a damaged line that has come already; a line of Ctrl-C behind it ends it
    print("send")
    sys.stdin.buffer.read(1)
    time.sleep_ms(20)
    began = time.ticks_us()
    serve._listen(server, sys.stdin.buffer, Null())
    return time.ticks_diff(time.ticks_us(), began)


server = serve.Server()
server.start()
print("empty", mean_us(lambda: answer(b"0001 none")))
micropython.kbd_intr(-1)
try:
    print("byte", (-read_us() + read_us()) / 150)
finally:
    micropython.kbd_intr(3)
