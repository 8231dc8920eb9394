# SPDX-License-Identifier: MIT
"""`tinyrnn import` of ONNX: graphs as exporters write them, attributes, ONNX's own backend tests; compared with ONNX
Runtime.
"""

from __future__ import annotations

import importlib
import itertools
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

onnx = need_package("onnx")
need_package("onnxruntime")

from helpers.importing import imported, refused
from helpers.types import instance
from onnx import TensorProto, helper, numpy_helper
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.float_model.cells.base import FloatCell
from tinyrnn.float_model.cells.gru import GRU
from tinyrnn.float_model.cells.lstm import LSTM
from tinyrnn.float_model.cells.rnn import RNN
from tinyrnn.float_model.layers import BatchNorm, Embedding, LayerNorm, dense
from tinyrnn.importers import float_conversion, framework_check
from tinyrnn.importers.onnx import graph_file
from tinyrnn.importers.source_model import Options

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


class Graph:
    """An ONNX graph built node by node, with random weights."""

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.arrays: list[Any] = []
        self.inputs: list[Any] = []
        self.opset = opset

    def array(self, *shape: int, dtype: Any = np.float32) -> str:
        return self.constant((0.6 * self.rng.standard_normal(shape)).astype(dtype))

    def constant(self, value: Any) -> str:
        name = f"k{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def take(self, *shape: int | str, name: str = "x", kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def add(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"{kind.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def cell(
        self, kind: str, x: str, inputs: int, hidden: int, bias: bool = True, more: Sequence[str] = (), **attributes: Any
    ) -> Any:
        n = GATES[kind] * hidden
        weights = self.array(1, n, inputs), self.array(1, n, hidden), self.array(1, 2 * n) if bias else ""
        return self.add(kind, x, *weights, *more, outputs=3 if kind == "LSTM" else 2, hidden_size=hidden, **attributes)

    def save(self, path: Path, *outputs: str) -> Path:
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, infos, self.arrays)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
        return path


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"activations": ["Relu"]}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"activations": ["Sigmoid", "Tanh"], "clip": 30.0}),
    ("LSTM", {}),
    ("LSTM", {"activations": ["sigmoid", "TANH", "Tanh"], "input_forget": 0}),
]


@pytest.mark.parametrize("number", range(len(VARIANTS)))
def test_cells(number: int, tmp_path: Path) -> None:
    """Variant x layout x layers x bias x output, with fixed and free sizes: 32 graphs a variant."""
    kind, attributes = VARIANTS[number]
    cases = itertools.product((0, 1), (1, 2), (True, False), ("Y", "Y_h"), (True, False))
    for seed, (layout, layers, bias, output, fixed) in enumerate(cases):
        g = Graph(seed)
        sizes: Any = (2, 5) if fixed else ("batch", "time")
        x = g.take(*(sizes if layout else sizes[::-1]), 3)
        laid_out: dict[str, Any] = {"layout": 1} if layout else {}
        for layer in range(layers):
            y, y_h, *_ = g.cell(kind, x, 3 if layer == 0 else 4, 4, bias, **attributes, **laid_out)
            x = g.add("Squeeze", y, g.constant(np.array([2 if layout else 1])))
        if output == "Y_h":
            x = g.add("Squeeze", y_h, g.constant(np.array([1 if layout else 0])))
        head = g.add("Gemm", x, g.array(4, 2), g.array(2)) if output == "Y_h" else g.add("MatMul", x, g.array(4, 2))
        head = head if output == "Y_h" else g.add("Add", head, g.array(2))
        model = imported(g.save(tmp_path / "m.onnx", head))
        assert len(model.layers) == layers
        assert model.when == ("last" if output == "Y_h" else "every")
        assert getattr(model.layers[0], "reset_after", None) == {"GRU": bool(attributes.get("linear_before_reset"))}.get(
            kind
        )


