# SPDX-License-Identifier: MIT
"""The arrays in an .npz file, checked for size, type and values. Nothing is unpickled, because files may be hostile."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyrnn import files
from tinyrnn.data.recording import LARGEST, MOST_CHANNELS
from tinyrnn.errors import DataError

ENTRIES = (
    "x", "y", "lengths", "groups", "x_test", "y_test", "lengths_test", "groups_test", "labels", "channels", "when"
)  # fmt: skip
FREE_BYTES = 128 << 20  # any file may unpack to this size, as float64: 16 million numbers
RATIO = 64  # a larger file may take this many bytes in memory for each of its bytes; int8 without compression takes 8
MOST_BYTES = 4 << 30
MOST_SEQUENCES = 1_000_000  # each one becomes an object
# What numpy and zipfile raise for a damaged file, besides ValueError
UNREADABLE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # an encrypted file
    tokenize.TokenError,  # numpy's header is Python text
    SyntaxError,
    OverflowError,
    AttributeError,
    TypeError,
    KeyError,
)


def read_entries(path: Path) -> dict[str, np.ndarray]:
    """All entries of the file. The memory that they take is known from their headers before anything is unpacked.

    Raises DataError if the file is not an .npz, holds objects or unknown names, lacks x or y, or is an archive bomb.
    """
    try:
        with files.open_file(path) as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            names = _names(path, archive)
            _check_size(path, size, {name: _header(archive, name) for name in names})
            entries = {}
            for name in names:
                with archive.open(f"{name}.npy") as stream:
                    entries[name] = np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, MemoryError) as error:
        raise DataError(f"{path}: is damaged ({_reason(error)}); expected an .npz file: save it again") from None
    except UNREADABLE as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else _reason(error)
        raise DataError(f"{path}: cannot be read as .npz ({reason}); expected a file written by numpy.savez") from None
    if entries["y"].dtype.kind not in "iubfU":
        raise DataError(f"{path}: y is of {entries['y'].dtype}; expected integers or text (classes) or floats (targets)")
    if entries["y"].ndim < 1:
        raise DataError(f"{path}: y is a single value; expected an answer for each sequence or step")
    return entries


def _names(path: Path, archive: zipfile.ZipFile) -> list[str]:
    """The entries' names without .npy."""
    listed = archive.namelist()
    names = [name.removesuffix(".npy") for name in listed]
    unknown = [name for name in names if name not in ENTRIES]
    if unknown:
        raise DataError(f"{path}: unknown entry {unknown[0]!r}; expected some of {', '.join(ENTRIES)}: rename it")
    for name in ("x", "y"):
        if name not in names:
            raise DataError(
                f"{path}: no entry {name!r} among {', '.join(names) or 'none'}; expected x and y: save it under that name"
            )
    if len(set(names)) < len(names) or not all(name.endswith(".npy") for name in listed):
        raise ValueError("an entry occurs twice or is not an array")
    return names


@dataclass(frozen=True)
class _Header:
    """The shape of an entry and the memory that it takes."""

    shape: tuple[int, ...]
    bytes: int  # in memory, numbers as float64


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    """The header of one entry; its data are not unpacked. Raises ValueError if it is damaged."""
    entry = archive.getinfo(f"{name}.npy")
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"{name} is of the format {version}")
        shape, _, kind = read(stream)
        start = stream.tell()
    if kind.hasobject:
        raise DataError(
            f"{archive.filename}: {name} holds pickled objects; expected plain arrays: pad sequences of different lengths"
            " and give lengths"
        )
    count = math.prod(shape)
    if min(shape, default=0) < 0 or start + count * kind.itemsize != entry.file_size:
        raise ValueError(f"{name} says {shape} of {kind} in {entry.file_size} bytes")
    return _Header(shape, count * (8 if kind.kind in "iubf" else kind.itemsize))


def _check_size(path: Path, size: int, headers: dict[str, _Header]) -> None:
    """Raise DataError if the entries would take too much memory, in total or in relation to the file's size."""
    total = sum(header.bytes for header in headers.values())
    if total > MOST_BYTES:
        raise DataError(
            f"{path}: takes {total} bytes as float64; expected at most {MOST_BYTES}: keep a part of it or a lower rate"
        )
    if total > max(FREE_BYTES, RATIO * size):
        raise DataError(
            f"{path}: {size} bytes that unpack to {total} as float64, like an archive bomb; expected a recording: save it"
            " with numpy.savez, without compression"
        )
    for name, header in headers.items():
        if header.shape and header.shape[0] > MOST_SEQUENCES and (len(header.shape) > 2 or name == "lengths"):
            raise DataError(f"{path}: {name} holds {header.shape[0]} sequences; expected at most {MOST_SEQUENCES}")
        if name.startswith("x") and header.shape and header.shape[-1] > MOST_CHANNELS:
            raise DataError(f"{path}: {name} has shape {header.shape}; expected at most {MOST_CHANNELS} channels")


def strings(path: Path, entry: str, entries: dict[str, np.ndarray], count: int | None) -> tuple[str, ...]:
    """The names in an entry, () if it is missing. Raises DataError unless they are ``count`` texts (None: any number)."""
    if entry not in entries:
        return ()
    value = entries[entry]
    if value.ndim != 1 or value.dtype.kind != "U" or count not in (None, len(value)):
        wanted = "names" if count is None else f"{count} names"
        raise DataError(f"{path}: {entry} has shape {value.shape} of {value.dtype}; expected {wanted}, a list of text")
    return tuple(str(item) for item in value)


def floats(path: Path, entry: str, value: np.ndarray) -> np.ndarray:
    """The entry's values as float64. Raises DataError if they are not numbers."""
    if value.dtype.kind not in "iubf":
        raise DataError(f"{path}: {entry} is of {value.dtype}; expected integers or floats")
    return np.ascontiguousarray(value, np.float64)


def check_finite(path: Path, entry: str, values: np.ndarray, sequence: int | None = None) -> None:
    """Raise DataError, with the position, for a value that is not finite or too large."""
    bad = ~(np.abs(values) <= LARGEST)  # also true for NaN
    if bad.any():
        place = [int(i) for i in np.argwhere(bad)[0]]
        value = values[tuple(place)]
        at = ", ".join(str(i) for i in ([] if sequence is None else [sequence]) + place)
        raise DataError(
            f"{path}: {entry}[{at}] is {value}; expected a finite number up to {LARGEST:g}: correct it or leave the"
            " sequence out"
        )


def _reason(error: Exception) -> str:
    """The first line of an exception's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
