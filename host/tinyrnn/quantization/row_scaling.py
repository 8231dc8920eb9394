# SPDX-License-Identifier: MIT
"""Row scaling: real matrices -> integer matrices of the model file; docs/numerics.md, equations 13, 14, 34 and 35.

Each row has a power-of-two exponent, the largest for which the weights fit in 8 bits and the accumulator in 31 bits.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.float_model.layers import Factors, Weight
from tinyrnn.integer_model.limits import ACTIVATION_MAX, LIMIT
from tinyrnn.integer_model.matrices import ExtendedProduct, Fine, Matrix, Norm, Product, accumulator_bound
from tinyrnn.text import counted

GATE_BITS = 12  # gates are Q3.12
STATE_BITS = 15  # states without a calibrated range are Q0.15
SHIFT_MAX = 24
WEIGHT_MAX = 127
FINE_MAX = 127 * 128 + 127  # largest weight of a finer row, 128 * high + low
NORM_HEADROOM = 1.5  # input range of a layer normalisation relative to the largest value in calibration


def round_half_up(x: np.ndarray | float) -> np.ndarray:
    """x rounded to the nearest integers, halves up: the device's rounding rule."""
    return np.floor(np.asarray(x, np.float64) + 0.5).astype(np.int64)


def row(
    what: str,
    w: np.ndarray,
    b: float,
    bits: int,
    lowest: int,
    highest: int,
    unit: int | None,
    most: int = WEIGHT_MAX,
) -> tuple[np.ndarray, int, int]:
    """The integers of a row: weights (C,) scaled by 2^e, bias scaled by 2^(e + bits), and e, the largest that fits.

    e fits if lowest <= e <= highest, the weights are within +-most, and the bound of the accumulator (equation 8) is below
    2^30. The device shifts the result right by e - unit, whose rounding half is part of the bound; None: no shift. Raises
    ModelError if no e fits.
    """
    largest = float(np.abs(w).max(initial=0))
    exponent = highest if largest == 0 else min(highest, math.floor(math.log2((most + 0.5) / largest)))
    if b:  # |b| < 2^frexp; a larger e cannot fit, and its integers would overflow here
        exponent = min(exponent, 31 - bits - math.frexp(b)[1])
    while exponent >= lowest:
        weight = round_half_up(w * 2.0**exponent)
        offset = int(round_half_up(b * 2.0 ** (exponent + bits)))
        half = 0 if unit is None else 1 << (exponent - unit) >> 1
        bound = int(accumulator_bound(weight, abs(offset) + half))
        if np.abs(weight).max(initial=0) <= most and bound < LIMIT:
            return weight, offset, exponent
        exponent -= 1
    raise ModelError(
        f"{what}: weights up to {largest:g}, a bias of {b:g} and {counted(len(w), 'column')} do not fit 8-bit weights and a "
        "31-bit accumulator; expected smaller weights (train with weight decay) or fewer units"
    )


def matrix(weights: list[np.ndarray], biases: list[int], shift: np.ndarray) -> Matrix:
    """The matrix of these rows. The rounding halves are added to the biases."""
    half = (1 << shift.astype(np.int64)) >> 1
    return Matrix(
        weight=np.array(weights).astype(np.int8),
        bias=(np.array(biases, np.int64) + half).astype(np.int32),
        shift=shift.astype(np.uint8),
    )


def rescaled(what: str, weight: np.ndarray, bias: np.ndarray, bits: int, out: int = GATE_BITS) -> Matrix:
    """A matrix for a vector with `bits` fraction bits; the result has `out`. Raises ModelError, which names the row."""
    lowest = out - bits  # a smaller exponent would need a left shift
    scaled = [
        row(f"{what} row {r}", w, b, bits, lowest, lowest + SHIFT_MAX, lowest)
        for r, (w, b) in enumerate(zip(weight, bias, strict=True))
    ]
    return matrix([w for w, _, _ in scaled], [b for _, b, _ in scaled], np.array([e - lowest for _, _, e in scaled]))


def refined(
    what: str, weight: np.ndarray, bias: np.ndarray, bits: int, out: int, rows: Collection[int]
) -> tuple[Matrix, Fine | None]:
    """As rescaled(), with some finer rows: the matrix, including the rows of high halves, and their table (equation 36).

    A row does not change if 8 bits hold its weights exactly, or if its sum leaves no room for more bits.
    """
    plain = rescaled(what, weight, bias, bits, out)
    lowest = out - bits
    weights = plain.weight.astype(np.int64)
    shifts = plain.shift.astype(np.int64)
    offsets = plain.bias - ((1 << shifts) >> 1)
    found = []
    for r in sorted(rows):
        w, b, e = row(f"{what} row {r}", weight[r], bias[r], bits, lowest, lowest + SHIFT_MAX, lowest, FINE_MAX)
        more = e - lowest - shifts[r]
        if more > 0 and (w % (1 << more)).any():
            weights[r], offsets[r], shifts[r] = w, b, e - lowest
            found.append(r)
    if not found:
        return plain, None
    whole = fine_matrix(weights, offsets, shifts, np.array(found))
    return whole.matrix, whole.fine