def test_backend_tests(tmp_path: Path) -> None:
    """ONNX's own cases for RNN, LSTM and GRU either give ONNX's expected values or are refused by name."""
    package = "onnx.backend.test.case.node"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        node = importlib.import_module(package)
        modules = [importlib.import_module(f"{package}.{name}") for name in ("rnn", "lstm", "gru")]
    assert all(module.__name__.startswith(package) for module in modules)
    cases = {case.name: case for case in node._NodeTestCases if case.model.graph.node[0].op_type in GATES}
    passed, why = [], {}
    for name, case in cases.items():
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        inputs, outputs = case.data_sets[0]
        # the weights, which the cases give as inputs, are constants of a model
        for value, array in list(zip(model.graph.input, inputs, strict=True))[1:]:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        answers = [o.name for o in model.graph.output]
        for answer, want in zip(answers, outputs, strict=True):
            try:
                found = imported(path, Options(output=answer if len(answers) > 1 else None))
            except ModelError as error:
                why[name] = str(error)
                continue
            layout = next((a.i for a in model.graph.node[0].attribute if a.name == "layout"), 0)
            x = np.asarray(inputs[0], np.float64)
            got = found.forward(x if layout else x.transpose(1, 0, 2))  # (B, T, H)
            got = got[:, -1] if answer == "Y_h" else got
            expected = want.reshape(got.shape) if layout or answer == "Y_h" else want[:, 0].transpose(1, 0, 2)
            np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-5)
            passed.append(f"{name} {answer}")
    assert {name.split()[0] for name in passed} == {
        *(f"test_gru_{name}" for name in ("batchwise", "defaults", "seq_length", "with_initial_bias")),
        *(f"test_lstm_{name}" for name in ("batchwise", "defaults", "with_initial_bias")),
        *(f"test_simple_rnn_{name}" for name in ("batchwise", "defaults", "with_initial_bias")),
        "test_rnn_seq_length",
    }
    assert set(cases) == {name.split()[0] for name in passed} | set(why)
    for name, message in why.items():
        words = {"peepholes": "has peepholes", "reverse": "direction reverse", "bidirectional": "direction bidirectional"}
        expected = next(text for word, text in words.items() if word in name)
        assert expected in message, (name, message)
    print(f"{len(cases)} cases: {len(passed)} outputs equal, {len(why)} refused by name")


def torch_net(kind: str, layers: int, parts: str, take: str) -> Any:
    torch = need_package("torch")
    from helpers import torch_networks as nets

    torch.manual_seed(layers)
    return nets.Net(kind, layers, True, parts, take), nets


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn-tanh", "rnn-relu"])
def test_torch_exporters(kind: str, tmp_path: Path) -> None:
    """Both exporters of torch.onnx.export, fixed and dynamic axes."""
    need_package("torch")
    cases = [
        (False, False, 2, "layernorm", "h_n"),
        (False, True, 1, "batchnorm", "every"),
        (False, True, 2, "embedding hidden", "last"),
        (True, True, 2, "layernorm", "h_n"),
    ]
    for dynamo, dynamic, layers, parts, take in cases:
        if dynamo:
            need_package("onnxscript")
        net, nets = torch_net(kind, layers, parts, take)
        x = nets.inputs(net, batch=2, time=5)
        path = tmp_path / "m.onnx"
        to_onnx(net, x, path, dynamo, dynamic)
        if dynamo and kind.startswith("rnn"):  # this exporter knows no RNN node and unrolls the loop
            refused(path, r"if an exporter unrolled a loop, use torch.onnx.export\(..., dynamo=False\)")
            continue
        model = imported(path)
        nets.agree(net, model, x)
        assert model.when == ("every" if take == "every" else "last")
        if dynamic and not dynamo:
            nets.agree(net, model, nets.inputs(net, batch=3, time=9))


def to_onnx(net: Any, x: Any, path: Path, dynamo: bool, dynamic: bool) -> None:
    import torch

    more: dict[str, Any] = {"dynamic_axes": {"x": {0: "b", 1: "t"}}} if dynamic else {}
    if dynamo:
        more = {"external_data": False, "verbose": False}
        more |= {"dynamic_shapes": ({0: torch.export.Dim("b")},)} if dynamic else {}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net, (x,), str(path), dynamo=dynamo, input_names=["x"], **more)
    finally:
        logging.disable(logging.NOTSET)


