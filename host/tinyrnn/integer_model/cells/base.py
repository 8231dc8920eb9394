# SPDX-License-Identifier: MIT
"""The base class of the integer layers: what packer, proof and reports need to know about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from tinyrnn.integer_model.matrices import Matrix, Product


class IntegerCell:
    """A layer of the integer network. Its arithmetic is in the module of device/urnn with the tag's name."""

    tag: ClassVar[bytes]  # tag of its section in the file
    options: ClassVar[tuple[str, ...]] = ("",)  # the variants that drawn() can make

    @property
    def title(self) -> str:
        """Its name in `train --cell` and in the boards' figures."""
        return self.tag.decode().lower().replace("_", "-")

    @property
    def inputs(self) -> int:
        """Length of the input vector."""
        raise NotImplementedError

    @property
    def units(self) -> int:
        """Length of the output vector, which the next layer gets."""
        raise NotImplementedError

    @property
    def state_size(self) -> int:
        """The numbers kept from step to step."""
        return self.units

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        """Its products by name, in the file's order."""
        return ()

    @property
    def matrices(self) -> tuple[tuple[str, Matrix], ...]:
        """Its matrices by name, in the file's order."""
        return tuple((name + factor, one) for name, product in self.products for factor, one in product.matrices)

    def to_bytes(self) -> bytes:
        """The payload of its section. Raises ModelError if a dimension does not fit in its field."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: memoryview) -> IntegerCell:
        """The inverse of ``to_bytes``. The device's loader has already checked the payload."""
        raise NotImplementedError

    @classmethod
    def drawn(cls, draw: Draw, inputs: int, units: int, option: str) -> IntegerCell:
        """A random cell of this kind, for tests. `draw` gives its products and numbers; option is one of ``options``."""
        raise NotImplementedError


class Draw(Protocol):
    """A source of random values for a cell."""

    def product(self, rows: int, cols: int) -> Product:
        """A product whose accumulators stay in the 31-bit range."""

    def matrix(self, rows: int, cols: int) -> Matrix:
        """A product that is a single matrix."""

    def number(self, low: int, high: int) -> int:
        """A whole number, low..high, often one of the ends."""

    def vector(self, length: int, most: int) -> np.ndarray:
        """int32 (length,) within +-most."""


@dataclass(frozen=True)
class Recurrent(IntegerCell):
    """A cell with a product W of the layer's input, a product U of its own output, and fields of its kind."""

    w: Product
    u: Product

    @property
    def inputs(self) -> int:
        return self.w.shape[1]

    @property
    def units(self) -> int:
        return self.u.shape[1]

    @property
    def products(self) -> tuple[tuple[str, Product], ...]:
        return ("W", self.w), ("U", self.u)
