"""What every integer layer of a network is to the packer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tinyrnn.integer_model.matrices import Matrix, Product


class IntegerCell:
    """A layer of the integer network. Its arithmetic is the device's: device/urnn has a module of the tag's name."""

    tag: ClassVar[bytes]  # of its section in the file

    @property
    def inputs(self) -> int:
        """Length of the vector that it takes."""
        raise NotImplementedError

    @property
    def units(self) -> int:
        """Length of the vector that it gives to the next layer."""
        raise NotImplementedError

    @property
    def state_size(self) -> int:
        """Numbers that it keeps from step to step."""
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
        """The payload of its section. Raises ModelError when a dimension has no room."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: memoryview) -> IntegerCell:
        """The inverse of ``to_bytes``; the device's loader has checked the payload."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recurrent(IntegerCell):
    """A cell with a product W on the layer's input, a product U on its own output, and fields of its kind."""

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