def test_as_tf2onnx_writes(tmp_path: Path) -> None:
    """Keras through tf2onnx: Transpose, LSTM, Transpose and Squeeze, a Reshape around a dense layer, Softmax."""
    g = Graph(1, opset=13)
    x = g.take("batch", 7, 3)
    t = g.add("Transpose", x, perm=[1, 0, 2])
    y, *_ = g.cell("LSTM", t, 3, 5)
    s = g.add("Squeeze", y, g.constant(np.array([1])))
    back = g.add("Transpose", s, perm=[1, 0, 2])
    flat = g.add("Reshape", back, g.constant(np.array([-1, 5])))
    dense = g.add("Add", g.add("MatMul", flat, g.array(5, 4)), g.array(4))
    out = g.add("Reshape", dense, g.constant(np.array([-1, 7, 4])))
    model = imported(g.save(tmp_path / "m.onnx", g.add("Softmax", out, axis=-1)))
    assert (model.when, model.task, len(model.labels)) == ("every", "classification", 4)

    g = Graph(2, opset=11)  # axes as attributes, Softmax with the old default axis
    x = g.take("batch", "time", 2)
    y, y_h = g.cell("GRU", g.add("Transpose", x, perm=[1, 0, 2]), 2, 4, linear_before_reset=1)
    h = g.add("Squeeze", y_h, axes=[0])
    out = g.add("Softmax", g.add("Gemm", h, g.array(3, 4), g.array(3), transB=1, alpha=0.5, beta=2.0))
    model = imported(g.save(tmp_path / "m.onnx", out))
    assert (model.when, model.task) == ("last", "classification")


