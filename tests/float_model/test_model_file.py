# SPDX-License-Identifier: MIT
"""A saved model.pt is read back. A damaged or hostile one is refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.packages import need_package

torch = need_package("torch")

from helpers.float_models import FOUR, UNITS, VARIANTS, cell, every_kind, identical, model_of, sequences, some
from tinyrnn.errors import ModelError
from tinyrnn.float_model import model_file
from tinyrnn.float_model.layers import BatchNorm, Embedding
from tinyrnn.float_model.random_models import random_float_model


@pytest.mark.parametrize(("kind", "rank", "inside"), VARIANTS)
def test_round_trip_of_a_cell(tmp_path: Path, kind: str, rank: bool, inside: bool) -> None:
    model = model_of(cell(kind, rank=rank, layernorm=inside), info={"seed": 3, "note": ["a", {"b": 1.5}]})
    model = replace(model, calibration=replace(model.calibration, value_ranges=model.value_ranges(sequences())))
    model_file.save(model, tmp_path / "model.pt")
    again = model_file.load(tmp_path / "model.pt")
    assert identical(model, again)
    assert (again.forward(sequences()) == model.forward(sequences())).all()
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_round_trip_of_every_kind_and_of_symbols(tmp_path: Path) -> None:
    for model in (every_kind(), model_of(Embedding(some(9, 4)), cell("lstm", 4), inputs=1)):
        model_file.save(model, tmp_path / "model.pt")
        assert identical(model, model_file.load(tmp_path / "model.pt"))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be written") as caught:
        model_file.save(model_of(cell("gru")), tmp_path / "absent" / "model.pt")
    assert "\n" not in str(caught.value)


def test_files_of_the_first_format_are_read(tmp_path: Path) -> None:
    """The first format has layers without kind, no heads and no value ranges."""
    model = model_of(cell("gru"), cell("gru", UNITS))
    model_file.save(model, tmp_path / "model.pt")
    raw = torch.load(tmp_path / "model.pt", weights_only=True)
    raw["format"] = "tinyrnn-float-1"
    raw["model"]["layers"] = [{name: layer[name] for name in FOUR} for layer in raw["model"]["layers"]]
    del raw["model"]["heads"], raw["model"]["calibration"]["value_ranges"]
    torch.save(raw, tmp_path / "old.pt")
    assert identical(model, model_file.load(tmp_path / "old.pt"))


def test_files_of_the_second_format_are_read(tmp_path: Path) -> None:
    """The second format has another name for the value ranges."""
    model = model_of(cell("gru"))
    model = replace(model, calibration=replace(model.calibration, value_ranges=model.value_ranges(sequences())))
    model_file.save(model, tmp_path / "model.pt")
    raw = torch.load(tmp_path / "model.pt", weights_only=True)
    raw["format"] = "tinyrnn-float-2"
    raw["model"]["calibration"]["reach"] = raw["model"]["calibration"].pop("value_ranges")
    torch.save(raw, tmp_path / "old.pt")
    assert identical(model, model_file.load(tmp_path / "old.pt"))


def put(*path: Any) -> Callable[[dict[str, Any]], Any]:
    """``put(key, ..., value)`` sets a value in the model's dictionary."""

    def change(raw: dict[str, Any]) -> None:
        place: Any = raw["model"]
        for key in path[:-2]:
            place = place[key]
        place[path[-2]] = path[-1]

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], Any]:
    def change(raw: dict[str, Any]) -> None:
        place: Any = raw["model"]
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


