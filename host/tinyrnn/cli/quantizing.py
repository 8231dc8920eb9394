# SPDX-License-Identifier: MIT
"""Shared by `import`, `quantize` and `demo`: quantize, compare with the float model and print the result."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyrnn.float_model.model import FloatModel
    from tinyrnn.integer_model.network import Network
    from tinyrnn.quantization.precision_search import Measured


def add_accept_error(parser: argparse._ActionsContainer) -> None:
    """Add --accept-error."""
    parser.add_argument(
        "--accept-error",
        action="store_true",
        help="write the .urnn file even if its outputs are far from the float model's",
    )


def quantize(model: FloatModel, accept_error: bool = False) -> Network:
    """Quantize, print the integer error and return the network. Raises ModelError if the error is large and not accepted."""
    from tinyrnn.errors import ModelError

    found = measured(model)
    show(found)
    if found.error.far and not accept_error:
        raise ModelError(
            f"the integers are far from the float model (mean difference {100 * found.error.mean_share:.3g} % of the "
            "range), nothing is written; expected less: see the lines above, or accept it with --accept-error"
        )
    return found.network


def measured(model: FloatModel) -> Measured:
    """precision_search.measured(), with a spinner on a terminal: a large network takes a minute."""
    from tinyrnn.cli import screen
    from tinyrnn.quantization import precision_search

    console = screen.console(stderr=True)
    if not console.is_terminal:
        return precision_search.measured(model)
    with console.status("measuring the integers against the float model"):
        return precision_search.measured(model)


def show(found: Measured) -> None:
    """Print the resolution of the inputs, the finer rows, the integer error, and warnings."""
    steps = found.input_steps
    if steps:
        name, count = min(steps.items(), key=lambda item: item[1])
        many = len(steps) > 1
        number = f"{count:.0f}" if count >= 100 else f"{count:.3g}"
        print(
            f"inputs: one standard deviation{f' of {name}' * many} is {number} steps of the integer input"
            f"{', the fewest' * many}"
        )
        if found.few_steps:
            print(
                f"warning: {', '.join(found.few_steps)}: fewer than {found.FEW} steps in a standard deviation may lose the "
                "signal; subtract the offset from the values, both in the recording and before step()"
            )
    for product, rows in found.finer.items():
        print(f"{product}: {len(rows)} of its rows have 15-bit weights, because 8 bits were not enough")
    print(found.error)
    warning = found.warning()
    if warning:
        print(f"warning: {warning}")