def test_as_skl2onnx_writes(tmp_path: Path) -> None:
    """A StandardScaler in front, and the MLP's end: MatMul, Add, Relu, ..., Softmax, and ArgMax to labels beside it."""
    g = Graph(3)
    x = g.take("batch", "time", 3)
    flat = g.add("Reshape", x, g.constant(np.array([-1, 3])))
    scaled = g.add("Scaler", flat, domain="ai.onnx.ml", offset=[1.0, 2.0, 3.0], scale=[0.5, 0.25, 2.0])
    scaled = g.add("Reshape", scaled, g.add("Shape", x))
    y, *_ = g.cell("GRU", g.add("Transpose", scaled, perm=[1, 0, 2]), 3, 4)
    h = g.add("Gather", g.add("Squeeze", y, g.constant(np.array([1]))), g.constant(np.array(-1)), axis=0)
    h = g.add("Cast", h, to=TensorProto.FLOAT)
    a = g.add("Relu", g.add("Add", g.add("MatMul", h, g.array(4, 6)), g.array(1, 6)))
    p = g.add("Softmax", g.add("Add", g.add("MatMul", a, g.array(6, 3)), g.array(1, 3)), axis=1)
    label = g.add("ArgMax", p, axis=1)
    model = imported(g.save(tmp_path / "m.onnx", label, p))
    np.testing.assert_allclose(model.mean, [1, 2, 3])
    np.testing.assert_allclose(model.std, [2, 4, 0.5])
    assert len(model.labels) == 3
    assert imported(g.save(tmp_path / "m.onnx", label)).task == "classification"
    z = g.add("Add", g.add("MatMul", h, g.array(4, 1)), g.array(1, 1))
    s = g.add("Sigmoid", z)
    one = g.constant(np.array(1, np.float32))
    both = g.add("Concat", g.add("Sub", one, s), s, axis=1)
    two = imported(g.save(tmp_path / "m.onnx", both))
    assert (two.task, len(two.labels), two.when) == ("classification", 2, "last")
    refused(g.save(tmp_path / "m.onnx", g.add("Concat", s, s, axis=1)), "joins several paths")
    with_map = g.add("ZipMap", p, domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    refused(g.save(tmp_path / "m.onnx", with_map), "ZipMap.*cannot be imported; convert with options={'zipmap': False}")


def test_norms_and_embedding(tmp_path: Path) -> None:
    g = Graph(4)
    ids = g.take("batch", "time", kind=TensorProto.INT64)
    e = g.add("Gather", g.array(9, 3), ids)
    positive = g.constant(np.array([0.5, 1, 2], np.float32))
    e = g.add("Transpose", e, perm=[0, 2, 1])
    b = g.add("BatchNormalization", e, g.array(3), g.array(3), g.array(3), positive, epsilon=1e-3)
    y, *_ = g.cell("GRU", g.add("Transpose", b, perm=[2, 0, 1]), 3, 4)
    n = g.add("LayerNormalization", g.add("Squeeze", y, g.constant(np.array([1]))), g.array(4), g.array(4), epsilon=1e-4)
    model = imported(g.save(tmp_path / "m.onnx", g.add("Transpose", n, perm=[1, 0, 2])))
    assert [type(layer) for layer in model.layers] == [Embedding, BatchNorm, GRU, LayerNorm]
    assert instance(LayerNorm, model.layers[3]).eps == pytest.approx(1e-4)
    assert model.when == "every"


def test_lengths_and_states_as_inputs(tmp_path: Path) -> None:
    """With sequence_lens as an input the answer is the state at each sequence's own end. Initial states start at zero."""
    g = Graph(5)
    x = g.take("time", "batch", 3)
    lengths = g.take("batch", name="lengths", kind=TensorProto.INT32)
    h0, c0 = (g.take(1, "batch", 4, name=name) for name in ("h0", "c0"))
    _, y_h, _ = g.cell("LSTM", x, 3, 4, more=(lengths, h0, c0))
    path = g.save(tmp_path / "m.onnx", g.add("Squeeze", y_h, g.constant(np.array([0]))))
    source = importers.read(path)
    assert len(source.notes) == 3
    model = imported(path)
    values = g.rng.standard_normal((6, 3, 3)).astype(np.float32)
    each = np.array([2, 6, 4], np.int32)
    zero = np.zeros((1, 3, 4), np.float32)
    run = graph_file.session(onnx.load(path))
    want = run({"x": values, "lengths": each, "h0": zero, "c0": zero})
    got = model.forward(values.transpose(1, 0, 2).astype(np.float64))
    np.testing.assert_allclose([got[i, n - 1] for i, n in enumerate(each)], want, atol=1e-5)


def bare(seed: int = 0, kind: str = "GRU", **attributes: Any) -> Any:
    """A graph, its input and a recurrent node with a squeezed output to continue from."""
    g = Graph(seed)
    x = g.take("time", "batch", 3)
    y, *_ = g.cell(kind, x, 3, 4, **attributes)
    return g, g.add("Squeeze", y, g.constant(np.array([1])))


def rnn(kind: str, **attributes: Any) -> Any:
    def make(path: Path) -> Path:
        g, y = bare(kind=kind, **attributes)
        return g.save(path, y)

    return make


def behind(kind: str, *shapes: tuple[int, ...], **attributes: Any) -> Any:
    def make(path: Path) -> Path:
        g, y = bare()
        return g.save(path, g.add(kind, y, *(g.array(*shape) for shape in shapes), **attributes))

    return make


def with_input(position: int, value: Any, kind: str = "LSTM") -> Any:
    def make(path: Path) -> Path:
        g = Graph()
        x = g.take(5, 2, 3)
        more = [""] * (position - 4) + [g.constant(value)]
        y, *_ = g.cell(kind, x, 3, 4, more=tuple(more))
        return g.save(path, y)

    return make


def two_directions(path: Path) -> Path:
    g = Graph()
    x = g.take("time", "batch", 3)
    y, _ = g.add("GRU", x, g.array(2, 12, 3), g.array(2, 12, 4), outputs=2, hidden_size=4, direction="bidirectional")
    return g.save(path, y)


def residual(path: Path) -> Path:
    g, y = bare()
    return g.save(path, g.add("Add", y, y))


def loop(path: Path) -> Path:
    g, y = bare()
    body = helper.make_graph([], "b", [], [])
    return g.save(path, g.add("Scan", y, body=body, num_scan_inputs=1))


def inside(kind: str) -> Any:
    """A node with its own graph, as tf2onnx writes a loop over the steps."""

    def make(path: Path) -> Path:
        g, y = bare()
        body = helper.make_graph([], "b", [], [])
        graphs = {"then_branch": body, "else_branch": body} if kind == "If" else {"body": body}
        return g.save(path, g.add(kind, y, **graphs))

    return make


def features(path: Path) -> Path:
    g, y = bare()
    return g.save(path, g.add("Slice", y, *(g.constant(np.array([n])) for n in (0, 2, 2))))


def reversed_(path: Path) -> Path:
    g, y = bare()
    return g.save(path, g.add("Slice", y, *(g.constant(np.array([n])) for n in (-1, -(2**62), 0, -1))))


def swish(path: Path) -> Path:
    g, y = bare()
    return g.save(path, g.add("Mul", y, g.add("Sigmoid", y)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_directions, "GRU .*has direction bidirectional; a stream has no future"),
        (rnn("LSTM", direction="reverse"), "has direction reverse"),
        (rnn("GRU", activations=["HardSigmoid", "Tanh"]), "has the activations hardsigmoid, tanh; expected sigmoid, tanh"),
        (rnn("RNN", activations=["Affine"], activation_alpha=[1.0]), "has the activations affine; expected Tanh or Relu"),
        (rnn("GRU", clip=3.0), "clips its gates at 3; expected no clip"),
        (rnn("RNN", activations=["Relu"], clip=100.0), "clips its gates at 100"),
        (rnn("LSTM", input_forget=1), "couples its input and forget gates"),
        (with_input(7, np.ones((1, 12), np.float32)), r"has peepholes \(input P\)"),
        (with_input(5, np.ones((1, 2, 4), np.float32)), "has an initial_h that is not zero"),
        (with_input(6, np.ones((1, 2, 4), np.float32)), "has an initial_c that is not zero"),
        (with_input(4, np.array([5, 3], np.int32)), "has sequence_lens that cut its sequences; expected 5 for all"),
        (behind("Conv", (4, 4, 3)), "Conv .*expected a network of recurrent layers without convolution"),
        (behind("ReduceMean", axes=[0]), "ReduceMean .*all steps at once; expected the answer of the last step"),
        (behind("QuickGelu", domain="com.microsoft"), "com.microsoft.QuickGelu .*cannot be imported"),
        (behind("Elu"), "Elu .*this kind of node cannot be imported; expected relu, tanh or sigmoid"),
        (behind("ReduceMean", axes=[2]), "ReduceMean .*if it is a part of LayerNorm, export with opset 17 or newer"),
        (inside("Loop"), "Loop .*contains a subgraph; .*give the .keras or .h5 that tf2onnx converted"),
        (inside("If"), "If .*contains a subgraph; its branch depends on sizes"),
        (features, "takes 2 of 4 features"),
        (reversed_, "reverses a sequence; a stream has no future"),
        (swish, "is SiLU, with the Sigmoid before it"),
        (residual, "Add .*combines two paths"),
        (loop, "Scan .*contains a subgraph; expected RNN, LSTM and GRU nodes"),
    ],
)
def test_refused(make: Any, message: str, tmp_path: Path) -> None:
    """The message names the node and what helps."""
    refused(make(tmp_path / "m.onnx"), message)


