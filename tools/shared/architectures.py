# SPDX-License-Identifier: MIT
"""The networks that the measuring tools use: every cell, and some cells with options."""

from __future__ import annotations

from typing import Any

from tinyrnn.float_model import cells

# Arguments of training.architecture.Architecture, without the units
ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{name: {"cells": (name,)} for name in cells.names()},
    "lstm-projection": {"cells": ("lstm",), "projection": 16},
    "gru-layernorm": {"cells": ("gru",), "layernorm": True},
    "lstm-layernorm": {"cells": ("lstm",), "layernorm": True},
    "gru-rank": {"cells": ("gru",), "rank": 8},
    "lstm-gru": {"cells": ("lstm", "gru"), "layernorm_between": True},
}


def model_options(name: str) -> dict[str, Any]:
    """The options of random_float_model() for one of ARCHITECTURES, without the cells."""
    options = {key: value for key, value in ARCHITECTURES[name].items() if key != "cells"}
    return {("between" if key == "layernorm_between" else key): value for key, value in options.items()}