def fine_matrix(weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, rows: np.ndarray) -> ExtendedProduct:
    """The product of weights (R, C) within +-FINE_MAX in `rows` and within +-WEIGHT_MAX in all others (equation 36).

    bias: (R,) without the rounding halves. high and low have the weight's sign, so |w| = 128 |high| + |low|.
    """
    high = np.sign(weight[rows]) * (np.abs(weight[rows]) >> 7)
    low, within = weight.copy(), shift.copy()
    low[rows] -= high << 7
    within[rows] = 0
    none = np.zeros(len(rows), np.int64)
    whole = Matrix(
        weight=np.concatenate([low, high]).astype(np.int8),
        bias=np.concatenate([bias + ((1 << shift) >> 1), none]).astype(np.int32),
        shift=np.concatenate([within, none]).astype(np.uint8),
    )
    return ExtendedProduct(whole, fine=Fine(rows.astype(np.uint16), shift[rows].astype(np.uint16)))


def bounded(what: str, weight: np.ndarray, bits: int) -> tuple[Matrix, np.ndarray]:
    """A matrix without bias whose results provably fit in 16 bits, and the fraction bits of each result (equation 35).

    Raises ModelError, which names the row.
    """
    weights, shifts, got = [], [], []
    for r, w in enumerate(weight):
        integers, _, exponent = row(f"{what} row {r}", w, 0.0, bits, -60, SHIFT_MAX, None)
        total = int(accumulator_bound(integers, 0))
        shift = next(s for s in range(31) if total + (1 << s >> 1) <= ACTIVATION_MAX << s)
        weights.append(integers)
        shifts.append(shift)
        got.append(exponent + bits - shift)
    return matrix(weights, [0] * len(weights), np.array(shifts)), np.array(got)


def product(
    what: str,
    weight: Weight,
    bias: np.ndarray,
    bits: int,
    out: int = GATE_BITS,
    norm: Norm | None = None,
    fine: Collection[int] = (),
) -> Product:
    """W x + bias as a matrix or as two factors A and B (equation 35), followed by the normalisation if there is one.

    fine: the finer rows, of W, or of A if there are two factors.
    """
    low = None
    if isinstance(weight, Factors):
        low, got = bounded(f"{what} B", weight.b, bits)
        # Each column of A absorbs the format of its input
        what, weight, bits = f"{what} A", weight.a * 2.0 ** (STATE_BITS - got), STATE_BITS
    whole, table = refined(what, weight, bias, bits, out, fine)
    return whole if low is None and norm is None and table is None else ExtendedProduct(whole, low, norm, table)


def normalised(
    what: str,
    weight: Weight,
    inner: np.ndarray,
    gain: np.ndarray,
    bias: np.ndarray,
    eps: float,
    bits: int,
    out: int,
    largest: float,
    fine: Collection[int] = (),
) -> Product:
    """gain * normalise(W x + inner) + bias with `out` fraction bits. largest: the largest |W x + inner| in calibration."""
    inside = min(20, math.floor(math.log2(ACTIVATION_MAX / (NORM_HEADROOM * max(largest, 1e-6)))))
    while True:
        table = norm_table(what, gain, bias, eps, inside, out)
        try:
            return product(what, weight, inner, bits, inside, table, fine)
        except ModelError:  # large weights and a coarse input: the accumulator has no room for so fine a result
            if inside <= -8:
                raise
            inside -= 1


def norm_table(what: str, gain: np.ndarray, bias: np.ndarray, eps: float, bits: int, out: int) -> Norm:
    """The table of the kernel scale() for a vector with `bits` fraction bits; the result has `out` (equation 34)."""
    n = len(gain)
    share = n / 2 ** (n - 1).bit_length()
    largest = float(np.abs(gain).max()) * math.sqrt(share)
    # The normalised value has 12 fraction bits, so the gain has shift + out - 12
    shift = min(15, math.floor(math.log2(ACTIVATION_MAX / max(largest, 1e-9))) - (out - 12))
    offset = round_half_up(bias * 2.0**out)
    if shift < 0 or (np.abs(offset) > ACTIVATION_MAX).any():
        raise ModelError(
            f"{what}: its layer normalisation has gains up to {np.abs(gain).max():g} and biases up to "
            f"{np.abs(bias).max():g}; expected results within +-{ACTIVATION_MAX / 2**out:.1f}"
        )
    return Norm(
        gain=round_half_up(gain * math.sqrt(share) * 2.0 ** (shift + out - 12)).astype(np.int16),
        bias=offset.astype(np.int16),
        # the kernel halves the deviations
        epsilon=int(np.clip(round_half_up(eps * 4.0 ** (bits - 1) * share), 1, 32768)),
        shift=shift,
    )
