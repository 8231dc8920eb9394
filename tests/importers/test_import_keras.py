# SPDX-License-Identifier: MIT
"""`tinyrnn import` of Keras 3: every layer and option in .keras and .h5, against Keras itself on its torch backend."""

from __future__ import annotations

import io
import itertools
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

os.environ["KERAS_BACKEND"] = "torch"
need_package("torch")
keras = need_package("keras")
h5py = need_package("h5py")

from helpers.importing import imported, refused
from tinyrnn import importers
from tinyrnn.float_model.layers import Embedding
from tinyrnn.float_model.model import FloatModel
from tinyrnn.importers.source_model import Options

L = keras.layers
CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "rnn": (L.SimpleRNN, {}),
    "rnn-relu": (L.SimpleRNN, {"activation": "relu"}),
    "gru": (L.GRU, {}),
    "gru-before": (L.GRU, {"reset_after": False}),
    "lstm": (L.LSTM, {}),
    "lstm-plain": (L.LSTM, {"unit_forget_bias": False, "dropout": 0.1, "recurrent_dropout": 0.1}),
}


def shaken(model: Any, seed: int = 0) -> Any:
    """Random weights everywhere, also in biases and moving averages; variances are positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = 0.5 * rng.standard_normal(weight.shape)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)
    return model


def both(net: Any, folder: Path, **options: Any) -> list[FloatModel]:
    """The model imported from .keras and from .h5, each compared with the Keras model that was saved."""
    found = []
    for suffix in (".keras", ".h5"):
        path = folder / f"m{suffix}"
        net.save(path)
        model = imported(path, Options(**options))
        agree(net, model)
        found.append(model)
    return found


def agree(net: Any, model: FloatModel, seed: int = 5) -> None:
    rng = np.random.default_rng(seed)
    first = model.layers[0]
    shape = [int(n or size) for n, size in zip(net.input_shape, (2, 6, 0), strict=False)]
    x = rng.integers(1, first.symbols, shape) if isinstance(first, Embedding) else rng.standard_normal(shape)
    want = np.asarray(net.predict(x, verbose=0, batch_size=len(x)))
    got = model.forward(x[..., None] if isinstance(first, Embedding) else x)
    if net.layers[-1].get_config().get("activation") == "softmax":
        got = np.exp(got) / np.exp(got).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(got if want.ndim == 3 else got[:, -1], want, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell: str, tmp_path: Path) -> None:
    """Layers x bias x last or every step x softmax or not, sequential and functional, fixed and free time."""
    make, more = CELLS[cell]
    cases = [
        (1, True, False, "softmax"),
        (2, False, True, "linear"),
        (2, True, False, "linear"),
        (1, False, True, "softmax"),
    ]
    for seed, (layers, bias, every, activation) in enumerate(cases):
        parts = [
            make(4, use_bias=bias, return_sequences=every or i + 1 < layers, name=f"cell_of_{i}", **more)
            for i in range(layers)
        ]
        parts.append(L.Dense(3, activation=activation, use_bias=bias))
        time = 6 if seed % 2 else None
        if seed < 2:
            net = keras.Sequential([L.Input((time, 3)), *parts])
        else:
            x = y = L.Input((time, 3), name="samples")
            for part in parts:
                y = part(y)
            net = keras.Model(x, y)
        for model in both(shaken(net, seed), tmp_path):
            assert len(model.layers) == layers
            assert model.when == ("every" if every else "last")
            assert model.task == "classification"


def test_everything_in_front_and_behind(tmp_path: Path) -> None:
    """A Normalization becomes the model's own, norms stay layers, Dense layers with functions become cells."""
    parts = [
        L.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0]),
        L.GRU(4, return_sequences=True, stateful=False),
        L.LayerNormalization(epsilon=0.01),
        L.Dropout(0.3),
        L.TimeDistributed(L.Dense(5, activation="relu")),
        L.LSTM(4),
        L.BatchNormalization(),
        L.Dense(5, activation="tanh"),
        L.Dense(6, activation="sigmoid"),
        L.Dense(6),
        L.ReLU(),
        L.Dense(2),
        L.Softmax(),
    ]
    net = shaken(keras.Sequential([L.Input((None, 3)), *parts]))
    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        model = imported(tmp_path / f"m{suffix}")
        np.testing.assert_allclose(model.mean, [1, 2, 3])
        np.testing.assert_allclose(model.std, np.sqrt([4, 5, 6]))
        assert [layer.kind for layer in model.layers] == [
            "gru",
            "layernorm",
            "rnn",
            "lstm",
            "batchnorm",
            "rnn",
            "rnn",
            "rnn",
        ]
        x = np.random.default_rng(0).standard_normal((2, 5, 3))
        logits = model.forward(x)[:, -1]
        want = net.predict(x, verbose=0)
        np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), want, atol=1e-5)