NAN = torch.full((4 * UNITS,), float("nan"))
DAMAGE = {
    "other format": (lambda raw: raw.update(format="tinyrnn-float-9"), "holds 'tinyrnn-float-9'"),
    "no model": (lambda raw: raw.pop("model"), "field is missing or of the wrong type"),
    "model a list": (lambda raw: raw.update(model=[1, 2]), "field is missing or of the wrong type"),
    "no layers": (drop("layers"), "no 'layers'"),
    "layers a number": (put("layers", 3), "field is missing or of the wrong type"),
    "empty layers": (put("layers", []), "no recurrent layer"),
    "layer a text": (put("layers", ["lstm"]), "field is missing or of the wrong type"),
    "unknown kind": (put("layers", 0, "kind", "transformer"), "unknown kind 'transformer'"),
    "kind a list": (put("layers", 0, "kind", ["lstm"]), "wrong type"),
    "unknown field": (put("layers", 0, "peephole", torch.ones(3)), "LSTM has no 'peephole'"),
    "missing matrix": (drop("layers", 0, "weight_hh"), "LSTM without weight_hh"),
    "matrix none": (put("layers", 0, "weight_hh", None), "weight_hh is NoneType"),
    "matrix a number": (put("layers", 0, "weight_hh", 5), "weight_hh is int"),
    "matrix of texts": (put("layers", 0, "weight_hh", ["a"]), "wrong type"),
    "matrix 3-d": (put("layers", 0, "weight_ih", torch.ones(28, 5, 1)), r"weight_ih has shape \(28, 5, 1\)"),
    "wrong columns": (put("layers", 0, "weight_ih", torch.ones(28, 6)), "takes 6 inputs; expected 5"),
    "wrong gates": (put("layers", 0, "weight_ih", torch.ones(27, 5)), "multiple of 4"),
    "empty": (put("layers", 0, "weight_ih", torch.ones(0, 5)), r"shape \(0, 5\)"),
    "short bias": (put("layers", 0, "bias_ih", torch.ones(27)), r"bias_ih has shape \(27,\); expected \(28\)"),
    "nan": (put("layers", 0, "bias_ih", NAN), "bias_ih holds NaN"),
    "complex": (put("layers", 0, "bias_ih", torch.ones(28, dtype=torch.complex64)), "expected an ordinary one"),
    "sparse": (put("layers", 0, "weight_ih", torch.ones(28, 5).to_sparse()), "expected an ordinary one"),
    "huge": (put("layers", 0, "weight_ih", torch.ones(1).expand(1 << 40)), "on fewer numbers"),
    "factors": (put("layers", 0, "weight_ih", {"a": torch.ones(28, 2), "b": torch.ones(3, 5)}), "factors of rank 2 and 3"),
    "half factors": (put("layers", 0, "weight_ih", {"a": torch.ones(28, 2)}), "Factors without b"),
    "norm": (put("layers", 0, "norm", {"gain_ih": torch.ones(3), "gain_hh": torch.ones(28)}), "norm gain_ih has shape"),
    "eps": (
        put("layers", 0, "norm", {"gain_ih": torch.ones(28), "gain_hh": torch.ones(28), "eps": float("nan")}),
        "norm eps is nan",
    ),
    "projection": (put("layers", 0, "weight_hr", torch.ones(7, 9)), r"weight_hr has shape \(7, 9\); expected \(any, 7\)"),
    "std zero": (put("std", torch.zeros(5)), "standard deviation is not positive"),
    "std nan": (put("std", torch.full((5,), float("nan"))), "std holds NaN"),
    "labels": (put("labels", ["a", 2, "c"]), "int instead of text"),
    "more labels": (put("labels", ["a", "b", "c", "d"]), r"head weight has shape \(3, 7\)"),
    "task": (put("task", "magic"), "task 'magic'"),
    "heads": (put("heads", [{"name": "a", "outputs": 2, "task": "classification"}]), "heads have 2 outputs; expected 3"),
    "heads a text": (put("heads", "abc"), "wrong type"),
    "calibration": (put("calibration", "sample", torch.ones(8, 4)), "calibration sample"),
    "value_ranges": (
        put("calibration", "value_ranges", [{"state": torch.ones(3), "ih": NAN, "hh": NAN}]),
        "calibration of cell 0",
    ),
    "info": (put("info", 7), "wrong type"),
    "extra": (put("surprise", 7), "wrong type"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_give_one_line(tmp_path: Path, name: str) -> None:
    change, words = DAMAGE[name]
    path = tmp_path / "model.pt"
    model_file.save(model_of(cell("lstm")), path)
    raw = torch.load(path, weights_only=True)
    change(raw)
    torch.save(raw, path)
    with pytest.raises(ModelError, match=words) as caught:
        model_file.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 260


OPTIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "alpha above 1": ("fastrnn", {"alpha": 1.5}, "alpha is 1.5; expected a number from 0 to 1"),
    "beta nan": ("fastrnn", {"beta": float("nan")}, "beta is nan"),
    "zeta an array": ("fastgrnn", {"zeta": np.ones(7)}, "zeta is ndarray"),
    "nu a text": ("fastgrnn", {"nu": "0.1"}, "nu is '0.1'"),
    "nonlinearity": ("rnn", {"nonlinearity": "sin"}, "nonlinearity is 'sin'"),
    "reset after": ("gru", {"reset_after": None}, "reset_after is None"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_out_of_range_are_refused(name: str) -> None:
    kind, fields, words = OPTIONS[name]
    with pytest.raises(ModelError, match=words) as caught:
        model_of(replace(cell(kind), **fields))
    assert "\n" not in str(caught.value)


def test_layers_that_do_not_fit_together() -> None:
    with pytest.raises(ModelError, match="layer 1 lstm takes 5 inputs; expected 7"):
        model_of(cell("gru"), cell("lstm"))
    with pytest.raises(ModelError, match="layer 1 embedding takes 1 input; expected 7"):
        model_of(cell("gru"), Embedding(some(9, 4)), cell("gru", 4))
    model = model_of(Embedding(some(9, 4)), cell("gru", 4), inputs=1)
    with pytest.raises(ModelError, match="symbol is normalised; expected mean 0 and std 1"):
        replace(model, mean=np.ones(1))
    with pytest.raises(ModelError, match="variance of -1"):
        model_of(BatchNorm(some(5), some(5), some(5), np.full(5, -1.0)), cell("gru"))


def test_a_pickle_bomb_and_a_zip_bomb_are_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb()))
    buffer = io.BytesIO()
    torch.save({"format": "tinyrnn-float-2", "model": Bomb()}, buffer)
    (tmp_path / "inside.pt").write_bytes(buffer.getvalue())
    model_file.save(model_of(cell("gru")), tmp_path / "model.pt")
    with (
        zipfile.ZipFile(tmp_path / "model.pt") as archive,
        zipfile.ZipFile(tmp_path / "zip.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in archive.namelist():
            packed.writestr(entry, archive.read(entry))
    for name, words in (("bomb", "cannot be read"), ("inside", "cannot be read"), ("zip", "its archive is compressed")):
        with pytest.raises(ModelError, match=words) as caught:
            model_file.load(tmp_path / f"{name}.pt")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model_file.save(model_of(cell("fastgrnn")), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError) as caught:
            model_file.load(path)
        assert "\n" not in str(caught.value)


def test_tensors_that_share_their_numbers_are_a_bomb(tmp_path: Path) -> None:
    """Ten thousand layers share the numbers of one: a small file that would take gigabytes."""
    path = tmp_path / "m.pt"
    model_file.save(random_float_model(np.random.default_rng(0), 3, (8,), 2), path)
    raw = torch.load(path, weights_only=True)
    layer = raw["model"]["layers"][0]
    raw["model"]["layers"] = [{**layer, "weight_hh": layer["weight_hh"].view(24, 8)} for _ in range(10_000)]
    for value in (raw, {**raw, "model": [[[[["x"] * 100] * 100] * 100] * 100] * 100}):
        torch.save(value, path)
        with pytest.raises(ModelError, match="occur many times"):
            model_file.load(path)
