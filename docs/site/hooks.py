"""Hooks of mkdocs: the pages that are made at build, and links that lead out of docs/.

README.md, CHANGELOG.md and CONTRIBUTING.md of the project's root become pages. The command line reference is made from
the parsers, the device API from the docstrings of device/urnn. A link to a source file leads to a copy of that file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import command_line
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

# Files of the project, and the pages that they are in the site
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/README.md": "pages.md",
}
# The pages that are made, by the files they come from
ORIGINS = {page: Path(source) for source, page in PAGES.items()}

DEVICE_API = """\
# Device API

This page is generated from the docstrings of `device/urnn`. [On the board](device.md) explains the same functions with
examples.

::: urnn

## The line protocol

`from urnn import serve` imports it. [Line protocol](protocol.md) describes the lines.

::: urnn.serve.serve
    options:
      heading_level: 3
      show_root_heading: true

## Two cores

`from urnn import cores` imports it, on a board that has two. [Two cores](device.md#two-cores) describes when to use it.

::: urnn.cores.start
    options:
      heading_level: 3
      show_root_heading: true

::: urnn.cores.stop
    options:
      heading_level: 3
      show_root_heading: true
"""
TARGET = re.compile(r'(?<=\]\()[^)\s#:]+(?=[#)])|(?<=src=")[^":]+(?=")|(?<=srcset=")[^":]+(?=")')


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    old = files.get_file_from_path("README.md")
    if old:
        files.remove(old)
    for page, source in ORIGINS.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "command-line.md", content=command_line.reference()))
    files.append(File.generated(config, "device-api.md", content=DEVICE_API))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change each link to a file of the project into one to its page, or to a copy of it."""
    source = ORIGINS.get(page.file.src_uri, Path("docs") / page.file.src_uri)

    def replaced(match: re.Match[str]) -> str:
        path = (ROOT / source.parent / match[0]).resolve()
        if not path.is_relative_to(ROOT):
            return match[0]
        name = path.relative_to(ROOT).as_posix()
        if name in PAGES:
            return PAGES[name]
        if name.startswith("docs/"):
            return name.removeprefix("docs/")
        if path.is_file():
            copy = f"source/{name}"
            if not files.get_file_from_path(copy):
                files.append(File.generated(config, copy, content=path.read_bytes()))
            return copy
        return match[0]  # mkdocs says that it is missing

    return TARGET.sub(replaced, markdown)
