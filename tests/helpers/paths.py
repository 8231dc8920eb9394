# SPDX-License-Identifier: MIT
"""Where things lie in the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "boards"
DEVICE_SCRIPTS = ROOT / "tests" / "device" / "scripts"
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
TOOLS = ROOT / "tools"
