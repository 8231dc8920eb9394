# SPDX-License-Identifier: MIT
"""A cable for tests: a pseudo terminal in front of a port that counts, damages and cuts off bytes."""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from collections.abc import Callable

Damage = Callable[[bool, int, int], int]  # (towards the board?, number of the byte in that direction, byte) -> byte


class Wire:
    """Pass bytes both ways between ``path`` and a port until close(), or until ``cut_after`` bytes have gone to the board.

    At the cut ``on_cut`` is called, which turns off the power, and the host finds its port gone.
    """

    def __init__(
        self, port: str, cut_after: int | None = None, on_cut: Callable[[], None] | None = None, damage: Damage | None = None
    ) -> None:
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._host, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.to_board = 0
        self.to_host = 0
        self.was_cut = False
        self._cut_after = cut_after
        self._on_cut = on_cut
        self._damage = damage
        self._ended = False
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._thread.join()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pump(self) -> None:
        try:
            while not self._ended and not self.was_cut:
                ready, _, _ = select.select([self._board, self._host], [], [], 0.05)
                if self._host in ready:
                    self._towards_board(os.read(self._host, 256))
                if self._board in ready and not self.was_cut:
                    data = self._changed(False, self.to_host, os.read(self._board, 4096))
                    self.to_host += len(data)  # first: whoever has read the bytes may read the count next
                    _write(self._host, data)
        except OSError:
            pass  # the board is gone: so is the cable
        finally:
            for end in (self._board, self._slave, self._host):
                os.close(end)

    def _towards_board(self, data: bytes) -> None:
        if self._cut_after is not None and self.to_board + len(data) >= self._cut_after:
            data = data[: self._cut_after - self.to_board]
            self.was_cut = True
        data = self._changed(True, self.to_board, data)
        self.to_board += len(data)
        _write(self._board, data)
        if self.was_cut and self._on_cut:
            self._on_cut()

    def _changed(self, to_board: bool, at: int, data: bytes) -> bytes:
        if self._damage is None:
            return data
        return bytes(self._damage(to_board, at + i, byte) for i, byte in enumerate(data))


def _write(end: int, data: bytes) -> None:
    while data:
        data = data[os.write(end, data) :]
