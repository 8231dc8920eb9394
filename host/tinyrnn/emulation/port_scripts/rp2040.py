# SPDX-License-Identifier: MIT
"""An emulated RP2040 on a pseudo terminal: ``python rp2040.py FIRMWARE.uf2 FLASH.img [--real-time]``.

Prints the path of the pseudo terminal and runs until SIGTERM. FLASH.img is the chip's whole flash; it is read at
the start when it is there, then the firmware is written over it, so that a new firmware finds the old files.

SIGTERM is the pulled cable: nothing more is executed, the flash is saved as it is at that moment, in the middle
of a write too, and the process ends. (rp2040py's own command line runs on for up to 0.1 s before it saves.)

While the chip waits its clock jumps to what it waits for: a second of the host's may be an hour there. With --real-time
it never runs ahead of the host's, which a watchdog needs that the host is to stop in time.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path

from rp2040py.boards import BoardSpec
from rp2040py.cli.pty_repl import PtyInteractiveRepl
from rp2040py.device.load_flash import load_uf2
from rp2040py.device.mp_device import MicroPythonDevice

FLASH_BYTES = 2 << 20  # the Pico's flash chip: W25Q16JV, 16 Mbit


class Console(PtyInteractiveRepl):
    """The chip's USB serial line as a pseudo terminal; SIGTERM stays ours."""

    def _on_sigterm(self, signum: int, frame: object) -> None:
        cut(self._device, self._image)

    def __init__(self, device: MicroPythonDevice, image: Path) -> None:
        super().__init__(device.cdc, device.simulator, on_quit=lambda code: cut(device, image))
        self._device = device
        self._image = image


def cut(device: MicroPythonDevice, image: Path) -> None:
    """Power gone: called between two batches of instructions, saves the flash and ends the process."""
    new = image.with_name(image.name + ".new")
    new.write_bytes(device.mcu.flash[:FLASH_BYTES])
    new.replace(image)
    os._exit(0)


async def serve(firmware: Path, image: Path, real_time: bool) -> None:
    device = MicroPythonDevice(board=BoardSpec(image=firmware))
    if real_time:
        device.simulator.real_io_begin()
    if image.exists():
        device.mcu.flash[:FLASH_BYTES] = image.read_bytes()
        load_uf2(firmware, device.mcu)
    console = Console(device, image)
    await console.start()
    signal.signal(signal.SIGTERM, console._on_sigterm)
    await device.astart(timeout=None)
    print(console.slave_path, flush=True)
    parent = os.getppid()
    while device.simulator.executing and os.getppid() == parent:
        await asyncio.sleep(0.5)
    sys.exit("rp2040.py: the emulated chip stopped, or the parent has gone")


def die_with_parent() -> None:
    """Linux ends this process with the thread that started it, also while it is stopped (ports.Port.pause)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    die_with_parent()
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2]), "--real-time" in sys.argv[3:]))
