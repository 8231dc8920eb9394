# SPDX-License-Identifier: MIT
"""Every source file names its licence at its head, for readers who have only the file."""

from __future__ import annotations

import subprocess

import pytest
from shared.paths import ROOT

LINE = "SPDX-License-Identifier: MIT"
SUFFIXES = {".c", ".h", ".mjs", ".py", ".pyi", ".sh", ".toml"}
FOLDERS = ("boards", "device", "examples", "host", "tests", "tools", "setup.py")


def test_every_source_file_names_its_licence() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: clone the repository to run this test")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    sources = [path for path in files if path.suffix in SUFFIXES and path.is_file()]
    assert sources
    # The first line, or the next after a shebang or the generator's name
    lacking = [path for path in sources if not any(LINE in line for line in path.read_text("utf-8").split("\n")[:3])]
    names = "\n".join(str(path.relative_to(ROOT)) for path in lacking)
    assert not lacking, f"these files lack a comment {LINE!r} in their first lines:\n{names}"
