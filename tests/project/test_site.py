# SPDX-License-Identifier: MIT
"""The site builds without a warning, loads nothing from elsewhere, and has every page, command and public name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import urnn
from helpers.packages import need_package
from shared.paths import DOCS, ROOT
from tinyrnn import cli


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_package("material")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return target


def html(site: Path, page: str) -> str:
    return (site / f"{page}.html").read_text(encoding="utf-8")


def test_every_page_of_the_documentation_is_there(site: Path) -> None:
    pages = {path.stem for path in DOCS.glob("*.md")} - {"README"}
    made = {"index", "pages", "changelog", "contributing", "command-line", "device-api"}
    assert {path.stem for path in site.glob("*.html")} == pages | made | {"404"}


def test_the_index_lists_every_page() -> None:
    listed = re.findall(r"^- \[.*?\]\(([\w-]+)\.md\)", (DOCS / "README.md").read_text(encoding="utf-8"), re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.stem for path in DOCS.glob("*.md")} - {"README"}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|link|img|source|iframe)\b[^>]*(?:src|href|srcset)=[\"']?((?:https?:)?//[^\"' >]+)")
    imports = re.compile(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"') ]+)")
    found = [(path.name, target) for path in site.rglob("*.html") for target in loads.findall(path.read_text("utf-8"))]
    found += [(path.name, target) for path in site.rglob("*.css") for target in imports.findall(path.read_text("utf-8"))]
    assert found == []


def test_the_references_are_whole(site: Path) -> None:
    """Each command and option of the command line, each public name of the device package and of a net."""
    text = html(site, "command-line")
    for name in cli.COMMANDS:
        assert f'id="tinyrnn-{name}"' in text
    for option in ("--label COLUMN", "--board BOARD", "-o FILE", "--cores {1,2}"):
        assert f"<code>{option}</code>" in text
    text = html(site, "device-api")
    for name in ("load", "kernel_sets", "Net"):
        assert f'id="urnn.{name}"' in text
    for name, value in vars(urnn.Net).items():
        if not name.startswith("_"):
            described = callable(value) or isinstance(value, property)
            assert (f'id="urnn.Net.{name}"' if described else f'title="urnn.Net.{name}">') in text


def test_links_to_source_files_lead_to_a_copy(site: Path) -> None:
    targets = {
        target for page in site.glob("*.html") for target in re.findall(r'href="(source/[^"#]+)', page.read_text("utf-8"))
    }
    for target in targets:
        assert (site / target).read_bytes() == (ROOT / target.removeprefix("source/")).read_bytes()