def test_adapted_and_rescaled(tmp_path: Path) -> None:
    """Statistics from adapt(), Rescaling, norms without gain or shift, and one sigmoid as two classes."""
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 7, 2)))
    net = keras.Sequential([L.Input((7, 2)), layer, L.SimpleRNN(4), L.LayerNormalization(scale=False), L.Dense(2)])
    model = both(net, tmp_path)[0]
    assert (model.mean > 2).all()
    parts = [L.Rescaling(1 / 127.5, offset=-1), L.GRU(3, return_sequences=True), L.BatchNormalization(center=False)]
    net = shaken(keras.Sequential([L.Input((None, 2)), *parts, L.Activation("tanh"), L.LSTM(3), L.Dense(1)]))
    assert both(net, tmp_path)[0].task == "regression"
    np.testing.assert_allclose(both(net, tmp_path)[1].mean, 127.5)
    net = shaken(keras.Sequential([L.Input((None, 2)), L.GRU(3), L.Dense(1, activation="sigmoid")]))
    net.save(tmp_path / "m.keras")
    model = imported(tmp_path / "m.keras", labels=("no", "yes"))
    x = np.random.default_rng(1).standard_normal((9, 5, 2))
    yes = net.predict(x, verbose=0)[:, 0] > 0.5
    assert (model.forward(x)[:, -1].argmax(1) == yes).all()


def test_embedding_and_masking(tmp_path: Path) -> None:
    net = shaken(keras.Sequential([L.Input((None,)), L.Embedding(9, 3), L.GRU(4), L.Dense(2)]))
    for model in both(net, tmp_path):
        assert [layer.kind for layer in model.layers] == ["embedding", "gru"]
    net = shaken(keras.Sequential([L.Input((None,)), L.Embedding(9, 3, mask_zero=True), L.GRU(4), L.Dense(2)]))
    net.save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "Embedding .*masks steps.*--ignore-masking")
    both(net, tmp_path, ignore_masking=True)
    # padding behind the end changes nothing for Keras: the state of the last real symbol is the answer
    model = imported(tmp_path / "m.keras", Options(ignore_masking=True))
    x = np.array([[3, 4, 5, 0, 0]])
    np.testing.assert_allclose(model.forward(x[:, :3, None])[:, -1], net.predict(x, verbose=0), atol=1e-5)
    net = shaken(keras.Sequential([L.Input((None, 2)), L.Masking(-1.0), L.GRU(4), L.Dense(2)]))
    net.save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "Masking .*masks steps.*--ignore-masking")
    both(net, tmp_path, ignore_masking=True)


def test_stateful(tmp_path: Path) -> None:
    """A stateful layer behaves like a board. The comparison starts from zero."""
    net = shaken(keras.Sequential([L.Input(batch_shape=(1, 5, 2)), L.GRU(4, stateful=True), L.Dense(2)]))
    net.save(tmp_path / "m.keras")
    source = importers.read(tmp_path / "m.keras")
    assert "stateful" in source.notes[0]
    imported(tmp_path / "m.keras")


