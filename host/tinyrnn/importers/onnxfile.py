"""An ONNX file as a checked graph: no external data, no tensor larger than its bytes; and a way to run a part of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import guard

LARGEST = 1 << 22  # numbers of a tensor that the graph computes from nothing
MOST_NODES = 20_000
TAKEN = {1: "float32", 10: "float16", 11: "float64", 6: "int32", 7: "int64"}  # of inputs, onnx.TensorProto


@dataclass(frozen=True)
class Node:
    """One node: attributes as plain values."""

    name: str  # for messages
    kind: str  # op_type, behind its domain where that is not ONNX' own
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Input:
    """One input of the graph that is no initializer."""

    name: str
    shape: tuple[int | None, ...]  # None: any
    dtype: str  # numpy's name of what it takes

    @property
    def whole(self) -> bool:
        return self.dtype.startswith("int")


@dataclass(frozen=True)
class Graph:
    """What the file says."""

    model: Any  # onnx.ModelProto
    opset: int
    nodes: tuple[Node, ...]
    arrays: Mapping[str, np.ndarray]  # initializers
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]


def load(path: Path) -> Graph:
    """Read and check. Raises ModelError; TinyrnnError where onnx is not installed."""
    onnx = guard.need("onnx", "to read ONNX files")
    guard.size_of(path)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened ({error.strerror}); expected an ONNX file") from None
    except Exception as error:  # protobuf's own kinds
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: is no ONNX file ({reason:.80}); export it again") from None
    graph = model.graph
    if not graph.node or len(graph.node) > MOST_NODES:
        raise ModelError(f"{path}: has {len(graph.node)} nodes; expected 1 to {MOST_NODES}, export it without unrolling")
    if model.functions or graph.sparse_initializer:
        raise ModelError(f"{path}: has functions or sparse weights of its own; export it as plain nodes")
    arrays = {tensor.name: _array(path, tensor) for tensor in graph.initializer}
    nodes = tuple(_node(path, raw) for raw in graph.node)
    inputs = []
    for value in graph.input:
        if value.name in arrays:
            continue
        tensor = value.type.tensor_type
        if value.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
            raise ModelError(f"{path}: its input {value.name} has no shape; expected a tensor (batch, time, features)")
        shape = tuple(d.dim_value if d.WhichOneof("value") == "dim_value" else None for d in tensor.shape.dim)
        if any(n is not None and not 1 <= n <= 100_000 for n in shape):
            raise ModelError(f"{path}: its input {value.name} has sizes {shape}; expected 1 to 100000, or dynamic ones")
        if tensor.elem_type not in TAKEN:
            raise ModelError(f"{path}: its input {value.name} is neither of floats nor of integers; export it again")
        inputs.append(Input(value.name, shape, TAKEN[tensor.elem_type]))
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    return Graph(model, opset, nodes, arrays, tuple(inputs), tuple(o.name for o in graph.output))


def _node(path: Path, raw: Any) -> Node:
    import onnx

    name = raw.name or next((o for o in raw.output if o), "") or raw.op_type
    domain = "" if raw.domain in ("", "ai.onnx") else f"{raw.domain}."
    attributes: dict[str, Any] = {}
    for attribute in raw.attribute:
        kind = attribute.type
        if kind in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            cure = "expected RNN, LSTM and GRU nodes: export from PyTorch or tf2onnx, not a loop over cells"
            raise ModelError(f"{path}: {name} is a {raw.op_type} with a graph inside; {cure}")
        if kind == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = _array(path, attribute.t)
        elif kind in (
            onnx.AttributeProto.FLOAT,
            onnx.AttributeProto.INT,
            onnx.AttributeProto.FLOATS,
            onnx.AttributeProto.INTS,
        ):
            value = onnx.helper.get_attribute_value(attribute)
            attributes[attribute.name] = value if isinstance(value, (int, float)) else list(value)
        elif kind == onnx.AttributeProto.STRING:
            attributes[attribute.name] = attribute.s.decode("utf-8", "replace")
        elif kind == onnx.AttributeProto.STRINGS:
            attributes[attribute.name] = [s.decode("utf-8", "replace") for s in attribute.strings]
        else:
            raise ModelError(f"{path}: {name} has an attribute {attribute.name} of an unusual kind; export it again")
    return Node(name, domain + raw.op_type, tuple(raw.input), tuple(raw.output), attributes)


def _array(path: Path, tensor: Any) -> np.ndarray:
    """A tensor of the file. Refused before it is made: bytes elsewhere, more numbers than bytes."""
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        cure = "expected weights inside the file: onnx.save_model(model, FILE, save_as_external_data=False)"
        raise ModelError(f"{path}: {tensor.name} has its data in another file; {cure}")
    dims = list(tensor.dims)
    count = int(np.prod(dims, dtype=object)) if dims else 1
    held = max(
        len(tensor.raw_data),
        *(len(getattr(tensor, f"{kind}_data")) for kind in ("float", "double", "int32", "int64", "uint64")),
    )
    if min(dims, default=0) < 0 or count > held or tensor.string_data:
        raise ModelError(f"{path}: {tensor.name} has shape {dims} but data for at most {held} numbers; export it again")
    try:
        found: np.ndarray = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # one that its type does not fit
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: {tensor.name} cannot be read ({reason:.60}); export it again") from None
    if found.dtype.kind not in "fiub":
        raise ModelError(f"{path}: {tensor.name} is of type {found.dtype}; expected plain float weights")
    return found


def part(graph: Graph, output: str) -> Any:
    """A model of the nodes that ``output`` needs and no others, for a framework to run."""
    import onnx

    needed = {output}
    kept = []
    for raw in reversed(graph.model.graph.node):
        if needed & set(raw.output):
            kept.append(raw)
            needed |= set(raw.input)
    given = [value for value in graph.model.graph.input if value.name in needed]
    arrays = [tensor for tensor in graph.model.graph.initializer if tensor.name in needed]
    answers = [value for value in graph.model.graph.output if value.name == output]
    made = onnx.helper.make_graph(kept[::-1], "imported", given, answers, arrays)
    return onnx.helper.make_model(made, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)


def session(model: Any) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """ONNX Runtime's own run of a model with one output."""
    runtime = guard.need("onnxruntime", "to compare the import with the file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        made = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # its kinds are not exported
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"ONNX Runtime refuses the file: {reason:.150}; check it with onnx.checker") from None

    def run(feed: dict[str, np.ndarray]) -> np.ndarray:
        try:
            result: np.ndarray = made.run(None, feed)[0]
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"ONNX Runtime cannot run the file: {reason:.150}; export it again") from None
        return result

    return run


def time_first(model: Any) -> Any:
    """The same model with layout=0, which ONNX Runtime runs, for layout=1, which it does not: transposed around the node."""
    import onnx

    nodes = []
    for number, node in enumerate(model.graph.node):
        layout = [a for a in node.attribute if a.name == "layout" and a.i]
        if node.op_type not in ("RNN", "GRU", "LSTM") or not layout:
            nodes.append(node)
            continue
        node.attribute.remove(layout[0])
        for at in (0, 5, 6):
            if at < len(node.input) and node.input[at]:
                name = f"tinyrnn {number} in {at}"
                nodes.append(onnx.helper.make_node("Transpose", [node.input[at]], [name], perm=[1, 0, 2]))
                node.input[at] = name
        nodes.append(node)
        for at, output in enumerate(node.output):
            if output:
                node.output[at] = f"tinyrnn {number} out {at}"
                perm = [2, 0, 1, 3] if at == 0 else [1, 0, 2]
                nodes.append(onnx.helper.make_node("Transpose", [node.output[at]], [output], perm=perm))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model
