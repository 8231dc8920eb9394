# SPDX-License-Identifier: MIT
"""Hostile files for `tinyrnn import` are refused in one line, and nothing is executed, allocated or read elsewhere.

Executed: each payload would make a file. Allocated: the address space may grow by at most ROOM while a file is read. Read
elsewhere: inotify watches the file that a link or a path of external data leads to.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import mmap
import os
import pickle
import random
import resource
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

os.environ["KERAS_BACKEND"] = "torch"
torch = need_package("torch")
onnx = need_package("onnx")
h5py = need_package("h5py")

from onnx import TensorProto, helper, numpy_helper
from tinyrnn import importers
from tinyrnn.errors import ModelError
from tinyrnn.importers import float_conversion, framework_check
from torch import nn

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: RLIMIT_AS and inotify")
ROOM = 192 << 20
HUGE = 10**12


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Limit the address space to its present size and ROOM more."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def take(path: Path) -> None:
    """The whole import."""
    source = importers.read(path)
    framework_check.compare(source, float_conversion.build(source, float_conversion.Settings(), None))


def refused(path: Path, message: str) -> None:
    """Expect one line with this message, within the memory limit."""
    with bounded(), pytest.raises(ModelError, match=message) as caught:
        take(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


@contextlib.contextmanager
def untouched(path: Path) -> Iterator[None]:
    """Expect that the file is not opened."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), 0x21) > 0  # IN_OPEN, IN_ACCESS
    try:
        yield
        with contextlib.suppress(BlockingIOError):
            assert not os.read(watch, 4096), f"{path} was opened"
        path.read_bytes()
        assert os.read(watch, 4096), "the watch sees nothing: this test proves nothing"
    finally:
        os.close(watch)


class Bomb:
    """An object whose unpickling makes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.target}'",)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "executed"
    yield path
    assert not path.exists(), "code of the file was executed"


def test_bomb_and_bound_work(tmp_path: Path) -> None:
    """The bomb makes its file when it is unpickled, and the limit refuses memory, so that the other tests can fail."""
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()
    if sys.platform.startswith("linux"):
        with bounded(), pytest.raises(OSError, match="Cannot allocate memory"):
            mmap.mmap(-1, 2 * ROOM)  # of the kernel itself: an array may be given what another one has left


# PyTorch


@linux
def test_pickle_bombs(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "m.pt"
    state = nn.GRU(3, 4).state_dict()
    for saved in (Bomb(canary), {**state, "more": Bomb(canary)}, {"epoch": 1, "model": state, "x": [Bomb(canary)]}):
        torch.save(saved, path)
        refused(path, r"holds an object of (posix|nt)\.system, not only tensors; save it with")
        torch.save(saved, path, _use_new_zipfile_serialization=False)
        refused(path, "is a pickle or a file of PyTorch before 1.6")
    path.write_bytes(pickle.dumps(Bomb(canary)))
    refused(path, "is a pickle or a file of PyTorch before 1.6")
    torch.save(nn.GRU(3, 4), path)
    refused(path, r"holds an object of torch.nn.modules.rnn.GRU, not only tensors")


def repacked(path: Path, change: Callable[[str, bytes], bytes | None], method: int = zipfile.ZIP_STORED) -> None:
    """Write the archive with changed entries. None removes an entry."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in entries.items():
            changed = change(name, data)
            if changed is not None:
                archive.writestr(name, changed)


