# SPDX-License-Identifier: MIT
"""Where things lie in the checkout, for the tools and the tests."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
BUILD = ROOT / "build"
DEVICE_SCRIPTS = ROOT / "tests" / "device" / "scripts"
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
FIGURES = DOCS / "figures"
PACKAGE = ROOT / "device" / "urnn"
TOOLS = ROOT / "tools"
