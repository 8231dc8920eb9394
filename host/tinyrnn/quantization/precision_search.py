"""The integer network that is near enough to its float model: int8 first, finer weights and other ranges where it is not.

Rows of finer weights (docs/numerics.md, equation 36) cost twice a row's bytes and multiplications, so only those stay
that the error needs. Everything is decided by measuring.
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

HARDEST = 3, 12  # sequences on which the search measures, the fewer the larger the network
WORK = 3e9  # multiplications of one measurement in the search
DEAR = 0.2  # of the file's bytes: what finer rows may cost where the error is below the limit of a warning
WORTH = 0.8  # a change stays when it leaves no more than this part of the error
SLACK = 1.15  # of the error with all rows finer, that the chosen rows may leave
NARROWEST = 3  # powers of two by which a state's range may be smaller than what calibration saw

Fine = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Measured:
    """An integer network and how near it is to its float model."""

    quantized: Quantized
    error: IntegerError
    fault: str | None  # the layer at fault, where the error is above a warning's limit
    finer: Fine  # product -> its rows of finer weights
    FEW: ClassVar[int] = STEPS_FEW

    @property
    def network(self) -> Network:
        """The network, with the error in it."""
        error = self.error
        nearness = Nearness(
            error.largest_share, error.mean_share, error.equal_share, error.outputs, error.source == RECORDING
        )
        return replace(self.quantized.network, nearness=nearness)

    @property
    def input_steps(self) -> dict[str, float]:
        """Steps of the integer input in one deviation of each channel that is a float in the user's unit."""
        model = self.quantized.model
        if model.calibration.integer:
            return {}
        steps = input_steps(model, self.quantized.network)
        return dict(zip(model.channels, steps.tolist(), strict=True))

    @property
    def few_steps(self) -> list[str]:
        """Channels whose signal is lost among the integers."""
        return [name for name, steps in self.input_steps.items() if steps < STEPS_FEW]

    def warning(self) -> str | None:
        """One line where the error is above the limits: how much, where, and what helps."""
        if self.fault is None:
            return None
        tried = "finer weights and other ranges of the states were tried and help no further"
        own = self.error.source == RECORDING
        cure = "" if own else "; give `tinyrnn import` a recording of your inputs with --data: the ranges are then theirs"
        return f"{_off(self.error, self.fault)}; {tried}{cure}"


def _off(error: IntegerError, fault: str | None) -> str:
    """How much, where, and in which layer if that is known."""
    off = f"the integers are off by {100 * error.largest_share:.3g} % of the range on '{error.worst}'"
    return f"{off}; {fault} is at fault" if fault else off


def measured(model: FloatModel) -> Measured:
    """Quantize and measure on the recording that the model knows, or on probing sequences. Raises ModelError."""
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
    """The error of a network that was read from a file, on sequences (T, C), or on what the model knows; and a warning.

    Raises ModelError where the two do not belong together.
    """
    if (len(model.mean), len(model.labels)) != (network.inputs, network.outputs):
        raise ModelError(
            f"the float model has {len(model.mean)} inputs and {len(model.labels)} outputs; "
            f"expected {network.inputs} and {network.outputs}, as the integer model has"
        )
    evidence, _ = Evidence.of(model)
    if sequences:
        evidence = Evidence({f"sequence {i}": x for i, x in enumerate(sequences)}, RECORDING, False)
    error = Judge(model, evidence).measure(network)
    if not error.above():
        return error, None
    # The file does not hold the formats between its layers: the model is quantized again, and tells them if it is the source
    found = measured(model).quantized
    source = [cell.to_bytes() for cell in found.network.cells] == [cell.to_bytes() for cell in network.cells]
    return error, _off(error, at_fault(Judge(found.model, evidence), network, found.bits) if source else None)


class _Search:
    """Tries variants of the network on the sequences that matter.

    wrong: the error is above the limit of a warning. Else only recurrent matrices get finer rows, whose errors add up over
    time, and only a few.
    """

    def __init__(self, judge: Judge, wrong: bool) -> None:
        self.judge = judge
        self.wrong = wrong
        self.narrower = [0] * len(judge.model.cells)

    def run(self, first: Quantized) -> tuple[Quantized, Fine]:
        """The nearest network found, and its finer rows."""
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
        """Smaller ranges of states: a finer state against one that saturates now and then."""
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
        """As few rows as do: whole products first, the largest of all first, then rows by what rounding takes from them."""
        for name in sorted(fine, key=lambda name: -len(fine[name])):
            fewer = {other: rows for other, rows in fine.items() if other != name}
            if self._enough(fewer, finest):
                fine = fewer
        for name in fine:
            if name == "head":
                continue
            order = self._by_rounding(name, fine)
            low, high = 0, len(order)  # high does
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
        """The product's rows, those first that lose most with 8 bits."""
        whole, coarse = (_weights(self._must(rows), name) for rows in (fine, {}))
        lost = np.abs(whole - coarse).sum(axis=1)
        return [int(r) for r in np.argsort(-lost, kind="stable") if lost[r] > 0] or [0]

    def _must(self, fine: Fine) -> Quantized:
        found = self._quantized(fine)
        assert found is not None, "it was quantized before"
        return found

    def _quantized(self, fine: Fine) -> Quantized | None:
        """None where rows have no room."""
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
    """Every product that can have finer rows, or only the recurrent ones, and its rows."""
    products = {
        f"layer {number} {name}": product.shape[0]
        for number, cell in enumerate(found.network.cells)
        for name, product in cell.products
        if name in ("U", "N") or (name == "W" and all_of_them)
    }
    return {**products, "head": found.network.outputs} if all_of_them else products


def _weights(found: Quantized, product: str) -> np.ndarray:
    """The weights (R, C) that a product of the network has, in the unit of its results."""
    layer, name = product.removeprefix("layer ").split()
    return dict(found.network.cells[int(layer)].products)[name].real()
