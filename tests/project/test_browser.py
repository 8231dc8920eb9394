# SPDX-License-Identifier: MIT
"""The browser that tests look through starts, or says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.missing_runtimes import needed
from shared import browser
from tinyrnn import runtimes
from tinyrnn.errors import RuntimeMissing


def test_a_missing_browser_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRNN_CACHE", str(tmp_path))
    with pytest.raises(RuntimeMissing, match=r"^browser is not on this machine: .*python3 tools/runtimes\.py browser$"):
        browser.start()


def test_a_browser_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRNN_CACHE", str(tmp_path))
    program = runtimes.places(browser.NAME)[0] / "chromium" / browser.PACKAGE
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeMissing, match=r"^browser does not start .*exit status 3"):
        browser.probe()
    program.write_text("#!/bin/sh\necho nothing\n")
    with pytest.raises(RuntimeMissing, match=r"^browser does not show a page"):
        browser.probe()


@pytest.mark.runtime
def test_it_starts_and_says_what_it_is() -> None:
    with needed():
        found = browser.probe()
    assert found.startswith("browser: Chromium")