def test_same_shapes_are_told_apart(tmp_path: Path) -> None:
    """Four layers of one shape and two classes get their own weights in both formats."""
    cells = [L.GRU(3, return_sequences=True), L.LSTM(3, return_sequences=True), L.GRU(3, return_sequences=True), L.LSTM(3)]
    both(shaken(keras.Sequential([L.Input((None, 3)), *cells, L.Dense(3), L.Dense(3)])), tmp_path)
    names = ["z", "a", "m"]
    cells = [L.GRU(3, return_sequences=True, name=name) for name in names]
    both(shaken(keras.Sequential([L.Input((None, 3)), *cells, L.Dense(2)]), 3), tmp_path)


@keras.saving.register_keras_serializable(package="tests")
class Own(L.Layer):  # type: ignore[name-defined]
    """A user's own layer."""

    def call(self, x: Any) -> Any:
        return x


def swish(x: Any) -> Any:
    return x * keras.ops.sigmoid(x)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (lambda: [L.Bidirectional(L.GRU(4))], "Bidirectional .*a stream has no future"),
        (lambda: [L.Conv1D(4, 3), L.GRU(4)], "Conv1D .*without convolution"),
        (lambda: [L.GRU(4, return_sequences=True), L.GlobalAveragePooling1D()], "GlobalAveragePooling1D .*last step"),
        (lambda: [L.GRU(4, return_sequences=True), L.Flatten()], "Flatten .*return_sequences=False"),
        (lambda: [L.GRU(4, go_backwards=True)], "GRU .*has go_backwards=True"),
        (lambda: [L.GRU(4, activation="relu")], "GRU .*has the activation relu; expected tanh"),
        (lambda: [L.LSTM(4, recurrent_activation="hard_sigmoid")], "LSTM .*has the recurrent_activation hard_sigmoid"),
        (lambda: [L.SimpleRNN(4, activation="elu")], "SimpleRNN .*has the activation elu; expected tanh or relu"),
        (lambda: [L.GRU(4), L.Dense(4, activation="gelu")], "Dense .*has the activation gelu"),
        (lambda: [L.GRU(4), L.Dense(4, activation="softmax"), L.Dense(2)], "Dense .*comes after softmax"),
        (lambda: [L.GRU(4), L.Dense(4, activation=swish)], "Dense .*activation"),
        (lambda: [L.GRU(4), Own()], "Own .*is not a class of Keras; expected layers of Keras itself"),
        (lambda: [L.GRU(4), L.Lambda(lambda x: x)], "Lambda .*code in a file is never run"),
        (lambda: [L.GRU(4, return_sequences=True), L.LayerNormalization(axis=1), L.GRU(2)], "normalises over axis"),
        (lambda: [L.RNN(L.StackedRNNCells([L.GRUCell(4), L.GRUCell(4)]))], "RNN .*cannot be imported"),
        (lambda: [L.GRU(4), L.RepeatVector(3), L.GRU(4)], "RepeatVector .*answers while the data arrive"),
        (lambda: [keras.Sequential([L.GRU(4)]), L.Dense(2)], "Sequential .*not a model in a model"),
        (lambda: [L.Dense(2)], "has no recurrent layer"),
    ],
)
def test_refused(parts: Any, message: str, tmp_path: Path) -> None:
    """The message names the layer's class and name and what helps, in both formats."""
    net = keras.Sequential([L.Input((8, 3)), *parts()])
    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        refused(tmp_path / f"m{suffix}", message)


def branching() -> list[tuple[Any, str]]:
    x = L.Input((8, 4))
    h = L.GRU(4, return_sequences=True)(x)
    _, state = L.GRU(4, return_state=True)(x)
    wide = L.Input((8, 4))
    shared = L.GRU(4, return_sequences=True)
    return [
        (keras.Model(x, L.Add()([h, x])), "Add .*takes 2 tensors; expected one path"),
        (keras.Model(x, L.Attention()([h, h])), "Attention .*takes 2 tensors; .*no attention"),
        (keras.Model(x, L.GRU(4)(h, initial_state=state)), "GRU .*takes 2 tensors; .*no initial_state"),
        (keras.Model(x, L.Dense(2)(L.LSTM(4, return_state=True)(x)[2])), "LSTM .*gives its output 2 to the next"),
        (keras.Model(x, [L.Dense(2)(h), L.Dense(3)(h)]), "has 1 input and 2 outputs"),
        (keras.Model([x, wide], L.Add()([h, wide])), "has 2 inputs and 1 output"),
        (keras.Model(x, shared(shared(x))), "GRU .*is called 2 times"),
    ]


