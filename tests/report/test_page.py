# SPDX-License-Identifier: MIT
"""The page is whole, loads nothing, and shows names from files as text."""

from __future__ import annotations

import math
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import reports
from helpers.float_models import cell, model_of, some
from helpers.packages import need_package
from helpers.reports import HISTORY, HOSTILE, SECTIONS
from helpers.types import instance
from tinyrnn.data.figures import ClassificationFigures, RegressionFigures
from tinyrnn.data.recording import Recording, Sequences
from tinyrnn.float_model.layers import Embedding, LayerNorm, Linear, dense
from tinyrnn.float_model.model import Calibration, FloatModel
from tinyrnn.report import charts, details, page, sizes
from tinyrnn.report.words import named, number, percent

need_package("matplotlib")
need_package("jinja2")

LOADING = {"src", "srcset", "href", "action", "data", "poster", "background"}


class Page(HTMLParser):
    """The elements, the attributes and the text of a page."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.text = ""
        self.feed(data.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self.sections += [value or "" for name, value in attrs if tag == "section" and name == "id"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_every_section_is_there_for_every_kind_of_recording() -> None:
    for task in ("classification", "regression"):
        for when in ("last", "every"):
            data = reports.recording(task=task, when=when)
            found = Page(page.render(reports.subject(data)))
            assert found.sections == SECTIONS
            assert "svg" in found.elements


@pytest.mark.parametrize(("task", "when"), [("classification", "last"), ("classification", "every"), ("regression", "last")])
def test_hostile_names_are_text(task: str, when: str) -> None:
    names = tuple(f"{name}{i}" for i, name in enumerate(HOSTILE))
    data = reports.recording(names, names, task, when, lengths=(30,) * 9, remarks=HOSTILE)
    data = replace(data, name=HOSTILE[0], split=HOSTILE[1])
    data = replace(data, test=replace(data.test, names=HOSTILE))
    model = reports.model_for(data, name=HOSTILE[1])
    written = page.render(reports.subject(data, model))
    found = Page(written)
    assert not {"script", "img", "iframe", "object", "link", "base", "form"} & set(found.elements)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all(value.startswith("#") for name, value in found.attributes if name in LOADING)
    assert not [c for c in written.decode() if not c.isprintable() and c != "\n"]
    for name in HOSTILE:
        assert named(name, 30).rstrip("…") in found.text


def test_a_page_without_scripts_and_requests() -> None:
    written = page.render(reports.subject(reports.recording())).decode()
    assert "default-src 'none'" in written
    assert "http://" not in written
    assert "https://" not in written
    assert "@import" not in written
    assert "url(" not in written.replace("url(#", "")


def test_the_same_page_again() -> None:
    made = reports.model_for(reports.recording())
    first, second = (page.render(reports.subject(reports.recording(), made)) for _ in range(2))
    assert first == second


def test_ids_are_unique_and_all_are_used() -> None:
    found = Page(page.render(reports.subject(reports.recording(("a", "b"), task="regression", when="every"))))
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    wanted = {value[1:] for name, value in found.attributes if name == "href" and value.startswith("#")}
    assert wanted <= set(ids)


def test_a_chart_takes_its_colours_from_the_page() -> None:
    data = reports.recording()
    drawn = charts.curves(np.array(HISTORY), 2)
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == "training and validation loss over the epochs"
    assert "var(--integer)" in drawn
    assert not [line for line in drawn.split(";") if "#0" in line]
    assert "best: epoch 2" in drawn
    assert reports.subject(data).classification


@pytest.mark.slow
def test_a_large_recording_gives_a_page_below_two_megabytes() -> None:
    names = tuple(f"target {i}" for i in range(20))
    data = reports.recording(names, names, "regression", "every", lengths=(3000, 2500, 1000))
    written = page.render(reports.subject(data))
    assert len(written) < 2_000_000
    assert "Only the first 6 of 20 targets are drawn." in written.decode()


def test_many_classes_get_a_list_of_mistakes_in_place_of_a_matrix() -> None:
    labels = tuple(f"class {i}" for i in range(130))
    data = reports.recording(labels, lengths=(3,) * 260)
    found = reports.subject(data)
    view = details.classes(found)
    assert view is not None
    assert view["matrices"] == []
    confusion = instance(ClassificationFigures, found.evaluation.integer_figures).confusion.copy()
    np.fill_diagonal(confusion, 0)
    assert view["confused"][0]["count"] == str(confusion.max())
    assert view["left_out"] == "the 100 of 130 with the smallest recall"
    assert len(page.render(found)) < 2_000_000


def test_the_numbers_of_a_confusion_matrix() -> None:
    found = reports.subject(reports.recording())
    view = details.classes(found)
    assert view is not None
    figures = instance(ClassificationFigures, found.evaluation.integer_figures)
    rows = view["matrices"][0]["rows"]
    assert [[int(cell["count"] or 0) for cell in row["cells"]] for row in rows] == figures.confusion.tolist()
    assert [row["recall"] for row in rows] == [percent(100 * each) for each in figures.recall]


def with_outputs(model: FloatModel, *bias: float) -> FloatModel:
    """The model with outputs that hardly depend on its state."""
    return replace(model, head=Linear(1e-4 * dense(model.head.weight), np.array(bias)))


def with_info(**info: object) -> FloatModel:
    return reports.model_for(reports.recording(), info=info)


def test_learning_curves() -> None:
    view = details.learning(with_info(history=HISTORY, best_epoch=2))
    assert view["words"] == ("Trained for 3 epochs. Epoch 2 was the best on the validation part. Its weights were kept.")
    assert "best: epoch 2" in view["svg"]
    assert "mathdefault" not in view["svg"]
    again = details.learning(with_info(history=HISTORY, best_epoch=2, settings={"refit": True}))
    assert again["words"].endswith(" Then the network was trained again on all training sequences, for 2 epochs.")
    assert view["figure_title"] == "Accuracy on the validation part"


def test_learning_curves_without_validation() -> None:
    view = details.learning(with_info(history=[[1.0, 2.0], [2.0, 1.0]], best_epoch=2))
    assert view["words"] == "Trained for 2 epochs. There was no validation part, so the last weights were kept."
    assert "best" not in view["svg"]
    assert view["figure"] == ""


@pytest.mark.parametrize(
    "history",
    [
        None,
        [],
        "text",
        [[]],
        [["a", 1, 1, 1]],
        [[2, 1], [1, 1]],
        [[math.nan, 1]],
        [[1, [2]]],
        [[10**400, 1]],
        {"a": 1},
        [1, 2],
    ],
)
def test_a_history_that_is_none_is_not_shown(history: object) -> None:
    view = details.learning(with_info(history=history, best_epoch="x"))
    assert view["svg"] == ""
    assert view["words"] == "Not known: the model file has none, as for an imported network."


def test_without_the_float_model() -> None:
    found = Page(page.render(reports.subject(reports.recording(), alone=True)))
    assert found.sections == SECTIONS
    assert "Not known: they are in the float model, which was not given." in found.text
    assert "Float model" not in found.text


def test_the_words_of_a_model_that_does_not_beat_its_baseline() -> None:
    data = reports.recording(lengths=(5,) * 6)
    model = reports.model_for(data)
    always_sit = with_outputs(model, 0.0, 0.0, 5.0)
    data.test.all_y()[:] = [0, 0, 0, 0, 1, 2]
    text = Page(page.render(reports.subject(data, always_sit))).text
    assert "The integer model is right in 1 of 6 sequences (16.7 %)." in text
    assert "The model does not beat its baseline: accuracy 16.67 %, always walk 66.67 %; expected more: " in text
    assert "The integers decide as the float model in 6 of 6 sequences." in text


def test_the_words_of_a_regression() -> None:
    data = reports.recording(("speed", "load"), task="regression", when="every")
    model = reports.model_for(data)
    zero = with_outputs(model, 0.0, 90.0)
    found = reports.subject(data, zero)
    text = Page(page.render(found)).text
    own = instance(RegressionFigures, found.figures["integer"])
    best = [min(instance(RegressionFigures, each).rmse[i] for _, each in found.baselines) for i in range(2)]
    assert f"does not beat its baseline: RMSE of load {own.rmse[1]:.4g}, mean of training {best[1]:.4g}" in text
    assert (
        f"speed: the integer model beats its best baseline: RMSE {number(own.rmse[0])} against {number(best[0])} (" in text
    )


SYMBOLS = ("a", "b", "\n", " ", "<")


def text() -> Recording:
    """A recording of text: at each step the number of a symbol, and the next one as the answer."""
    rng = np.random.default_rng(2)

    def part() -> Sequences:
        numbers = [np.concatenate([rng.permutation(5), rng.integers(0, 5, 46)]) for _ in range(3)]
        return Sequences([each[:-1, None].astype(float) for each in numbers], [each[1:] for each in numbers])

    return Recording("text", "classification", "every", ("symbol",), SYMBOLS, part(), part(), symbols=SYMBOLS)


def text_model(labels: tuple[str, ...] = SYMBOLS) -> FloatModel:
    """A model of text with an embedding, a normalisation and two kinds of cells."""
    layers = Embedding(some(5, 4)), cell("gru", 4), LayerNorm(some(7), some(7)), cell("lstm", 7)
    made = model_of(*layers, outputs=5, inputs=1)
    ranges = Calibration(np.zeros(1), np.full(1, 4.0), True, np.arange(5.0)[:, None])
    return replace(
        made, when="every", labels=labels, channels=("symbol",), calibration=ranges, info={"symbols": list(labels)}
    )


def test_text_is_shown_as_text() -> None:
    data = text()
    found = reports.subject(data, text_model())
    piece = details.worst_pieces(found)["pieces"][0]
    said = [SYMBOLS.index({"↵\n": "\n"}.get(mark, mark)) for mark, _ in piece["characters"]]
    assert said in [y.tolist() for y in data.test.y]
    shown = Page(page.render(found)).text
    assert "bits a character" in shown
    assert [layer.title for layer in found.saturation.layers if layer.sums] == ["layer 1: gru 7", "layer 3: lstm 7"]


def test_text_whose_symbols_have_other_numbers_in_the_model() -> None:
    data, model = text(), text_model()
    turned = SYMBOLS[::-1]
    embedding, *others = model.layers
    assert isinstance(embedding, Embedding)
    head = Linear(dense(model.head.weight)[::-1].copy(), model.head.bias[::-1].copy())
    other = replace(text_model(turned), layers=(Embedding(embedding.weight[::-1].copy()), *others), head=head)
    first, second = (reports.subject(data, each) for each in (model, other))
    assert second.measured["float"].outputs == pytest.approx(first.measured["float"].outputs)
    assert second.figures["float"].entries() == pytest.approx(first.figures["float"].entries())


def test_bytes_and_boards() -> None:
    found = reports.subject(reports.recording())
    view = sizes.size(found)
    assert sum(int(row["bytes"].replace(",", "")) for row in view["rows"]) == len(found.file.data)
    assert [row["name"] for row in view["rows"]][:2] == ["inputs: ranges and normalisation", "layer gru, 7 units"]
    pico = next(row for row in view["boards"] if row["name"] == "Raspberry Pi Pico")
    assert pico["answer"] == "fits"
    assert pico["kernels"] == "asm_thumb"
    assert pico["time"].endswith("%")


def test_a_name_that_no_board_takes() -> None:
    found = reports.subject(reports.recording())
    view = sizes.size(replace(found, file=replace(found.file, path=found.file.path.with_name("né.urnn"))))
    assert view["boards"] == []
    assert view["why"].startswith("Not known: né.urnn: 'né.urnn' cannot be its name on a board")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0 %"), (0.01, "< 0.1 %"), (12.345, "12.3 %"), (99.96, "> 99.9 %"), (100.0, "100.0 %")]
)
def test_percentages_do_not_hide_the_last_one(value: float, text: str) -> None:
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.3, "0.300"), (9.6, "9.60"), (123.4, "123"), (45678.0, "45,678"), (1e9, "1.00e+09"), (math.nan, "-")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
