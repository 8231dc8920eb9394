# SPDX-License-Identifier: MIT
"""Calls operators of a torch.export program in torch, in float64, also those that depend only on constants.

Torch itself computes a value that depends only on constants. Its size is found first, on the "meta" device, which
allocates nothing, and checked.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyrnn.importers.pytorch.exported.archive import FLOATS, SYMBOLIC, Name, Node
from tinyrnn.importers.source_model import refuse

LARGEST = 1 << 22  # most numbers of a constant that the program computes
TOTAL = 1 << 24  # most numbers of all such constants
WORK = 1 << 33  # most multiplications for all of them

FACTORIES = {"zeros", "ones", "full", "arange", "eye", "scalar_tensor", "linspace"}
FROM_SHAPE = {"new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like"}
VIEWS = {
    "t",
    "transpose",
    "permute",
    "view",
    "expand",
    "expand_as",
    "squeeze",
    "unsqueeze",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "unbind",
    "alias",
    "detach",
    "narrow",
    "chunk",
    "diagonal",
    "movedim",
    "swapaxes",
    "view_as",
    "numpy_T",
    "flatten",
    "unflatten",
    "reshape",
    "_unsafe_view",
    "contiguous",
    "to",
    "type_as",
    "requires_grad_",
    "positive",
    "tensor_split",
    "lift_fresh",
}
PRODUCTS = {"mm", "bmm", "addmm", "matmul", "linear", "mv", "addmv", "outer", "baddbmm"}
# operators without side effects: no file, no random number, no device
FOLDABLE = (
    FACTORIES
    | FROM_SHAPE
    | VIEWS
    | PRODUCTS
    | {
        "add",
        "sub",
        "mul",
        "div",
        "rsub",
        "neg",
        "reciprocal",
        "sqrt",
        "rsqrt",
        "square",
        "pow",
        "exp",
        "log",
        "abs",
        "sign",
        "floor",
        "ceil",
        "round",
        "trunc",
        "clamp",
        "clamp_min",
        "clamp_max",
        "maximum",
        "minimum",
        "where",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "logical_not",
        "logical_and",
        "logical_or",
        "sigmoid",
        "tanh",
        "relu",
        "softplus",
        "sin",
        "cos",
        "sum",
        "mean",
        "var",
        "std",
        "amax",
        "amin",
        "max",
        "min",
        "norm",
        "linalg_vector_norm",
        "_weight_norm",
        "_weight_norm_interface",
        "dot",
        "vdot",
        "cat",
        "stack",
        "repeat",
        "index_select",
        "gather",
        "index",
        "flip",
        "roll",
        "tril",
        "triu",
        "diag",
        "clone",
        "_to_copy",
        "lift_fresh_copy",
        "cumsum",
        "floor_divide",
        "remainder",
        "fmod",
        "copy",
        "repeat_interleave",
        "softmax",
        "broadcast_to",
        "fill",
        "zero",
        "masked_fill",
    }
)
RANDOM = {
    "randn",
    "rand",
    "randint",
    "randn_like",
    "rand_like",
    "randint_like",
    "normal",
    "bernoulli",
    "randperm",
    "empty",
    "empty_like",
    "new_empty",
    "uniform",
    "multinomial",
    "normal_functional",
    "exponential",
}
CONVERSIONS = ("to", "_to_copy", "type_as")


def value_of(values: dict[str, Any], argument: Any) -> Any:
    """An argument with each Name replaced by its value."""
    if isinstance(argument, Name):
        return values[argument.name]
    if isinstance(argument, list):
        return [value_of(values, item) for item in argument]
    return argument


def call(node: Node, values: dict[str, Any], device: str = "cpu") -> list[Any]:
    """The results of one node in torch, with all floats as float64. values: tensors and numbers by name."""
    import torch

    given: dict[str, Any] = {}
    for key, (kind, argument) in node.inputs.items():
        if kind in ("as_device", "as_layout", "as_memory_format") or key in ("pin_memory", "non_blocking"):
            continue
        if kind == "as_scalar_type":
            given[key] = torch.float64 if argument in FLOATS else torch.bool if argument == 12 else torch.int64
        else:
            given[key] = value_of(values, argument)
    if node.target in SYMBOLIC:
        return [SYMBOLIC[node.target](*given.values())]
    if node.target == "sym_size.int":
        return [given["self"].shape[given["dim"]]]
    if node.operator == "sym_numel":
        return [given["self"].numel()]
    if node.operator in ("item", "_local_scalar_dense"):
        return [given["self"].item()]
    if node.operator in CONVERSIONS:
        dtype = given.get("dtype") or (given["other"].dtype if "other" in given else None)
        return [given["self"] if dtype is None else given["self"].to(dtype)]
    if node.target in ("view.default", "_unsafe_view.default"):  # memory formats are left out above
        return [given["self"].reshape(given["size"])]
    if node.operator in FACTORIES:
        whole = node.operator == "arange" and all(isinstance(given.get(k, 0), int) for k in ("start", "end", "step"))
        if given.get("dtype") is None:
            logical = isinstance(given.get("fill_value"), bool)
            number = isinstance(given.get("fill_value"), int)
            given["dtype"] = torch.bool if logical else torch.int64 if whole or number else torch.float64
        given["device"] = device
    elif given.get("dtype", 0) is None:
        given.pop("dtype")
    name, _, overload = node.target.partition(".")
    with torch.no_grad():
        result = getattr(getattr(torch.ops.aten, name), overload)(**given)
    return list(result) if isinstance(result, (tuple, list)) else [result]


class Folder:
    """Calls operators on constants, with limits on the memory and the work of all calls together."""

    def __init__(self) -> None:
        self.total = 0
        self.work = 0

    def __call__(self, node: Node, values: dict[str, Any]) -> list[Any]:
        """The results of a node. values: the arguments, tensors and numbers by name. Raises ModelError."""
        operator = node.operator.rstrip("_") if node.mutates else node.operator
        said = f"torch's {node.operator}"
        if operator in RANDOM:
            cure = "expected constants, such as torch.zeros(...) for an initial state"
            raise refuse(node.name, f"makes random numbers ({said})", cure)
        symbolic = node.target in SYMBOLIC or operator in ("sym_size", "sym_numel", "item", "_local_scalar_dense")
        if not symbolic and operator not in FOLDABLE:
            raise refuse(node.name, f"computes constants with {said}", "compute it before the export, as a buffer")
        if not symbolic:
            self._count(node, operator, values)
        if node.mutates:
            values = {name: value.clone() if hasattr(value, "clone") else value for name, value in values.items()}
        return call(node, values)

    def _count(self, node: Node, operator: str, values: dict[str, Any]) -> None:
        import torch

        small = {name: value.to("meta") if isinstance(value, torch.Tensor) else value for name, value in values.items()}
        inputs = [value for value in values.values() if isinstance(value, torch.Tensor)]
        made = [r for r in call(node, small, device="meta") if isinstance(r, torch.Tensor)]
        largest = max((r.numel() for r in made), default=0)
        if largest > LARGEST:
            shape = list(next(r.shape for r in made if r.numel() == largest))
            raise refuse(
                node.name,
                f"makes zeros of shape {shape}" if operator == "zeros" else f"makes a constant of shape {shape}",
                f"expected at most {LARGEST} numbers for an initial state or weights",
            )
        self.total += 0 if operator in VIEWS else sum(r.numel() for r in made)
        inner = max((max(v.shape, default=1) for v in inputs), default=1) if operator in PRODUCTS else 1
        self.work += max([largest, *(v.numel() for v in inputs)]) * inner
        if self.total > TOTAL or self.work > WORK:
            seen = "computes more constants than a network for a board needs"
            raise refuse(node.name, seen, f"expected at most {TOTAL} numbers in all")


def tensor_of(array: np.ndarray) -> Any:
    """A constant as a torch tensor: float64, or whole numbers unchanged."""
    import torch

    found = torch.from_numpy(array if array.flags.writeable else array.copy())
    return found.to(torch.float64) if found.is_floating_point() else found


def size_of(shape: list[int]) -> int:
    return math.prod(int(n) for n in shape)