def test_refused_graphs(tmp_path: Path) -> None:
    for net, message in branching():
        for suffix in (".keras", ".h5"):
            net.save(tmp_path / f"m{suffix}")
            refused(tmp_path / f"m{suffix}", message)


def test_keras_2_files(tmp_path: Path) -> None:
    """The description of Keras 2: batch_input_shape, no modules, lists as inbound nodes, bytes as names."""
    x = L.Input((None, 3), name="in")
    net = shaken(keras.Model(x, L.Dense(2, name="out")(L.GRU(4, name="cell")(x))))
    net.save(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer, before in zip(config["config"]["layers"], (None, "in", "cell"), strict=True):
            for key in ("module", "registered_name", "build_config"):
                layer.pop(key, None)
            layer["config"]["dtype"] = "float32"
            layer["inbound_nodes"] = [[[before, 0, 0, {}]]] if before else []
            if before is None:
                layer["config"]["batch_input_shape"] = layer["config"].pop("batch_shape")
        config["config"]["input_layers"], config["config"]["output_layers"] = [["in", 0, 0]], [["out", 0, 0]]
        config["config"]["layers"][1]["config"] |= {"time_major": False, "implementation": 2}
        config["class_name"] = "Functional"
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    agree(net, imported(tmp_path / "new.h5"))


def test_damaged_files(tmp_path: Path) -> None:
    """A cut file, a missing entry, or weights of another model give one line."""
    net = shaken(keras.Sequential([L.Input((None, 3)), L.GRU(4), L.Dense(2)]))
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"m{suffix}"
        net.save(path)
        data = path.read_bytes()
        for cut in (*range(0, 400, 57), *range(400, len(data) - 1, 1777)):
            path.write_bytes(data[:cut])
            refused(path, "m[.]")
    net.save_weights(tmp_path / "w.weights.h5")
    refused(tmp_path / "w.weights.h5", "bytes without model_config")
    other = keras.Sequential([L.Input((None, 3)), L.GRU(5), L.Dense(2)])
    net.save(tmp_path / "a.keras")
    other.save(tmp_path / "b.keras")
    parts: dict[str, bytes] = {}
    for name, entry in itertools.product("ab", ("config.json", "model.weights.h5")):
        with zipfile.ZipFile(tmp_path / f"{name}.keras") as archive:
            parts[f"{name} {entry}"] = archive.read(entry)
    mixed = io.BytesIO()
    with zipfile.ZipFile(mixed, "w") as archive:
        archive.writestr("config.json", parts["a config.json"])
        archive.writestr("model.weights.h5", parts["b model.weights.h5"])
    (tmp_path / "c.keras").write_bytes(mixed.getvalue())
    refused(tmp_path / "c.keras", "GRU gru.* has weights .*expected 4 units")


LASTS: dict[str, Any] = {
    "x[:, -1]": lambda h: h[:, -1],
    "x[:, -1, :]": lambda h: h[:, -1, :],
    "x[..., -1, :]": lambda h: h[..., -1, :],
    "x[:, -1:]": lambda h: h[:, -1:],
    "take": lambda h: keras.ops.take(h, -1, axis=1),
    "flattened": lambda h: L.Flatten()(h[:, -1:, :]),
    "reshaped": lambda h: L.Reshape((4,))(h[:, -1:]),
    "normalised": lambda h: L.BatchNormalization()(h[:, -1]),
    "x[:, T - 1]": lambda h: h[:, 6],
    "squeezed": lambda h: keras.ops.squeeze(h[:, 6:], axis=1),
    "cropped": lambda h: L.Cropping1D((6, 0))(h),
    "functions": lambda h: keras.ops.relu(keras.ops.tanh(h)[:, -1]),
    "h": lambda h: L.LSTM(4, return_sequences=True, return_state=True)(h)[1],
    "h alone": lambda h: L.GRU(4, return_state=True)(h)[1],
}


@pytest.mark.parametrize("name", LASTS)
def test_the_last_step(name: str, tmp_path: Path) -> None:
    """Every spelling of the last step for sequences of a fixed length, and for a free length where it needs no number."""
    for time in (7, None) if "-1" in name or name[0] == "h" else (7,):
        x = L.Input((time, 3))
        h = L.GRU(4, return_sequences=True)(x)
        if name == "x[:, -1:]":
            net = shaken(keras.Model(x, LASTS[name](L.Dense(2)(h))))
        else:
            net = shaken(keras.Model(x, L.Dense(2)(LASTS[name](h))))
        for suffix in (".keras", ".h5"):
            net.save(tmp_path / f"m{suffix}")
            model = imported(tmp_path / f"m{suffix}")
            assert model.when == "last"
            values = np.random.default_rng(4).standard_normal((3, 7, 3))
            want = net.predict(values, verbose=0).reshape(3, 2)
            np.testing.assert_allclose(model.forward(values)[:, -1], want, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda h: h[:, 0], "GetItem .*takes step 0 of 7; expected the last step"),
        (lambda h: h[:, 2:], "GetItem .*takes steps 2 to None by 1 of 7; expected the last step"),
        (lambda h: h[:, ::-1], "GetItem .*takes steps None to None by -1 of 7"),
        (lambda h: h[:, :, :2], "GetItem .*takes a part of the batch or of the features"),
        (lambda h: keras.ops.take(h, 3, axis=1), "Take .*takes step 3 of 7"),
        (lambda h: keras.ops.take(h, 3, axis=2), "Take .*takes an index of an axis that is not time"),
        (lambda h: L.Cropping1D((1, 0))(h), "Cropping1D .*takes steps 1 to None by 1 of 7"),
        (lambda h: L.Reshape((28,))(h), "Reshape .*works on every step at once"),
        (lambda h: keras.ops.slice(h, (0, 6, 0), (1, 1, 4)), "Slice .*fixes the size of the batch as well"),
    ],
)
def test_other_steps_are_refused(part: Any, message: str, tmp_path: Path) -> None:
    x = L.Input((7, 3))
    net = keras.Model(x, L.Dense(2)(part(L.GRU(4, return_sequences=True)(x))))
    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        refused(tmp_path / f"m{suffix}", message)


