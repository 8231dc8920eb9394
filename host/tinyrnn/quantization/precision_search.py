# SPDX-License-Identifier: MIT
"""The precision search: if int8 weights are not close enough to the float model, try finer rows and other state ranges.

Finer rows (docs/numerics.md, equation 36) cost twice the bytes and multiplications, so only those are kept that the error
needs. All choices are made by measuring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.model import FloatModel
from tinyrnn.integer_model.network import Nearness, Network, pack
from tinyrnn.integer_model.summary import macs
from tinyrnn.quantization.integer_error import BETTER, RECORDING, Evidence, IntegerError, Judge, at_fault
from tinyrnn.quantization.quantizer import STEPS_FEW, Quantized, input_steps, quantized
from tinyrnn.text import counted

HARDEST = 3, 12  # fewest and most sequences on which the search measures; a larger network gets fewer
WORK = 3e9  # multiplications of one measurement in the search
DEAR = 0.2  # finer rows may cost this share of the file's bytes if the error is below the limits for a warning
WORTH = 0.8  # a change is kept if it reduces the error to this share or less
SLACK = 1.15  # the error of the chosen rows may be this many times that of all rows
NARROWEST = 3  # a state's range may be this many powers of two smaller than in calibration

Fine = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Measured:
    """An integer network and its integer error."""

    quantized: Quantized
    error: IntegerError
    fault: str | None  # the layer that adds most to the error, if that is above the limits for a warning
    finer: Fine  # product -> its finer rows
    FEW: ClassVar[int] = STEPS_FEW

    @property
    def network(self) -> Network:
        """The network, with the error stored in it."""
        error = self.error
        nearness = Nearness(
            error.largest_share, error.mean_share, error.equal_share, error.outputs, error.source == RECORDING
        )
        return replace(self.quantized.network, nearness=nearness)

    @property
    def input_steps(self) -> dict[str, float]:
        """Steps of the raw integers in one standard deviation of each channel; {} if the recording holds integers."""
        model = self.quantized.model
        if model.calibration.integer:
            return {}
        steps = input_steps(model, self.quantized.network)
        return dict(zip(model.channels, steps.tolist(), strict=True))

    @property
    def few_steps(self) -> list[str]:
        """Channels with too few steps to represent their signal."""
        return [name for name, steps in self.input_steps.items() if steps < STEPS_FEW]

    def warning(self) -> str | None:
        """If the error is above the limits, a line that says how large it is, where, and what helps."""
        if self.fault is None:
            return None
        tried = "finer weights and other ranges of the states were tried and do not help further"
        own = self.error.source == RECORDING
        cure = "" if own else "; give `tinyrnn import` a recording of your inputs with --data, to measure the ranges on it"
        return f"{_off(self.error, self.fault)}; {tried}{cure}"


def _off(error: IntegerError, fault: str | None) -> str:
    """How large the error is, on which sequence, and in which layer if that is known."""
    off = f"the integers are off by {100 * error.largest_share:.3g} % of the range on '{error.worst}'"
    return f"{off}; {fault} adds most to it" if fault else off


def measured(model: FloatModel) -> Measured:
    """Quantize a model, search for precision if needed, and measure the error. Raises ModelError.

    The error is measured on the sequences that the model holds, or on probing sequences.
    """
    evidence, value_ranges = Evidence.of(model)
    model = replace(model, calibration=replace(model.calibration, value_ranges=value_ranges)).folded()
    judge = Judge(model, evidence)
    best = quantized(model)
    outputs = judge.run(best.network)
    error = judge.compare(outputs)
    finer: Fine = {}
    if error.above(BETTER):
        longest = max(len(x) for x in evidence.sequences.values())
        most = int(np.clip(WORK / (longest * macs(best.network)), *HARDEST))
        search = _Search(judge.hardest(outputs, most), error.above())
        best, finer = search.run(best)
        error = judge.measure(best.network)
    fault = at_fault(judge, best.network, best.bits) if error.above() else None
    return Measured(best, error, fault, finer)


def measure(model: FloatModel, network: Network, sequences: Sequence[np.ndarray] = ()) -> tuple[IntegerError, str | None]:
    """The error of a network from a file, and a warning or None.

    sequences: (T, C) in the user's unit; by default those that the model holds, or probing sequences. Raises ModelError if
    the numbers of inputs or outputs differ.
    """
    if (len(model.mean), len(model.labels)) != (network.inputs, network.outputs):
        raise ModelError(
            f"the float model has {counted(len(model.mean), 'input')} and {counted(len(model.labels), 'output')}; "
            f"expected {network.inputs} and {network.outputs}, as in the integer model"
        )
    evidence, _ = Evidence.of(model)
    if sequences:
        evidence = Evidence({f"sequence {i}": x for i, x in enumerate(sequences)}, RECORDING, False)
    error = Judge(model, evidence).measure(network)
    if not error.above():
        return error, None
    # The file does not hold the formats between layers. The model is quantized again; if it gives the same cells, its
    # formats are the right ones
    found = measured(model).quantized
    source = [cell.to_bytes() for cell in found.network.cells] == [cell.to_bytes() for cell in network.cells]
    return error, _off(error, at_fault(Judge(found.model, evidence), network, found.bits) if source else None)


class _Search:
    """Tries variants of the network on the hardest sequences.

    wrong: whether the error is above the limits for a warning. Otherwise only recurrent matrices get finer rows, and only
    a few, because their errors add up over time.
    """

    def __init__(self, judge: Judge, wrong: bool) -> None:
        self.judge = judge
        self.wrong = wrong
        self.narrower = [0] * len(judge.model.cells)

    def run(self, first: Quantized) -> tuple[Quantized, Fine]:
        """The best network found, and its finer rows."""
        best, least = first, self.judge.measure(first.network).amount
        best, least = self._ranges(best, least)
        everything = {name: tuple(range(rows)) for name, rows in _products(best, self.wrong).items()}
        finest = self._quantized(everything)
        amount = self.judge.measure(finest.network).amount if finest else least
        if finest is None or amount > WORTH * least:
            return best, {}
        fine = self._fewest(everything, amount)
        finer = self._must(fine)
        coarse_bytes, fine_bytes = (len(pack(each.network)) for each in (best, finer))
        if not self.wrong and fine_bytes > (1 + DEAR) * coarse_bytes:
            return best, {}
        return finer, fine

    def _ranges(self, best: Quantized, least: float) -> tuple[Quantized, float]:
        """Try smaller ranges of the states, which make a state finer but let it saturate now and then."""
        for cell in range(len(self.narrower)):
            for n in range(1, NARROWEST + 1):
                before, self.narrower[cell] = self.narrower[cell], n
                tried = self._quantized({})
                amount = self.judge.measure(tried.network).amount if tried else least
                if tried is None or amount > WORTH * least:
                    self.narrower[cell] = before
                    break
                best, least = tried, amount
        return best, least

    def _fewest(self, fine: Fine, finest: float) -> Fine:
        """As few finer rows as suffice. Removes whole products, the largest first, then rows with small rounding errors."""
        for name in sorted(fine, key=lambda name: -len(fine[name])):
            fewer = {other: rows for other, rows in fine.items() if other != name}
            if self._enough(fewer, finest):
                fine = fewer
        for name in fine:
            if name == "head":
                continue
            order = self._by_rounding(name, fine)
            low, high = 0, len(order)  # high rows are enough
            while high - low > 1:
                middle = (low + high) // 2
                if self._enough({**fine, name: tuple(sorted(order[:middle]))}, finest):
                    high = middle
                else:
                    low = middle
            fine = {**fine, name: tuple(sorted(order[:high]))}
        return fine

    def _enough(self, fine: Fine, finest: float) -> bool:
        tried = self._quantized(fine)
        if tried is None:
            return False
        error = self.judge.measure(tried.network)
        return error.amount <= SLACK * finest or not error.above(BETTER)

    def _by_rounding(self, name: str, fine: Fine) -> list[int]:
        """The rows of a product in descending order of their rounding error with 8 bits."""
        whole, coarse = (_weights(self._must(rows), name) for rows in (fine, {}))
        lost = np.abs(whole - coarse).sum(axis=1)
        return [int(r) for r in np.argsort(-lost, kind="stable") if lost[r] > 0] or [0]

    def _must(self, fine: Fine) -> Quantized:
        found = self._quantized(fine)
        assert found is not None, "it was quantized before"
        return found

    def _quantized(self, fine: Fine) -> Quantized | None:
        """The quantized model with these finer rows; None if they do not fit."""
        model = self.judge.model
        value_ranges = tuple(
            replace(each, state=each.state * 2.0**-n)
            for each, n in zip(model.calibration.value_ranges, self.narrower, strict=True)
        )
        try:
            return quantized(replace(model, calibration=replace(model.calibration, value_ranges=value_ranges)), fine)
        except ModelError:
            return None


def _products(found: Quantized, all_of_them: bool) -> dict[str, int]:
    """The products that may have finer rows, all or only the recurrent ones, with their numbers of rows."""
    products = {
        f"layer {number} {name}": product.shape[0]
        for number, cell in enumerate(found.network.cells)
        for name, product in cell.products
        if name in ("U", "N") or (name == "W" and all_of_them)
    }
    return {**products, "head": found.network.outputs} if all_of_them else products


def _weights(found: Quantized, product: str) -> np.ndarray:
    """The weights (R, C) of a product of the network, in units of its results' last bit."""
    layer, name = product.removeprefix("layer ").split()
    return dict(found.network.cells[int(layer)].products)[name].real()
