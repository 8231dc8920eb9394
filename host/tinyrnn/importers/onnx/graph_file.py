# SPDX-License-Identifier: MIT
"""Reads an ONNX file as a graph, without external data or tensors larger than their bytes, and runs parts of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn.errors import ModelError
from tinyrnn.importers import untrusted_files

LARGEST = 1 << 22  # most numbers of a tensor that the graph computes from constants
MOST_NODES = 20_000
OTHER_FLOATS = {10: "float16", 16: "bfloat16", 11: "float64"}  # onnx.TensorProto; imported as float32
TAKEN = {1: "float32", 6: "int32", 7: "int64"} | dict.fromkeys(OTHER_FLOATS, "float32")  # types of inputs


@dataclass(frozen=True)
class Node:
    """A node, with its attributes as plain values."""

    name: str  # for messages
    kind: str  # op_type, after its domain unless that is ONNX' own
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # None for a subgraph, which is not read


@dataclass(frozen=True)
class Input:
    """An input of the graph that is not an initializer."""

    name: str
    shape: tuple[int | None, ...]  # None: any size
    dtype: str  # numpy's name of its type

    @property
    def whole(self) -> bool:
        return self.dtype.startswith("int")


@dataclass(frozen=True)
class Graph:
    """The contents of a file."""

    model: Any  # onnx.ModelProto
    opset: int
    nodes: tuple[Node, ...]
    arrays: Mapping[str, np.ndarray]  # initializers
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    other_floats: tuple[str, ...] = ()  # its float types other than float32


def load(path: Path) -> Graph:
    """Read and check the file. Raises ModelError, or TinyrnnError if onnx is not installed."""
    onnx = untrusted_files.need("onnx", "to read ONNX files")
    untrusted_files.size_of(path)
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened ({error.strerror}); expected an ONNX file") from None
    except Exception as error:  # protobuf's own kinds of exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: is not an ONNX file ({reason:.80}); export it again") from None
    graph = model.graph
    if not graph.node or len(graph.node) > MOST_NODES:
        raise ModelError(f"{path}: has {len(graph.node)} nodes; expected 1 to {MOST_NODES}: export it without unrolling")
    if model.functions or graph.sparse_initializer:
        cure = "expected plain nodes and weights: inline functions with onnx.inliner.inline_local_functions(onnx.load(FILE))"
        raise ModelError(f"{path}: has functions or sparse weights; {cure}")
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
            raise ModelError(f"{path}: its input {value.name} is neither float nor integer; export it again")
        inputs.append(Input(value.name, shape, TAKEN[tensor.elem_type]))
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    outputs = tuple(o.name for o in graph.output)
    return Graph(model, opset, nodes, arrays, tuple(inputs), outputs, _other_floats(graph))


def _other_floats(graph: Any) -> tuple[str, ...]:
    """The float types other than float32 of a graph's weights, inputs and casts."""
    types = {tensor.data_type for tensor in graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in graph.input}
    types |= {a.t.data_type for node in graph.node for a in node.attribute if a.HasField("t")}
    types |= {a.i for node in graph.node if node.op_type == "Cast" for a in node.attribute if a.name == "to"}
    return tuple(OTHER_FLOATS[kind] for kind in sorted(types & set(OTHER_FLOATS)))


def _node(path: Path, raw: Any) -> Node:
    import onnx

    name = raw.name or next((o for o in raw.output if o), "") or raw.op_type
    domain = "" if raw.domain in ("", "ai.onnx") else f"{raw.domain}."
    attributes: dict[str, Any] = {}
    for attribute in raw.attribute:
        kind = attribute.type
        if kind in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            attributes[attribute.name] = None  # refused if the answer needs it
        elif kind == onnx.AttributeProto.TENSOR:
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
            raise ModelError(f"{path}: {name} has an attribute {attribute.name} of unknown kind; export it again")
    return Node(name, domain + raw.op_type, tuple(raw.input), tuple(raw.output), attributes)


def _array(path: Path, tensor: Any) -> np.ndarray:
    """A tensor of the file. Raises ModelError, before allocating it, if its data are in another file or too short."""
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
    except Exception as error:  # data that do not match its type
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path}: {tensor.name} cannot be read ({reason:.60}); export it again") from None
    if tensor.data_type in OTHER_FLOATS:
        found = found.astype(np.float32 if tensor.data_type != onnx.TensorProto.DOUBLE else np.float64)
    if found.dtype.kind not in "fiub":
        raise ModelError(f"{path}: {tensor.name} is of type {found.dtype}; expected plain float weights")
    return found


def subgraph(graph: Graph, *outputs: str) -> Any:
    """A model of only those nodes that the outputs need, for a framework to run."""
    import onnx

    needed = set(outputs)
    kept = []
    for raw in reversed(graph.model.graph.node):
        if needed & set(raw.output):
            kept.append(raw)
            needed |= set(raw.input)
    given = [value for value in graph.model.graph.input if value.name in needed]
    arrays = [tensor for tensor in graph.model.graph.initializer if tensor.name in needed]
    declared = {value.name: value for value in graph.model.graph.output}
    answers = [declared.get(name) or onnx.helper.make_empty_tensor_value_info(name) for name in outputs]
    made = onnx.helper.make_graph(kept[::-1], "imported", given, answers, arrays)
    model = onnx.helper.make_model(made, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version)
    return _single(model) if graph.other_floats else model


def _single(model: Any) -> Any:
    """The model in float32: ONNX Runtime has no recurrent layers in float64 or bfloat16, and float16 is too coarse."""
    import onnx

    single = onnx.TensorProto.FLOAT
    for tensor in model.graph.initializer:
        _to_single(tensor)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in OTHER_FLOATS:
            value.type.tensor_type.elem_type = single
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _to_single(attribute.t)
            elif attribute.name in ("to", "dtype") and attribute.i in OTHER_FLOATS:
                attribute.i = single
    return model


def _to_single(tensor: Any) -> None:
    import onnx

    if tensor.data_type in OTHER_FLOATS:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def session(model: Any) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """A function that runs a model with one output in ONNX Runtime."""
    run = session_of_all(model)
    return lambda feed: run(feed)[0]


def session_of_all(model: Any) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
    """A function that runs a model in ONNX Runtime and returns all outputs."""
    runtime = untrusted_files.need("onnxruntime", "to compare the import with the file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        made = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime does not export its kinds of exception
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"ONNX Runtime refuses the file: {reason:.150}; check it with onnx.checker") from None

    def run(feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        try:
            result: list[np.ndarray] = made.run(None, feed)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"ONNX Runtime cannot run the file: {reason:.150}; export it again") from None
        return result

    return run


def time_first(model: Any) -> Any:
    """The model with layout=0 instead of layout=1, which ONNX Runtime cannot run: adds transposes around the nodes."""
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