def rewritten(path: Path, change: Any) -> None:
    """The file with another description."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)
        return
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("last", [True, False])
def test_axes_as_lists_and_other_spellings(last: bool, tmp_path: Path) -> None:
    """BatchNormalization's axis as a list; tuples, lists and policies as objects; classes with a version."""
    spellings: list[Any] = [
        lambda axis: [axis],
        lambda axis: {"class_name": "__tuple__", "items": [axis]},
        lambda axis: {"class_name": "ListWrapper", "config": [axis]},
    ]
    parts = [L.GRU(4, return_sequences=not last), L.BatchNormalization(), L.LayerNormalization(), L.Dense(2)]
    net = shaken(keras.Sequential([L.Input((7, 3)), *parts]))
    for suffix in (".keras", ".h5"):
        for spelling in spellings:

            def change(config: Any, spelling: Any = spelling) -> None:
                for layer in config["config"]["layers"]:
                    kind, inside = layer["class_name"], layer["config"]
                    inside["dtype"] = {
                        "class_name": "Policy",
                        "config": {"name": "float32"},
                        "module": "keras.mixed_precision",
                    }
                    if kind.endswith("Normalization"):
                        inside["axis"] = spelling(1 if last else 2)
                    if kind == "BatchNormalization":
                        layer["class_name"] = "BatchNormalizationV1"
                    if kind == "GRU":
                        inside |= {"time_major": False, "implementation": 2, "unroll": False}
                        layer["module"] = "tf_keras.src.layers.rnn.gru"
                    if kind == "InputLayer":
                        shape = inside.pop("batch_shape")
                        inside["batch_input_shape"] = {"class_name": "__tuple__", "items": list(shape)}

            net.save(tmp_path / f"m{suffix}")
            rewritten(tmp_path / f"m{suffix}", change)
            agree(net, imported(tmp_path / f"m{suffix}"))

    def wrong(config: Any) -> None:
        config["config"]["layers"][-3]["config"]["axis"] = [1, 2]

    net.save(tmp_path / "m.h5")
    rewritten(tmp_path / "m.h5", wrong)
    refused(tmp_path / "m.h5", r"BatchNormalization .*normalises over axis \[1, 2\]; expected the features alone")


