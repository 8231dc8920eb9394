# SPDX-License-Identifier: MIT
"""CONTRIBUTING.md names files, folders, targets and scripts that exist."""

from __future__ import annotations

import re

from shared.paths import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_file_and_folder_exists() -> None:
    """NAME and FOLDER stand for a name that the reader chooses, so the folder around it has to exist."""
    named = re.findall(r"`((?:boards|device|docs|host|tests|tools)/[\w./]+)`", TEXT) + re.findall(
        r"\]\((?!http)([^)#]+)", TEXT
    )
    assert len(named) > 20
    places = {re.sub(r"(NAME|FOLDER).*", "", name) for name in named}
    assert sorted(place for place in places if not (ROOT / place).exists()) == []


def test_every_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for line in re.findall(r"^([\w -]+):(?!=)", makefile, re.MULTILINE) for name in line.split()}
    assert set(re.findall(r"`make ([a-z-]+)", TEXT)) - targets == set()


def test_the_drawn_folders_exist() -> None:
    drawn = set(re.findall(r"^  (\w+)/ ", TEXT, re.MULTILINE))
    package = ROOT / "host" / "tinyrnn"
    assert drawn == {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
