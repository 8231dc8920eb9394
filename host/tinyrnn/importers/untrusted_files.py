# SPDX-License-Identifier: MIT
"""Reads untrusted files: sizes, archives and JSON are checked before anything is unpacked or allocated."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

from tinyrnn import files
from tinyrnn.errors import ModelError, TinyrnnError
from tinyrnn.files import LARGEST_BYTES

LARGEST = LARGEST_BYTES  # most bytes of a file, and of the contents of its archive
LARGEST_JSON = 32 << 20
DEEPEST = 100  # deepest nesting of brackets in JSON
RATIO = 20  # most bytes that a byte of an archive may unpack to; weights hardly compress


def size_of(path: Path) -> int:
    """The file's size in bytes. Raises ModelError if it is not a file, or too large for a network for a board."""
    try:
        with files.open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        reason = error.strerror or _reason(error)
        seen = reason if reason.startswith("is ") else f"cannot be opened ({reason})"
        raise ModelError(f"{path}: {seen}; expected a model file") from None
    if size > LARGEST:
        raise ModelError(f"{path}: has {size} bytes; expected at most {LARGEST}: no board holds more")
    return size


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open an archive. Raises ModelError if its directory says that it would unpack to too many bytes."""
    size = size_of(path)
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"{path}: is not an archive ({_reason(error)}); expected the file as its framework saved it"
        ) from None
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    total = sum(entry.file_size for entry in entries)
    if len(names) != len(entries) or len(entries) > 10_000 or any(entry.flag_bits & 1 for entry in entries):
        archive.close()
        seen = "its archive has duplicate, too many or encrypted entries"
        raise ModelError(f"{path}: {seen}; expected the file as its framework saved it")
    if total > min(LARGEST, RATIO * size):
        archive.close()
        raise ModelError(f"{path}: {size} bytes that unpack to {total}; expected a model, not an archive bomb")
    return archive


def entry(archive: zipfile.ZipFile, name: str, limit: int = LARGEST) -> bytes:
    """The bytes of one entry, never more than the directory says. Raises ModelError."""
    where = f"{archive.filename}: {name}"
    try:
        said = archive.getinfo(name).file_size
        if said > limit:
            raise ModelError(f"{where} has {said} bytes; expected at most {limit}")
        with archive.open(name) as stream:
            data = stream.read(said + 1)
    except KeyError:
        raise ModelError(f"{where} is missing; expected the file as its framework saved it") from None
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"{where} cannot be unpacked ({_reason(error)}); save the file again") from None
    except Exception as error:  # such as zlib.error, which is not a ValueError
        raise ModelError(f"{where} cannot be unpacked ({_reason(error)}); save the file again") from None
    if len(data) != said:
        raise ModelError(f"{where} unpacks to more than the {said} bytes it claims; expected a model, not an archive bomb")
    return data


_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.S)


def parse_json(data: bytes | str, where: str) -> Any:
    """JSON of bounded size and depth. Raises ModelError."""
    if len(data) > LARGEST_JSON:
        raise ModelError(f"{where}: {len(data)} bytes of JSON; expected at most {LARGEST_JSON}")
    try:
        text = data if isinstance(data, str) else data.decode()
        depth = 0
        for bracket in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
            depth += 1 if bracket in "[{" else -1
            if depth > DEEPEST:
                raise ModelError(f"{where}: JSON nested deeper than {DEEPEST} levels; expected a model's description")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: is not JSON ({_reason(error)}); save the file again") from None


def need(module: str, what: str, extra: str = "import") -> Any:
    """Import a framework. Raises TinyrnnError, with the command that installs it, if it is missing."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        seen = f"{module} is not installed" if isinstance(error, ModuleNotFoundError) else f"{module}: {_reason(error)}"
        raise TinyrnnError(f"{seen}; expected it {what}: pip install 'tinyrnn[{extra}]'") from None


def _reason(error: Exception) -> str:
    text = (str(error).splitlines() or [""])[0]
    return f"{text or type(error).__name__:.100}"[:100]