def test_groups_of_tensorflow_2_12(tmp_path: Path) -> None:
    """A .keras file with the group names of weights from before TensorFlow 2.14."""
    net = shaken(keras.Sequential([L.Input((7, 3)), L.GRU(4, return_sequences=True), L.GRU(4), L.Dense(2)]))
    path = tmp_path / "m.keras"
    net.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    weights = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    parts["model.weights.h5"] = weights.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    agree(net, imported(path))


def test_functions_of_tensorflow(tmp_path: Path) -> None:
    """Keras 2 writes x[:, -1], tf.nn.relu and tf.squeeze as SlicingOpLambda and TFOpLambda. Another function is named."""
    x = L.Input((7, 3), name="x")
    h = L.GRU(4, return_sequences=True, name="g")(x)
    net = shaken(keras.Model(x, L.Dense(2, name="d")(keras.ops.squeeze(keras.ops.relu(h[:, -1:]), 1))))
    whole = {"start": None, "stop": None, "step": None}
    spec = {"class_name": "__tuple__", "items": [whole, {"start": -1, "stop": None, "step": None}]}

    def change(config: Any) -> None:
        config["config"]["layers"][1]["inbound_nodes"] = [[["x", 0, 0, {}]]]
        get, relu, squeeze, dense = config["config"]["layers"][2:]
        nodes = [["g", 0, 0, {"slice_spec": spec}], ["get", 0, 0, {"name": None}], ["relu", 0, 0, {"axis": 1}]]
        for layer, name, node in zip((get, relu, squeeze), ("get", "relu", "squeeze"), nodes, strict=True):
            layer.pop("module", None)
            function = {"get": "__operators__.getitem", "relu": "nn.relu", "squeeze": "compat.v1.squeeze"}[name]
            layer |= {"name": name, "class_name": "SlicingOpLambda" if name == "get" else "TFOpLambda"}
            layer |= {"config": {"name": name, "function": function}, "inbound_nodes": [node]}
        dense["inbound_nodes"] = [[["squeeze", 0, 0, {}]]]
        config["config"]["input_layers"], config["config"]["output_layers"] = [["x", 0, 0]], [["d", 0, 0]]

    def other(config: Any) -> None:
        config["config"]["layers"][3]["config"]["function"] = "math.erf"

    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        rewritten(tmp_path / f"m{suffix}", change)
        agree(net, imported(tmp_path / f"m{suffix}"))
        rewritten(tmp_path / f"m{suffix}", other)
        refused(tmp_path / f"m{suffix}", "TFOpLambda relu: is tf.math.erf, which cannot be imported; expected Keras")


