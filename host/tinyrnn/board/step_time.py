# SPDX-License-Identifier: MIT
"""What a step takes on a board, from the measured figures in boards/*.toml: no board is needed, and no guess is made.

cycles = fixed + mac * MACs + unit * units + input * inputs + layer * layers. The coefficients are of one kernel set and
one kind of cell, fitted by tools/costmodel.py to steps measured on that chip; what was not measured is not estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinyrnn.board import catalogue
from tinyrnn.board.catalogue import Board
from tinyrnn.errors import BoardError
from tinyrnn.integer_model.matrices import Matrix
from tinyrnn.integer_model.network import Network
from tinyrnn.integer_model.summary import macs

COEFFICIENTS = ("fixed", "mac", "unit", "input", "layer")
BEYOND = 1.25  # times the multiplications of the largest network that was measured: nothing is said of larger ones


@dataclass(frozen=True)
class CycleModel:
    """Cycles of a step with one kernel set and one kind of cell."""

    fixed: float
    mac: float
    unit: float
    input: float
    layer: float

    def cycles(self, macs: int, units: int, inputs: int, layers: int) -> float:
        return self.fixed + self.mac * macs + self.unit * units + self.input * inputs + self.layer * layers


@dataclass(frozen=True)
class Estimate:
    """A step with one kernel set."""

    kernels: str
    cycles: float
    us: float
    error_pct: float  # the largest error on models that the model was not fitted to
    source: str


def cell_of(network: Network) -> str | None:
    """The kind of all its cells, or None for what is not estimated.

    Not estimated: several kinds of cells, which an embedding or a layer normalisation is too; matrices of low rank;
    normalisation inside a cell; a projection.
    """
    kinds = {cell.title for cell in network.cells}
    whole = all(
        len(cell.products) <= 2 and isinstance(product, Matrix) for cell in network.cells for _, product in cell.products
    )
    return kinds.pop() if len(kinds) == 1 and whole else None


def estimates(network: Network, board: Board) -> list[Estimate] | str:
    """With each kernel set that was measured, best first; or, in words, why there is none.

    Raises BoardError when the board's [cost] is wrong.
    """
    cost = _measured(board)
    clock = board.figure("clock_hz")
    if not cost or not clock:
        return "not measured on this chip"
    cell = cell_of(network)
    units = sum(each.units for each in network.cells)
    found = []
    large = False
    for kernels, table in cost.items():
        if cell not in table:
            continue
        model, largest, error, source = _cycle_model(board, kernels, table[cell])
        if macs(network) > BEYOND * largest:
            large = True
            continue
        cycles = model.cycles(macs(network), units, network.inputs, len(network.cells))
        found.append(Estimate(kernels, cycles, cycles / clock * 1e6, error, source))
    if found:
        return sorted(found, key=lambda each: each.cycles)
    if large:
        return "not measured for networks as large as this"
    known = sorted({name for table in cost.values() for name in table})
    return f"not measured for these cells: expected whole matrices and one kind of {', '.join(known)}"


def _measured(board: Board) -> dict[str, dict[str, Any]]:
    """Kernel set -> cell -> coefficients, of the board itself or of the one with the same chip."""
    other = board.cost.get("cost_of")
    cost = catalogue.get(other).cost if other else board.cost
    return {name: table for name, table in cost.items() if isinstance(table, dict)}


def _cycle_model(board: Board, kernels: str, table: dict[str, Any]) -> tuple[CycleModel, float, float, str]:
    """The model, the MACs of the largest network measured, the error, and how it was measured."""
    try:
        model = CycleModel(*(float(table[name]) for name in COEFFICIENTS))
        other = f"same chip as {board.cost['cost_of']}: " if "cost_of" in board.cost else ""
        return model, float(table["largest_macs"]), float(table["error_pct"]), other + str(table["source"])
    except (KeyError, TypeError, ValueError):
        what = f"{board.key}: [cost.{kernels}] is {table}"
        raise BoardError(
            f"{what:.200}; expected {', '.join(COEFFICIENTS)}, largest_macs, error_pct, source: tools/costmodel.py"
        ) from None
