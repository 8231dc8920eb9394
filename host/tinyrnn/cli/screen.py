"""What reaches the terminal. Names in files come from anywhere: they are shown, never obeyed.

While a command runs, whatever it prints passes through here, and its tables through console(). A terminal's control
characters, and those that turn the direction of a line, are shown as escapes such as ``\\x1b``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console


def shown(text: object, keep: str = "") -> str:
    """text with every character that does not print as itself escaped, but for those in keep.

    Those are control and format characters, line ends, and the halves of surrogates; what is no UTF-8 in a file's name is
    shown as the byte that it is.
    """
    string = str(text)
    if string.isprintable():
        return string
    return "".join(c if c.isprintable() or c in keep else _escaped(c) for c in string)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # what Python makes of a byte in a file's name
        code -= 0xDC00
    if character in "\n\r\t":
        return repr(character)[1:-1]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class Shown:
    """A stream that shows the text written to it; all else is the stream's own."""

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
def guarded() -> Iterator[None]:
    """Standard output and errors show whatever is printed within the block. One that is closed takes it silently.

    What the terminal's encoding lacks is escaped as well.
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
    """A rich console without markup, whose text is shown. Its own colours and progress bars reach the terminal as they are.

    Table cells and what print() gets as a str are shown here; a rich.text.Text is the caller's: give it shown() text.
    """
    from rich.console import Console
    from rich.text import Text

    stream = sys.stderr if stderr else sys.stdout
    raw: TextIO = stream.stream if isinstance(stream, Shown) else stream

    class Plain(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(shown(text, "\n\t"), **how)

    return Plain(file=raw, highlight=False, markup=False, emoji=False, **options)