@pytest.mark.slow
def test_stateful_streams(tmp_path: Path) -> None:
    """Stateful layers run piece by piece equal one run. A network with only some stateful layers is refused."""
    for time, every in ((1, False), (1, True), (5, True), (5, False)):
        cells = [L.GRU(4, stateful=True, return_sequences=True), L.LSTM(3, stateful=True, return_sequences=every)]
        net = shaken(keras.Sequential([L.Input(batch_shape=(1, time, 2)), *cells, L.Dense(2)]))
        for suffix in (".keras", ".h5"):
            net.save(tmp_path / f"m{suffix}")
            source = importers.read(tmp_path / f"m{suffix}")
            assert source.stream is not None
            assert source.when == ("every" if every or time == 1 else "last")
            model = imported(tmp_path / f"m{suffix}")
            x = np.random.default_rng(6).standard_normal((1, 20, 2))
            want = model.forward(x)
            np.testing.assert_allclose(source.stream(x), want if source.when == "every" else want[:, 4::5], atol=1e-5)
    cells = [L.GRU(4, stateful=True, return_sequences=True), L.LSTM(3)]
    keras.Sequential([L.Input(batch_shape=(1, 1, 2)), *cells]).save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "LSTM .*starts from zero at every call while GRU .* is stateful; .*stateful=True in all")
    keras.Sequential([L.Input((1, 2)), L.GRU(4), L.Dense(2)]).save(tmp_path / "m.keras")
    assert "one step from the zero state" in importers.read(tmp_path / "m.keras").notes[0]


def test_states_as_inputs_name_a_way_that_works(tmp_path: Path) -> None:
    """The message's cure works: the same layers, stateful, with the weights of the refused model."""
    x, h = L.Input(batch_shape=(1, 1, 3)), L.Input(batch_shape=(1, 4))
    y, after = L.GRU(4, return_state=True, name="g")(x, initial_state=h)
    net = shaken(keras.Model([x, h], [L.Dense(2)(y), after]))
    net.save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "GRU g takes its state as an input; build the same layers with stateful=True")
    again = keras.Sequential([L.Input(batch_shape=(1, 1, 3)), L.GRU(4, stateful=True), L.Dense(2)])
    again.set_weights(net.get_weights())
    again.save(tmp_path / "m.keras")
    model = imported(tmp_path / "m.keras")
    values, state = np.random.default_rng(7).standard_normal((1, 30, 3)), np.zeros((1, 4))
    for t in range(30):
        y, state = net.predict_on_batch([values[:, t : t + 1], state])
        np.testing.assert_allclose(model.forward(values[:, : t + 1])[0, -1], y[0], atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("function", ["sigmoid", "tanh", "relu"])
def test_a_function_at_the_end_as_a_regression(function: str, count: int, tmp_path: Path) -> None:
    """The outputs are the function's values. Several sigmoids are a regression without being told."""
    net = shaken(keras.Sequential([L.Input((None, 2)), L.GRU(3), L.Dense(count, activation=function)]))
    x = np.random.default_rng(8).standard_normal((5, 6, 2))
    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        model = imported(tmp_path / f"m{suffix}", task="regression")
        np.testing.assert_allclose(model.forward(x)[:, -1], net.predict(x, verbose=0), atol=1e-5)
    if function == "sigmoid" and count > 1:
        assert imported(tmp_path / "m.h5").task == "regression"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_floats(policy: str, tmp_path: Path) -> None:
    """A network of another float type is imported in float32."""
    layers = [L.GRU(4, dtype=policy), L.Dense(2, dtype=policy)]
    net = keras.Sequential([L.Input((7, 3)), *layers])
    for suffix in (".keras", ".h5"):
        net.save(tmp_path / f"m{suffix}")
        source = importers.read(tmp_path / f"m{suffix}")
        assert any(policy in note for note in source.notes) == (policy != "float64")
        imported(tmp_path / f"m{suffix}")


def test_weights_in_float16(tmp_path: Path) -> None:
    """Weights of a half-precision network are imported as they are. bfloat16 is refused by name."""
    net = shaken(keras.Sequential([L.Input((7, 3)), L.GRU(4), L.Dense(2)]))
    for weight in net.weights:
        weight.assign(np.asarray(weight).astype(np.float16).astype(np.float32))
    path = tmp_path / "m.h5"
    for kind in (np.float16, "V2"):
        net.save(path)
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visititems(lambda name, item, names=names: names.append(name) if isinstance(item, h5py.Dataset) else None)
            for name in names:
                values = file[name][()].astype(np.float16)
                del file[name]
                file[name] = values.view(kind)
        if kind == "V2":
            refused(
                path, "is of type bfloat16; expected float32: build the model in float32, load its weights and save that"
            )
        else:
            agree(net, imported(path))