def test_zero_extras_are_accepted(tmp_path: Path) -> None:
    for position, value in (
        (4, np.array([5, 5], np.int32)),
        (5, np.zeros((1, 2, 4), np.float32)),
        (6, np.zeros((1, 2, 4), np.float32)),
        (7, np.zeros((1, 12), np.float32)),
    ):
        assert imported(with_input(position, value)(tmp_path / "m.onnx")).layers[0].kind == "lstm"


def test_several_outputs(tmp_path: Path) -> None:
    """Y beside Y_h is a question, and a head beside a state is not. An unknown branch is an error or avoided."""
    g = Graph(6)
    x = g.take("time", "batch", 3)
    y, y_h = g.cell("GRU", x, 3, 4)
    path = tmp_path / "m.onnx"
    g.save(path, y, y_h)
    refused(path, f"has the outputs {y}, {y_h} to choose from; name one with --output-name")
    assert imported(path, Options(output=y_h)).when == "last"
    refused(path, "has no output 'z'; expected one of", Options(output="z"))
    head = g.add("MatMul", g.add("Squeeze", y, g.constant(np.array([1]))), g.array(4, 2))
    assert len(imported(g.save(path, head, y_h)).labels) == 2
    other = g.add("Elu", head)
    refused(g.save(path, head, other), "Elu")
    assert len(imported(g.save(path, head, other), Options(output=head)).labels) == 2


