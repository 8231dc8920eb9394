# SPDX-License-Identifier: MIT
"""The architecture of a network to train: cells, units and options. This module imports neither numpy nor torch."""

from __future__ import annotations

from dataclasses import dataclass

from tinyrnn.errors import ModelError
from tinyrnn.float_model import cells
from tinyrnn.text import counted

MOST_EMBEDDING = 1024
MOST_UNITS, MOST_LAYERS = 2048, 16  # a GRU of 2048 units has 12 MB of weights


@dataclass(frozen=True)
class Architecture:
    """The recurrent layers of a network to train. Raises ModelError if the options contradict each other."""

    cells: tuple[str, ...] = (cells.DEFAULT,)  # a name from float_model.cells for each layer
    units: int = 32  # of each layer
    projection: int = 0  # outputs of an LSTM layer, fewer than its units; 0: no projection
    rank: int = 0  # of W and U, which become two factors if that makes them smaller; 0: full matrices
    layernorm: bool = False  # layer normalisation inside the cells
    layernorm_between: bool = False  # layer normalisation between the cells
    embedding: int = 0  # numbers that stand for a symbol, if the input is one; 0: the input is numbers

    def __post_init__(self) -> None:
        if not self.cells:
            raise ModelError("the network has 0 layers; expected at least 1")
        for name in self.cells:
            cells.get(name)
        if self.units < 1:
            raise ModelError(f"units is {self.units}; expected at least 1")
        if self.units > MOST_UNITS or len(self.cells) > MOST_LAYERS:
            seen = f"{counted(len(self.cells), 'layer')} of {self.units} units"
            raise ModelError(f"{seen}; expected at most {MOST_LAYERS} of {MOST_UNITS}: no board holds more")
        if self.projection and not any(cells.get(name).cell.projects for name in self.cells):
            raise ModelError(f"a projection to {self.projection} outputs of a {self.title}; expected an lstm: --cell lstm")
        if self.projection < 0 or self.projection >= self.units:
            seen = f"a projection to {self.projection} outputs of {self.units} units"
            raise ModelError(f"{seen}; expected 1 to {self.units - 1} outputs")
        for name in self.cells:
            rows = cells.get(name).cell.gates * self.units
            if self.rank and not self.saves(rows, self.outputs(name)):
                least = f"the matrix U of a {name} is {rows} x {self.outputs(name)}"
                raise ModelError(f"a rank of {self.rank} saves nothing: {least}; expected a lower rank or none")
        if not 0 <= self.embedding <= MOST_EMBEDDING:
            raise ModelError(f"an embedding of {self.embedding} numbers; expected 1 to {MOST_EMBEDDING}")
        if self.layernorm_between and len(self.cells) < 2:
            raise ModelError("layer normalisation between layers with 1 layer; expected at least 2: use --layers 2")

    @property
    def title(self) -> str:
        """The names of the cells: "lstm,gru", or just "gru" if all layers are of one kind."""
        return ",".join(self.cells) if len(set(self.cells)) > 1 else self.cells[0]

    def outputs(self, name: str) -> int:
        """The output length of a layer of this cell."""
        return self.projection if self.projection and cells.get(name).cell.projects else self.units

    def saves(self, rows: int, cols: int) -> bool:
        """Whether two factors of the architecture's rank hold fewer numbers than the full matrix."""
        return self.rank > 0 and self.rank * (rows + cols) < rows * cols
