# SPDX-License-Identifier: MIT
"""Output to the terminal. Names in files are untrusted, so their control characters are escaped.

While a command runs, everything that it prints passes through here, and its tables through console(). Control characters
of a terminal, and those that change the direction of text, are shown as escapes such as ``\\x1b``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from tinyrnn.text import shown

if TYPE_CHECKING:
    from rich.console import Console


class Shown:
    """A stream that escapes the text written to it with shown(). All other attributes are those of the stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(shown(text, "\n\t"))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def escaped_output() -> Iterator[None]:
    """Within the block, text on standard output and standard error is escaped with shown().

    Characters that the terminal's encoding lacks are escaped as well. A stream that is closed discards the text.
    """
    before = sys.stdout, sys.stderr
    errors = [getattr(stream, "errors", None) for stream in before]
    with open(os.devnull, "w") as nowhere:
        sys.stdout, sys.stderr = (Shown(stream or nowhere) for stream in before)
        try:
            for stream in before:
                _reconfigure(stream, "backslashreplace")
            yield
        finally:
            sys.stdout, sys.stderr = before
            for stream, how in zip(before, errors, strict=True):
                _reconfigure(stream, how)


def _reconfigure(stream: TextIO | None, errors: str | None) -> None:
    if errors and isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=errors)


def console(stderr: bool = False, **options: Any) -> Console:
    """A rich console without markup that escapes text with shown(). Its own colours and progress bars are not escaped.

    It escapes table cells and each str given to print(). A rich.text.Text is not escaped: build it from shown() text.
    """
    from rich.console import Console
    from rich.text import Text

    stream = sys.stderr if stderr else sys.stdout
    raw: TextIO = stream.stream if isinstance(stream, Shown) else stream

    class Plain(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(shown(text, "\n\t"), **how)

    return Plain(file=raw, highlight=False, markup=False, emoji=False, **options)
