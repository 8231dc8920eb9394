# SPDX-License-Identifier: MIT
"""The RNN, LSTM and GRU nodes of ONNX: their gate orders, and the attributes and optional inputs that are supported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.importers.axis_tracking import CellState, InitialState, TrackedArray
from tinyrnn.importers.onnx.graph_file import Node
from tinyrnn.importers.source_model import SourceStep, refuse

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ORDERS = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}  # ONNX: z r h and i o f c; here r z n and i f g o
DEFAULTS = {"RNN": ("tanh",), "GRU": ("sigmoid", "tanh"), "LSTM": ("sigmoid", "tanh", "tanh")}
HARMLESS_CLIP = 20.0  # here sigmoid and tanh differ from their limits by less than 3e-9
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


@dataclass(frozen=True)
class Lengths:
    """An input of the graph with the length of each sequence. A stream does not need it: it simply ends."""

    name: str


def recurrent(node: Node, given: Sequence[Any]) -> list[Any]:
    """Y, Y_h and, for an LSTM, Y_c. Raises ModelError, which names the node, if a FloatModel cannot express it."""
    named = dict(zip(INPUTS, [*given, *[None] * 8], strict=False))
    kind, name = node.kind, f"{node.kind} {node.name}"
    attributes = node.attributes
    direction = attributes.get("direction", "forward")
    if direction != "forward":
        raise refuse(name, f"has direction {direction}", "a stream has no future: train it in the forward direction")
    _plain(name, kind, attributes)
    x = named["X"]
    if not isinstance(x, TrackedArray):
        raise refuse(name, "does not run over the sequence of the input", "expected one path through the layers")
    layout = "BTF" if attributes.get("layout", 0) else "TBF"
    x.expect(layout, name)
    _from_zero(name, named, x)
    made = _cell(name, kind, named, attributes)
    after = x.cell(SourceStep(name, made), layout, made.units)
    directions = {"BTF": (("B",), ("T",), (), ("F",)), "TBF": (("T",), (), ("B",), ("F",))}[layout]
    last = {"BTF": (("B",), (), ("F",)), "TBF": ((), ("B",), ("F",))}[layout]
    return [replace(after, axes=directions), replace(after, axes=last, last=after.time > 1), CellState()]


def _plain(name: str, kind: str, attributes: Any) -> None:
    """Raise ModelError for activations, clip or input_forget that the cells of float_model do not have."""
    found = tuple(str(a).lower() for a in attributes.get("activations", ())) or DEFAULTS[kind]
    wanted = DEFAULTS[kind]
    if found != wanted and not (kind == "RNN" and found == ("relu",)):
        allowed = "Tanh or Relu" if kind == "RNN" else ", ".join(wanted)
        raise refuse(name, f"has the activations {', '.join(found)}", f"expected {allowed}: train it with these")
    clip = attributes.get("clip")
    if clip is not None and (clip < HARMLESS_CLIP or "relu" in found):
        raise refuse(
            name, f"clips its gates at {clip:g}", f"expected no clip, or one at {HARMLESS_CLIP:g} or more without effect"
        )
    if attributes.get("input_forget"):
        raise refuse(name, "couples its input and forget gates (input_forget)", "expected an LSTM with both")


def _from_zero(name: str, named: dict[str, Any], x: TrackedArray) -> None:
    """Raise ModelError for initial states that are not zero, lengths that cut a sequence, or peepholes."""
    for state in ("initial_h", "initial_c"):
        value = named[state]
        if value is None or isinstance(value, InitialState) or (isinstance(value, np.ndarray) and not value.any()):
            continue
        raise refuse(name, f"has an {state} that is not zero", "expected the zero state, from which a stream starts")
    lengths = named["sequence_lens"]
    whole = isinstance(lengths, np.ndarray) and (lengths == x.time).all()
    if not (lengths is None or isinstance(lengths, Lengths) or whole):
        cure = f"expected {x.time} for all, or an input of the graph"
        raise refuse(name, "has sequence_lens that cut its sequences", cure)
    peepholes = named["P"]
    if peepholes is not None and not (isinstance(peepholes, np.ndarray) and not peepholes.any()):
        raise refuse(name, "has peepholes (input P)", "expected an LSTM without them, as in PyTorch and Keras")


def _cell(name: str, kind: str, named: dict[str, Any], attributes: Any) -> RNN | GRU | LSTM:
    gates = GATES[kind]
    w, r, b = (named[key] for key in "WRB")
    if not all(isinstance(a, np.ndarray) and a.ndim == 3 and len(a) == 1 for a in (w, r)):
        raise refuse(name, "has weights W or R that are not constants of one direction", "export it with constant folding")
    hidden = r.shape[2]
    rows = gates * hidden
    sizes = {w.shape[1], r.shape[1]} | {gates * int(attributes.get("hidden_size", hidden))}
    bad_bias = b is not None and not (isinstance(b, np.ndarray) and b.shape == (1, 2 * rows))
    if sizes != {rows} or bad_bias:
        raise refuse(name, f"has W {w.shape}, R {r.shape}, hidden_size {attributes.get('hidden_size')}", "export it again")
    order = np.concatenate([np.arange(hidden) + hidden * gate for gate in ORDERS[kind]])
    both = np.zeros((2, rows)) if b is None else b.astype(np.float64).reshape(2, rows)
    arrays = w[0].astype(np.float64)[order], r[0].astype(np.float64)[order], both[0][order], both[1][order]
    if kind == "GRU":
        return GRU(*arrays, reset_after=bool(attributes.get("linear_before_reset", 0)))
    if kind == "LSTM":
        return LSTM(*arrays)
    return RNN(*arrays, nonlinearity=str((attributes.get("activations") or ["tanh"])[0]).lower())
