# SPDX-License-Identifier: MIT
"""The report as a browser shows it: without the network, on a phone and on a wide screen, light and dark, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import reports
from helpers.missing_runtimes import needed
from helpers.packages import need_package
from helpers.reports import HISTORY, HOSTILE, SECTIONS
from shared import browser
from tinyrnn.report import page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

need_package("playwright")
pytestmark = [pytest.mark.runtime, pytest.mark.slow]

# The sections without a visible title, and everything visible that is wider than the window
LOOK = """() => ({
    empty: [...document.querySelectorAll("section")].filter(section => {
        const box = section.getBoundingClientRect();
        return box.height < 60 || box.width < 200 || section.innerText.trim().length < 20;
    }).map(section => section.id),
    charts: [...document.querySelectorAll("svg")].map(svg => {
        const box = svg.getBoundingClientRect();
        const marks = [...svg.querySelectorAll("path, use, text")].filter(mark => mark.getBoundingClientRect().width > 0);
        return [box.width, box.height, marks.length];
    }),
    wide: document.documentElement.scrollWidth,
    outside: [...document.querySelectorAll("body *")].filter(element => {
        const box = element.getBoundingClientRect();
        return box.right > window.innerWidth + 1 && !element.closest(".scroll, nav, svg");
    }).map(element => element.outerHTML.slice(0, 80)),
    colours: [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color],
    line: getComputedStyle(document.querySelector("svg path[style*='--integer']")).stroke,
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with needed():
        program, environment = browser.start()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, env=dict(environment), args=browser.ARGUMENTS)
        yield started
        started.close()


def look(chromium: Browser, file: Path, width: int, scheme: Any, picture: Path) -> dict[str, Any]:
    """Open the page, take a picture of it, and return what LOOK finds. No request but the page's own is allowed."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: said.append(request.url))
    opened.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    opened.goto(file.as_uri())
    found: dict[str, Any] = opened.evaluate(LOOK)
    found["sections"] = opened.eval_on_selector_all("section", "all => all.map(each => each.id)")
    opened.screenshot(path=picture)  # of the window: one of the whole page fails now and then on a busy machine
    context.close()
    assert said == [file.as_uri()]
    return found


@pytest.mark.parametrize("kind", ["classes at the end", "classes at each step", "numbers", "hostile names"])
def test_the_page_in_a_browser(chromium: Browser, tmp_path: Path, kind: str) -> None:
    names = HOSTILE if kind == "hostile names" else ("walk", "run", "sit")
    channels = HOSTILE if kind == "hostile names" else ("ax", "ay")
    task = "regression" if kind == "numbers" else "classification"
    when = "last" if kind == "classes at the end" else "every"
    data = reports.recording(names, channels, task, when, lengths=(30,) * 9)
    model = reports.model_for(data, info={"history": HISTORY, "best_epoch": 2})
    file = tmp_path / "report.html"
    file.write_bytes(page.render(reports.subject(data, model)))
    backgrounds = set()
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            picture = tmp_path / f"{width}-{scheme}.png"
            found = look(chromium, file, width, scheme, picture)
            assert found["sections"] == SECTIONS
            assert found["empty"] == []
            assert found["wide"] <= width
            assert found["outside"] == []
            assert len(found["charts"]) >= 6
            assert all(w >= 200 and h >= 80 and marks > 10 for w, h, marks in found["charts"])
            assert len(set(found["colours"])) == 2
            backgrounds.add((scheme, found["colours"][0], found["line"]))
            assert picture.stat().st_size > 20_000
    assert len(backgrounds) == 2  # a pair of colours for each scheme, whatever the width
    assert len({colour for _, colour, _ in backgrounds}) == len({line for _, _, line in backgrounds}) == 2


def test_on_paper(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(page.render(reports.subject(reports.recording())))
    context = chromium.new_context(offline=True, color_scheme="dark")
    opened = context.new_page()
    opened.goto(file.as_uri())
    opened.emulate_media(media="print")
    background, line = opened.evaluate(
        "() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('nav')).display]"
    )
    printed = opened.pdf()
    context.close()
    assert (background, line) == ("rgb(255, 255, 255)", "none")  # dark pages are printed light
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 2
