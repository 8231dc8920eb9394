# SPDX-License-Identifier: MIT
# tools/stream.py runs this on a board. It times the parts of the line protocol, in microseconds of the board's clock.
# It prints `empty US`, then `send` twice, then `byte US`. After each `send` the host sends a damaged line: first of 50
# bytes, then of 200.
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
    # A request whose line has been read. The sequence number is reset, so that each call carries it out
    line = serve.frame(body)[:-1]
    server.line[: len(line)] = line
    server.seq = 0
    server.respond(len(line))


def read_us():
    # The time to read and answer a damaged line that has already arrived. A line with Ctrl-C after it ends _listen()
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
