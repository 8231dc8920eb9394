"""`tinyrnn import` of Keras 3: every layer and option against Keras itself on its torch backend, .keras and .h5."""

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

os.environ["KERAS_BACKEND"] = "torch"
pytest.importorskip("torch", reason="install it with: pip install 'tinyrnn[train]'")
keras = pytest.importorskip("keras", reason="install it with: pip install 'tinyrnn[import]'")
h5py = pytest.importorskip("h5py", reason="install it with: pip install 'tinyrnn[import]'")

from tinyrnn import floatmodel, importers  # noqa: E402
from tinyrnn.errors import ModelError  # noqa: E402
from tinyrnn.importers import check, finish  # noqa: E402
from tinyrnn.importers.source import Options  # noqa: E402

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
    """Random weights everywhere, biases and moving averages as well; variances positive."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        value = 0.5 * rng.standard_normal(weight.shape)
        weight.assign(np.abs(value) + 0.5 if "variance" in weight.name else value)
    return model


def imported(path: Path, options: Options | None = None, **settings: Any) -> floatmodel.FloatModel:
    """The model, once the import's own comparison has passed."""
    source = importers.read(path, options)
    model = finish.build(source, finish.Settings(**settings), None)
    assert check.compare(source, model)[0] <= check.LIMIT
    return model


def both(net: Any, folder: Path, **options: Any) -> list[floatmodel.FloatModel]:
    """The model imported from .keras and from .h5, each compared with the Keras model that was saved."""
    found = []
    for suffix in (".keras", ".h5"):
        path = folder / f"m{suffix}"
        net.save(path)
        model = imported(path, Options(**options))
        agree(net, model)
        found.append(model)
    return found


def agree(net: Any, model: floatmodel.FloatModel, seed: int = 5) -> None:
    rng = np.random.default_rng(seed)
    symbols = isinstance(model.layers[0], floatmodel.Embedding)
    shape = [n or size for n, size in zip(net.input_shape, (2, 6, None), strict=False)]
    x = rng.integers(1, model.layers[0].symbols, shape) if symbols else rng.standard_normal(shape)
    want = np.asarray(net.predict(x, verbose=0, batch_size=len(x)))
    got = model.forward(x[..., None] if symbols else x)
    if net.layers[-1].get_config().get("activation") == "softmax":
        got = np.exp(got) / np.exp(got).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(got if want.ndim == 3 else got[:, -1], want, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell: str, tmp_path: Path) -> None:
    """Layers x bias x last or every step x softmax or not, Sequential and functional, fixed and free time."""
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
    """Normalization becomes the model's own, norms stay layers, Dense layers with functions become cells."""
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
    """Statistics that adapt() has put into weights; Rescaling; norms without gain or shift; one sigmoid is two classes."""
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
    """A stateful layer is what a board is; the comparison starts from zero."""
    net = shaken(keras.Sequential([L.Input(batch_shape=(1, 5, 2)), L.GRU(4, stateful=True), L.Dense(2)]))
    net.save(tmp_path / "m.keras")
    source = importers.read(tmp_path / "m.keras")
    assert "stateful" in source.notes[0]
    imported(tmp_path / "m.keras")


def test_same_shapes_are_told_apart(tmp_path: Path) -> None:
    """Four layers of one shape and two classes: which weights belong to which comes out right in both formats."""
    cells = [L.GRU(3, return_sequences=True), L.LSTM(3, return_sequences=True), L.GRU(3, return_sequences=True), L.LSTM(3)]
    both(shaken(keras.Sequential([L.Input((None, 3)), *cells, L.Dense(3), L.Dense(3)])), tmp_path)
    names = ["z", "a", "m"]
    cells = [L.GRU(3, return_sequences=True, name=name) for name in names]
    both(shaken(keras.Sequential([L.Input((None, 3)), *cells, L.Dense(2)]), 3), tmp_path)


def refused(path: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        imported(path)
    assert "\n" not in str(caught.value)


@keras.saving.register_keras_serializable(package="tests")
class Own(L.Layer):  # type: ignore[misc]
    """A layer of a user's own."""

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
        (lambda: [L.GRU(4), L.Dense(4, activation="softmax"), L.Dense(2)], "Dense .*stands behind softmax"),
        (lambda: [L.GRU(4), L.Dense(4, activation=swish)], "Dense .*activation"),
        (lambda: [L.GRU(4), Own()], "Own .*is a class that is not Keras' own; expected layers that Keras has"),
        (lambda: [L.GRU(4), L.Lambda(lambda x: x)], "Lambda .*code in a file is never run"),
        (lambda: [L.GRU(4, return_sequences=True), L.LayerNormalization(axis=1), L.GRU(2)], "normalises over axis"),
        (lambda: [L.RNN(L.StackedRNNCells([L.GRUCell(4), L.GRUCell(4)]))], "RNN .*cannot be imported"),
        (lambda: [L.GRU(4), L.RepeatVector(3), L.GRU(4)], "RepeatVector .*answers as the data come"),
        (lambda: [keras.Sequential([L.GRU(4)]), L.Dense(2)], "Sequential .*not a model in a model"),
        (lambda: [L.Dense(2)], "has no recurrent layer"),
    ],
)
def test_refused(parts: Any, message: str, tmp_path: Path) -> None:
    """By the layer's class and name, with what helps; in both formats."""
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
        (keras.Model(x, [L.Dense(2)(h), L.Dense(3)(h)]), "has 1 inputs and 2 outputs"),
        (keras.Model([x, wide], L.Add()([h, wide])), "has 2 inputs and 1 outputs"),
        (keras.Model(x, shared(shared(x))), "GRU .*is called 2 times"),
    ]


def test_refused_graphs(tmp_path: Path) -> None:
    for net, message in branching():
        for suffix in (".keras", ".h5"):
            net.save(tmp_path / f"m{suffix}")
            refused(tmp_path / f"m{suffix}", message)


def test_keras_2_files(tmp_path: Path) -> None:
    """The description as Keras 2 wrote it: batch_input_shape, no modules, lists as inbound nodes, bytes as names."""
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
    """Cut, without a part, weights of another model: one line, nothing else."""
    net = shaken(keras.Sequential([L.Input((None, 3)), L.GRU(4), L.Dense(2)]))
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"m{suffix}"
        net.save(path)
        data = path.read_bytes()
        for cut in (*range(0, 400, 57), *range(400, len(data) - 1, 1777)):
            path.write_bytes(data[:cut])
            refused(path, "m[.]")
    net.save_weights(tmp_path / "w.weights.h5")
    refused(tmp_path / "w.weights.h5", "weights without a model")
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