@linux
def test_torch_sizes(tmp_path: Path) -> None:
    """Tensors larger than their bytes, an archive bomb, a pickle that asks for memory."""
    path = tmp_path / "m.pt"
    state = dict(nn.GRU(3, 4).state_dict())
    torch.save({**state, "head.weight": torch.zeros(1).expand(10**6, 10**6)}, path)
    refused(path, r"a tensor of shape \(1000000, 1000000\) with too few numbers")
    torch.save({**state, "x": torch.zeros(23456)}, path)
    repacked(
        path, lambda n, d: d.replace(struct.pack("<H", 23456), struct.pack("<H", 65535)) if n.endswith("data.pkl") else d
    )
    refused(path, "cannot be read|on fewer numbers")
    torch.save({**state, "x": torch.zeros(123456)}, path)
    repacked(
        path,
        lambda n, d: d.replace(struct.pack("<i", 123456), struct.pack("<i", 2**31 - 1)) if n.endswith("data.pkl") else d,
    )
    refused(path, "cannot be read|on fewer numbers")
    torch.save({**state, "x": torch.zeros(1 << 24)}, path)
    repacked(path, lambda n, d: d, zipfile.ZIP_DEFLATED)
    refused(path, "bytes that unpack to .*not an archive bomb")
    torch.save(state, path)
    wants_memory = b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + struct.pack("<q", HUGE)[:6] + b"\x85R."
    repacked(path, lambda n, d: wants_memory if n.endswith("data.pkl") else d)
    refused(path, "holds an object of builtins.bytearray")
    repacked(path, lambda n, d: b"\x80\x02" + b"]" * 100 + b"\xff." if n.endswith("data.pkl") else d)
    refused(path, "its pickle is damaged")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small exported program."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(x)[0])

    path = tmp_path_factory.mktemp("program") / "m.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 5, 3),)), path)
    return path


def edit(path: Path, suffix: str, change: Callable[[Any], Any]) -> None:
    """Change the JSON of the entries whose names have this suffix."""
    repacked(path, lambda n, d: json.dumps(change(json.loads(d))).encode() if n.endswith(suffix) else d)


@linux
def test_programs(program: Path, tmp_path: Path, canary: Path) -> None:
    """torch.export: pickled entries, expressions that sympy would evaluate, foreign calls, sizes, nesting."""
    path = tmp_path / "m.pt2"

    def fresh() -> Path:
        path.write_bytes(program.read_bytes())
        return path

    def first_weight(config: Any, **changes: Any) -> Any:
        entry = next(iter(config["config"].values()))
        entry.update({key: value for key, value in changes.items() if key != "sizes"})
        if "sizes" in changes:
            entry["tensor_meta"]["sizes"] = [{"as_int": n} for n in changes["sizes"]]
        return config

    bomb = io.BytesIO()
    torch.save(Bomb(canary), bomb)
    edit(fresh(), "weights_config.json", lambda c: first_weight(c, use_pickle=True))
    repacked(path, lambda n, d: bomb.getvalue() if n.endswith("weight_0") else d)
    refused(path, "is pickled or of an unsupported type")
    repacked(fresh(), lambda n, d: bomb.getvalue() if n.endswith("sample_inputs/model.pt") else d)
    take(path)  # the sample inputs are not looked at
    code = f"__import__('os').system(\"touch '{canary}'\")"

    def poisoned(program: Any) -> Any:
        program["range_constraints"] = {code: {"min_val": 1, "max_val": 2}}
        program["guards_code"] = [code]
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[1] = {"as_expr": {"expr_str": code, "hint": {"as_int": 5}}}
        return program

    edit(fresh(), "models/model.json", poisoned)
    importers.read(path)  # a size with an expression is any size: the expression is not looked at

    def node(number: int, change: Callable[[Any], None]) -> Callable[[Any], Any]:
        def apply(program: Any) -> Any:
            change(program["graph_module"]["graph"]["nodes"][number])
            return program

        return apply

    for target in ("os.system", "torch.ops.aten.from_file.default", "builtins.eval"):
        edit(fresh(), "models/model.json", node(0, lambda n, t=target: n.update(target=t)))  # type: ignore[misc]
        refused(path, "expected operators of torch.ops.aten only|computes constants with")
    edit(fresh(), "models/model.json", node(0, lambda n: n["inputs"][0].update(arg={"as_ints": [HUGE, 10, 4]})))
    refused(path, "makes zeros of shape")
    edit(fresh(), "weights_config.json", lambda c: first_weight(c, sizes=[HUGE, 3]))
    refused(path, r"has shape \[1000000000000, 3\] in 144 bytes")
    edit(fresh(), "weights_config.json", lambda c: first_weight(c, path_name="../../../../../etc/passwd"))
    refused(path, "is missing")
    repacked(fresh(), lambda n, d: b"[" * 100_000 if n.endswith("models/model.json") else d)
    refused(path, "JSON nested deeper than 100 levels")
    repacked(fresh(), lambda n, d: bytes(1 << 28) if n.endswith("weight_0") else d, zipfile.ZIP_DEFLATED)
    refused(path, "not an archive bomb")


