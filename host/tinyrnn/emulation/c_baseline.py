# SPDX-License-Identifier: MIT
"""The GRU step in C (c/gru.c), compiled by arm-none-eabi-gcc and run on the same Cortex-M0+ as the kernels."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from struct import pack as words

import numpy as np
from urnn.tables import TANH

from tinyrnn.emulation.cortex_m0plus import Machine
from tinyrnn.errors import RuntimeMissing, TinyrnnError
from tinyrnn.integer_model.cells.gru import GRU
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network, unpack

SOURCE = Path(__file__).with_name("c") / "gru.c"
VARIANTS = {"PLAIN16": 2, "PLAIN32": 4, "UNROLL8": 4, "ROWS4": 4}  # name -> bytes of an activation
COMPILER = "arm-none-eabi-gcc"
FLAGS = ["-O2", "-mcpu=cortex-m0plus", "-mthumb", "-ffreestanding", "-nostdlib", "-Wall", "-Wextra", "-Werror"]


def compiler() -> str:
    """The path of the compiler. Raises RuntimeMissing, which names the cure."""
    found = shutil.which(COMPILER)
    if found is None:
        raise RuntimeMissing(f"{COMPILER} is not on the PATH: apt-get install gcc-arm-none-eabi")
    return found


def version() -> str:
    """The first line of the compiler's --version."""
    return subprocess.run([compiler(), "--version"], capture_output=True, text=True, timeout=60).stdout.splitlines()[0]


def build(variant: str, address: int, flags: list[str] = FLAGS) -> tuple[bytes, int]:
    """(the variant's code for address, the address of step()). Raises TinyrnnError with the compiler's message."""
    gcc = compiler()
    with tempfile.TemporaryDirectory() as folder:
        elf, image = Path(folder) / "gru.elf", Path(folder) / "gru.bin"
        link = [f"-Wl,-Ttext={address:#x}", "-Wl,-e,step", "-Wl,--build-id=none", "-Wl,--no-warn-rwx-segments"]
        _call([gcc, *flags, *link, f"-DVARIANT={variant}", str(SOURCE), "-lgcc", "-o", str(elf)])
        tools = gcc.removesuffix("gcc")
        _call([tools + "objcopy", "-O", "binary", "-j", ".text", "-j", ".rodata", str(elf), str(image)])
        table = _call([tools + "nm", str(elf)])
        entry = next(int(line.split()[0], 16) for line in table.splitlines() if line.endswith(" step"))
        return image.read_bytes(), entry


def _call(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise TinyrnnError(f"{Path(command[0]).name}: {done.stderr.strip()[-300:]}")
    return done.stdout


class CNet:
    """A network of one GRU layer and a head in C, on a Machine. variant: one of VARIANTS.

    Raises TinyrnnError for any other network, and RuntimeMissing without the compiler.
    """

    def __init__(self, data: bytes, variant: str) -> None:
        network = unpack(data)
        cell = network.cells[0]
        if len(network.cells) != 1 or not isinstance(cell, GRU):
            layers = ", ".join(type(layer).__name__ for layer in network.cells)
            raise TinyrnnError(f"a network of {layers}, expected GRU: the C baseline has one GRU layer and a head")
        head = network.head
        if not (isinstance(cell.w, Matrix) and isinstance(cell.u, Matrix) and isinstance(head, Matrix)):
            raise TinyrnnError(
                "a product with low rank or layer normalization, expected whole matrices: the C baseline has no others"
            )
        self.machine = machine = Machine()
        # The code must be linked for its address: that of the first block, on any machine of this size
        code, _ = build(variant, 0x20000000)
        address = Machine().place(code, code=True)
        code, entry = build(variant, address)
        if machine.place(code, code=True) != address:
            raise TinyrnnError("the code lies at another address than it was linked for")
        self._entry = entry | 1
        self._width = VARIANTS[variant]
        self._build(network, cell.w, cell.u, head)

    def _build(self, network: Network, w: Matrix, u: Matrix, head: Matrix) -> None:
        place = self.machine.place
        channels = network.input
        inputs, units = w.weight.shape[1], u.weight.shape[1]
        self._units, self._outputs = units, head.weight.shape[0]
        table = np.stack([channels.low, channels.high, channels.offset, channels.factor, channels.shift], axis=1)
        blocks = 4 * (-(-3 * units // 4) * 4)
        x = place(bytes(self._width * inputs))
        self._h = place(bytes(self._width * units))
        a, b, self._y = place(bytes(blocks)), place(bytes(blocks)), place(bytes(4 * (self._outputs + 3)))
        net = words("<2i2I", inputs, units, place(table.astype("<i4").tobytes()), place(TANH.tobytes()))
        net += b"".join(map(self._matrix, (w, u, head)))
        net += words("<5I", x, self._h, a, b, self._y)
        self._net = place(net)
        self._sample = place(bytes(4 * inputs))

    def _matrix(self, m: Matrix) -> bytes:
        place = self.machine.place
        rows, cols = m.weight.shape
        bias, shift = place(m.bias.astype("<i4").tobytes()), place(m.shift.astype(np.uint8).tobytes())
        weight = place(m.weight.astype(np.int8).tobytes())
        raised = place((m.weight.astype(np.int16) + 128).astype(np.uint8).tobytes())
        return words("<2i5I", rows, cols, bias, shift, weight, raised, place(m.to_bytes()))

    def step(self, sample: tuple[int, ...]) -> list[int]:
        """Run one step. Returns the outputs, then the states; machine.cycles grows by the step's cycles."""
        machine = self.machine
        machine.write(self._sample, np.array(sample, "<i4").tobytes())
        machine.call(self._entry, self._net, self._sample)
        y = np.frombuffer(machine.read(self._y, 4 * self._outputs), "<i4")
        h = np.frombuffer(machine.read(self._h, self._width * self._units), f"<i{self._width}")
        return [*y.tolist(), *h.tolist()]
