#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write package.json, which `mpremote mip install` reads to copy urnn to a board: manifest.py [--check].

It lists every module of device/urnn by its path relative to package.json. The same file therefore serves a checkout, a
web server with the checkout's files, and a repository's address.
--check    change nothing; exit status 1 when package.json does not match the folder
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from shared import records
from shared.generated import update
from shared.paths import PACKAGE, ROOT
from shared.records import TinyrnnError

MANIFEST = ROOT / "package.json"


def manifest(package: Path = PACKAGE) -> str:
    """The text of package.json. Raises TinyrnnError when the package has no version."""
    found = re.search(r'^__version__ = "([^"]+)"$', (package / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise TinyrnnError(f'{package}/__init__.py has no version; expected a line __version__ = "1.2.3"')
    names = sorted(path.name for path in package.glob("*.py"))
    urls = ",\n".join(f"    {json.dumps([f'urnn/{name}', f'device/urnn/{name}'])}" for name in names)
    return f'{{\n  "urls": [\n{urls}\n  ],\n  "version": {json.dumps(found[1])}\n}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description="Write package.json for mpremote mip install.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with status 1 when package.json is stale")
    args = parser.parse_args()
    stale = f"{MANIFEST.name} does not list the modules of device/urnn; run tools/manifest.py"
    return update(MANIFEST, manifest(), args.check, stale)


if __name__ == "__main__":
    records.finish(main)