def made(operator: str, output: str, **inputs: Any) -> dict[str, Any]:
    """A node of a program. inputs: "name" for a tensor, a number, or a list of numbers or names."""

    def argument(value: Any) -> dict[str, Any]:
        if isinstance(value, str):
            return {"as_tensor": {"name": value}}
        if isinstance(value, list):
            tensors = value and isinstance(value[0], str)
            return {"as_tensors": [{"name": name} for name in value]} if tensors else {"as_ints": value}
        return {"as_int" if isinstance(value, int) else "as_float": value}

    return {
        "name": output,
        "target": f"torch.ops.aten.{operator}",
        "inputs": [{"name": key, "arg": argument(value), "kind": 1} for key, value in inputs.items()],
        "outputs": [{"as_tensor": {"name": output}}],
        "metadata": {},
    }


def chain(count: int, *turn: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes of each turn, 1 to count."""
    return [node(i) for i in range(1, count + 1) for node in turn]


CONSTANTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "full": ([made("full.default", "zeros", size=[10**9], fill_value=0)], "makes a constant of shape"),
    "ones": ([made("ones.default", "zeros", size=[10**6, 10**6])], "makes a constant of shape"),
    "arange": ([made("arange.default", "zeros", end=HUGE)], "makes a constant of shape"),
    "eye": ([made("eye.default", "zeros", n=10**6)], "makes a constant of shape"),
    "repeat": (
        [made("zeros.default", "a", size=[1, 1, 4]), made("repeat.default", "zeros", self="a", repeats=[10**5, 10**5, 1])],
        "makes a constant of shape",
    ),
    "expand": (
        [
            made("zeros.default", "a", size=[1, 1]),
            made("expand.default", "b", self="a", size=[10**6, 10**6]),
            made("clone.default", "zeros", self="b"),
        ],
        "makes a constant of shape",
    ),
    "sums": (
        [
            made("zeros.default", "a0", size=[1 << 20]),
            *chain(40, lambda i: made("add.Scalar", f"a{i}", self=f"a{i - 1}", other=1)),
            made("alias.default", "zeros", self="a40"),
        ],
        "computes more constants than a network for a board needs",
    ),
    "products": (
        [
            made("ones.default", "a0", size=[1500, 1500]),
            *chain(40, lambda i: made("mm.default", f"a{i}", self=f"a{i - 1}", mat2="a0")),
            made("alias.default", "zeros", self="a40"),
        ],
        "computes more constants than a network for a board needs",
    ),
    "cat": (
        [
            made("zeros.default", "a0", size=[4]),
            *chain(60, lambda i: made("cat.default", f"a{i}", tensors=[f"a{i - 1}"] * 2)),
            made("alias.default", "zeros", self="a60"),
        ],
        "makes a constant of shape|computes more constants",
    ),
    "file": ([made("from_file.default", "zeros", filename="/etc/passwd")], "constants with torch's from_file|is damaged"),
    "by chance": ([made("randn.default", "zeros", size=[1, 1, 4])], "makes random numbers"),
    "calls": (
        [
            made("zeros.default", "a0", size=[1, 1, 4]),
            *chain(60_000, lambda i: made("alias.default", f"a{i}", self=f"a{i - 1}")),
            made("alias.default", "zeros", self="a60000"),
        ],
        "has over 50000 calls",
    ),
}


@linux
@pytest.mark.parametrize("name", CONSTANTS)
def test_program_constants(name: str, program: Path, tmp_path: Path) -> None:
    """The size of a constant that a program computes is checked before it is computed."""
    path = tmp_path / "m.pt2"
    path.write_bytes(program.read_bytes())
    nodes, message = CONSTANTS[name]

    def constants(found: Any) -> Any:
        found["graph_module"]["graph"]["nodes"][:1] = nodes
        return found

    edit(path, "models/model.json", constants)
    refused(path, message)


LOOPS = {
    "squares": chain(300, lambda i: made("mul.Tensor", f"b{i}", self=f"b{i - 1}", other=f"b{i - 1}")),
    "sigmoids": chain(
        150,
        lambda i: made("sigmoid.default", f"c{i}", self=f"b{i - 1}"),
        lambda i: made("mul.Tensor", f"b{i}", self=f"b{i - 1}", other=f"c{i}"),
    ),
    "sums": chain(
        150,
        lambda i: made("tanh.default", f"c{i}", self=f"b{i - 1}"),
        lambda i: made("add.Tensor", f"b{i}", self=f"b{i - 1}", other=f"c{i}"),
    ),
    "matrices": chain(
        60,
        lambda i: made("tanh.default", f"c{i}", self=f"b{i - 1}"),
        lambda i: made("mul.Tensor", f"d{i}", self=f"b{i - 1}", other=f"c{i}"),
        lambda i: made("mm.default", f"b{i}", self=f"d{i}", mat2="square"),
    ),
}


@linux
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", LOOPS)
def test_program_loops(name: str, index: int, program: Path, tmp_path: Path) -> None:
    """A formula of the input's steps that doubles with each call is refused quickly."""
    path = tmp_path / "m.pt2"
    path.write_bytes(program.read_bytes())

    def loops(found: Any) -> Any:
        graph = found["graph_module"]["graph"]
        answer = graph["nodes"][-1]["outputs"][0]["as_tensor"]["name"]
        graph["nodes"] = [
            made("ones.default", "square", size=[3, 3]),
            made("select.int", "b0", self="x", dim=1, index=index),
            *LOOPS[name],
            made("select.int", "e", self="x", dim=1, index=1 - index),
            made("mm.default", "f", self=LOOPS[name][-1]["name"], mat2="square"),
            made("add.Tensor", "g", self="f", other="e"),
            made("tanh.default", answer, self="g"),
        ]
        return found

    edit(path, "models/model.json", loops)
    refused(path, "that no GRU, LSTM or RNN|multiplies|adds many|comes after|combines|takes step|is damaged")


WRONG: list[Any] = [None, True, -1, 0, 2, 10**9, 1e400, "x", "", [], {}, [[]], [None], {"a": 1}, "../x", 3.5]


def spoiled(value: Any, rng: random.Random) -> Any:
    """The JSON with one random entry replaced or removed."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        item = stack.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        places += [(item, key) for key in keys]
        stack += [item[key] for key in keys]
    container, key = rng.choice(places)
    if rng.random() < 0.7:
        container[key] = rng.choice(WRONG)
    else:
        del container[key]
    return value


def import_spoiled(original: Path, path: Path, spoil: Callable[[Path], None]) -> None:
    """Import 60 spoiled copies of a file. Each gives a model or one line, and both happen."""
    whole, messages = 0, []
    for _ in range(60):
        path.write_bytes(original.read_bytes())
        spoil(path)
        try:
            take(path)
            whole += 1
        except ModelError as error:
            messages.append(str(error))
    assert not any("\n" in message for message in messages)
    assert min(whole, len(messages)) > 5


@pytest.mark.parametrize("suffix", [".pt2", ".keras"])
def test_spoiled_descriptions(suffix: str, program: Path, keras_files: Path, tmp_path: Path) -> None:
    """Any value in the place of another, anywhere in the JSON, gives a model or one line."""
    rng = random.Random(4)
    original = program if suffix == ".pt2" else keras_files / "m.keras"

    def spoil(path: Path) -> None:
        which = rng.choice(["models/model.json", "weights_config.json"]) if suffix == ".pt2" else "config.json"
        edit(path, which, lambda value: spoiled(value, rng))

    import_spoiled(original, tmp_path / f"m{suffix}", spoil)


def test_spoiled_slices(tmp_path: Path) -> None:
    """The same for a functional model with x[:, -1], whose indices are plain values of the description."""
    keras = need_package("keras")
    x = keras.layers.Input((7, 3), name="in")
    h = keras.layers.GRU(4, return_sequences=True, name="cell")(x)
    keras.Model(x, keras.layers.Dense(2, name="head")(keras.layers.Flatten()(h[:, -1:]))).save(tmp_path / "whole.keras")
    rng = random.Random(5)

    def spoil(path: Path) -> None:
        edit(path, "config.json", lambda value: spoiled(value["config"]["layers"], rng) and value)

    import_spoiled(tmp_path / "whole.keras", tmp_path / "m.keras", spoil)


# ONNX


def onnx_file(path: Path, change: Callable[[Any], None] = lambda model: None) -> Path:
    """A GRU over (5, 1, 3) with a change."""
    rng = np.random.default_rng(0)
    arrays = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in (("W", (1, 12, 3)), ("R", (1, 12, 4)))
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 1, 3])]
    nodes = [helper.make_node("GRU", ["x", "W", "R"], ["y"], hidden_size=4)]
    graph = helper.make_graph(nodes, "g", given, [helper.make_empty_tensor_value_info("y")], arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def initial(kind: str, *inputs: np.ndarray) -> Callable[[Any], None]:
    """The initial state comes from a node that makes constants."""

    def change(model: Any) -> None:
        names = [f"in{i}" for i in range(len(inputs))]
        model.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(inputs, names, strict=True))
        model.graph.node.insert(0, helper.make_node(kind, names, ["h0"]))
        model.graph.node[1].input.extend(["", "", "h0"])

    return change


def sizes(number: int, dims: list[int]) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.initializer[number].dims[:] = dims

    return change


def input_sizes(*dims: int) -> Callable[[Any], None]:
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, list(dims)))


def state_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [99_999, 99_999, 4]))
    model.graph.node[0].input.extend(["", "", "h0"])


def many_states(model: Any) -> None:
    """More states and outputs than any network has."""
    model.graph.input.extend(helper.make_tensor_value_info(f"s{i}", TensorProto.FLOAT, [1, 1, 4]) for i in range(900))
    model.graph.node.insert(0, helper.make_node("Concat", [f"s{i}" for i in range(900)], ["all"], axis=2))
    model.graph.node.insert(1, helper.make_node("Slice", ["all", "from", "to", "axis"], ["h0"]))
    for name, value in (("from", 0), ("to", 4), ("axis", 2)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    model.graph.node[2].input.extend(["", "", "h0"])


def doubled_state(model: Any) -> None:
    """A state concatenated with itself sixty times: 2^62 numbers."""
    model.graph.input.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [1, 1, 4]))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    for i in range(60):
        model.graph.node.insert(i, helper.make_node("Concat", [f"h{i}", f"h{i}"], [f"h{i + 1}"], axis=2))
    model.graph.node[60].input.extend(["", "", "h60"])


def twisted_state(model: Any) -> None:
    """A state with another size than the layer's."""
    model.graph.input.append(helper.make_tensor_value_info("h0", TensorProto.FLOAT, [1, 1, 7]))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.node[0].input.extend(["", "", "h0"])


@linux
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (many_states, "900 states and 1 output; expected at most 64 of each"),
        (doubled_state, "h0: reaches its layer in a way that cannot be followed"),
        (twisted_state, "h0: starts the state h of GRU y, but no output returns it"),
        (sizes(0, [1, 12, HUGE]), r"W has shape \[1, 12, 1000000000000\] but data for at most"),
        (sizes(0, [10**6, 10**6, 10**6]), "but data for at most"),
        (sizes(0, [-1, 12, 3]), "but data for at most"),
        (initial("ConstantOfShape", np.array([HUGE, 1, 4])), r"ConstantOfShape makes shape \[1000000000000, 1, 4\]"),
        (initial("ConstantOfShape", np.array([-5])), "ConstantOfShape makes shape"),
        (initial("Expand", np.zeros((1, 1, 4), np.float32), np.array([HUGE, 1, 4])), "Expand makes shape"),
        (initial("Tile", np.zeros((1, 1, 4), np.float32), np.array([HUGE, HUGE, 1])), "Tile makes shape"),
        (initial("Range", np.array(0), np.array(HUGE), np.array(1)), "Range of constants"),
        (initial("Add", np.zeros((60_000, 1), np.float32), np.zeros((1, 60_000), np.float32)), "Add makes shape"),
        (lambda m: m.graph.node[0].attribute[0].__setattr__("i", HUGE), "hidden_size 1000000000000"),
        (input_sizes(5, HUGE, 3), "has sizes .*expected 1 to 100000"),
        (state_input, "is an initial state of shape|cannot run the file"),
    ],
)
def test_onnx_sizes(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    refused(onnx_file(tmp_path / "m.onnx", change), message)


@linux
def test_onnx_external_data(tmp_path: Path) -> None:
    """External data outside the folder, beside the file, or at an absolute path is not opened."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(36, np.float32).tobytes())
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "beside.bin").write_bytes(secret.read_bytes())
    for location, target in (("../secret.bin", secret), (str(secret), secret), ("beside.bin", inner / "beside.bin")):

        def outside(model: Any, location: str = location) -> None:
            tensor = model.graph.initializer[0]
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.append(onnx.StringStringEntryProto(key="location", value=location))

        path = onnx_file(inner / "m.onnx", outside)
        with untouched(target):
            refused(path, "W has its data in another file; expected weights inside the file")


@linux
def test_onnx_nesting(tmp_path: Path) -> None:
    """Graphs nested more deeply than parsers accept, and a plain If."""

    def nested(depth: int) -> Callable[[Any], None]:
        def change(model: Any) -> None:
            graph = helper.make_graph([], "g", [], [])
            for _ in range(depth):
                graph = helper.make_graph([helper.make_node("If", ["c"], ["r"], then_branch=graph)], "g", [], [])
            model.graph.node.append(graph.node[0])

        return change

    refused(onnx_file(tmp_path / "m.onnx", nested(1)), "takes c, which no earlier node makes")
    refused(onnx_file(tmp_path / "m.onnx", nested(30)), "takes c, which no earlier node makes|not an ONNX file")


# Keras


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one small model as m.keras and m.h5."""
    keras = need_package("keras")
    folder = tmp_path_factory.mktemp("keras")
    layers = [keras.layers.Input((None, 3), name="in"), keras.layers.GRU(4, name="cell"), keras.layers.Dense(2, name="head")]
    net = keras.Sequential(layers, name="net")
    for suffix in ("keras", "h5"):
        net.save(folder / f"m.{suffix}")
    return folder


def changed(folder: Path, path: Path, change: Callable[[Any], None]) -> Path:
    """Change the model's HDF5 data with h5py, in .h5 or inside .keras."""
    if path.suffix == ".h5":
        path.write_bytes((folder / "m.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            change(file)
        return path
    with zipfile.ZipFile(folder / "m.keras") as archive:
        buffer = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(buffer, "r+") as file:
        change(file)
    path.write_bytes((folder / "m.keras").read_bytes())
    repacked(path, lambda n, d: buffer.getvalue() if n == "model.weights.h5" else d)
    return path


def kernel_of(file: Any) -> str:
    return "model_weights/cell/net/cell/gru_cell/kernel" if "model_weights" in file else "layers/gru/cell/vars/0"


def relinked(make: Callable[[str], Any]) -> Callable[[Any], None]:
    """Replace the GRU's kernel."""

    def change(file: Any) -> None:
        name = kernel_of(file)
        del file[name]
        made = make(name)
        if made is not None:
            file[name] = made

    return change


@linux
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_hdf5_links(suffix: str, keras_files: Path, tmp_path: Path) -> None:
    """External and soft links, external and virtual datasets: the target file is not opened."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = np.ones((3, 12), np.float32)
    path = tmp_path / f"m{suffix}"
    with untouched(secret):
        changed(keras_files, path, relinked(lambda name: h5py.ExternalLink(str(secret), "kernel")))
        refused(path, "is a link .ExternalLink.; expected weights in the file itself")
    changed(keras_files, path, relinked(lambda name: h5py.SoftLink("/anything")))
    refused(path, "is a link .SoftLink.")

    def outer(file: Any) -> None:
        name = kernel_of(file)
        del file[name]
        file.create_dataset(name, (3, 12), "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def virtual(file: Any) -> None:
        name = kernel_of(file)
        del file[name]
        layout = h5py.VirtualLayout((3, 12), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 12), "f4")
        file.create_virtual_dataset(name, layout)

    for change in (outer, virtual):
        changed(keras_files, path, change)
        with untouched(secret):
            refused(path, "has its numbers in another file")


@linux
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_hdf5_sizes(suffix: str, keras_files: Path, tmp_path: Path) -> None:
    """Sizes without bytes, compressed zeros, cycles."""
    path = tmp_path / f"m{suffix}"

    def dataset(**options: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            name = kernel_of(file)
            del file[name]
            file.create_dataset(name, **options)

        return change

    changed(keras_files, path, dataset(shape=(HUGE, 12), dtype="f4"))
    refused(path, r"has shape \(1000000000000, 12\) but fewer bytes")
    changed(keras_files, path, dataset(shape=(3, 12), dtype="f4"))
    refused(path, r"has shape \(3, 12\) but fewer bytes")
    changed(keras_files, path, dataset(data=np.zeros((1 << 22, 12), np.float32), compression="gzip"))
    refused(path, "but fewer bytes|like an archive bomb|not an archive bomb")
    changed(keras_files, path, dataset(shape=(4096,), dtype=h5py.string_dtype()))
    refused(path, "is of type object")

    def circle(file: Any) -> None:
        file["loop"] = file[kernel_of(file).rpartition("/")[0]]

    changed(keras_files, path, circle)
    refused(path, "is linked twice or nested too deeply")
    changed(keras_files, path, lambda file: file.attrs.create("model_config2", np.zeros(1), (1,), "f8"))
    assert importers.read(path)  # a change that does no harm passes: it is not the rewriting that is refused


def described(folder: Path, path: Path, change: Callable[[Any], Any]) -> Path:
    """Change the model's description."""
    if path.suffix == ".h5":
        path.write_bytes((folder / "m.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            made = change(json.loads(file.attrs["model_config"]))
            file.attrs["model_config"] = made if isinstance(made, str) else json.dumps(made)
        return path
    path.write_bytes((folder / "m.keras").read_bytes())

    def apply(name: str, data: bytes) -> bytes:
        if name != "config.json":
            return data
        made = change(json.loads(data))
        return (made if isinstance(made, str) else json.dumps(made)).encode()

    repacked(path, apply)
    return path


@linux
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keras_descriptions(suffix: str, keras_files: Path, tmp_path: Path, canary: Path) -> None:
    """Code in the description, as lambdas, modules, functions and initializers; deep and endless JSON."""
    path = tmp_path / f"m{suffix}"
    command = f"touch '{canary}'"

    def layer(number: int, **changes: Any) -> Callable[[Any], Any]:
        def change(config: Any) -> Any:
            config["config"]["layers"][number].update(changes)
            return config

        return change

    def option(number: int, **changes: Any) -> Callable[[Any], Any]:
        def change(config: Any) -> Any:
            config["config"]["layers"][number]["config"].update(changes)
            return config

        return change

    call = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    run = {"module": "os", "class_name": "system", "config": {"command": command}, "registered_name": None}
    for change, message in (
        (layer(1, **run), "is not a class of Keras|cannot be imported"),
        (layer(1, class_name="Lambda"), "Lambda cell: this kind of layer cannot be imported; code in a file is never run"),
        (layer(1, class_name="TFSMLayer"), "TFSMLayer cell: this kind of layer cannot be imported"),
        (layer(1, module="os.path"), "is not a class of Keras"),
        (option(1, activation=call), "has a custom activation"),
        (option(2, activation={"class_name": "__lambda__", "config": {"value": "gASV"}}), "has a custom activation"),
        (option(1, units=HUGE), "expected 1000000000000 units"),
        (option(0, batch_shape=[None, None, HUGE]), "the input shape"),
        (lambda config: "[" * 50_000, "JSON nested deeper than 100 levels"),
        (lambda config: {"class_name": "Net", "config": {}}, "is a model of the class Net"),
        (lambda config: [1, 2], "its description is not a model"),
    ):
        refused(described(keras_files, path, change), message)
    # what a layer's initializer says never reaches Keras
    described(keras_files, path, option(1, kernel_initializer=run, kernel_regularizer=call, dtype=run))
    source = importers.read(path)
    assert (
        framework_check.compare(source, float_conversion.build(source, float_conversion.Settings(), None))[0]
        <= framework_check.LIMIT
    )


@linux
def test_keras_archives(keras_files: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes((keras_files / "m.keras").read_bytes())
    repacked(path, lambda n, d: b" " * (1 << 28) if n == "config.json" else d, zipfile.ZIP_DEFLATED)
    refused(path, "not an archive bomb")
    path.write_bytes((keras_files / "m.keras").read_bytes())
    repacked(path, lambda n, d: None if n == "model.weights.h5" else d)
    refused(path, "model.weights.h5 is missing")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2):
            archive.writestr("config.json" if number else "config.jsox", b"{}" * 100)
    path.write_bytes(path.read_bytes().replace(b"config.jsox", b"config.json"))
    refused(path, "its archive has duplicate")


@linux
def test_functional_circle(keras_files: Path, tmp_path: Path) -> None:
    """Layers that take each other's output give an error, not an endless loop."""

    def circle(config: Any) -> Any:
        layers = config["config"]["layers"]
        for item, before in zip(layers[1:], ("head", "cell"), strict=True):
            item["inbound_nodes"] = [[[before, 0, 0, {}]]]
            item["name"] = item["config"]["name"]
        config["class_name"] = "Functional"
        config["config"] |= {"input_layers": [["in", 0, 0]], "output_layers": [["head", 0, 0]]}
        return config

    for suffix in (".h5", ".keras"):
        refused(
            described(keras_files, tmp_path / f"m{suffix}", circle),
            "gives its output 0 to the next|one path|is not on the path",
        )


# All


def test_what_is_not_a_model_file(tmp_path: Path) -> None:
    for suffix in (".pt", ".pt2", ".onnx", ".keras", ".h5"):
        path = tmp_path / f"none{suffix}"
        with pytest.raises(ModelError, match="cannot be opened"):
            importers.read(path)
        for content in (b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + b"\xff" * 90, b"\x80\x02}.", os.urandom(300)):
            path.write_bytes(content)
            with pytest.raises(ModelError) as caught:
                importers.read(path)
            assert "\n" not in str(caught.value)
        path.unlink()
        path.mkdir()
        with pytest.raises(ModelError, match="is a folder"):
            importers.read(path)
    with pytest.raises(ModelError, match=r"of unknown kind; expected .*\.pt2"):
        importers.read(tmp_path / "m.tflite")
    with open(tmp_path / "huge.onnx", "wb") as stream:
        stream.truncate(1 << 34)  # sparse: takes no disk
    with pytest.raises(ModelError, match="17179869184 bytes; expected at most"):
        importers.read(tmp_path / "huge.onnx")
