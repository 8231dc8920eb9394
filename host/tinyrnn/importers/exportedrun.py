"""A torch.export program run node by node in torch: what an import is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyrnn.importers.exportedfile import FLOATS, Node
from tinyrnn.importers.exportedops import LARGEST, value_of
from tinyrnn.importers.flow import Flow
from tinyrnn.importers.source import refuse


class Runner:
    """The program itself, node by node in torch, float64."""

    def __init__(
        self,
        nodes: Sequence[Node],
        weights: dict[str, np.ndarray],
        data: str,
        answer: str,
        start: Flow,
        flow: Flow,
        states: Sequence[str],
        meta: dict[str, Any],
    ) -> None:
        """meta: the description of every tensor of the graph."""
        self.nodes, self.weights, self.data, self.answer, self.start, self.flow = nodes, weights, data, answer, start, flow
        self.states = {name: [int(n["as_int"]) if "as_int" in n else None for n in meta[name]["sizes"]] for name in states}
        self.whole = meta[data]["dtype"] not in FLOATS

    def __call__(self, x: np.ndarray) -> np.ndarray:
        import torch

        batch, time = x.shape[:2]
        values: dict[str, Any] = {
            name: torch.from_numpy(a.astype(np.float64) if a.dtype.kind == "f" else a) for name, a in self.weights.items()
        }
        for name, sizes in self.states.items():
            if int(np.prod([n or batch for n in sizes], dtype=object)) > LARGEST:
                raise refuse(name, f"is an initial state of shape {sizes}", "export it again")
            values[name] = torch.zeros([n or batch for n in sizes], dtype=torch.float64)
        order = ["BTF".index(axis[0]) for axis in self.start.axes]
        missing = [i for i in range(3) if i not in order]
        moved = np.ascontiguousarray(x.transpose(order + missing).reshape([x.shape[i] for i in order]))
        values[self.data] = torch.from_numpy(moved.astype(np.int64) if self.whole else moved)
        with torch.no_grad():
            for node in self.nodes:
                self._run(node, values)
        return self.flow.arrange(values[self.answer].numpy(), batch, time, self.answer)

    def _run(self, node: Node, values: dict[str, Any]) -> None:
        import torch

        given = {}
        for key, (kind, argument) in node.inputs.items():
            if kind in ("as_device", "as_layout", "as_memory_format") or key == "pin_memory":
                continue
            if kind == "as_scalar_type":
                given[key] = torch.float64 if argument in FLOATS else torch.int64
            else:
                given[key] = value_of(values, argument)
        if node.target == "zeros.default":
            given["dtype"] = torch.float64
        if node.target == "sym_size.int":
            result: Any = given["self"].shape[given["dim"]]
        else:
            operator, _, overload = node.target.partition(".")
            result = getattr(getattr(torch.ops.aten, operator), overload)(**given)
        results = result if isinstance(result, (tuple, list)) else [result]
        values.update(zip(node.outputs, results, strict=False))