def test_damaged_files(tmp_path: Path) -> None:
    """A file cut off anywhere is refused in one line, or is still complete."""
    path = rnn("GRU")(tmp_path / "m.onnx")
    data = path.read_bytes()
    assert imported(path)
    for cut in range(0, len(data) - 1, 37):
        path.write_bytes(data[:cut])
        with pytest.raises(ModelError) as caught:
            imported(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_floats(kind: str, tmp_path: Path) -> None:
    """Weights, input and casts of another float type are imported as float32, with a note."""
    element = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float64": TensorProto.DOUBLE}[kind]
    g = Graph(7)
    x = g.take("time", 2, 3, kind=element)
    state = g.add("Cast", g.constant(np.zeros((1, 2, 4), np.float32)), to=element)
    y, _ = g.cell("GRU", g.add("Cast", x, to=element), 3, 4, more=("", state))
    out = g.add(
        "Gemm",
        g.add(
            "Squeeze", g.add("Slice", y, *(g.constant(np.array([n])) for n in (-1, 2**40, 0))), g.constant(np.array([0, 1]))
        ),
        g.array(4, 2),
        g.array(2),
    )
    g.arrays = [
        onnx.helper.make_tensor(a.name, element, a.dims, numpy_helper.to_array(a).reshape(-1))
        if a.data_type == TensorProto.FLOAT
        else a
        for a in g.arrays
    ]
    path = g.save(tmp_path / "m.onnx", out)
    source = importers.read(path)
    assert f"{kind}: imported and compared as float32" in source.notes
    model = imported(path)
    weights = numpy_helper.to_array(next(a for a in g.arrays if list(a.dims) == [1, 12, 3])).astype(np.float64)[0]
    assert (np.sort(dense(instance(FloatCell, model.layers[0]).weight_ih), axis=None) == np.sort(weights, axis=None)).all()


def sigmoids(path: Path, count: int, kind: str = "Sigmoid") -> tuple[Path, Any]:
    """A GRU, a dense layer and the last function, and a way to run the graph itself."""
    g = Graph(8)
    x = g.take("batch", 6, 3)
    _y, y_h = g.cell("GRU", g.add("Transpose", x, perm=[1, 0, 2]), 3, 4, linear_before_reset=1)
    h = g.add("Squeeze", y_h, g.constant(np.array([0])))
    g.save(path, g.add(kind, g.add("Gemm", h, g.array(4, count), g.array(count))))
    run = graph_file.session(onnx.load(path))
    return path, lambda values: run({"x": values.astype(np.float32)})


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh", "Relu"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_function_at_the_end_as_a_regression(kind: str, count: int, tmp_path: Path) -> None:
    """The outputs are the function's values: for one sigmoid on request, for several without being told."""
    path, run = sigmoids(tmp_path / "m.onnx", count, kind)
    values = np.random.default_rng(2).standard_normal((4, 6, 3))
    model = imported(path, task="regression")
    assert (model.task, len(model.labels)) == ("regression", count)
    np.testing.assert_allclose(model.forward(values)[:, -1], run(values), atol=1e-5)
    if kind == "Sigmoid" and count > 1:
        assert imported(path).task == "regression"
        assert "ends in 3 sigmoids: a regression of 3 outputs in 0..1" in importers.read(path).notes[-1]


def test_sigmoids_as_a_classification(tmp_path: Path) -> None:
    """One sigmoid is two classes. Several are classes on request, and the largest decides."""
    values = np.random.default_rng(3).standard_normal((9, 6, 3))
    path, run = sigmoids(tmp_path / "m.onnx", 1)
    model = imported(path)
    assert (model.task, len(model.labels)) == ("classification", 2)
    assert (model.forward(values)[:, -1].argmax(1) == (run(values)[:, 0] > 0.5)).all()
    path, run = sigmoids(tmp_path / "m.onnx", 3)
    model = imported(path, task="classification")
    assert (model.forward(values)[:, -1].argmax(1) == run(values).argmax(1)).all()


def test_a_softmax_is_not_a_regression(tmp_path: Path) -> None:
    """Its logits would be the values. The same file is imported as a classification."""
    path, _ = sigmoids(tmp_path / "m.onnx", 3, "Softmax")
    with pytest.raises(ModelError, match=r"ends in softmax, which a regression cannot have; .*--task classification"):
        imported(path, task="regression")
    assert imported(path, task="classification").task == "classification"


def test_clip_from_zero_is_relu(tmp_path: Path) -> None:
    g, y = bare()
    model = imported(g.save(tmp_path / "m.onnx", g.add("Clip", y, g.constant(np.array(0, np.float32)))))
    assert instance(RNN, model.layers[-1]).nonlinearity == "relu"
    refused(behind("Clip", (), ())(tmp_path / "m.onnx"), "Clip .*expected relu, tanh or sigmoid")


def test_a_gru_that_pytorch_does_not_have(tmp_path: Path) -> None:
    """linear_before_reset=0 in a file from PyTorch gives a warning, and in a file from another producer none."""
    g, y = bare()
    path = g.save(tmp_path / "m.onnx", y)
    assert not importers.read(path).notes
    model = onnx.load(path)
    model.producer_name = "pytorch"
    onnx.save(model, path)
    assert "warning: GRU " in importers.read(path).notes[0]
    assert "linear_before_reset=0" in importers.read(path).notes[0]
    g, y = bare(linear_before_reset=1)
    model = onnx.load(g.save(path, y))
    model.producer_name = "pytorch"
    onnx.save(model, path)
    assert not importers.read(path).notes


def test_two_states_in_one_tensor(tmp_path: Path) -> None:
    """Two layers with concatenated states are followed. A concatenated output that is not a state names the others."""
    g = Graph(9)
    x, state = g.take(1, 1, 3), g.take(1, 2, 4, name="s")
    zero, one = (g.constant(np.array(n)) for n in (0, 1))
    squeeze = g.constant(np.array([1]))
    parts = [g.add("Unsqueeze", g.add("Gather", state, n, axis=1), g.constant(np.array([0]))) for n in (zero, one)]
    y, a = g.cell("GRU", x, 3, 4, more=("", parts[0]))
    y, b = g.cell("GRU", g.add("Squeeze", y, squeeze), 4, 4, more=("", parts[1]))
    joined = g.add("Concat", g.add("Transpose", a, perm=[1, 0, 2]), g.add("Transpose", b, perm=[1, 0, 2]), axis=1)
    head = g.add("MatMul", g.add("Squeeze", y, squeeze), g.array(4, 2))
    source = importers.read(g.save(tmp_path / "m.onnx", head, joined))
    assert source.when == "every"
    assert source.stream is not None
    imported(tmp_path / "m.onnx")

    g = Graph(10)
    y, _y_h = g.cell("GRU", g.take("time", "batch", 3), 3, 4)
    flat = g.add("Squeeze", y, g.constant(np.array([1])))
    head, other = g.add("MatMul", flat, g.array(4, 2)), g.add("Concat", flat, flat, axis=2)
    path = g.save(tmp_path / "m.onnx", head, other)
    refused(path, f"output {other}: Concat .*joins several paths.*; or choose another output: --output-name {head}$")
    assert len(imported(path, Options(output=head)).labels) == 2


def test_large_offsets_in_float32(tmp_path: Path) -> None:
    """A float32 normalisation of 10^5 +- 1 rounds by more than the limit. That is the file's error, not the import's."""
    g = Graph(11)
    x = g.take("batch", 5, 1)
    scaled = g.add(
        "Add", g.add("Mul", x, g.constant(np.array([0.7], np.float32))), g.constant(np.array([-70930.0], np.float32))
    )
    _, y_h = g.cell("GRU", g.add("Transpose", scaled, perm=[1, 0, 2]), 1, 4)
    path = g.save(tmp_path / "m.onnx", g.add("Squeeze", y_h, g.constant(np.array([0]))))
    source = importers.read(path)
    model = float_conversion.build(source, float_conversion.Settings(ranges=((101_324.0, 101_334.0),)), None)
    assert framework_check.LIMIT < framework_check.compare(source, model)[0] < 1e-2


def test_a_difference_names_its_layer(tmp_path: Path) -> None:
    """With a wrong second layer, the message has its name and what helps."""
    g = Graph(12)
    y, _ = g.cell("GRU", g.take("time", "batch", 3), 3, 4, linear_before_reset=1)
    squeeze = g.constant(np.array([1]))
    y, _ = g.cell("LSTM", g.add("Squeeze", y, squeeze), 4, 5)[:2]
    path = g.save(tmp_path / "m.onnx", g.add("MatMul", g.add("Squeeze", y, squeeze), g.array(5, 2)))
    source = importers.read(path)
    second = source.steps[1]
    lstm = instance(LSTM, second.what)
    wrong = replace(second, what=replace(lstm, bias_ih=lstm.bias_ih + 0.1))
    source = replace(source, steps=(source.steps[0], wrong, source.steps[2]))
    with pytest.raises(
        ModelError, match=f"differs from ONNX Runtime by .*: they differ from {second.name} on; save the same"
    ):
        framework_check.compare(source, float_conversion.build(source, float_conversion.Settings(), None))
