"""The recurrent cells in terms of the kernels. A cell owns its scratch, the net its state; step() allocates nothing."""

from array import array

from .format import matrix


def zeros(n):
    """n 32-bit integers, rounded up to whole blocks of four, as the kernels write them."""
    return array("i", bytes(4 * ((n + 3) & -4)))


class GRU:
    """PyTorch's GRU. docs/numerics.md, equations 9 to 12.

    Section b"GRU ": u16 inputs I, u16 units H, matrix W (3H x I), matrix U (3H x H); gates in the order r, z, n.
    """

    def __init__(self, data, start, stop, inputs, kernels):
        units = data[start + 2] | data[start + 3] << 8
        self.units = units
        self._w, at = matrix(data, start + 4, stop, 3 * units, inputs)
        self._u, at = matrix(data, at, stop, 3 * units, units)
        if at != stop or not units:
            raise ValueError("GRU: wrong length")
        self._a = zeros(3 * units)  # W x + b, Q3.12 before saturation
        self._b = zeros(3 * units)  # U h + c, the same
        self.h = None  # the state, Q0.15: the net's, `units` integers
        self._matvec = kernels.matvec
        self._gates = kernels.gru

    def step(self, x):
        """x: 32-bit integers, Q0.15 or the input's format; returns the new state, Q0.15."""
        h = self.h
        self._matvec(self._w, x, self._a)
        self._matvec(self._u, h, self._b)
        self._gates(self._a, self._b, h, self.units)
        return h


CELLS = {b"GRU ": GRU}
