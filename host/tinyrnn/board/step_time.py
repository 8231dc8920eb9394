# SPDX-License-Identifier: MIT
"""Estimate the time of a step on a board from the measured figures in boards/*.toml, without the board.

cycles = fixed + mac * MACs + unit * units + input * inputs + layer * layers. Each kernel set and kind of cell has its own
coefficients. tools/costmodel.py fits them to steps measured on that chip. There is no estimate where nothing was measured.
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
BEYOND = 1.25  # largest network to estimate, relative to the multiplications of the largest network measured


@dataclass(frozen=True)
class CycleModel:
    """The coefficients for the cycles of a step, for one kernel set and one kind of cell."""

    fixed: float
    mac: float
    unit: float
    input: float
    layer: float

    def cycles(self, macs: int, units: int, inputs: int, layers: int) -> float:
        return self.fixed + self.mac * macs + self.unit * units + self.input * inputs + self.layer * layers


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a step with one kernel set."""

    kernels: str
    cycles: float
    us: float  # microseconds
    error_pct: float  # the largest error for networks that were not used in the fit
    source: str


def cell_of(network: Network) -> str | None:
    """The kind of the network's cells, or None if there is no estimate for the network.

    There is none for several kinds of cells (an embedding and a layer normalisation also count as kinds), for matrices of
    low rank, for a normalisation inside a cell, or for a projection.
    """
    kinds = {cell.title for cell in network.cells}
    whole = all(
        len(cell.products) <= 2 and isinstance(product, Matrix) for cell in network.cells for _, product in cell.products
    )
    return kinds.pop() if len(kinds) == 1 and whole else None


def estimates(network: Network, board: Board) -> list[Estimate] | str:
    """An estimate for each kernel set that was measured, fastest first. If there is none, a text that says why.

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
    """Kernel set -> cell -> coefficients, from the board's own file or that of a board with the same chip."""
    other = board.cost.get("cost_of")
    cost = catalogue.get(other).cost if other else board.cost
    return {name: table for name, table in cost.items() if isinstance(table, dict)}


def _cycle_model(board: Board, kernels: str, table: dict[str, Any]) -> tuple[CycleModel, float, float, str]:
    """(the coefficients, the MACs of the largest network measured, the error in percent, how it was measured)."""
    try:
        model = CycleModel(*(float(table[name]) for name in COEFFICIENTS))
        other = f"same chip as {board.cost['cost_of']}: " if "cost_of" in board.cost else ""
        return model, float(table["largest_macs"]), float(table["error_pct"]), other + str(table["source"])
    except (KeyError, TypeError, ValueError):
        what = f"{board.key}: [cost.{kernels}] is {table}"
        raise BoardError(
            f"{what:.200}; expected {', '.join(COEFFICIENTS)}, largest_macs, error_pct, source: tools/costmodel.py"
        ) from None
